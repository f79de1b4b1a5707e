/*
 * Between our form of an address and lwIP's.
 */
#pragma once

#include "net/address.h"

#include "lwip/ip_addr.h"

static inline ip_addr_t address_to_lwip(const struct address *address)
{
	ip_addr_t ip;

	if (address_is_ip4(address)) {
		ip_addr_set_ip4_u32_val(ip, address_ip4(address));
	} else {
		__builtin_memcpy(ip_2_ip6(&ip)->addr, address->bytes, 16);
		IP_SET_TYPE_VAL(ip, IPADDR_TYPE_V6);
	}
	return ip;
}

static inline struct address address_of_lwip6(const ip6_addr_t *ip)
{
	struct address address;

	__builtin_memcpy(address.bytes, ip->addr, 16);
	return address;
}

static inline struct address address_of_lwip(const ip_addr_t *ip)
{
	return IP_IS_V6_VAL(*ip) ? address_of_lwip6(ip_2_ip6(ip))
				 : address_of_ip4(ip4_addr_get_u32(ip_2_ip4(ip)));
}
