# Programs that run on the machine that builds.

host_tool_cflags := -std=gnu11 -O2 -g -I. -Iinclude -D_GNU_SOURCE= $(warning_flags) $(reproducible_flags)

$(BUILD)/tools/%.c.o: tools/%.c
	$(quiet) HOSTCC $<
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(host_tool_cflags) -MMD -MP -c -o $@ $<

$(BUILD)/tools/symbols: $(BUILD)/tools/symbols.c.o
	$(Q)$(HOST_CC) -o $@ $^

# The launcher.
lavra := $(BUILD)/lavra
lavra_objects := $(patsubst %,$(BUILD)/%.o,$(wildcard tools/launcher/*.c))
$(lavra): $(lavra_objects)
	$(quiet) HOSTLD $@
	$(Q)$(HOST_CC) -o $@ $^
-include $(lavra_objects:.o=.d) $(BUILD)/tools/symbols.c.d
