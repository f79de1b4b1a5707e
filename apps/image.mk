# From an application's folder to a bootable image.
#
#   $(BUILD)/FOLDER/NAME       the image, stripped: what is booted
#   $(BUILD)/FOLDER/NAME.elf   the same with everything a debugger wants
#
# All *.c of the folder are the application. It may have
#   app.mk     more: `app_sources +=`, `app_flags +=`, `app_libraries +=`; $(here) is the folder
#   files/     a folder that is packed into the image (ustar, archive_start to archive_end)
#   kernel_*.c sources that become part of the kernel of this image (the guest tests have some)

app_folder := $(if $(wildcard apps/$(APP)/.),apps/$(APP),$(patsubst %/,%,$(APP)))
ifeq ($(wildcard $(app_folder)/*.c $(app_folder)/app.mk),)
$(error APP is '$(APP)': no folder of that name, here or in apps/, has .c files; apps/ has \
	$(notdir $(patsubst %/,%,$(sort $(dir $(wildcard apps/*/*.c))))))
endif
app_folders := $(sort $(patsubst %/,%,$(dir $(wildcard apps/*/*.c))) \
	$(patsubst %/,%,$(dir $(wildcard tests/guest/*.c tests/system/*/*.c))) $(app_folder))

# ---- the kernel: one object whose names do not meet the application's ----
#
# What stays visible: system calls, and what the linker script and the C library ask for by name.

kernel_exports := sys_* kernel_syscall __kernel_entry pvh_start
keep_exports := --wildcard $(foreach name,$(kernel_exports),--keep-global-symbol='$(name)')

define kernel_rule
$(1)/kernel.o: $(2) $$(lwip_object) apps/image.mk
	$$(quiet) LD $$@
	@mkdir -p $$(@D)
	$$(Q)$$(LD) -r -o $$@.all $$(filter %.o,$$^) $$(shell $$(CC) -print-file-name=libck.a)
	$$(Q)$$(OBJCOPY) $$(keep_exports) $$@.all $$@
	@rm -f $$@.all
endef
$(eval $(call kernel_rule,$(BUILD),$(kernel_objects)))

# ---- images ----

image_ldflags := -static -nostdlib -no-pie -Wl,-T,arch/x86_64/image.ld -Wl,--gc-sections \
	-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,-z,norelro \
	-Wl,--fatal-warnings

$(BUILD)/symbols-empty.S: $(BUILD)/tools/symbols
	$(Q)$< > $@

# Where the results for a folder go; it may lie outside the tree.
built = $(BUILD)/$(subst ../,up/,$(patsubst /%,%,$(1)))

define image_rules
# Applications are compiled for the C library, not for the kernel.
$(call built,$(1))/objects/%.c.o: %.c $(BUILD)/app.flags | $(sysroot)/headers.done
	$$(quiet) CC $$<
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(app_cflags) -Wall -Wextra -Iinclude $$(app_own_flags) -MMD -MP -c -o $$@ $$<

here := $(1)
app_sources := $$(filter-out $(1)/kernel_%,$$(wildcard $(1)/*.c))
app_flags :=
app_libraries :=
-include $(1)/app.mk

$(2).objects := $$(app_sources:%=$(call built,$(1))/objects/%.o)
$$($(2).objects): app_own_flags := $$(app_flags)
$$($(2).objects): $$(wildcard $(1)/app.mk)
$(2).libraries := $$(app_libraries)
$(2).kernel_objects := $$(patsubst %,$$(BUILD)/kernel/%.o,$$(wildcard $(1)/kernel_*.c))
$(2).kernel := $$(if $$($(2).kernel_objects),$(call built,$(1))/kernel.o,$$(BUILD)/kernel.o)
ifneq ($$($(2).kernel_objects),)
$$(eval $$(call kernel_rule,$(call built,$(1)),$$(kernel_objects) $$($(2).kernel_objects)))
-include $$($(2).kernel_objects:.o=.d)
endif
-include $$($(2).objects:.o=.d)

# The archive of files/ is the same whenever the files are: names sorted, no times, no owners.
$(call built,$(1))/files.tar: $$(shell find $(1)/files -type f 2>/dev/null) $$(wildcard $(1)/files) \
		apps/image.mk
	$$(quiet) ARCHIVE $$@
	@mkdir -p $$(@D)
	$$(Q)if [ -d $(1)/files ]; then \
		cd $(1)/files && find . -type f -printf '%P\n' | sort | tar --format=ustar --mtime=@0 \
			--owner=0 --group=0 --numeric-owner --mode=0644 -cf $$(abspath $$@) -T -; \
	else : > $$@; fi

$(call built,$(1))/files.o: $(call built,$(1))/files.tar
	$$(Q)printf '%s\n' '.section .rodata.archive, "a"' '.balign 64' \
		'.global archive_start, archive_end, image_name' \
		'archive_start:' '.incbin "$$<"' 'archive_end:' '.byte 0' 'image_name: .asciz "$(2)"' \
		'.section .note.GNU-stack, "", @progbits' | \
		$$(CC) -x assembler -c -o $$@ -

$(call built,$(1))/$(2).elf: $$($(2).objects) $$($(2).kernel) $(call built,$(1))/files.o $$(libc_objects) \
		$$(lwip_object) $$(BUILD)/tools/symbols $$(BUILD)/symbols-empty.S \
		arch/x86_64/image.ld $$(BUILD)/libc.choice
	$$(quiet) IMAGE $$@
	$$(Q)$$(CC) $$(image_ldflags) -o $$@.1 $$(BUILD)/symbols-empty.S $$($(2).kernel) \
		$$($(2).objects) $(call built,$(1))/files.o $$($(2).libraries) $$(libc_objects) -lgcc
	$$(Q)$$(NM) -nS $$@.1 | $$(BUILD)/tools/symbols IMAGE_OFFSET > $$@.symbols.S
	$$(Q)$$(CC) $$(image_ldflags) -Wl,-Map,$$(@:.elf=.map) -o $$@.2 $$@.symbols.S $$($(2).kernel) \
		$$($(2).objects) $(call built,$(1))/files.o $$($(2).libraries) $$(libc_objects) -lgcc
	$$(Q)tools/check-symbols $$@.1 $$@.2
	$$(Q)tools/check-window image $$@.2 $$(lwip_object)
	$$(Q)tools/check-no-syscall $$@.2
	@rm -f $$@.1 && mv $$@.2 $$@

$(call built,$(1))/$(2): $(call built,$(1))/$(2).elf
	$$(Q)$$(OBJCOPY) --strip-all $$< $$@
endef

$(eval $(call flags_file,app))

# Changes when another malloc is chosen.
$(BUILD)/libc.choice: FORCE
	@mkdir -p $(@D)
	@echo '$(libc_objects)' | cmp -s - $@ || echo '$(libc_objects)' > $@

$(foreach folder,$(app_folders),$(eval $(call image_rules,$(folder),$(notdir $(folder)))))

image := $(call built,$(app_folder))/$(notdir $(app_folder))
.PHONY: image
image: $(image) $(lavra)
