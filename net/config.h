/*
 * The machine's address: from the boot option `ip=`, or by DHCP on core 0, told to all cores.
 */
#pragma once

#include "lavra/types.h"

#define NAME_SERVERS_MAX 3

struct network_config {
	uint32_t address, netmask, gateway; /* network order; 0: none */
	uint32_t name_servers[NAME_SERVERS_MAX];
};

/* What is in force; a snapshot, any core. For /etc/resolv.conf and messages. */
extern struct network_config network_config;
