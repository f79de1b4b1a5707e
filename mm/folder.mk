kernel_sources += $(wildcard mm/*.c)
