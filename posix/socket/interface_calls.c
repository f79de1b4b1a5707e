/*
 * What ioctl() tells of network interfaces.
 */
#include "posix/socket/interface_list.h"
#include "posix/user_memory.h"

#include <endian.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define QUEUE_LENGTH 1000 /* Linux's usual one */

static bool find_by_name(const char *name, struct interface_entry *found)
{
	struct interface_entry entries[INTERFACES_MAX];
	unsigned n = interface_entries(entries);

	for (unsigned i = 0; i < n; i++) {
		*found = entries[i];
		if (strncmp(name, found->name, IFNAMSIZ) == 0)
			return true;
	}
	return false;
}

/* Its IPv4 address. */
static bool find_address(int index, struct interface_address *found)
{
	struct interface_address addresses[INTERFACE_ADDRESSES_MAX];
	unsigned n = interface_addresses(addresses);

	for (unsigned i = 0; i < n; i++) {
		*found = addresses[i];
		if (found->index == index && found->family == AF_INET)
			return true;
	}
	return false;
}

static void put_ip4(struct sockaddr *to, const void *bytes)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	memcpy(&in.sin_addr, bytes, sizeof(in.sin_addr));
	memcpy(to, &in, sizeof(in));
}

static long get_name(struct ifreq *request)
{
	struct interface_entry entries[INTERFACES_MAX];
	unsigned n = interface_entries(entries);

	for (unsigned i = 0; i < n; i++) {
		if (entries[i].index != request->ifr_ifindex)
			continue;
		memset(request->ifr_name, 0, IFNAMSIZ);
		memcpy(request->ifr_name, entries[i].name, strlen(entries[i].name));
		return 0;
	}
	return -ENODEV;
}

/* Those with an IPv4 address; as many as there is room for. Without a buffer: how much room it takes. */
static long get_list(struct ifconf *user_list)
{
	struct interface_address addresses[INTERFACE_ADDRESSES_MAX];
	unsigned n = interface_addresses(addresses);
	struct ifconf list;
	int used = 0;

	if (user_read(&list, user_list, sizeof(list)))
		return -EFAULT;
	if (list.ifc_len < 0)
		return -EINVAL;
	if (list.ifc_buf && user_range_is_bad(list.ifc_buf, (size_t)list.ifc_len))
		return -EFAULT;
	for (unsigned i = 0; i < n; i++) {
		struct ifreq entry = { 0 };

		if (addresses[i].family != AF_INET)
			continue;
		if (list.ifc_buf) {
			if ((size_t)(list.ifc_len - used) < sizeof(entry))
				break;
			memcpy(entry.ifr_name, addresses[i].name, strlen(addresses[i].name));
			put_ip4(&entry.ifr_addr, addresses[i].bytes);
			if (!user_copy(list.ifc_buf + used, &entry, sizeof(entry)))
				return -EFAULT;
		}
		used += (int)sizeof(entry);
	}
	return user_write(&user_list->ifc_len, &used, sizeof(used));
}

static long get_address(unsigned long what, int index, struct ifreq *request)
{
	struct interface_address address;
	uint32_t netmask;

	if (!find_address(index, &address))
		return -EADDRNOTAVAIL;
	switch (what) {
	case SIOCGIFNETMASK:
		netmask = htobe32(address.prefix ? 0xffffffffu << (32 - address.prefix) : 0);
		put_ip4(&request->ifr_netmask, &netmask);
		break;
	case SIOCGIFBRDADDR:
		/* The loopback has none. */
		if (address.index == 1)
			memset(address.broadcast, 0, sizeof(address.broadcast));
		put_ip4(&request->ifr_broadaddr, address.broadcast);
		break;
	default: /* SIOCGIFADDR, SIOCGIFDSTADDR */
		put_ip4(&request->ifr_addr, address.bytes);
	}
	return 0;
}

static long get_of_interface(unsigned long what, struct ifreq *request)
{
	struct interface_entry entry;

	if (!find_by_name(request->ifr_name, &entry))
		return -ENODEV;
	switch (what) {
	case SIOCGIFFLAGS:
		request->ifr_flags = (short)entry.flags;
		return 0;
	case SIOCGIFMTU:
		request->ifr_mtu = (int)entry.mtu;
		return 0;
	case SIOCGIFINDEX:
		request->ifr_ifindex = entry.index;
		return 0;
	case SIOCGIFMETRIC:
		request->ifr_metric = 0;
		return 0;
	case SIOCGIFTXQLEN:
		request->ifr_ifru.ifru_ivalue = QUEUE_LENGTH;
		return 0;
	case SIOCGIFHWADDR:
		memset(&request->ifr_hwaddr, 0, sizeof(request->ifr_hwaddr));
		request->ifr_hwaddr.sa_family = entry.hardware_type;
		memcpy(request->ifr_hwaddr.sa_data, entry.hardware_address,
		       sizeof(entry.hardware_address));
		return 0;
	}
	return get_address(what, entry.index, request);
}

static long one_interface(unsigned long what, struct ifreq *user_request)
{
	struct ifreq request;
	long result;

	if (user_read(&request, user_request, sizeof(request)))
		return -EFAULT;
	result = what == SIOCGIFNAME ? get_name(&request) : get_of_interface(what, &request);
	return result ? result : user_write(user_request, &request, sizeof(request));
}

long interface_ioctl(unsigned long request, void *argument)
{
	switch (request) {
	case SIOCGIFCONF:
		return get_list(argument);
	case SIOCGIFNAME:
	case SIOCGIFFLAGS:
	case SIOCGIFMTU:
	case SIOCGIFINDEX:
	case SIOCGIFMETRIC:
	case SIOCGIFTXQLEN:
	case SIOCGIFHWADDR:
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
	case SIOCGIFNETMASK:
		return one_interface(request, argument);
	case SIOCSIFFLAGS:
	case SIOCSIFADDR:
	case SIOCSIFDSTADDR:
	case SIOCSIFBRDADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFMTU:
	case SIOCSIFHWADDR:
	case SIOCSIFNAME:
		return -EPERM;
	}
	return -ENOTTY;
}
