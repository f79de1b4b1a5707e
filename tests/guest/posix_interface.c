/* What a program can learn of network interfaces. */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK_EQ((call), -1);                                                              \
		CHECK_EQ(errno, error);                                                            \
	} while (0)

TEST(interfaces_have_names_and_numbers)
{
	struct if_nameindex *list = if_nameindex();
	char name[IF_NAMESIZE];

	CHECK_EQ(if_nametoindex("lo"), 1);
	CHECK(if_indextoname(1, name) && strcmp(name, "lo") == 0);
	CHECK_EQ(if_nametoindex("nothing"), 0);
	CHECK_EQ(errno, ENODEV);
	CHECK(!if_indextoname(77, name));
	CHECK(list != NULL);
	if (!list)
		return;
	CHECK_EQ(list[0].if_index, 1);
	CHECK_EQ(strcmp(list[0].if_name, "lo"), 0);
	if_freenameindex(list);
}

TEST(addresses_of_interfaces)
{
	bool loopback4 = false, link = false;
	struct ifaddrs *list = NULL;

	CHECK_EQ(getifaddrs(&list), 0);
	for (struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
		const struct sockaddr_in *in = (const void *)entry->ifa_addr;

		if (!entry->ifa_addr || strcmp(entry->ifa_name, "lo") != 0)
			continue;
		CHECK(entry->ifa_flags & IFF_LOOPBACK);
		CHECK(entry->ifa_flags & IFF_UP);
		if (entry->ifa_addr->sa_family == AF_INET) {
			loopback4 = in->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
			in = (const void *)entry->ifa_netmask;
			CHECK_EQ(ntohl(in->sin_addr.s_addr), 0xff000000);
		}
		link |= entry->ifa_addr->sa_family == AF_PACKET;
	}
	CHECK(loopback4);
	CHECK(link);
	freeifaddrs(list);
}

TEST(what_ioctl_tells_of_interfaces)
{
	struct ifreq request = { .ifr_name = "lo" }, room[8];
	struct ifconf list = { .ifc_len = sizeof(room), .ifc_req = room };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in *in = (void *)&request.ifr_addr;

	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	CHECK_EQ(request.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING),
		 IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
	CHECK_EQ(ioctl(fd, SIOCGIFADDR, &request), 0);
	CHECK_EQ(in->sin_family, AF_INET);
	CHECK_EQ(in->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(ioctl(fd, SIOCGIFNETMASK, &request), 0);
	CHECK_EQ(in->sin_addr.s_addr, htonl(0xff000000));
	CHECK_EQ(ioctl(fd, SIOCGIFBRDADDR, &request), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	CHECK_EQ(request.ifr_hwaddr.sa_family, 772 /* ARPHRD_LOOPBACK */);
	CHECK_EQ(ioctl(fd, SIOCGIFMTU, &request), 0);
	CHECK(request.ifr_mtu >= 65520);
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &request), 0);
	CHECK_EQ(request.ifr_ifindex, 1);
	CHECK_EQ(ioctl(fd, SIOCGIFCONF, &list), 0);
	CHECK(list.ifc_len >= (int)sizeof(room[0]));
	CHECK_EQ(list.ifc_len % sizeof(room[0]), 0);
	CHECK_EQ(strcmp(room[0].ifr_name, "lo"), 0);
	strcpy(request.ifr_name, "nothing");
	FAILS(ioctl(fd, SIOCGIFFLAGS, &request), ENODEV);
	FAILS(ioctl(fd, 0x5499, &request), ENOTTY);
	close(fd);
}

TEST(netlink_that_is_not_there)
{
	struct {
		unsigned length;
		unsigned short type, flags;
		unsigned sequence, port;
		char family[4];
	} request = { 20, 24 /* RTM_NEWROUTE */, 5 /* REQUEST | ACK */, 9, 0, { 0 } };
	struct {
		unsigned length;
		unsigned short type, flags;
		unsigned sequence, port;
		int error;
	} answer[4];
	int fd = socket(AF_NETLINK, SOCK_RAW, 0);

	CHECK(fd >= 0);
	FAILS(recv(fd, answer, sizeof(answer), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(fd, &request, sizeof(request), 0), sizeof(request));
	CHECK(recv(fd, answer, sizeof(answer), MSG_DONTWAIT) >= 36);
	CHECK_EQ(answer[0].type, 2 /* NLMSG_ERROR */);
	CHECK_EQ(answer[0].sequence, 9);
	CHECK(answer[0].error < 0);
	close(fd);
	FAILS(socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
	FAILS(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
	FAILS(socket(AF_VSOCK + 3, SOCK_STREAM, 0), EAFNOSUPPORT);
}
