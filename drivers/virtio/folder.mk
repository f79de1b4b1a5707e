kernel_sources += $(filter-out $(lwip_glue_sources),$(wildcard drivers/*.c drivers/virtio/*.c))
