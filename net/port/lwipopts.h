/*
 * How lwIP 2.1.3 is configured: one instance a core, no threads of its own, no timers of its
 * own, no pools. What is not named here has lwIP's default.
 */
#pragma once

/* ---- the world around it ---- */

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
/* net/flow.c and net/timers.c call the handlers, and only while there is something to time. */
#define LWIP_TIMERS 0
#define LWIP_HOOK_FILENAME "lwip_hooks.h"
/* With two interfaces the way is a comparison, not a walk. Here, since lwip/ip4.h asks for it. */
#define LWIP_HOOK_IP4_ROUTE_SRC(source, destination) interface_route(source, destination)
#define LWIP_STATS 0

/* ---- memory: everything is a kernel object of this core ---- */

#define MEM_ALIGNMENT 8
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define mem_clib_malloc object_alloc
#define mem_clib_calloc lwip_calloc
#define mem_clib_free object_free
#define LWIP_SUPPORT_CUSTOM_PBUF 1
/* The driver gathers: a frame may be a chain. */
#define LWIP_NETIF_TX_SINGLE_PBUF 0
/* With pools from the heap only a number that lwIP's own checks compare with. */
#define MEMP_NUM_TCP_SEG 65535
#define PBUF_POOL_SIZE 64

/* ---- protocols ---- */

#define LWIP_IPV4 1
#define LWIP_ETHERNET 1
#define ETH_PAD_SIZE 0
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 127
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 8
#define LWIP_ICMP 1
#define LWIP_BROADCAST_PING 0
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_IGMP 0
/* Only to make DHCP ask for name servers and to keep their addresses (net/config.c); names are
 * resolved by the C library. */
#define LWIP_DNS 1
#define DNS_TABLE_SIZE 1
#define DNS_MAX_NAME_LENGTH 4
#define DNS_MAX_SERVERS 3
#define LWIP_DHCP 1
#define DHCP_DOES_ARP_CHECK 0
#define LWIP_DHCP_MAX_DNS_SERVERS 3
#define IP_DEFAULT_TTL 64
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0
#define IP_REASSEMBLY 1
#define IP_REASS_MAX_PBUFS 64
#define IP_FRAG 1
#define LWIP_HOOK_DHCP_PARSE_OPTION(netif, dhcp, state, message, type, option, len, pbuf, offset)  \
	dhcp_option_received(option, len, pbuf, offset)
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LOOPBACK 0 /* net/loopback.c crosses cores; lwIP's would not */
#define LWIP_HAVE_LOOPIF 0

/* ---- IPv6: core 0 finds addresses, all cores have them (net/config.c) ---- */

#define LWIP_IPV6 1
/* Two interfaces, one of which is the loopback: a link-local address needs no zone to tell where
 * it is. */
#define LWIP_IPV6_SCOPES 0
#define LWIP_IPV6_NUM_ADDRESSES 6 /* NETWORK_ADDRESSES_MAX */
#define LWIP_IPV6_FORWARD 0
/* Pieces are put together and made outside lwIP (net/reassembly.c, net/path_mtu.c). */
#define LWIP_IPV6_REASS 0
#define LWIP_IPV6_FRAG 0
#define LWIP_ICMP6 1
#define LWIP_ICMP6_DATASIZE 1232
#define LWIP_MULTICAST_PING 0
#define LWIP_IPV6_MLD 1
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_ADDRESS_LIFETIMES 1
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 1
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 1
#define LWIP_IPV6_DHCP6 0
#define LWIP_ND6_NUM_NEIGHBORS 64
#define LWIP_ND6_NUM_DESTINATIONS 64
#define LWIP_ND6_NUM_PREFIXES 5
#define LWIP_ND6_NUM_ROUTERS 3
/* One packet waits for a neighbor's address; lwIP's queue has no end. */
#define LWIP_ND6_QUEUEING 0
/* They would walk a list for each segment; neighbors are asked every 35 s instead. */
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define LWIP_ND6_ALLOW_RA_UPDATES 1
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS 0 /* they would take DHCP's place; net/config.c reads them */
#define LWIP_HOOK_IP6_ROUTE(source, destination) interface_route6(destination)
#define LWIP_HOOK_ND6_GET_GW(netif, destination) interface_gateway6(destination)

/* ---- checksums: per interface, and per received frame (net/interface.c) ---- */

#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHECKSUM_ON_COPY 0
#define LWIP_INLINE_IP_CHKSUM 1 /* always ours, and cheapest while the header is written */
#define LWIP_CHKSUM internet_checksum

/* ---- TCP ---- */

#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 2
/* A connection may pin this much received data, and queue this much to send. lwIP walks its
 * list of unacknowledged segments at every tcp_output(), so more would cost on every segment. */
#define TCP_WND (128 * 1024)
#define TCP_SND_BUF (128 * 1024)
#define TCP_SND_QUEUELEN 512
#define TCP_SNDLOWAT 32768
/* lwIP's checks know only windows of up to 64 KiB. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 96
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_KEEPALIVE 1
/* Its limit is 255 and it drops silently; the socket layer has its own (net/listener.c). */
#define TCP_LISTEN_BACKLOG 0
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1 /* struct flow */
/* net/ports.c decides who may bind what; to lwIP everything is allowed. */
#define SO_REUSE 1
/* The retransmission timer counts slow ticks (two of these) and is at least three: 300 ms. */
#define TCP_TMR_INTERVAL 50
/* A SYN is sent again every second, and given up after 13; lwIP takes no more. */
#define TCP_SYNMAXRTX 12
/* Only LAST_ACK is measured by it: how long a peer may stay silent before a closed connection
 * is given up. TIME_WAIT has a length of its own (net/flow.c). */
#define TCP_MSL 60000UL

/* lwIP's assertions are simple comparisons on what is loaded anyway; they stay on, and a wrong
 * one is our own mistake: a panic. */
#undef LWIP_NOASSERT
