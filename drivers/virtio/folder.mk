kernel_sources += $(wildcard drivers/*.c drivers/virtio/*.c)
