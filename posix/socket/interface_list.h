/*
 * The network interfaces as programs see them: "lo", and "eth0" if there is a device.
 */
#pragma once

#include "lavra/types.h"

#include <net/if.h>

#define INTERFACES_MAX 2u

struct interface_entry {
	int index; /* Linux's: from 1 on */
	const char *name;
	unsigned flags; /* IFF_* */
	unsigned short hardware_type; /* ARPHRD_* */
	uint8_t hardware_address[6];
	uint8_t hardware_broadcast[6];
	unsigned mtu;
};

/* One address of an interface. */
struct interface_address {
	int index;
	const char *name;
	int family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16], broadcast[4]; /* network order */
	unsigned prefix;
	uint8_t scope, flags; /* RT_SCOPE_*, IFA_F_* */
};

/* Snapshots; any core. Return how many there are. */
unsigned interface_entries(struct interface_entry entries[INTERFACES_MAX]);
#define INTERFACE_ADDRESSES_MAX 16u
unsigned interface_addresses(struct interface_address addresses[INTERFACE_ADDRESSES_MAX]);

/* SIOCGIF* (netdevice(7)): what an ioctl() on any socket tells of interfaces. -ENOTTY for other requests,
 * -EPERM for those that would change something. `argument` is the application's. */
long interface_ioctl(unsigned long request, void *argument);
