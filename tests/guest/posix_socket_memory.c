/* Socket calls with memory that is not the caller's, or not there. */
#include "tests/guest/bad_memory.h"
#include "tests/guest/unix_socket.h"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>

/* ---- sockets of each kind ---- */

struct ends {
	int send, receive;
};

static struct sockaddr_in loopback(int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);

	CHECK_EQ(bind(fd, (struct sockaddr *)&address, length), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return address;
}

static struct ends udp_pair(void)
{
	struct ends ends = { socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET, SOCK_DGRAM, 0) };
	struct sockaddr_in address = loopback(ends.receive);

	CHECK_EQ(connect(ends.send, (struct sockaddr *)&address, sizeof(address)), 0);
	return ends;
}

static struct ends tcp_pair(void)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct ends ends = { socket(AF_INET, SOCK_STREAM, 0), -1 };
	struct sockaddr_in address = loopback(listener);

	CHECK_EQ(listen(listener, 1), 0);
	CHECK_EQ(connect(ends.send, (struct sockaddr *)&address, sizeof(address)), 0);
	ends.receive = accept(listener, NULL, NULL);
	CHECK(ends.receive >= 0);
	close(listener);
	return ends;
}

static struct ends local_pair(int type)
{
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, type, 0, fds), 0);
	return (struct ends){ fds[0], fds[1] };
}

enum kind { TCP, UDP, STREAM, DATAGRAM, PACKET, KINDS };

static struct ends pair_of(enum kind kind)
{
	switch (kind) {
	case TCP:
		return tcp_pair();
	case UDP:
		return udp_pair();
	case STREAM:
		return local_pair(SOCK_STREAM);
	case DATAGRAM:
		return local_pair(SOCK_DGRAM);
	default:
		return local_pair(SOCK_SEQPACKET);
	}
}

static void close_both(struct ends ends)
{
	close(ends.send);
	close(ends.receive);
}

static bool is_stream(enum kind kind)
{
	return kind == TCP || kind == STREAM;
}

static void wait_readable(int fd)
{
	struct pollfd entry = { fd, POLLIN, 0 };

	CHECK_EQ(poll(&entry, 1, 10000), 1);
}

/* ---- bytes ---- */

static void check_bytes_of(enum kind kind)
{
	struct ends ends = pair_of(kind);
	char bytes[100], got[100];

	memset(bytes, 'b', sizeof(bytes));
	EACH_FAILS(0, sendto(ends.send, bad, 8, 0, NULL, 0));
	REFUSED(send(ends.send, edge(50, NOT_THERE), 100, 0), EFAULT);
	REFUSED(recv(ends.receive, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(ends.send, edge(50, READ_ONLY), 100, 0), 100);
	wait_readable(ends.receive);
	CHECK_EQ(recv(ends.receive, got, sizeof(got), 0), 100);

	for (int i = 0; i < BAD_ADDRESSES; i++) {
		CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
		wait_readable(ends.receive);
		REFUSED(recv(ends.receive, bad_address(i), 8, MSG_PEEK), EFAULT);
		REFUSED(recv(ends.receive, bad_address(i), 8, 0), EFAULT);
		/* A message is lost with what was wrong; a stream stays as it was. Nothing is taken
		 * where the address is seen to be bad before. */
		memset(got, 0, sizeof(got));
		if (recv(ends.receive, got, sizeof(got), MSG_DONTWAIT) == 100)
			CHECK(memcmp(bytes, got, sizeof(got)) == 0);
		else
			CHECK(!is_stream(kind) && errno == EAGAIN);
	}
	for (enum edge how = NOT_THERE; how <= READ_ONLY; how++) {
		CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
		wait_readable(ends.receive);
		REFUSED(recv(ends.receive, edge(50, how), 100, MSG_PEEK), EFAULT);
		REFUSED(recv(ends.receive, edge(50, how), 100, 0), EFAULT);
		if (is_stream(kind)) {
			CHECK_EQ(read(ends.receive, edge(50, how), 50), 50);
			CHECK_EQ(recv(ends.receive, got, sizeof(got), 0), 50);
		} else {
			REFUSED(recv(ends.receive, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
		}
	}
	/* It still works. */
	CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
	wait_readable(ends.receive);
	CHECK_EQ(recv(ends.receive, edge(100, NOT_THERE), 100, 0), 100);
	close_both(ends);
}

TEST(bad_buffers_of_tcp_sockets)
{
	check_bytes_of(TCP);
}

TEST(bad_buffers_of_udp_sockets)
{
	check_bytes_of(UDP);
}

TEST(bad_buffers_of_local_streams)
{
	check_bytes_of(STREAM);
}

TEST(bad_buffers_of_local_datagrams)
{
	check_bytes_of(DATAGRAM);
	check_bytes_of(PACKET);
}

/* A long buffer that ends early: what was sent of it arrives, and no more. */
static void check_long(enum kind kind)
{
	enum { TOTAL = 96 << 10 };
	char *bytes = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ends ends = pair_of(kind);
	char got[1000];
	ssize_t sent, n;

	memset(bytes, 'l', TOTAL);
	CHECK_EQ(munmap(bytes + TOTAL - 4096, 4096), 0);
	sent = send(ends.send, bytes, TOTAL, 0);
	CHECK(sent > 0 && sent < TOTAL - 4096);
	REFUSED(send(ends.send, bytes + TOTAL - 8192, 8192, 0), EFAULT);
	shutdown(ends.send, SHUT_WR);
	while ((n = recv(ends.receive, got, sizeof(got), 0)) > 0)
		sent -= n;
	CHECK_EQ(n, 0);
	CHECK_EQ(sent, 0);
	munmap(bytes, TOTAL - 4096);
	close_both(ends);
}

TEST(a_long_send_ends_where_memory_does)
{
	check_long(TCP);
	check_long(STREAM);
}

/* The same over the rings of a connection that is used on another core than its own. */
static void *other_core(void *argument)
{
	struct ends *ends = argument;
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(0);
	char got[100];

	pin(core_of(1));
	fcntl(ends->receive, F_SETFL, O_NONBLOCK);
	/* Who is watched cannot move, so it gets rings. */
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ends->receive, &event), 0);
	CHECK_EQ(epoll_wait(set, &event, 1, 10000), 1);
	REFUSED(recv(ends->receive, edge(50, NOT_THERE), 100, 0), EFAULT);
	REFUSED(recv(ends->receive, edge(50, READ_ONLY), 100, MSG_PEEK), EFAULT);
	CHECK_EQ(recv(ends->receive, got, sizeof(got), 0), 100);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(got[i], 'r');
	EACH_FAILS(0, send(ends->receive, bad, 8, 0));
	REFUSED(send(ends->receive, edge(50, NOT_THERE), 100, 0), EFAULT);
	CHECK_EQ(send(ends->receive, edge(50, READ_ONLY), 100, 0), 100);
	close(set);
	return NULL;
}

TEST(bad_buffers_of_a_connection_on_another_core)
{
	struct ends ends;
	pthread_t thread;
	char bytes[100];

	pin(core_of(0));
	ends = tcp_pair();
	memset(bytes, 'r', sizeof(bytes));
	/* It is watched here, too: it stays. */
	CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
	CHECK_EQ(pthread_create(&thread, NULL, other_core, &ends), 0);
	CHECK_EQ(recv(ends.send, bytes, sizeof(bytes), MSG_WAITALL), 100);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	REFUSED(recv(ends.send, bytes, sizeof(bytes), MSG_DONTWAIT), EAGAIN);
	close_both(ends);
}

/* ---- messages ---- */

TEST(message_calls_refuse_bad_memory)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct ends ends = pair_of(kind);
		char bytes[100], control[64];
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr good = { .msg_iov = &iov, .msg_iovlen = 1 }, header;
		struct mmsghdr many = { .msg_hdr = good };

		memset(bytes, 'm', sizeof(bytes));
		EACH_FAILS(0, syscall(SYS_sendmsg, ends.send, bad, 0));
		EACH_FAILS(0, syscall(SYS_recvmsg, ends.receive, bad, MSG_DONTWAIT));
		EACH_FAILS(0, syscall(SYS_sendmmsg, ends.send, bad, 1, 0));
		EACH_FAILS(0, syscall(SYS_recvmmsg, ends.receive, bad, 1, MSG_DONTWAIT, NULL));
		EACH_FAILS(1, syscall(SYS_recvmmsg, ends.receive, &many, 1, MSG_DONTWAIT, bad));
		EACH_FAILS(0, (header = good, header.msg_iov = bad,
			       syscall(SYS_sendmsg, ends.send, &header, 0)));
		EACH_FAILS(0, (header = good, header.msg_iov = bad,
			       syscall(SYS_recvmsg, ends.receive, &header, MSG_DONTWAIT)));
		EACH_FAILS(0, (iov.iov_base = bad, syscall(SYS_sendmsg, ends.send, &good, 0)));
		iov.iov_base = bytes;
		EACH_FAILS(1, (header = good, header.msg_name = bad, header.msg_namelen = 16,
			       syscall(SYS_sendmsg, ends.send, &header, 0)));
		EACH_FAILS(0, (header = good, header.msg_control = bad, header.msg_controllen = 32,
			       syscall(SYS_sendmsg, ends.send, &header, 0)));
		REFUSED(syscall(SYS_sendmsg, ends.send, edge(20, NOT_THERE), 0), EFAULT);
		REFUSED(recv(ends.receive, bytes, sizeof(bytes), MSG_DONTWAIT), EAGAIN);

		/* Receiving, with something to be received. */
		for (int i = 1; i < BAD_ADDRESSES; i++) {
			CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
			wait_readable(ends.receive);
			header = good;
			header.msg_name = bad_address(i);
			header.msg_namelen = 128;
			/* A stream has no address to tell. */
			if (kind == UDP)
				REFUSED(syscall(SYS_recvmsg, ends.receive, &header, 0), EFAULT);
			else
				recvmsg(ends.receive, &good, 0);
		}
		CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
		wait_readable(ends.receive);
		/* A header that can be read only tells nothing. */
		char *constant = edge(0, READ_ONLY);
		CHECK_EQ(mprotect(constant, 4096, PROT_READ | PROT_WRITE), 0);
		memcpy(constant, &good, sizeof(good));
		CHECK_EQ(mprotect(constant, 4096, PROT_READ), 0);
		REFUSED(syscall(SYS_recvmsg, ends.receive, constant, 0), EFAULT);
		/* Ancillary data is left out if there is nothing to tell. */
		CHECK_EQ(send(ends.send, bytes, sizeof(bytes), 0), 100);
		wait_readable(ends.receive);
		header = good;
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		CHECK_EQ(recvmsg(ends.receive, &header, 0), 100);
		CHECK_EQ(header.msg_controllen, 0);
		CHECK_EQ(header.msg_flags, 0);
		close_both(ends);
	}
}

TEST(vectors_of_any_length)
{
	enum { MOST = 1024 };
	static const int lengths[] = { 1, 2, 7, 8, 9, 10, 63, 500, 1023, 1024 };
	static struct iovec iov[MOST + 1];
	static char bytes[MOST], got[MOST];

	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct ends ends = pair_of(kind);
		struct mmsghdr many = { .msg_hdr.msg_iov = iov };
		struct msghdr *header = &many.msg_hdr;

		for (size_t at = 0; at < sizeof(lengths) / sizeof(*lengths); at++) {
			int length = header->msg_iovlen = lengths[at];

			for (int i = 0; i < length; i++) {
				bytes[i] = (char)(i * 7 + length);
				iov[i] = (struct iovec){ bytes + i, 1 };
			}
			if (length % 2)
				CHECK_EQ(sendmsg(ends.send, header, 0), length);
			else
				CHECK_EQ(sendmmsg(ends.send, &many, 1, 0), 1);
			wait_readable(ends.receive);
			memset(got, 0, sizeof(got));
			for (int i = 0; i < length; i++)
				iov[i] = (struct iovec){ got + i, 1 };
			if (length % 2)
				CHECK_EQ(recvmsg(ends.receive, header, 0), length);
			else
				CHECK_EQ(recvmmsg(ends.receive, &many, 1, 0, NULL), 1);
			CHECK(memcmp(bytes, got, (size_t)length) == 0);
		}
		header->msg_iovlen = MOST + 1;
		REFUSED(sendmsg(ends.send, header, 0), EMSGSIZE);
		REFUSED(recvmsg(ends.receive, header, 0), EMSGSIZE);
		header->msg_iovlen = MOST;
		iov[MOST - 1].iov_base = bad_address(7);
		REFUSED(sendmsg(ends.send, header, 0), EFAULT);
		REFUSED(recvmsg(ends.receive, header, MSG_DONTWAIT), EFAULT);
		iov[MOST - 1].iov_len = (size_t)-5;
		REFUSED(sendmsg(ends.send, header, 0), EINVAL);
		close_both(ends);
	}
}

/* A handler that never returns, out of a call that has memory of its own. */
static sigjmp_buf way_out;

static void jump(int number)
{
	siglongjmp(way_out, number);
}

static void *interrupt(void *thread)
{
	nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

TEST(a_handler_leaves_a_long_vector)
{
	struct sigaction action = { .sa_handler = jump };
	struct iovec iov[100];
	static char byte;
	struct msghdr header = { .msg_iov = iov, .msg_iovlen = 100 };
	struct ends ends = local_pair(SOCK_STREAM);
	pthread_t self = pthread_self(), thread;

	for (int i = 0; i < 100; i++)
		iov[i] = (struct iovec){ &byte, 1 };
	CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	CHECK_EQ(pthread_create(&thread, NULL, interrupt, &self), 0);
	if (sigsetjmp(way_out, 1) == 0) {
		recvmsg(ends.receive, &header, 0);
		CHECK(!"the handler ran");
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(send(ends.send, "abc", 3, 0), 3);
	CHECK_EQ(recvmsg(ends.receive, &header, 0), 3);
	/* And one that returns: the call ends, or begins again. */
	action.sa_handler = SIG_IGN;
	action.sa_flags = SA_RESTART;
	CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	signal(SIGUSR1, SIG_DFL);
	close_both(ends);
}

/* More descriptors than the stack has room for. */
TEST(long_ancillary_data)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(200 * sizeof(int))];
	} control;
	struct ends ends = local_pair(SOCK_STREAM);
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr header = { .msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	char *half = edge(CMSG_LEN(100 * sizeof(int)), NOT_THERE);
	int fds[200];

	memset(&control, 0, sizeof(control));
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS,
					 .cmsg_len = CMSG_LEN(sizeof(fds)) };
	for (int i = 0; i < 200; i++)
		fds[i] = ends.send;
	memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
	CHECK_EQ(sendmsg(ends.send, &header, 0), 1);
	memset(&control, 0, sizeof(control));
	CHECK_EQ(recvmsg(ends.receive, &header, 0), 1);
	CHECK_EQ(control.head.cmsg_len, CMSG_LEN(sizeof(fds)));
	memcpy(fds, CMSG_DATA(&control.head), sizeof(fds));
	for (int i = 0; i < 200; i++)
		CHECK_EQ(close(fds[i]), 0);
	/* Some of it is not there. */
	memcpy(half, &control, CMSG_LEN(100 * sizeof(int)));
	header.msg_control = half;
	header.msg_controllen = sizeof(control);
	REFUSED(syscall(SYS_sendmsg, ends.send, &header, 0), EFAULT);
	header.msg_controllen = 20481;
	header.msg_control = &control;
	REFUSED(syscall(SYS_sendmsg, ends.send, &header, 0), ENOBUFS);
	close_both(ends);
}

/* ---- addresses, options, and the rest ---- */

TEST(socket_calls_refuse_bad_memory)
{
	static const int families[] = { AF_INET, AF_UNIX };
	int value = 1;

	for (int i = 0; i < 2; i++) {
		int fd = socket(families[i], SOCK_STREAM, 0), listener, client;
		socklen_t length = sizeof(struct sockaddr_un);
		struct sockaddr_un address;

		EACH_FAILS(0, syscall(SYS_bind, fd, bad, 16));
		EACH_FAILS(0, syscall(SYS_connect, fd, bad, 16));
		EACH_FAILS(0, syscall(SYS_getsockname, fd, bad, &length));
		EACH_FAILS(0, syscall(SYS_getsockname, fd, &address, bad));
		EACH_FAILS(0, syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, bad, 4));
		EACH_FAILS(0, syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, bad, 8));
		EACH_FAILS(0, syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, bad, 16));
		length = 16;
		EACH_FAILS(0, syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, bad, &length));
		EACH_FAILS(0, syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, bad, &length));
		EACH_FAILS(0, syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, bad, &length));
		EACH_FAILS(0, syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &value, bad));
		EACH_FAILS(0, ioctl(fd, SIOCGIFCONF, bad));
		EACH_FAILS(0, ioctl(fd, SIOCGIFFLAGS, bad));
		REFUSED(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, edge(2, NOT_THERE),
				&length),
			EFAULT);
		length = 16;
		REFUSED(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, edge(2, READ_ONLY),
				&length),
			EFAULT);
		REFUSED(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, edge(4, NOT_THERE), 8),
			EFAULT);
		REFUSED(syscall(SYS_bind, fd, edge(4, NOT_THERE), 16), EFAULT);
		close(fd);

		/* accept() and getpeername(), with a connection. */
		listener = socket(families[i], SOCK_STREAM, 0);
		if (families[i] == AF_INET) {
			struct sockaddr_in in = loopback(listener);

			memcpy(&address, &in, sizeof(in));
			length = sizeof(in);
		} else {
			length = abstract(&address, "bad memory");
			CHECK_EQ(bind(listener, (struct sockaddr *)&address, length), 0);
		}
		CHECK_EQ(listen(listener, 64), 0);
		for (int j = 1; j < BAD_ADDRESSES; j++) {
			socklen_t room = sizeof(address);

			client = socket(families[i], SOCK_STREAM, 0);
			CHECK_EQ(connect(client, (struct sockaddr *)&address, length), 0);
			/* The connection is lost, as on Linux. */
			REFUSED(syscall(SYS_accept4, listener, bad_address(j), &room, 0), EFAULT);
			REFUSED(syscall(SYS_getpeername, client, bad_address(j), &room), EFAULT);
			REFUSED(syscall(SYS_getpeername, client, &address, bad_address(j)), EFAULT);
			close(client);
		}
		close(listener);
	}
	EACH_FAILS(0, syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, bad));
	REFUSED(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, edge(4, NOT_THERE)), EFAULT);
	REFUSED(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, edge(4, READ_ONLY)), EFAULT);
}

TEST(sendto_and_recvfrom_refuse_bad_addresses)
{
	struct ends ends = udp_pair();
	socklen_t length;
	char byte = 'a';

	EACH_FAILS(1, syscall(SYS_sendto, ends.send, &byte, 1, 0, bad, 16));
	for (int i = 1; i < BAD_ADDRESSES; i++) {
		length = 16;
		CHECK_EQ(send(ends.send, &byte, 1, 0), 1);
		wait_readable(ends.receive);
		REFUSED(syscall(SYS_recvfrom, ends.receive, &byte, 1, 0, bad_address(i), &length),
			EFAULT);
	}
	for (int i = 0; i < BAD_ADDRESSES; i++) {
		struct sockaddr_in address;

		CHECK_EQ(send(ends.send, &byte, 1, 0), 1);
		wait_readable(ends.receive);
		REFUSED(syscall(SYS_recvfrom, ends.receive, &byte, 1, 0, &address, bad_address(i)),
			EFAULT);
	}
	close_both(ends);
}

/* Nothing is left open or allocated by all that. */
TEST(bad_memory_leaves_no_descriptors)
{
	int before = fcntl(0, F_DUPFD, 3), after;

	close(before);
	for (int i = 0; i < 100; i++)
		syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, edge(4, READ_ONLY));
	/* The lowest that is free is the same. */
	after = fcntl(0, F_DUPFD, 3);
	CHECK_EQ(after, before);
	close(after);
}
