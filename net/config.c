/*
 * IPv4 addresses: the boot option, DHCP, and the announcement to all cores.
 */
#include "net/config.h"

#include "arch/arch.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "net/interface6.h"
#include "net/shared.h"
#include "sched/timer.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include "lwip/dhcp.h"
#include "lwip/prot/dhcp.h"

#include <errno.h>
#include <string.h>

enum config_method { METHOD_DHCP, METHOD_STATIC, METHOD_NONE };

static READ_MOSTLY enum config_method method = METHOD_DHCP;
static READ_MOSTLY struct {
	uint32_t address, netmask, gateway;
} static_config;

/* Written by core 0, before it tells the others by message. */
SHARED struct network_config network_config = { 0 };

static CORE_LOCAL struct timer dhcp_timer;
static CORE_LOCAL unsigned dhcp_fine_ticks;
/* At boot: net_configure() announces the address, and tells the others. */
static CORE_LOCAL bool booting;

/* ---- ip= ---- */

static const char *parse_static(const char *text)
{
	unsigned prefix = 0, digits = 0;
	struct address address;

	if (!address_parse(&text, &address) || !address_is_ip4(&address) || *text++ != '/')
		return "must be dhcp, none or ADDRESS/PREFIX[,GATEWAY]";
	static_config.address = address_ip4(&address);
	for (; *text >= '0' && *text <= '9' && digits < 2; digits++)
		prefix = prefix * 10 + (unsigned)(*text++ - '0');
	if (!digits || prefix > 32)
		return "the prefix must be 0 to 32";
	static_config.netmask = prefix ? lwip_htonl(0xffffffffu << (32 - prefix)) : 0;
	static_config.gateway = 0;
	if (*text == ',') {
		text++;
		if (!address_parse(&text, &address) || !address_is_ip4(&address))
			return "the gateway must be an address";
		static_config.gateway = address_ip4(&address);
	}
	if (*text)
		return "has something behind it";
	if ((static_config.address & 0xff) == 127 || static_config.address == 0)
		return "must be an address that others can reach";
	return NULL;
}

static const char *parse_ip(const char *value)
{
	if (strcmp(value, "dhcp") == 0)
		method = METHOD_DHCP;
	else if (strcmp(value, "none") == 0)
		method = METHOD_NONE;
	else
		method = METHOD_STATIC;
	return method == METHOD_STATIC ? parse_static(value) : NULL;
}
BOOT_OPTION(ip, "ip=dhcp | none | ADDRESS/PREFIX[,GATEWAY]: this machine's address", parse_ip);

/* ---- telling all cores ---- */

void config_adopt(void *unused)
{
	interface_set_address(network_config.address, network_config.netmask,
			      network_config.gateway);
	/* Core 0's were there first. */
	if (this_core != 0)
		interface_set_addresses6(&network_config);
}

void config_tell_others(void)
{
	for (core_id_t core = 1; core < ncores; core++)
		if (core_is_online(core) && mailbox_post(core, config_adopt, NULL) != 0)
			kprintf("net: core %u was not told of its address\n", core);
}

void config_announce(void)
{
	const char *how = method == METHOD_STATIC ? "static" : "DHCP";

	if (network_config.address)
		kprintf("net: %pI, netmask %pI, gateway %pI (%s), %pM\n", &network_config.address,
			&network_config.netmask, &network_config.gateway, how, virtio_net_mac());
	else
		kprintf("net: the address is gone\n");
}

/* lwIP on core 0 got, changed or lost the address. */
static void address_changed(struct netif *netif)
{
	config_addresses6_changed();
	if (netif_ip4_addr(netif)->addr == network_config.address &&
	    netif_ip4_netmask(netif)->addr == network_config.netmask &&
	    netif_ip4_gw(netif)->addr == network_config.gateway)
		return;
	network_config.address = netif_ip4_addr(netif)->addr;
	network_config.netmask = netif_ip4_netmask(netif)->addr;
	network_config.gateway = netif_ip4_gw(netif)->addr;
	config_name_servers_changed();
	if (booting)
		return;
	config_announce();
	config_tell_others();
}

/* ---- DHCP ---- */

static void dhcp_tick(struct timer *timer)
{
	uint64_t period_ns = DHCP_FINE_TIMER_MSECS * NS_PER_MS;

	dhcp_fine_tmr();
	if (++dhcp_fine_ticks * DHCP_FINE_TIMER_MSECS >= DHCP_COARSE_TIMER_MSECS) {
		dhcp_fine_ticks = 0;
		dhcp_coarse_tmr();
	}
	/* With an address there is only the lease to watch, in minutes. */
	if (dhcp_supplied_address(&ethernet_interface) &&
	    netif_dhcp_data(&ethernet_interface)->request_timeout == 0) {
		dhcp_fine_ticks = DHCP_COARSE_TIMER_MSECS / DHCP_FINE_TIMER_MSECS;
		period_ns = DHCP_COARSE_TIMER_MSECS * NS_PER_MS;
	}
	timer_start(&dhcp_timer, clock_ns() + period_ns);
}

static int dhcp_begin(void)
{
	if (dhcp_start(&ethernet_interface) != ERR_OK)
		return -ENOMEM;
	timer_init(&dhcp_timer, dhcp_tick);
	timer_start(&dhcp_timer, clock_ns() + DHCP_FINE_TIMER_MSECS * NS_PER_MS);
	return 0;
}

int config_begin(void)
{
	assert_on_core(0);
	booting = true;
	netif_set_status_callback(&ethernet_interface, address_changed);
	config_name_servers_changed();
	config_begin6();
	if (method == METHOD_DHCP)
		return dhcp_begin();
	if (method == METHOD_STATIC) {
		network_config.address = static_config.address;
		network_config.netmask = static_config.netmask;
		network_config.gateway = static_config.gateway;
	}
	return 0;
}

void config_restart(void)
{
	if (virtio_net_queue_pairs() == 0)
		return;
	config_adopt(NULL);
	if (this_core != 0)
		return;
	/* Not before: it would see that there was no address. */
	netif_set_status_callback(&ethernet_interface, address_changed);
	config_begin6();
	if (method == METHOD_DHCP && dhcp_begin() != 0)
		kprintf("net: warning: no memory for DHCP; the address is kept\n");
}

bool config_waits(void)
{
	return method == METHOD_DHCP && !network_config.address;
}

bool config_end(void)
{
	booting = false;
	return network_config.address != 0;
}
