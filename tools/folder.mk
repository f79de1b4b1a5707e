# Programs that run on the machine that builds.

host_tool_cflags := -std=gnu11 -O2 -g -I. -Iinclude -D_GNU_SOURCE= $(warning_flags) $(reproducible_flags)

$(BUILD)/tools/%.c.o: tools/%.c
	$(quiet) HOSTCC $<
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(host_tool_cflags) -MMD -MP -c -o $@ $<

# What a tool shares with the kernel.
symbols_shared := $(addprefix $(BUILD)/tools/,instruction.c.o rights_scan.c.o)
$(symbols_shared): $(BUILD)/tools/%.c.o: arch/x86_64/%.c
	$(quiet) HOSTCC $<
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(host_tool_cflags) -MMD -MP -c -o $@ $<

symbols_objects := $(BUILD)/tools/symbols.c.o $(symbols_shared)
$(BUILD)/tools/symbols: $(symbols_objects)
	$(Q)$(HOST_CC) -o $@ $^

# The launcher. hwloc knows this machine, jansson reads what QEMU answers.
lavra_libraries = $(shell pkg-config --libs hwloc jansson 2>/dev/null || echo -lhwloc -ljansson)
lavra := $(BUILD)/lavra
$(BUILD)/gen/syscall_status.inc: docs/posix.md tools/syscall-status
	@mkdir -p $(@D)
	$(Q)tools/syscall-status $< > $@
$(BUILD)/tools/launcher/syscall_status.c.o: $(BUILD)/gen/syscall_status.inc
$(BUILD)/tools/launcher/syscall_status.c.o: host_tool_cflags += -I$(BUILD)/gen
lavra_objects := $(patsubst %,$(BUILD)/%.o,$(wildcard tools/launcher/*.c))
$(lavra): $(lavra_objects)
	$(quiet) HOSTLD $@
	$(Q)$(HOST_CC) -o $@ $^ $(lavra_libraries)
-include $(lavra_objects:.o=.d) $(symbols_objects:.o=.d)
