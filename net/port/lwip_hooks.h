/*
 * Where lwIP asks before it goes on.
 */
#pragma once

#include "lwip/ip_addr.h"

struct netif;

/* net/isn.c */
uint32_t initial_sequence_number(uint32_t local_address, uint16_t local_port,
				 uint32_t remote_address, uint16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port)                            \
	initial_sequence_number(ip4_addr_get_u32(local_ip), local_port,                            \
				ip4_addr_get_u32(remote_ip), remote_port)

/* net/interface.c; LWIP_HOOK_IP4_ROUTE_SRC in lwipopts.h */
struct netif *interface_route(const ip4_addr_t *source, const ip4_addr_t *destination);

/* net/segment.c */
struct tcp_hdr;
struct tcp_pcb;
s8_t segment_admit(struct tcp_pcb *pcb, struct tcp_hdr *header, u32_t options_len, u32_t len);
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, header, options_len, options_first_len, options_second, p) \
	segment_admit(pcb, header, options_len, (p)->tot_len)
