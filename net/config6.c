/*
 * IPv6 addresses of the machine: the link-local one, those that routers advertise (RFC 4862), and the
 * boot option.
 */
#include "net/config.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "net/interface6.h"
#include "net/lwip_address.h"
#include "net/neighbor.h"
#include "smp/core.h"

#include "lwip/nd6.h"

#include <string.h>

enum config_method6 { METHOD6_AUTO, METHOD6_STATIC, METHOD6_OFF };

static READ_MOSTLY enum config_method6 method = METHOD6_AUTO;
static READ_MOSTLY struct address static_address, static_gateway;
static READ_MOSTLY uint8_t static_prefix;

bool interface_ip6_enabled(void)
{
	return method != METHOD6_OFF;
}

/* ---- ip6= ---- */

static const char *parse_static6(const char *text)
{
	unsigned prefix = 0, digits = 0;

	if (!address_parse(&text, &static_address) || address_is_ip4(&static_address) ||
	    *text++ != '/')
		return "must be auto, off or ADDRESS/PREFIX[,GATEWAY]";
	for (; *text >= '0' && *text <= '9' && digits < 3; digits++)
		prefix = prefix * 10 + (unsigned)(*text++ - '0');
	/* lwIP looks for neighbors in the first 64 bits of its addresses. */
	if (!digits || prefix < 64 || prefix > 128)
		return "the prefix must be 64 to 128";
	static_prefix = (uint8_t)prefix;
	memset(&static_gateway, 0, sizeof(static_gateway));
	if (*text == ',') {
		text++;
		if (!address_parse(&text, &static_gateway) || address_is_ip4(&static_gateway))
			return "the gateway must be an IPv6 address";
		if (!address_is_link_local(&static_gateway) &&
		    !address_prefix_equal(&static_gateway, &static_address, 64))
			return "the gateway must be link-local or share the first 64 bits";
	}
	if (*text)
		return "has something behind it";
	if (address_is_any6(&static_address) || address_is_loopback(&static_address) ||
	    address_is_multicast(&static_address))
		return "must be an address that others can reach";
	return NULL;
}

static const char *parse_ip6(const char *value)
{
	if (strcmp(value, "auto") == 0)
		method = METHOD6_AUTO;
	else if (strcmp(value, "off") == 0)
		method = METHOD6_OFF;
	else
		method = METHOD6_STATIC;
	return method == METHOD6_STATIC ? parse_static6(value) : NULL;
}
BOOT_OPTION(ip6, "ip6=auto | off | ADDRESS/PREFIX[,GATEWAY]: this machine's IPv6 address",
	    parse_ip6);

/* ---- telling ---- */

static void announce6(const struct network_address6 *now, const struct network_address6 *before)
{
	char text[ADDRESS_TEXT_MAX];
	bool same = address_equal(&now->address, &before->address);

	if (before->valid && (!now->valid || !same) && !address_is_link_local(&before->address)) {
		address_print(&before->address, text);
		kprintf("net: the address %s is gone\n", text);
	}
	if (now->valid && (!before->valid || !same) && !address_is_link_local(&now->address)) {
		address_print(&now->address, text);
		kprintf("net: %s (%s)\n", text,
			address_equal(&now->address, &static_address) ? "static"
								      : "router advertisement");
	}
}

static void warn_of_duplicates(const struct netif *netif, s8_t i)
{
	static CORE_LOCAL uint8_t warned; /* a bit for each */
	struct address address = address_of_lwip6(netif_ip6_addr(netif, i));
	char text[ADDRESS_TEXT_MAX];

	if (!ip6_addr_isduplicated(netif_ip6_addr_state(netif, i))) {
		warned &= (uint8_t) ~(1u << i);
		return;
	}
	if (warned & 1u << i)
		return;
	warned |= (uint8_t)(1u << i);
	address_print(&address, text);
	kprintf("net: warning: %s is somebody else's, and not used\n", text);
}

void config_addresses6_changed(void)
{
	bool changed = false;

	for (s8_t i = 0; i < NETWORK_ADDRESSES_MAX; i++) {
		u8_t state = netif_ip6_addr_state(&ethernet_interface, i);
		struct network_address6 *known = &network_config.addresses6[i];
		struct network_address6 now = {
			.address = address_of_lwip6(netif_ip6_addr(&ethernet_interface, i)),
			.valid = ip6_addr_isvalid(state),
			.deprecated = state == IP6_ADDR_DEPRECATED,
		};

		warn_of_duplicates(&ethernet_interface, i);
		if (now.valid == known->valid && now.deprecated == known->deprecated &&
		    (!now.valid || address_equal(&now.address, &known->address)))
			continue;
		announce6(&now, known);
		*known = now;
		changed = true;
	}
	if (changed)
		config_tell_others();
}

void config_begin6(void)
{
	ip_addr_t address;

	if (method == METHOD6_OFF)
		return;
	if (method == METHOD6_STATIC) {
		network_config.static_address6 = static_address;
		network_config.gateway6 = static_gateway;
		network_config.static_prefix6 = static_prefix;
		address = address_to_lwip(&static_address);
		netif_ip6_addr_set(&ethernet_interface, 1, ip_2_ip6(&address));
		netif_ip6_addr_set_valid_life(&ethernet_interface, 1, IP6_ADDR_LIFE_INFINITE);
		netif_ip6_addr_set_pref_life(&ethernet_interface, 1, IP6_ADDR_LIFE_INFINITE);
		netif_ip6_addr_set_state(&ethernet_interface, 1, IP6_ADDR_TENTATIVE);
		if (!address_is_any6(&static_gateway))
			ethernet_interface.rs_count = 0;
	} else {
		ethernet_interface.ip6_autoconfig_enabled = 1;
	}
	netif_create_ip6_linklocal_address(&ethernet_interface, 1);
	neighbor_timers_needed();
	/* The first question, whether an address is somebody else's, is not put off for a second. */
	nd6_tmr();
}
