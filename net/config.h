/*
 * The machine's addresses: from the boot options `ip=`, `ip6=` and `dns=`, by DHCP and from router
 * advertisements, found by core 0 and told to all cores.
 */
#pragma once

#include "lavra/types.h"
#include "net/address.h"

#define NAME_SERVERS_MAX 3
#define NETWORK_ADDRESSES_MAX 6 /* of IPv6, the link-local one first */
#define DOMAIN_MAX 64

struct network_address6 {
	struct address address;
	bool valid;
	bool deprecated; /* still ours, but not for new connections */
};

struct network_config {
	uint32_t address, netmask, gateway; /* IPv4, network order; 0: none */
	struct network_address6 addresses6[NETWORK_ADDRESSES_MAX];
	struct address static_address6, gateway6; /* as `ip6=` says; ::, none */
	uint8_t static_prefix6; /* 0: none */
	struct address name_servers[NAME_SERVERS_MAX]; /* ::, none */
	char domain[DOMAIN_MAX]; /* to search names in; empty: none */
};

/* What is in force; a snapshot, any core. Written by core 0. */
extern struct network_config network_config;

/* The texts of /etc/resolv.conf and /etc/hosts; `name` is the machine's. Any core. They return the
 * length. */
#define RESOLV_CONF_MAX 320
#define HOSTS_MAX 1024
unsigned network_resolv_conf(char text[RESOLV_CONF_MAX]);
unsigned network_hosts(char text[HOSTS_MAX], const char *name);

/* ---- for net_configure(), on core 0 ---- */

/* Begin to find the machine's addresses, as the boot options say: 0 or -ENOMEM. */
int config_begin(void);
/* Is there an address to come yet? */
bool config_waits(void);
/* From now on a change is announced when it comes. Is there an address? */
bool config_end(void);
void config_announce(void);
/* Take network_config over. Every core. */
void config_adopt(void *unused);

/* ---- inside net/ ---- */

/* This core's stack begins anew: with the addresses that are known. */
void config_restart(void);

/* A router advertisement, its checksum right and its form in order. Core 0. */
void config_router_advertisement(const uint8_t *icmp, uint32_t len);
/* lwIP's addresses of the Ethernet interface have changed. Core 0. */
void config_addresses6_changed(void);
/* Begin to find IPv6 addresses. Core 0, thread context. */
void config_begin6(void);
/* What DHCP says of name servers is known, or has changed. Core 0. */
void config_name_servers_changed(void);
/* Have the other cores take network_config over, without waiting for them. */
void config_tell_others(void);
