/*
 * The network interfaces of a core: the device's Ethernet, and the loopback.
 *
 * Each core's lwIP has both, with the same addresses. A received frame is looked at once
 * (net/steering.h says which core it belongs to) and handed to lwIP in place: the pbuf lives in
 * the packet. What lwIP sends goes to the core's own transmit queue, or as a copy to the
 * core that has one; the doorbell rings once a pass over the network's work, after 16 frames, and at once when
 * the application computes.
 */
#pragma once

#include "drivers/virtio/virtio_net.h"
#include "lavra/types.h"

#include "lwip/netif.h"

#define ETHERNET_HEADER_LEN 14
#define LOOPBACK_MTU 65520 /* a whole IP packet still fits lwIP's 16-bit lengths */

extern CORE_LOCAL struct netif ethernet_interface;
extern CORE_LOCAL struct netif loopback_interface;

void interface_init_core(void); /* every core */

/* Set this core's Ethernet address (network order); connections with the old one end. */
void interface_set_address(uint32_t address, uint32_t netmask, uint32_t gateway);

/* A received packet: steer it, and process it if it is this core's. Takes over the packet. */
void interface_receive(struct packet *packet);

/* Give back what the device has sent. */
void interface_reclaim(void);

/* Is it an address of this machine? Network order. Any core. */
bool interface_is_local(uint32_t address);

/* The way to `destination` (network order): which address we speak from; 0: no way. */
uint32_t interface_source_address(uint32_t destination);

struct eth_hdr;
struct pbuf;

/* Send an IP packet as a frame with this header. This core. */
err_t interface_send_to(struct netif *netif, struct pbuf *pbuf, const struct eth_hdr *header);
