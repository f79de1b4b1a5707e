kernel_sources += $(wildcard posix/*.c)
