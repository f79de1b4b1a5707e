# The C library of the images, from unmodified sources: musl, mimalloc in place of its malloc, and
# fast string functions. Headers and objects are put together in $(sysroot), where tools/gcc adds
# what lavra-gcc needs beside them.

source_folder := $(BUILD)/src
musl_source := $(source_folder)/musl
mimalloc_source := $(source_folder)/mimalloc
generated := $(BUILD)/gen

# A package's line in the list; changes when that does.
$(source_folder)/%.pin: FORCE
	@mkdir -p $(@D)
	@awk '$$1 == "$*"' tools/sources.list | cmp -s - $@ || awk '$$1 == "$*"' tools/sources.list > $@

# All of them together: they come from one reading of the package archive's index.
fetched := $(source_folder)/fetched
$(fetched): $(patsubst %,$(source_folder)/%.pin,lwip musl mimalloc)
	$(quiet) FETCH 'lwip musl mimalloc'
	$(Q)tools/fetch $(source_folder) lwip musl mimalloc
	@touch $@

# ---- musl: its own build, out of its tree ----
#
# The overlay's headers are found before musl's own, and the `syscall` instruction of its .s files is
# a macro. It wants absolute folders, which are kept out of the objects.

musl_build := $(BUILD)/musl
musl_overlay := $(wildcard posix/libc/overlay/*.h) posix/libc/syscall_macro.s
musl_cc := $(CC) -fno-pie -no-pie -iquote $(CURDIR)/posix/libc/overlay -iquote $(abspath $(generated))
musl_cflags := -O2 -g $(machine_flags) -fno-stack-protector -ffunction-sections -fdata-sections \
	-ffile-prefix-map=$(abspath $(musl_source))=musl \
	-ffile-prefix-map=$(abspath $(musl_build))=musl $(reproducible_flags)

$(eval $(call flags_file,musl))
$(musl_build)/config.mak: $(fetched) $(BUILD)/musl.flags
	$(quiet) CONFIG musl
	@rm -rf $(@D) && mkdir -p $(@D)
	$(Q)cd $(@D) && $(abspath $(musl_source))/configure --target=x86_64 --prefix=/ \
		--disable-shared --disable-wrapper CC='$(musl_cc)' AR=$(AR) RANLIB=ranlib \
		CFLAGS='$(musl_cflags)' > configure.log 2>&1 || { cat configure.log; exit 1; }

# K(number, name) for every Linux system call that musl knows.
$(generated)/syscall_list.h: $(fetched)
	@mkdir -p $(@D)
	$(Q)sed -n 's/^#define[ \t]*__NR_\([a-z0-9_]*\)[ \t]*\([0-9]*\)$$/K(\2, \1)/p' \
		$(musl_source)/arch/x86_64/bits/syscall.h.in > $@
	@grep -q '^K(0, read)$$' $@ || { echo "no system calls found in musl's list" >&2; exit 1; }

$(sysroot)/lib/libc.a: $(musl_overlay) $(generated)/syscall_list.h $(musl_build)/config.mak \
		| $(sysroot)/headers.done
	$(quiet) MUSL $@
	@mkdir -p $(@D)
	@rm -rf $(musl_build)/obj/src $(musl_build)/lib
	$(Q)+$(MAKE) -s --no-print-directory -C $(musl_build) lib/libc.a \
		AS_CMD='$$(CC_CMD) -Wa,$(CURDIR)/posix/libc/syscall_macro.s' \
		> $(musl_build)/build.log 2>&1 || { tail -40 $(musl_build)/build.log; exit 1; }
	$(Q)tools/check-no-syscall $(musl_build)/lib/libc.a
	$(Q)cp $(musl_build)/lib/libc.a $@

# ---- headers ----
#
# The kernel is compiled with musl's headers, and with Concurrency Kit's, but not with those of the
# host's C library that lie beside them: hence the links.

ck_include := /usr/include
$(sysroot)/headers.done: $(musl_build)/config.mak $(generated)/syscall_list.h
	$(quiet) HEADERS $(sysroot)/include
	@test -f $(ck_include)/ck_ring.h || { \
		echo "Concurrency Kit's headers are missing: run 'make packages' (libck-dev)" >&2; exit 1; }
	@rm -rf $(sysroot)/ck && mkdir -p $(sysroot)/ck
	$(Q)ln -s $(ck_include)/ck_*.h $(ck_include)/gcc $(ck_include)/spinlock $(sysroot)/ck/
	$(Q)+$(MAKE) -s --no-print-directory -C $(musl_build) DESTDIR=$(abspath $(sysroot)) install-headers
	@touch $@

# ---- what takes the place of parts of musl; linked before it ----
#
# Archives, so that a program with a function of the same name keeps its own.

libc_parts := $(BUILD)/libc
libc_cflags := -std=gnu11 -O2 -g -D_GNU_SOURCE= $(machine_flags) -nostdinc \
	-isystem posix/libc/include -isystem $(sysroot)/include \
	-isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
	-ffunction-sections -fdata-sections $(reproducible_flags)

# A loop that moves bytes must not be compiled into a call of the function that it is.
$(libc_parts)/string.o: posix/libc/string.c posix/libc/folder.mk | $(sysroot)/headers.done
	$(quiet) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(libc_cflags) $(warning_flags) -ffreestanding -fno-tree-loop-distribute-patterns \
		-c -o $@ $<

$(libc_parts)/affinity.o $(libc_parts)/key.o: $(libc_parts)/%.o: posix/libc/%.c \
		$(wildcard posix/libc/include/*.h posix/libc/include/*/*.h) posix/libc/folder.mk | $(sysroot)/headers.done
	$(quiet) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(libc_cflags) $(warning_flags) -c -o $@ $<

$(libc_parts)/malloc.o: posix/libc/malloc.c $(fetched) posix/libc/folder.mk \
		| $(sysroot)/headers.done
	$(quiet) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(libc_cflags) -w -DNDEBUG -DMI_DEBUG=0 -DMI_STAT=0 -fvisibility=hidden \
		-ftls-model=local-exec -fno-builtin-malloc -I$(mimalloc_source)/include \
		-I$(mimalloc_source)/src -ffile-prefix-map=$(mimalloc_source)=mimalloc -c -o $@ $<

$(sysroot)/lib/liblavra.a: $(addprefix $(libc_parts)/,string.o affinity.o key.o)
$(sysroot)/lib/mimalloc/liblavra-malloc.a: $(libc_parts)/malloc.o
# musl's own malloc: nothing stands before it.
$(sysroot)/lib/musl/liblavra-malloc.a:
# All of it is in libc.a, but programs ask for the parts by name.
empty_libraries := $(patsubst %,$(sysroot)/lib/lib%.a,m pthread dl rt util crypt resolv xnet)

libc_archives := $(sysroot)/lib/liblavra.a $(empty_libraries) \
	$(foreach malloc,mimalloc musl,$(sysroot)/lib/$(malloc)/liblavra-malloc.a)
$(libc_archives): posix/libc/folder.mk
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcD $@ $(filter %.o,$^)
libc_archives += $(sysroot)/lib/libc.a

.PHONY: libc
libc: $(libc_archives)
