/*
 * The first process of the Linux guest that Lavra is compared with: loads the network
 * driver's modules, sets the address from the kernel command line (guest_ip=A/P,G), and
 * becomes the server: what stands behind " -- " there, or /server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	sleep(1);
	exit(1);
}

/* The order is the modules' dependency order; which exist depends on the kernel. */
static void load_modules(void)
{
	static const char *const names[] = {
		"virtio_ring", "virtio",   "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
		"virtio_pci",  "failover", "net_failover",	    "virtio_net"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/modules/%s.ko", names[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		if (syscall(SYS_finit_module, fd, "", 0) != 0)
			fail(path);
		close(fd);
	}
}

static void set_address(int fd, unsigned long request, const char *name, in_addr_t address)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = address;
	if (ioctl(fd, request, &ifr) != 0)
		fail("address");
}

static void bring_up(int fd, const char *name)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) != 0)
		fail(name);
}

static void configure_network(void)
{
	char line[4096] = "", address[64], gateway[64];
	int fd = open("/proc/cmdline", O_RDONLY), prefix;
	const char *option;

	if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
		fail("/proc/cmdline");
	close(fd);
	option = strstr(line, "guest_ip=");
	if (!option ||
	    sscanf(option, "guest_ip=%63[0-9.]/%d,%63[0-9.]", address, &prefix, gateway) != 3) {
		fprintf(stderr, "guest_ip=ADDRESS/PREFIX,GATEWAY is missing in: %s\n", line);
		exit(1);
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	bring_up(fd, "lo");
	set_address(fd, SIOCSIFADDR, "eth0", inet_addr(address));
	set_address(fd, SIOCSIFNETMASK, "eth0", htonl(~0u << (32 - prefix)));
	bring_up(fd, "eth0");
	close(fd);
}

int main(int argc, char **argv)
{
	static char *const server[] = { "/server", NULL };
	char *const *command = argc > 1 ? argv + 1 : server;
	struct rlimit files = { 65536, 65536 };

	mount("proc", "/proc", "proc", 0, "");
	mount("sysfs", "/sys", "sysfs", 0, "");
	mount("devtmpfs", "/dev", "devtmpfs", 0, "");
	load_modules();
	configure_network();
	setrlimit(RLIMIT_NOFILE, &files);
	execv(command[0], command);
	fail(command[0]);
}
