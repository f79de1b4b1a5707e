/*
 * Where lwIP asks before it goes on.
 */
#pragma once

#include "lwip/ip_addr.h"

struct netif;
struct pbuf;

/* net/isn.c */
uint32_t initial_sequence_number(uint32_t local_address, uint16_t local_port,
				 uint32_t remote_address, uint16_t remote_port);
uint32_t initial_sequence_number6(const uint32_t local_address[4], uint16_t local_port,
				  const uint32_t remote_address[4], uint16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port)                            \
	(IP_IS_V6_VAL(*(remote_ip))                                                                \
	     ? initial_sequence_number6(ip_2_ip6(local_ip)->addr, local_port,                      \
					ip_2_ip6(remote_ip)->addr, remote_port)                    \
	     : initial_sequence_number(ip_2_ip4(local_ip)->addr, local_port,                       \
				       ip_2_ip4(remote_ip)->addr, remote_port))

/* net/interface.c; LWIP_HOOK_IP4_ROUTE_SRC in lwipopts.h */
struct netif *interface_route(const ip4_addr_t *source, const ip4_addr_t *destination);
/* net/interface6.c; LWIP_HOOK_IP6_ROUTE and LWIP_HOOK_ND6_GET_GW */
struct netif *interface_route6(const ip6_addr_t *destination);
const ip6_addr_t *interface_gateway6(const ip6_addr_t *destination);
/* net/config.c; LWIP_HOOK_DHCP_PARSE_OPTION */
void dhcp_option_received(uint8_t option, uint8_t len, const struct pbuf *pbuf, uint16_t offset);

/* net/segment.c */
struct tcp_hdr;
struct tcp_pcb;
s8_t segment_admit(struct tcp_pcb *pcb, struct tcp_hdr *header, u32_t options_len, u32_t len);
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, header, options_len, options_first_len, options_second, p) \
	segment_admit(pcb, header, options_len, (p)->tot_len)
