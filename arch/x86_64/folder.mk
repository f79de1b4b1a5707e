kernel_sources += $(wildcard arch/*.c arch/x86_64/*.c arch/x86_64/*.S)
