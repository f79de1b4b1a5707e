kernel_sources += $(wildcard posix/*.c posix/fs/*.c posix/elf/*.c)
