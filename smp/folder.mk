kernel_sources += $(wildcard smp/*.c)
