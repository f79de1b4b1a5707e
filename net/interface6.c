/*
 * IPv6 on the interfaces.
 */
#include "net/interface6.h"

#include "net/config.h"
#include "net/loopback.h"
#include "net/lwip_address.h"
#include "net/neighbor.h"
#include "net/path_mtu.h"
#include "smp/core.h"

#include "lwip/ethip6.h"
#include "lwip/ip.h"
#include "lwip/ip6.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"
#include "netif/ethernet.h"

#include <errno.h>
#include <string.h>

/* ---- receiving ---- */

void tcp_receive_plain6(struct packet *packet, const struct frame *frame, struct netif *netif)
{
	struct pbuf *pbuf = packet_to_pbuf(packet, frame->ip_offset, frame->ip_len);
	struct ip6_hdr *header;

	if (!pbuf)
		return;
	header = pbuf->payload;
	pbuf->if_idx = netif_get_index(netif);
	ip_data.current_netif = netif;
	ip_data.current_input_netif = netif;
	ip_data.current_ip6_header = header;
	ip_data.current_ip_header_tot_len = IP6_HLEN;
	ip_addr_copy_from_ip6_packed(ip_data.current_iphdr_src, header->src);
	ip_addr_copy_from_ip6_packed(ip_data.current_iphdr_dest, header->dest);
	pbuf_remove_header(pbuf, IP6_HLEN);
	tcp_input(pbuf, netif);
	ip_data.current_netif = NULL;
	ip_data.current_input_netif = NULL;
	ip_data.current_ip6_header = NULL;
}

/* ---- sending ---- */

/* lwIP's output of the Ethernet interface: `pbuf` begins with the IPv6 header. */
static err_t ethernet_send6(struct netif *netif, struct pbuf *pbuf, const ip6_addr_t *destination)
{
	struct address to = address_of_lwip6(destination);
	const struct eth_hdr *header = neighbor_find6(&to);
	const u8_t *found;
	err_t error;

	if (unlikely(!header && interface_is_local6(&to)))
		return loopback_send(pbuf);
	if (unlikely(pbuf->tot_len > PATH_MTU_MIN && pbuf->tot_len > path_mtu(&to)))
		return path_mtu_send_in_pieces(netif, pbuf, destination);
	if (unlikely(!header)) {
		neighbor_timers_needed();
		if (address_is_multicast(&to))
			return ethip6_output(netif, pbuf, destination);
		error = nd6_get_next_hop_addr_or_queue(netif, pbuf, destination, &found);
		if (error != ERR_OK || !found) /* an error, or it waits for the answer */
			return error;
		header = neighbor_learn6(netif, &to, found);
	}
	return interface_send_to(netif, pbuf, header);
}

static err_t loopback_output6(struct netif *netif, struct pbuf *pbuf, const ip6_addr_t *destination)
{
	return loopback_send(pbuf);
}

/* ---- addresses and routes ---- */

bool interface_has_address6(const struct address *address)
{
	for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		const ip6_addr_t *own = netif_ip6_addr(&ethernet_interface, i);

		if (own->addr[3] == address->words[3] &&
		    ip6_addr_isvalid(netif_ip6_addr_state(&ethernet_interface, i)) &&
		    memcmp(own->addr, address->bytes, 16) == 0)
			return true;
	}
	return false;
}

bool interface_is_local6(const struct address *address)
{
	return address_is_loopback(address) || interface_has_address6(address);
}

struct netif *interface_route6(const ip6_addr_t *destination)
{
	struct address to = address_of_lwip6(destination);

	if (address_is_loopback(&to))
		return &loopback_interface;
	return virtio_net_queue_pairs() ? &ethernet_interface : NULL;
}

/* The way that `ip6=` says; NULL: what router advertisements say. */
const ip6_addr_t *interface_gateway6(const ip6_addr_t *destination)
{
	/* Read by lwIP at once; one for all cores would have to be written by all. */
	static CORE_LOCAL ip6_addr_t gateway;
	struct address to = address_of_lwip6(destination);

	if (!network_config.static_prefix6)
		return NULL;
	if (address_prefix_equal(&to, &network_config.static_address6,
				 network_config.static_prefix6))
		return destination;
	if (address_is_any6(&network_config.gateway6))
		return NULL;
	memcpy(gateway.addr, network_config.gateway6.bytes, 16);
	return &gateway;
}

static bool has_route6(const struct address *destination, const ip6_addr_t *ip)
{
	return address_is_link_local(destination) || address_is_multicast(destination) ||
	       interface_is_local6(destination) || interface_gateway6(ip) || nd6_find_route(ip);
}

int interface_source_address6(const struct address *destination, struct address *source)
{
	ip_addr_t to = address_to_lwip(destination);
	const ip_addr_t *from;

	if (address_is_loopback(destination)) {
		*source = *destination;
		return 0;
	}
	if (!virtio_net_queue_pairs() || !interface_ip6_enabled() ||
	    !has_route6(destination, ip_2_ip6(&to)))
		return -ENETUNREACH;
	from = ip6_select_source_address(&ethernet_interface, ip_2_ip6(&to));
	if (!from)
		return -EADDRNOTAVAIL;
	*source = address_of_lwip(from);
	/* Nobody beyond the link could answer. */
	if (address_is_link_local(source) && !address_is_link_local(destination) &&
	    !address_is_multicast(destination))
		return -ENETUNREACH;
	return 0;
}

static bool is_unchanged(s8_t i, const struct network_address6 *wanted, u8_t state)
{
	struct address own = address_of_lwip6(netif_ip6_addr(&ethernet_interface, i));

	return netif_ip6_addr_state(&ethernet_interface, i) == state &&
	       (state == IP6_ADDR_INVALID || address_equal(&own, &wanted->address));
}

void interface_set_addresses6(const struct network_config *config)
{
	struct netif *netif = &ethernet_interface;

	neighbor_forget();
	/* lwIP ends the connections of an address that goes away, if it sees them. */
	flow_attach_all();
	for (s8_t i = 0; i < NETWORK_ADDRESSES_MAX; i++) {
		const struct network_address6 *wanted = &config->addresses6[i];
		u8_t state = !wanted->valid	  ? IP6_ADDR_INVALID
			     : wanted->deprecated ? IP6_ADDR_DEPRECATED
						  : IP6_ADDR_PREFERRED;
		ip_addr_t ip = address_to_lwip(&wanted->address);

		if (is_unchanged(i, wanted, state))
			continue;
		netif_ip6_addr_set_state(netif, i, IP6_ADDR_INVALID);
		if (!wanted->valid)
			continue;
		netif_ip6_addr_set(netif, i, ip_2_ip6(&ip));
		/* Not "static", from which lwIP would conclude that all of the /64 is on the link;
		 * when it ends, core 0 tells. */
		netif_ip6_addr_set_valid_life(netif, i, IP6_ADDR_LIFE_INFINITE);
		netif_ip6_addr_set_pref_life(netif, i, IP6_ADDR_LIFE_INFINITE);
		netif_ip6_addr_set_state(netif, i, state);
	}
	flow_detach();
}

void interface_init_core6(void)
{
	loopback_interface.output_ip6 = loopback_output6;
	IP_ADDR6_HOST(&loopback_interface.ip6_addr[0], 0, 0, 0, 1);
	netif_ip6_addr_set_state(&loopback_interface, 0, IP6_ADDR_PREFERRED);
	loopback_interface.rs_count = 0;
	if (!virtio_net_queue_pairs())
		return;
	ethernet_interface.output_ip6 = ethernet_send6;
	/* Core 0 speaks for all to routers and to switches that watch groups. */
	if (this_core == 0)
		ethernet_interface.flags |= NETIF_FLAG_MLD6;
	if (this_core != 0 || !interface_ip6_enabled())
		ethernet_interface.rs_count = 0;
}
