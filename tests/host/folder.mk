# Unit tests that need no machine. One file is one test program:
#
#   test_NAME.c          cmocka, under AddressSanitizer and UndefinedBehaviorSanitizer
#   test_NAME_threads.c  the same under ThreadSanitizer; a CORE_LOCAL is then one per thread, so
#                        that a thread stands for a core
#   fuzz_NAME.c          LLVMFuzzerTestOneInput(), run for FUZZ_RUNS inputs
#   test_NAME.py         Python, for what is written in it; prints TAP
#
# A line `links: mm/frame.c posix/x.c` in the first comment names the kernel sources under test; the
# word `lwip` stands for lwIP's, `network` for those and all of net/. A line `libraries: -lx` names
# libraries of this system.
# tests/host/support.c stands in for the console; a failed assertion or panic fails the test, and
# expect_assert_failure() expects one.

FUZZ_RUNS ?= 20000

host_includes := -I. -Iinclude -Inet/port -I$(lwip_source)/src/include
host_cflags := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -pthread \
	-DLAVRA_HOST_TEST -D_GNU_SOURCE= $(warning_flags) $(host_includes)
address_cflags := $(HOST_CC) $(host_cflags) -fsanitize=address,undefined -fno-sanitize-recover=all
thread_cflags := $(HOST_CC) $(host_cflags) -DLAVRA_HOST_THREADS -Itests/host/thread_sanitizer \
	-fsanitize=thread
fuzzer_cflags := $(FUZZ_CC) $(host_cflags) -DLAVRA_FUZZ -Wno-unknown-warning-option \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

# Of the kernel's side what a test of the network calls.
network_host_calls := net/calls/configure.c net/calls/listen.c

host_tests := $(patsubst tests/host/%.c,%,$(wildcard tests/host/test_*.c))
host_fuzzers := $(patsubst tests/host/%.c,%,$(wildcard tests/host/fuzz_*.c))
host_kind = $(if $(filter fuzz_%,$(1)),fuzzer,$(if $(filter %_threads,$(1)),thread,address))
host_link_words = $(shell sed -n '1,20s/.*links: *\([^*]*\).*/\1/p' tests/host/$(1).c)
host_libraries = $(shell sed -n '1,20s/.*libraries: *\([^*]*\).*/\1/p' tests/host/$(1).c)
host_links = $(foreach word,$(host_link_words),\
	$(if $(filter lwip network,$(word)),$(lwip_files:%=$(lwip_source)/src/%) \
		$(if $(filter network,$(word)),$(network_sources) $(network_host_calls)),$(word)))

$(foreach kind,address thread fuzzer,$(eval $(call flags_file,$(kind))))

# One object of each source for each kind of sanitizer.
define host_objects
$(BUILD)/host/$(1)/%.c.o: %.c $(BUILD)/$(1).flags
	$$(quiet) HOSTCC '$$< ($(1))'
	@mkdir -p $$(@D)
	$$(Q)$$($(1)_cflags) $$(if $$(filter $(lwip_source)/%,$$<),-w) -MMD -MP -c -o $$@ $$<
endef
$(foreach kind,address thread fuzzer,$(eval $(call host_objects,$(kind))))

define host_program
$(BUILD)/host/$(1): $(patsubst %,$(BUILD)/host/$(2)/%.o,tests/host/$(1).c tests/host/support.c $(3))
	$$(quiet) HOSTLD $(1)
	$$(Q)$$($(2)_cflags) -o $$@ $$^ $(if $(filter fuzzer,$(2)),,-lcmocka) -lck $(call host_libraries,$(1))
-include $(patsubst %,$(BUILD)/host/$(2)/%.d,tests/host/$(1).c tests/host/support.c $(3))
endef
$(foreach test,$(host_tests) $(host_fuzzers),\
	$(eval $(call host_program,$(test),$(call host_kind,$(test)),$(call host_links,$(test)))))

# The compiler does not see what the assembler includes.
$(BUILD)/host/address/tests/host/test_kernel_memory.c.o: arch/x86_64/memory.S

.PHONY: host-tests
host-tests: $(addprefix $(BUILD)/host/,$(host_tests) $(host_fuzzers))
