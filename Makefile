# Lavra's build. `make help` lists what can be asked for.
#
# Everything is built under $(BUILD). A folder of the kernel names its sources in its folder.mk;
# the larger steps stand beside what they build:
#   posix/libc/folder.mk   headers, musl, mimalloc, string functions: build/sysroot
#   net/lwip.mk            lwIP and its glue as one object with its data in the core window
#   apps/image.mk          an application's folder, or a fetched source package -> a bootable image
#   tools/gcc/folder.mk    lavra-gcc, the compiler for images, and `make install`
#   tools/folder.mk        host programs
#   tests/host/folder.mk   unit tests that run on this machine

BUILD ?= build
APP ?= httpd
CORES ?= 2
MEM ?= 128M
PORT ?= $(or $(port),8080)
MALLOC ?= mimalloc
ISOLATION ?= mpk
ifeq ($(filter mimalloc musl,$(MALLOC)),)
$(error MALLOC is '$(MALLOC)'; there are mimalloc and musl)
endif

ifeq ($(filter mpk none,$(ISOLATION)),)
$(error ISOLATION is '$(ISOLATION)'; there are mpk and none)
endif

CC = gcc
HOST_CC = gcc
FUZZ_CC = clang
AR = ar
LD = ld
NM = nm
OBJCOPY = objcopy
OBJDUMP = objdump

# `make V=1` prints the commands.
ifeq ($(V),1)
Q :=
quiet = @:
else
Q := @
quiet = @printf '  %-8s %s\n'
endif

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# What a person asks for comes first: the packages of the group, then the build in a make of its own,
# so that it sees a compiler that has just been installed.
.PHONY: all run test bench bench-count bench-isolation conformance gdb packages
launch = $(lavra) run $(image) --cores '$(CORES)' --memory '$(MEM)' --publish '$(PORT):$(or $(port),80)'
parallel = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
all: ## build the image of APP
	@tools/packages build app-$(notdir $(app_folder))
	@$(MAKE) $(parallel) --no-print-directory image
	@echo 'The image is $(image)'
run: ## boot APP: make run APP=httpd CORES=2 MEM=128M PORT=8080 (or the server's own)
	@tools/packages build run app-$(notdir $(app_folder))
	@$(MAKE) -s $(parallel) --no-print-directory $(lavra)
	@$(launch) $(LAVRA_FLAGS) --dry-run >/dev/null # a wrong CORES is told before all is built
	@$(MAKE) $(parallel) --no-print-directory image
	@$(launch) $(LAVRA_FLAGS)
test: ## everything there is to prove; TESTS="build host guest system" picks
	@tools/packages build run test $(patsubst apps/%,app-%,$(filter apps/%,$(app_folders)))
	@$(MAKE) $(parallel) --no-print-directory images bench-tools
	@BUILD=$(BUILD) tests/run $(TESTS)
bench: ## how APP (httpd, redis, memcached) scales over cores, beside a Linux guest and this machine: table, plot
	@tools/packages build run bench app-$(notdir $(app_folder))
	@$(MAKE) $(parallel) --no-print-directory image lavra-gcc bench-tools
	@BUILD=$(BUILD) bench/scale --server '$(APP)' $(BENCH_FLAGS)
bench-count: ## what a request of APP executes on 1, 2 and 4 cores, and which cache lines change cores
	@tools/packages build run bench app-$(notdir $(app_folder))
	@$(MAKE) $(parallel) --no-print-directory image bench-tools
	@BUILD=$(BUILD) bench/scale --count --server '$(APP)' $(BENCH_FLAGS)
bench-isolation: ## what isolation costs APP (httpd, redis, memcached): instructions, writes of PKRU, requests/s
	@tools/packages build run bench app-$(notdir $(app_folder))
	@$(MAKE) $(parallel) --no-print-directory image APP=bench/gate
	@$(MAKE) $(parallel) --no-print-directory image bench-tools
	@BUILD=$(BUILD) bench/isolation --server '$(APP)' $(BENCH_FLAGS)
conformance: ## the programs of the Open POSIX Test Suite, each in a boot of its own
	@tools/packages build run test
	@$(MAKE) $(parallel) --no-print-directory image APP=tests/conformance
	@BUILD=$(BUILD) tests/conformance/run
gdb: ## boot APP stopped, and look into it with gdb
	@tools/packages build run debug app-$(notdir $(app_folder))
	@$(MAKE) $(parallel) --no-print-directory image
	@$(launch) $(LAVRA_FLAGS) --gdb </dev/null >$(BUILD)/console.log 2>&1 & launcher=$$!; sleep 1; \
	kill -0 $$launcher 2>/dev/null || { cat $(BUILD)/console.log; exit 1; }; \
	gdb -q $(image).elf -ex 'target remote 127.0.0.1:1234' $(if $(wildcard tools/gdb.py),-x tools/gdb.py); \
	kill $$launcher 2>/dev/null; echo 'The console is in $(BUILD)/console.log'
packages: ## install what is needed to build, run, test, measure and debug
	@tools/packages build run test bench debug $(patsubst apps/%,app-%,$(filter apps/%,$(app_folders)))

# Builds are reproducible: no path, time or locale of this machine gets into an object.
export LC_ALL = C
export SOURCE_DATE_EPOCH = 0
export ZERO_AR_DATE = 1
reproducible_flags := -ffile-prefix-map=$(CURDIR)=.

warning_flags := -Wall -Wextra -Werror -Wno-unused-parameter -Wstrict-prototypes \
	-Wno-missing-field-initializers

# The image is linked at -2 GiB. Frame pointers are what backtraces walk.
machine_flags := -fno-pie -mcmodel=kernel -fno-omit-frame-pointer

sysroot := $(BUILD)/sysroot

# musl's headers and the compiler's own; Concurrency Kit's without the host's C library.
kernel_includes := -I. -Iinclude -I$(BUILD)/gen -isystem $(sysroot)/include -isystem $(sysroot)/ck \
	-isystem $(shell $(CC) -print-file-name=include 2>/dev/null)

kernel_cflags := -std=gnu11 -O2 -g -D_GNU_SOURCE= -ffreestanding -fbuiltin -nostdinc $(machine_flags) -mgeneral-regs-only \
	-fstack-protector-strong -mstack-protector-guard=global \
	-ffunction-sections -fdata-sections -fno-strict-aliasing -fno-common -fvisibility=hidden \
	$(reproducible_flags) $(warning_flags) $(kernel_includes) $(KERNEL_DEFINES) \
	$(if $(filter none,$(ISOLATION)),-DISOLATION_NONE)

kernel_sources :=
include arch/x86_64/folder.mk smp/folder.mk sched/folder.mk mm/folder.mk
include net/folder.mk drivers/virtio/folder.mk posix/folder.mk

kernel_objects := $(kernel_sources:%=$(BUILD)/kernel/%.o)

# A file that changes only when the flags do: what it is named after depends on it.
define flags_file
$(BUILD)/$(1).flags: FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' '$$(strip $$($(1)_cflags))' | cmp -s - $$@ || \
		printf '%s\n' '$$(strip $$($(1)_cflags))' > $$@
endef
FORCE:
$(eval $(call flags_file,kernel))

$(BUILD)/kernel/%.c.o: %.c $(BUILD)/kernel.flags | $(sysroot)/headers.done
	$(quiet) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(kernel_cflags) -MMD -MP -c -o $@ $<

$(BUILD)/kernel/%.S.o: %.S $(BUILD)/kernel.flags | $(sysroot)/headers.done
	$(quiet) AS $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(kernel_cflags) -MMD -MP -c -o $@ $<

include posix/libc/folder.mk
include net/lwip.mk
include net/domain.mk
include tools/folder.mk
include tools/gcc/folder.mk
include bench/folder.mk
include apps/image.mk
include tests/host/folder.mk

-include $(kernel_objects:.o=.d)

.PHONY: headers kernel-objects images size format format-check clean help FORCE
headers: $(sysroot)/headers.done
kernel-objects: $(kernel_objects) $(network_object)
images: $(foreach folder,$(app_folders),$(call built,$(folder))/$(notdir $(folder))) $(lavra)

size: image ## how large the image of APP is, by folder, and what is large in it
	@ls -l $(image) | awk '{ print $$5 " bytes: " $$NF }'
	@tail -n +2 $(image).sizes
	@echo 'The largest symbols:' && $(NM) --size-sort -S -r -t d $(image).elf | \
		awk '{ printf "%9d %s %s\n", $$2, $$3, $$4 }' | head -20

# The layout is that of one version of the tool: others differ in details.
clang_format := $(firstword $(shell command -v clang-format-14) clang-format)
formatted := $(shell find . -name '*.[ch]' -not -path './build/*' -not -path './.git/*' 2>/dev/null)
format: ## lay out all C sources
	@$(clang_format) -i $(formatted)
format-check: ## is every C source laid out as .clang-format says?
	@$(clang_format) --dry-run -Werror $(formatted)

clean: ## remove everything built
	rm -rf $(BUILD)
help: ## this list
	@echo 'make TARGET [BUILD=folder] [V=1]; targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile tools/gcc/folder.mk | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
