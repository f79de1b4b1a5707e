# What runs inside lwIP's callbacks and calls it is compiled into one unit with it (net/lwip.mk).
network_sources := $(wildcard net/*.c)
# The driver's rings are the network's, too; what sets the device up is the kernel's.
lwip_glue_sources := $(network_sources) $(addprefix drivers/virtio/,receive.c transmit.c virtqueue.c)
# The kernel's side: what the network is asked, and what it asks.
kernel_sources += $(wildcard net/calls/*.c)
