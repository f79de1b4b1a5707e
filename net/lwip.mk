# lwIP, unmodified, and the glue that calls it and is called by it (net/folder.mk), optimised as one
# unit: a third fewer cycles a request than separate objects. The result, $(lwip_object), is an
# ordinary object, so that the linker script still sees its sections.
#
# All writable data of lwIP belongs in the core window: the unit's .data and .bss are renamed. A
# glue variable therefore says itself where it lives: CORE_LOCAL, READ_MOSTLY, or a section
# .data.shared or .bss.shared. tools/check-window enforces both.

lwip_source := $(source_folder)/lwip
lwip_files := $(addprefix core/,def.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c raw.c \
	stats.c sys.c tcp.c tcp_in.c tcp_out.c timeouts.c udp.c dns.c) \
	$(addprefix core/ipv4/,autoip.c dhcp.c etharp.c icmp.c igmp.c ip4.c ip4_addr.c ip4_frag.c) \
	$(addprefix core/ipv6/,ethip6.c icmp6.c ip6.c ip6_addr.c ip6_frag.c mld6.c nd6.c) \
	netif/ethernet.c

# The host tests name single files.
$(lwip_files:%=$(lwip_source)/src/%): | $(fetched) ;

lwip_cflags := $(kernel_cflags) -Inet/port -I$(lwip_source)/src/include -fno-data-sections \
	-ffile-prefix-map=$(lwip_source)=lwip -O3 -flto -flto-partition=one -ffat-lto-objects
# What no request passes through is small rather than fast.
lwip_seldom := $(filter core/ipv6/%,$(lwip_files)) core/dns.c core/ipv4/dhcp.c core/netif.c
glue_seldom := $(addprefix net/,address.c config.c config6.c name_service.c path_mtu.c reassembly.c \
	socket_control.c socket_option.c tcp_info.c)
lwip_cflags_of = $(lwip_cflags) $(if $(filter $(1),$(lwip_seldom) $(glue_seldom)),-Os)
$(eval $(call flags_file,lwip))

lwip_own_objects := $(lwip_files:%=$(BUILD)/lwip/%.o)
lwip_glue_objects := $(lwip_glue_sources:%=$(BUILD)/lwip/%.o)
lwip_object := $(BUILD)/lwip/lwip.o

$(lwip_own_objects): $(BUILD)/lwip/%.c.o: $(fetched) $(BUILD)/lwip.flags \
		| $(sysroot)/headers.done
	$(quiet) CC lwip/$*.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(call lwip_cflags_of,$*.c) -w -MMD -MP -c -o $@ $(lwip_source)/src/$*.c

$(lwip_glue_objects): $(BUILD)/lwip/%.c.o: %.c $(BUILD)/lwip.flags | $(sysroot)/headers.done \
		$(fetched)
	$(quiet) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(call lwip_cflags_of,$<) -MMD -MP -c -o $@ $<

$(lwip_object): $(lwip_own_objects) $(lwip_glue_objects) tools/check-window
	$(quiet) LTO $@
	$(Q)tools/check-window glue $(lwip_glue_objects)
	$(Q)$(CC) $(lwip_cflags) -w -r -flinker-output=nolto-rel -nostdlib -o $@.unit \
		$(lwip_own_objects) $(lwip_glue_objects)
	$(Q)$(OBJCOPY) --rename-section .data=.core_window.data --rename-section .bss=.core_window.bss \
		$@.unit $@
	$(Q)tools/check-window unit $@ $(lwip_own_objects)

-include $(lwip_own_objects:.o=.d) $(lwip_glue_objects:.o=.d)
