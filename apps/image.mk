# From an application's folder to a bootable image, by lavra-gcc (tools/gcc).
#
#   $(BUILD)/FOLDER/NAME       the image, stripped: what is booted
#   $(BUILD)/FOLDER/NAME.elf   the same with everything a debugger wants
#   $(BUILD)/FOLDER/NAME.map   what the linker put where, and what it left out
#   $(BUILD)/FOLDER/NAME.sizes what it consists of, by folder and library, for lavra inspect
#   $(BUILD)/FOLDER/NAME.rights  the instructions in it that change protection keys (tools/check-rights)
#
# All *.c of the folder are the application. It may have
#   app.mk     more: `app_sources +=`, `app_flags +=`, `app_libraries +=`, `app_arguments :=`, what
#              main() is given where the command line of the boot says nothing; `app_port :=`, where it
#              serves, if not at 80; $(here) is the folder
#   files/     a folder that is unpacked into / (ustar, archive_start to archive_end)
#   kernel_*.c sources that become part of the kernel of this image (the guest tests have some)
#
# Or the application is somebody else's source package, unchanged, and app.mk says how it is made:
#   app_packages   names in tools/sources.list, fetched when the app is first built. Copies of their
#                  folders stand beside each other in $(BUILD)/FOLDER/work, where the commands run
#   app_configure  a shell command, run once. $(app_compiler) in it sets PATH and CC in the environment,
#                  $(app_cflags_package) are flags for CFLAGS
#   app_build      a shell command that makes
#   app_program    the image, a path below work/

app_folder := $(if $(wildcard apps/$(APP)/.),apps/$(APP),$(patsubst %/,%,$(APP)))
app_folders := $(sort $(patsubst %/,%,$(dir $(wildcard apps/*/*.c apps/*/app.mk))))
ifeq ($(wildcard $(app_folder)/*.c $(app_folder)/app.mk),)
$(error APP is '$(APP)': no folder of that name, here or in apps/, has .c files or an app.mk; apps/ has \
	$(notdir $(app_folders)))
endif
app_folders := $(sort $(app_folders) \
	$(patsubst %/,%,$(dir $(wildcard tests/guest/*.c tests/system/*/*.c))) $(app_folder))

# ---- the kernel: one object whose names do not meet the application's ----
#
# What stays visible: system calls, or their gates (arch/x86_64/gate.S), and what the linker script and the
# C library ask for by name.

kernel_exports := sys_* kernel_syscall __kernel_entry __kernel_set_rights pvh_start
# Backtraces walk frame pointers, and so does gdb where there is nothing better.
no_unwinding := --remove-section=.eh_frame --remove-section=.rela.eh_frame
keep_exports := --wildcard $(foreach name,$(kernel_exports),--keep-global-symbol='$(name)')

define kernel_rule
$(1)/lavra-kernel.o: $(2) $$(network_object) apps/image.mk tools/make-gates tools/make-network-gates
	$$(quiet) LD $$@
	@mkdir -p $$(@D)
	$$(Q)$$(LD) -r -o $$@.kernel $(2)
	$$(Q)UNGATED='$$(network_ungated)' tools/make-network-gates $$(network_object) $$@.kernel \
		$$@.gates.network.S $$@.gates.network.names
	$$(Q)$$(CC) -c -o $$@.gates.network.o $$@.gates.network.S
	$$(Q)$$(OBJCOPY) --redefine-syms=$$@.gates.network.names $$(network_object) $$@.network
	$$(Q)$$(LD) -r -Map=$$(@:.o=.map) -o $$@.all $(2) $$@.network $$@.gates.network.o \
		$$(shell $$(CC) -print-file-name=libck.a)
	$$(Q)$$(call make_gates,$$@)
	$$(Q)$$(OBJCOPY) $$(keep_exports) $$(no_unwinding) $$@.all $$@
	@rm -f $$@.all $$@.kernel $$@.network $$@.gates*
endef
ifeq ($(ISOLATION),mpk)
make_gates = tools/make-gates $(1).all $(1).gates.S $(1).gates.names && \
	$(CC) -c -o $(1).gates.o $(1).gates.S && \
	$(OBJCOPY) --redefine-syms=$(1).gates.names $(1).all && \
	mv $(1).all $(1).gates.all && $(LD) -r -o $(1).all $(1).gates.all $(1).gates.o
endif
$(eval $(call kernel_rule,$(BUILD),$(kernel_objects)))

# ---- images ----

# Where the results for a folder go; it may lie outside the tree.
built = $(BUILD)/$(subst ../,up/,$(patsubst /%,%,$(1)))

# What lavra-gcc is told beside its arguments (tools/gcc/lavra-gcc).
quote := '
link_environment = LAVRA_KERNEL='$(abspath $($(2).kernel))' LAVRA_MAP='$(abspath $(@:.elf=.map))' \
	LAVRA_RIGHTS='$(abspath $(@:.elf=.rights))' \
	LAVRA_FILES='$(abspath $(wildcard $(1)/files))' LAVRA_MALLOC=$(MALLOC) \
	LAVRA_ARGUMENTS='$(subst $(quote),$(quote)\$(quote)$(quote),$($(2).arguments))'

define image_rules
here := $(1)
app_sources := $$(filter-out $(1)/kernel_%,$$(wildcard $(1)/*.c))
app_flags :=
app_libraries :=
app_arguments :=
app_packages :=
app_port :=
-include $(1)/app.mk

$(2).arguments := $$(app_arguments)
$(2).port := $$(app_port)
$(2).kernel_objects := $$(patsubst %,$$(BUILD)/kernel/%.o,$$(wildcard $(1)/kernel_*.c))
$(2).kernel := $$(if $$($(2).kernel_objects),$(call built,$(1))/lavra-kernel.o,$$(BUILD)/lavra-kernel.o)
ifneq ($$($(2).kernel_objects),)
$$(eval $$(call kernel_rule,$(call built,$(1)),$$(kernel_objects) $$($(2).kernel_objects)))
-include $$($(2).kernel_objects:.o=.d)
endif

$(call built,$(1))/$(2).elf: $$($(2).kernel) $$(lavra_gcc_parts) $$(BUILD)/malloc.choice apps/image.mk \
		$$(wildcard $(1)/app.mk $(1)/files) $$(shell find $(1)/files 2>/dev/null)

$$(if $$(app_packages),$$(eval $$(call package_rules,$(1),$(2))),$$(eval $$(call source_rules,$(1),$(2))))

$(call built,$(1))/$(2): $(call built,$(1))/$(2).elf tools/size-by-folder
	$$(Q)$$(OBJCOPY) --strip-all $$< $$@
	$$(Q){ stat -c 'bytes %s' $$@ && NM=$$(NM) tools/size-by-folder $$(<:.elf=.map) $$($(2).kernel:.o=.map) \
		"$$$$(size -A $$< | awk '$$$$1 == ".symbols" { print $$$$2 }')" $$(lwip_glue_objects) \
		$$(network_own_objects) $$(network_user_copy); } > $$@.sizes
endef

# ---- of sources in the folder ----

define source_rules
$(call built,$(1))/objects/%.c.o: %.c $(BUILD)/app.flags $(sysroot)/compiler.done
	$$(quiet) CC $$<
	@mkdir -p $$(@D)
	$$(Q)$(lavra_gcc) $$(app_cflags) -Wall -Wextra -Iinclude $$(app_own_flags) -MMD -MP -c -o $$@ $$<

$(2).objects := $$(app_sources:%=$(call built,$(1))/objects/%.o)
$$($(2).objects): app_own_flags := $$(app_flags)
$$($(2).objects): $$(wildcard $(1)/app.mk)
$(2).libraries := $$(app_libraries)
-include $$($(2).objects:.o=.d)

$(call built,$(1))/$(2).elf: $$($(2).objects)
	$$(quiet) IMAGE $$@
	$$(Q)$$(call link_environment,$(1),$(2)) $(lavra_gcc) -Wl,--fatal-warnings -o $$@ \
		$$(or $$($(2).objects),-x assembler /dev/null -x none) $$($(2).libraries)
	$$(Q)tools/check-window image $$@ $$(lwip_object)
endef

# ---- of somebody else's source package ----

# Some look for the version of a source tree, and would find this one's.
app_compiler := PATH='$(abspath $(dir $(lavra_gcc)))':"$$PATH" CC=lavra-gcc GIT_DIR=/dev/null
# No path of this machine among them: some programs tell how they were compiled.
app_cflags_package := -O2 -g

# Its make gets our jobs, but neither our options nor our variables. Times of files are kept: some make
# what looks old anew.
package_make = MAKEFLAGS='$(filter -j% --jobserver%,$(MAKEFLAGS))' MAKEOVERRIDES=

define package_rules
$(2).work := $(abspath $(call built,$(1))/work)
$(2).configure := $$(app_configure)
$(2).build := $$(app_build)
$(2).program := $$(app_program)
$(2).packages := $$(app_packages)

$(call built,$(1))/work.configured: $(1)/app.mk $(sysroot)/compiler.done \
		$$(app_packages:%=$(source_folder)/%.pin) | $$(lavra_gcc_parts)
	$$(quiet) FETCH '$$($(2).packages)'
	$$(Q)tools/fetch $(source_folder) $$($(2).packages)
	$$(quiet) CONFIG $(2)
	@rm -rf $$($(2).work) && mkdir -p $$($(2).work)
	@for package in $$($(2).packages); do cp -Rp $(source_folder)/$$$$package $$($(2).work)/; done
	$$(Q)+cd $$($(2).work) && export $$(package_make) && { $$($(2).configure); } > ../configure.log 2>&1 </dev/null || { \
		tail -40 ../configure.log; exit 1; }
	@touch $$@

$(call built,$(1))/$(2).elf: $(call built,$(1))/work.configured
	$$(quiet) MAKE $(2)
	@rm -f $$($(2).work)/$$($(2).program)
	$$(Q)+cd $$($(2).work) && export $$(package_make) $$(call link_environment,$(1),$(2)) && { $$($(2).build); } \
		> ../build.log 2>&1 </dev/null || { tail -40 ../build.log; exit 1; }
	$$(Q)tools/check-window image $$($(2).work)/$$($(2).program) $$(lwip_object)
	@cp $$($(2).work)/$$($(2).program) $$@
endef

app_cflags := -std=gnu11 -O2 -g -D_GNU_SOURCE= $(reproducible_flags)
$(eval $(call flags_file,app))

# Changes when another malloc is chosen.
$(BUILD)/malloc.choice: FORCE
	@mkdir -p $(@D)
	@echo '$(MALLOC)' | cmp -s - $@ || echo '$(MALLOC)' > $@

$(foreach folder,$(app_folders),$(eval $(call image_rules,$(folder),$(notdir $(folder)))))

image := $(call built,$(app_folder))/$(notdir $(app_folder))
port := $($(notdir $(app_folder)).port)
.PHONY: image
image: $(image) $(lavra)
