/* IPv6 over the loopback interface, names and addresses, and the options that servers set. */
#include "tests/guest/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in6 at(const char *text, uint16_t port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	CHECK_EQ(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
	return address;
}

/* The call fails with this error. */
#define CHECK_ERRNO(call, error) CHECK_EQ((call) == -1 ? errno : 0, error)

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) == 0 ? value : -errno;
}

static int listen_on(const char *text, uint16_t port, bool only_ip6)
{
	struct sockaddr_in6 address = at(text, port);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK_EQ(set(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
	CHECK_EQ(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, only_ip6), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 100), 0);
	return fd;
}

static int connect_to(const char *text, uint16_t port)
{
	struct sockaddr_in6 address = at(text, port);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The peer's address as text. */
static const char *peer_of(int fd, char text[INET6_ADDRSTRLEN])
{
	struct sockaddr_in6 address;
	socklen_t length = sizeof(address);

	CHECK_EQ(getpeername(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, sizeof(address));
	CHECK_EQ(address.sin6_family, AF_INET6);
	return inet_ntop(AF_INET6, &address.sin6_addr, text, INET6_ADDRSTRLEN);
}

TEST(one_listener_for_both_families)
{
	int listener = listen_on("::", 6000, false);
	char text[INET6_ADDRSTRLEN];
	int client = connect_to("::1", 6000), server = accept(listener, NULL, NULL);

	CHECK(strcmp(peer_of(server, text), "::1") == 0);
	close(client);
	close(server);
	client = connect_to("::ffff:127.0.0.1", 6000);
	server = accept(listener, NULL, NULL);
	CHECK(strcmp(peer_of(server, text), "::ffff:127.0.0.1") == 0);
	CHECK_EQ(write(client, "four", 4), 4);
	CHECK_EQ(read(server, text, sizeof(text)), 4);
	close(client);
	close(server);
	close(listener);
}

TEST(the_port_of_one_family_alone)
{
	int listener = listen_on("::", 6001, true), other = socket(AF_INET, SOCK_STREAM, 0), fd;
	struct sockaddr_in ip4 = { .sin_family = AF_INET, .sin_port = htons(6001) };
	struct sockaddr_in6 ip6 = at("::", 6001);

	CHECK_EQ(get(listener, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	CHECK_EQ(bind(other, (struct sockaddr *)&ip4, sizeof(ip4)), 0);
	CHECK_EQ(listen(other, 5), 0);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&ip6, sizeof(ip6)), EADDRINUSE);
	close(fd);
	close(listener);
	close(other);
}

static void *echo(void *argument)
{
	int fd = accept((int)(long)argument, NULL, NULL);
	char bytes[4096];
	ssize_t length;

	while ((length = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(fd, bytes, length) != length)
			break;
	close(fd);
	return NULL;
}

TEST(a_megabyte_each_way_on_every_core)
{
	enum { CLIENTS = 4, TOTAL = 1 << 20 };
	int listener = listen_on("::1", 6002, false);
	pthread_t servers[CLIENTS];
	static char out[8192], in[8192];

	for (int i = 0; i < CLIENTS; i++)
		CHECK_EQ(pthread_create(&servers[i], NULL, echo, (void *)(long)listener), 0);
	for (int i = 0; i < CLIENTS; i++) {
		int fd = connect_to("::1", 6002);
		bool same = true;

		for (int done = 0; done < TOTAL; done += sizeof(out)) {
			memset(out, done >> 13, sizeof(out));
			CHECK_EQ(write(fd, out, sizeof(out)), sizeof(out));
			for (size_t got = 0; got < sizeof(in);) {
				ssize_t n = read(fd, in + got, sizeof(in) - got);

				if (n <= 0) {
					same = false;
					break;
				}
				got += n;
			}
			same = same && memcmp(in, out, sizeof(in)) == 0;
			if (!same)
				break;
		}
		CHECK(same);
		close(fd);
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(servers[i], NULL);
	close(listener);
}

TEST(datagrams_tell_where_they_went)
{
	int server = socket(AF_INET6, SOCK_DGRAM, 0), client = socket(AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in6 address = at("::", 6003), from;
	char bytes[16], room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_name = &from,
				  .msg_namelen = sizeof(from),
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *header;
	struct in6_pktinfo info;

	CHECK_EQ(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(set(server, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 0);
	address = at("::1", 6003);
	CHECK_EQ(sendto(client, "hello", 5, 0, (struct sockaddr *)&address, sizeof(address)), 5);
	CHECK_EQ(recvmsg(server, &message, 0), 5);
	CHECK_EQ(message.msg_namelen, sizeof(from));
	CHECK(IN6_IS_ADDR_LOOPBACK(&from.sin6_addr));
	header = CMSG_FIRSTHDR(&message);
	CHECK(header && header->cmsg_type == IPV6_PKTINFO);
	if (header) {
		memcpy(&info, CMSG_DATA(header), sizeof(info));
		CHECK(IN6_IS_ADDR_LOOPBACK(&info.ipi6_addr));
		CHECK_EQ(info.ipi6_ifindex, 1);
	}
	/* The answer, with the same control message. */
	iov.iov_len = 5;
	CHECK_EQ(sendmsg(server, &message, 0), 5);
	CHECK_EQ(recv(client, bytes, sizeof(bytes), 0), 5);
	close(server);
	close(client);
}

TEST(errors_of_ip6)
{
	struct sockaddr_in6 address = at("2001:db8::1", 80);
	struct sockaddr_in ip4 = { .sin_family = AF_INET, .sin_port = htons(80) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)), ENETUNREACH);
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&address, sizeof(address)), EADDRNOTAVAIL);
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&ip4, sizeof(ip4)), EINVAL);
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&address, 20), EINVAL);
	address = at("fe80::1", 80);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)), EINVAL);
	address = at("::1", 6666);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)), ECONNREFUSED);
	close(fd);
	CHECK_ERRNO(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), ESOCKTNOSUPPORT);
}

TEST(options_that_servers_set)
{
	static const struct {
		int level, name, value, told; /* told: the errno if negative */
	} cases[] = {
		{ SOL_SOCKET, SO_REUSEPORT, 1, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1, 1 },
		{ SOL_SOCKET, SO_RCVBUF, 10000, 20000 },
		{ SOL_SOCKET, SO_SNDBUF, 10000, 20000 },
		{ SOL_SOCKET, SO_RCVLOWAT, 3, 3 },
		{ SOL_SOCKET, SO_PRIORITY, 6, 6 },
		{ SOL_SOCKET, SO_PRIORITY, 7, -EPERM },
		{ SOL_SOCKET, SO_MARK, 1, -EPERM },
		{ SOL_SOCKET, SO_BROADCAST, 1, 1 },
		{ IPPROTO_TCP, TCP_NODELAY, 1, 1 },
		{ IPPROTO_TCP, TCP_CORK, 1, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60, 60 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 10, 10 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3, 3 },
		{ IPPROTO_TCP, TCP_DEFER_ACCEPT, 5, 5 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 30000, 30000 },
		{ IPPROTO_TCP, TCP_FASTOPEN, 16, 16 },
		{ IPPROTO_TCP, TCP_MAXSEG, 1000, 1000 },
		{ IPPROTO_TCP, TCP_MAXSEG, 10, -EINVAL },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096, 4096 },
		{ IPPROTO_IP, IP_TOS, 0x10, 0x10 },
		{ IPPROTO_IP, IP_TTL, 17, 17 },
		{ IPPROTO_IP, IP_TTL, 256, -EINVAL },
		{ IPPROTO_IP, IP_TRANSPARENT, 1, -EPERM },
		{ IPPROTO_IP, IP_RECVERR, 1, 0 },
		{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 17, 17 },
		{ IPPROTO_IPV6, IPV6_TCLASS, 8, 8 },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, 1 },
		{ IPPROTO_IPV6, 9999, 1, -ENOPROTOOPT },
	};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	char name[16];
	socklen_t length = sizeof(name);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int result = set(fd, cases[i].level, cases[i].name, cases[i].value);

		if (cases[i].told < 0)
			CHECK_EQ(result == 0 ? 0 : -errno, cases[i].told);
		else
			CHECK_EQ(result == 0 ? get(fd, cases[i].level, cases[i].name) : -errno,
				 cases[i].told);
	}
	CHECK_EQ(get(fd, SOL_SOCKET, SO_DOMAIN), AF_INET6);
	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
	CHECK(strcmp(name, "reno") == 0);
	CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), ENOENT);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth7", 5), ENODEV);
	close(fd);
}

TEST(a_low_water_mark_keeps_a_reader_asleep)
{
	int listener = listen_on("::1", 6004, false), client = connect_to("::1", 6004);
	int server = accept(listener, NULL, NULL);
	struct pollfd polled = { .fd = server, .events = POLLIN };

	CHECK_EQ(set(server, SOL_SOCKET, SO_RCVLOWAT, 8), 0);
	CHECK_EQ(write(client, "1234", 4), 4);
	CHECK_EQ(poll(&polled, 1, 50), 0);
	CHECK_EQ(write(client, "5678", 4), 4);
	CHECK_EQ(poll(&polled, 1, 2000), 1);
	close(client);
	close(server);
	close(listener);
}

TEST(what_a_connection_tells_of_itself)
{
	int listener = listen_on("::1", 6005, false), client = connect_to("::1", 6005);
	int server = accept(listener, NULL, NULL);
	struct tcp_info info;
	socklen_t length = sizeof(info);

	CHECK_EQ(getsockopt(server, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	CHECK_EQ(length, sizeof(info));
	CHECK_EQ(info.tcpi_state, TCP_ESTABLISHED);
	CHECK(info.tcpi_snd_mss >= 1000 && info.tcpi_snd_cwnd > 0);
	CHECK_EQ(get(server, IPPROTO_TCP, TCP_MAXSEG), (int)info.tcpi_snd_mss);
	CHECK(get(server, SOL_SOCKET, SO_INCOMING_CPU) >= 0);
	length = sizeof(info);
	CHECK_EQ(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	CHECK_EQ(info.tcpi_state, TCP_LISTEN);
	close(client);
	close(server);
	close(listener);
}

static void *read_late(void *argument)
{
	static char bytes[65536];
	int fd = (int)(long)argument;

	usleep(300000);
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	return NULL;
}

/* The last close() of a connection that lingers waits until the other side has it all, or as long as
 * it was told. */
TEST(a_close_that_lingers)
{
	static char much[200000];
	struct linger linger = { 1, 5 };
	struct timespec before, after;
	long waited_ms[2];

	for (int late = 0; late < 2; late++) {
		int listener = listen_on("::1", 6007, false), client = connect_to("::1", 6007);
		int server = accept(listener, NULL, NULL), sent;
		pthread_t reader;

		fcntl(client, F_SETFL, O_NONBLOCK);
		sent = write(client, much, sizeof(much));
		CHECK(sent > 100000);
		linger.l_linger = late ? 5 : 1;
		CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
		if (late)
			pthread_create(&reader, NULL, read_late, (void *)(long)server);
		clock_gettime(CLOCK_MONOTONIC, &before);
		close(client);
		clock_gettime(CLOCK_MONOTONIC, &after);
		waited_ms[late] = (after.tv_sec - before.tv_sec) * 1000 +
				  (after.tv_nsec - before.tv_nsec) / 1000000;
		if (late)
			pthread_join(reader, NULL);
		close(server);
		close(listener);
	}
	CHECK(waited_ms[0] >= 900 && waited_ms[0] < 4000); /* nobody reads: one second */
	CHECK(waited_ms[1] >= 200 && waited_ms[1] < 4500); /* until it is read */
}

/* ---- names ---- */

static bool resolves_to(const char *name, int family, int flags, const char *expected)
{
	struct addrinfo hints = { .ai_family = family,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = flags };
	struct addrinfo *found = NULL;
	char text[INET6_ADDRSTRLEN] = "";
	bool right = false;

	if (getaddrinfo(name, "80", &hints, &found) != 0)
		return expected == NULL;
	for (struct addrinfo *one = found; one && expected; one = one->ai_next) {
		getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), NULL, 0,
			    NI_NUMERICHOST);
		right = right || strcmp(text, expected) == 0;
	}
	freeaddrinfo(found);
	return right;
}

TEST(names_without_a_server)
{
	char host[65];
	struct timespec before, after;

	CHECK(resolves_to("127.0.0.1", AF_UNSPEC, AI_NUMERICHOST, "127.0.0.1"));
	CHECK(resolves_to("2001:db8::7", AF_UNSPEC, AI_NUMERICHOST, "2001:db8::7"));
	CHECK(resolves_to(NULL, AF_INET6, AI_PASSIVE, "::"));
	CHECK(resolves_to("localhost", AF_INET, 0, "127.0.0.1"));
	CHECK(resolves_to("localhost", AF_INET6, 0, "::1"));
	CHECK_EQ(gethostname(host, sizeof(host)), 0);
	CHECK(resolves_to(host, AF_INET, 0, "127.0.1.1"));
	/* No server at all is no reason to wait for long. */
	clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK(resolves_to("nobody.example.com", AF_UNSPEC, 0, NULL));
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec - before.tv_sec < 5);
}
