# Programs that put load on a server; they run on the machine that measures.
$(BUILD)/bench/%: bench/%.c
	$(quiet) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(host_tool_cflags) -o $@ $<

.PHONY: bench-tools
bench-tools: $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
