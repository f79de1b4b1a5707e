kernel_sources += $(wildcard sched/*.c)
