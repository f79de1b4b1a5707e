# lavra-gcc: $(BUILD)/lavra-gcc and, in $(sysroot), what it works with. `make install` copies both.

link_tools := $(addprefix $(sysroot)/lib/,lavra-link image.ld symbols check-no-syscall \
	check-rights)
$(sysroot)/lib/lavra.specs: tools/gcc/lavra.specs
$(sysroot)/lib/image.ld: arch/x86_64/image.ld
$(sysroot)/lib/symbols: $(BUILD)/tools/symbols
$(sysroot)/lib/check-no-syscall: tools/check-no-syscall
$(sysroot)/lib/check-rights: tools/check-rights
$(BUILD)/lavra-gcc: tools/gcc/lavra-gcc
$(sysroot)/lib/lavra-link: tools/gcc/lavra-link
$(BUILD)/lavra-gcc $(sysroot)/lib/lavra.specs $(link_tools):
	@mkdir -p $(@D)
	@cp $< $@

# Without debug information, which would slow down each link; images of this tree have it.
$(sysroot)/lib/lavra-kernel.o: $(BUILD)/lavra-kernel.o
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --strip-debug $< $@

$(sysroot)/lib/lavra-linux.o: posix/libc/linux_calls.S $(generated)/syscall_list.h
	$(quiet) AS $<
	@mkdir -p $(@D)
	$(Q)$(CC) -I$(generated) -c -o $@ $<

# Linux's own headers, for programs that speak its structures: of this machine, and only these
# folders, as the host's C library lies beside them. BSD's lists, which many programs take for
# granted and musl does not have, are a header that needs nothing else.
host_headers := /usr/include
$(sysroot)/kernel-headers.done: tools/gcc/folder.mk
	@rm -rf $(sysroot)/kernel-headers && mkdir -p $(sysroot)/kernel-headers
	$(Q)for folder in linux asm-generic asm; do \
		for place in $(host_headers) $(host_headers)/$$($(CC) -print-multiarch); do \
			[ ! -d $$place/$$folder ] || { ln -s $$place/$$folder $(sysroot)/kernel-headers/; break; }; \
		done; \
	done
	$(Q)for place in $(host_headers) $(host_headers)/$$($(CC) -print-multiarch); do \
		[ ! -f $$place/sys/queue.h ] || { mkdir -p $(sysroot)/kernel-headers/sys && \
			ln -s $$place/sys/queue.h $(sysroot)/kernel-headers/sys/; break; }; \
	done
	@touch $@

lavra_gcc := $(BUILD)/lavra-gcc
# All that the compiler needs, and all that the linker needs beside it.
$(sysroot)/compiler.done: $(lavra_gcc) $(sysroot)/lib/lavra.specs $(sysroot)/headers.done \
		$(sysroot)/kernel-headers.done $(wildcard posix/libc/include/*.h posix/libc/include/*/*.h)
	@rm -rf $(sysroot)/overlay && cp -r posix/libc/include $(sysroot)/overlay
	@touch $@
kernels := $(addprefix $(sysroot)/lib/,lavra-kernel.o lavra-linux.o)
lavra_gcc_parts := $(sysroot)/compiler.done $(link_tools) $(kernels) $(libc_archives)

.PHONY: lavra-gcc install install-files uninstall
lavra-gcc: $(lavra_gcc_parts) ## the compiler for images: $(BUILD)/lavra-gcc

# ---- installing ----

PREFIX ?= /usr/local
destination = $(DESTDIR)$(PREFIX)
linux_image := $(BUILD)/apps/linux/linux

# The launcher, lavra-gcc and all it works with; the image that runs Linux's programs where there is one.
install: ## lavra and lavra-gcc under PREFIX=/usr/local; DESTDIR= too
	@tools/packages build
	@$(MAKE) $(parallel) --no-print-directory install-files
install-files: $(lavra) $(lavra_gcc_parts) $(if $(wildcard apps/linux/*),$(linux_image))
	@mkdir -p '$(destination)/bin' '$(destination)/lib'
	@rm -rf '$(destination)/lib/lavra' && mkdir '$(destination)/lib/lavra'
	$(Q)cp -R $(addprefix $(sysroot)/,include overlay kernel-headers) \
		'$(destination)/lib/lavra/'
	@mkdir '$(destination)/lib/lavra/lib'
	$(Q)cp -R $(filter-out %/liblavra-malloc.a,$(libc_archives)) $(link_tools) $(kernels) \
		$(addprefix $(sysroot)/lib/,lavra.specs mimalloc musl) \
		'$(destination)/lib/lavra/lib/'
	$(Q)cp $(lavra) $(lavra_gcc) '$(destination)/bin/'
	$(Q)[ ! -f $(linux_image) ] || cp $(linux_image) '$(destination)/lib/lavra/linux'
	@echo 'Installed in $(destination)'
uninstall: ## remove what install put under PREFIX
	rm -rf '$(destination)/bin/lavra' '$(destination)/bin/lavra-gcc' '$(destination)/lib/lavra'
