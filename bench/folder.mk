# Programs that put load on a server; they run on the machine that measures.
$(BUILD)/bench/%: bench/%.c
	$(quiet) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(host_tool_cflags) -o $@ $<

# Plugins of QEMU's translator.
$(BUILD)/bench/plugins/%.so: bench/plugins/%.c $(wildcard bench/plugins/*.h)
	$(quiet) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(host_tool_cflags) -fPIC -shared -fvisibility=hidden -o $@ $<

.PHONY: bench-tools
bench-tools: $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c)) \
	$(patsubst bench/%.c,$(BUILD)/bench/%.so,$(wildcard bench/plugins/*.c))
