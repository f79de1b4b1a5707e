/*
 * The list of network interfaces, from what the network knows of itself.
 */
#include "posix/socket/interface_list.h"

#include "drivers/virtio/virtio_net.h"
#include "net/config.h"

#include <endian.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK 1
#define ETHERNET 2
#define LOOPBACK_MTU 65520u /* of net/interface.h */

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define LOWER_UP 0x10000u /* IFF_LOWER_UP of linux/if.h */

#define SCOPE_UNIVERSE 0
#define SCOPE_LINK 253
#define SCOPE_HOST 254
#define FLAG_DEPRECATED 0x20
#define FLAG_PERMANENT 0x80

unsigned interface_entries(struct interface_entry entries[INTERFACES_MAX])
{
	entries[0] = (struct interface_entry){
		.index = LOOPBACK,
		.name = "lo",
		.flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | LOWER_UP,
		.hardware_type = ARPHRD_LOOPBACK,
		.mtu = LOOPBACK_MTU,
	};
	if (!virtio_net_queue_pairs())
		return 1;
	entries[1] = (struct interface_entry){
		.index = ETHERNET,
		.name = "eth0",
		.flags = IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST | LOWER_UP,
		.hardware_type = ARPHRD_ETHER,
		.mtu = virtio_net_mtu(),
	};
	memcpy(entries[1].hardware_address, virtio_net_mac(), 6);
	memset(entries[1].hardware_broadcast, 0xff, 6);
	return 2;
}

static void add_ip4(struct interface_address *to, int index, const char *name, uint32_t address,
		    uint32_t netmask, uint8_t scope)
{
	uint32_t broadcast = address | ~netmask;

	*to = (struct interface_address){
		.index = index,
		.name = name,
		.family = AF_INET,
		.prefix = (unsigned)__builtin_popcount(netmask),
		.scope = scope,
		.flags = FLAG_PERMANENT,
	};
	memcpy(to->bytes, &address, sizeof(address));
	memcpy(to->broadcast, &broadcast, sizeof(broadcast));
}

static void add_ip6(struct interface_address *to, int index, const char *name,
		    const struct address *address, unsigned prefix, uint8_t scope, uint8_t flags)
{
	*to = (struct interface_address){
		.index = index,
		.name = name,
		.family = AF_INET6,
		.prefix = prefix,
		.scope = scope,
		.flags = flags,
	};
	memcpy(to->bytes, address->bytes, sizeof(to->bytes));
}

static unsigned prefix_of(const struct network_config *config, const struct address *address)
{
	bool is_static = config->static_prefix6 && address_equal(address, &config->static_address6);

	return is_static ? config->static_prefix6 : 64;
}

unsigned interface_addresses(struct interface_address addresses[INTERFACE_ADDRESSES_MAX])
{
	static const struct address loopback6 = { .bytes = { [15] = 1 } };
	const struct network_config *config = &network_config;
	unsigned n = 0;

	add_ip4(&addresses[n++], LOOPBACK, "lo", htobe32(INADDR_LOOPBACK), htobe32(0xff000000),
		SCOPE_HOST);
	add_ip6(&addresses[n++], LOOPBACK, "lo", &loopback6, 128, SCOPE_HOST, FLAG_PERMANENT);
	if (!virtio_net_queue_pairs())
		return n;
	if (config->address)
		add_ip4(&addresses[n++], ETHERNET, "eth0", config->address, config->netmask,
			SCOPE_UNIVERSE);
	for (unsigned i = 0; i < NETWORK_ADDRESSES_MAX; i++) {
		const struct network_address6 *own = &config->addresses6[i];

		if (!own->valid)
			continue;
		add_ip6(&addresses[n++], ETHERNET, "eth0", &own->address,
			prefix_of(config, &own->address),
			address_is_link_local(&own->address) ? SCOPE_LINK : SCOPE_UNIVERSE,
			own->deprecated ? FLAG_DEPRECATED : FLAG_PERMANENT);
	}
	return n;
}
