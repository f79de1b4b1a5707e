kernel_sources += $(filter-out posix/libc/%,$(wildcard posix/*.c posix/*/*.c))
