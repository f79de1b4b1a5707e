# What runs inside lwIP's callbacks and calls it is compiled into one unit with it (net/lwip.mk).
lwip_glue_sources := $(wildcard net/*.c)
kernel_sources += $(filter-out $(lwip_glue_sources),$(wildcard net/*.c))
