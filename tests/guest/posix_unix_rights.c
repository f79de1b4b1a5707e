/* Local sockets: descriptors and credentials, signals, and that nothing is left behind. */
#include "tests/guest/unix_socket.h"

/* ---- descriptors and credentials ---- */

TEST(descriptors_travel)
{
	struct msghdr message;
	int pair[2], pipes[2], fds[4];
	char text[8], byte;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(pipe(pipes), 0);
	CHECK_EQ(send_descriptors(pair[0], "ab", 2, pipes, 2), 2);
	CHECK_EQ(write(pair[0], "cd", 2), 2);
	close(pipes[0]);
	close(pipes[1]);
	/* They come with the first byte, and end what is received at once. */
	CHECK_EQ(receive_descriptors(pair[1], text, sizeof(text), fds, 4, MSG_CMSG_CLOEXEC,
				     &message),
		 2);
	CHECK_EQ(message.msg_flags & ~MSG_CMSG_CLOEXEC, 0);
	CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(fds[1], "p", 1), 1);
	CHECK_EQ(read(fds[0], &byte, 1), 1);
	CHECK_EQ(byte, 'p');
	CHECK_EQ(read(pair[1], text, sizeof(text)), 2);
	CHECK_EQ(memcmp(text, "cd", 2), 0);
	close(fds[1]);
	/* It was the last one that writes. */
	CHECK_EQ(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	close(pair[0]);
	close(pair[1]);
}

TEST(descriptors_that_find_no_place)
{
	struct msghdr message;
	int pair[2], pipes[2], fds[4];
	char text[8];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	CHECK_EQ(pipe(pipes), 0);
	CHECK_EQ(send_descriptors(pair[0], "x", 1, (int[]){ pipes[1], pipes[1] }, 2), 1);
	CHECK_EQ(receive_descriptors(pair[1], text, 1, fds, 1, 0, &message), 1);
	CHECK_EQ(message.msg_flags, MSG_CTRUNC);
	CHECK_EQ(fcntl(fds[0], F_GETFD), 0);
	close(fds[0]);
	/* Nobody asks for them. */
	CHECK_EQ(send_descriptors(pair[0], "x", 1, &pipes[1], 1), 1);
	CHECK_EQ(read(pair[1], text, 1), 1);
	CHECK_EQ(send_descriptors(pair[0], "x", 1, &pipes[1], 1), 1);
	/* They go with a message that nobody receives. */
	close(pipes[1]);
	CHECK_EQ(events_of(pipes[0]), 0);
	close(pair[1]);
	CHECK_EQ(events_of(pipes[0]), POLLHUP);
	close(pipes[0]);
	FAILS(send_descriptors(pair[0], "x", 1, (int[]){ 9999 }, 1), EBADF);
	FAILS(send_descriptors(pair[0], "x", 1, (int[254]){ 0 }, 254), EINVAL);
	close(pair[0]);
}

TEST(descriptors_that_are_looked_at)
{
	struct msghdr message;
	int pair[2], fds[2], event = eventfd(3, 0);
	uint64_t value;
	char byte;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(send_descriptors(pair[0], "x", 1, &event, 1), 1);
	CHECK_EQ(receive_descriptors(pair[1], &byte, 1, fds, 1, MSG_PEEK, &message), 1);
	close(fds[0]);
	CHECK_EQ(receive_descriptors(pair[1], &byte, 1, fds, 1, 0, &message), 1);
	CHECK_EQ(read(fds[0], &value, sizeof(value)), sizeof(value));
	CHECK_EQ(value, 3);
	close(fds[0]);
	close(event);
	close(pair[0]);
	close(pair[1]);
}

static void *receive_connection(void *argument)
{
	struct msghdr message;
	int from = (int)(long)argument, fd;
	char byte;

	pin(core_of(1));
	CHECK_EQ(receive_descriptors(from, &byte, 1, &fd, 1, 0, &message), 1);
	CHECK_EQ(write(fd, "from afar", 9), 9);
	close(fd);
	return NULL;
}

TEST(a_connection_is_handed_to_another_thread)
{
	int channel[2], pair[2];
	pthread_t thread;
	char text[16];

	pin(0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pthread_create(&thread, NULL, receive_connection, (void *)(long)channel[1]);
	CHECK_EQ(send_descriptors(channel[0], "x", 1, &pair[1], 1), 1);
	close(pair[1]);
	CHECK_EQ(recv(pair[0], text, 9, MSG_WAITALL), 9);
	CHECK_EQ(memcmp(text, "from afar", 9), 0);
	CHECK_EQ(read(pair[0], text, 1), 0);
	pthread_join(thread, NULL);
	close(pair[0]);
	close(channel[0]);
	close(channel[1]);
}

/* Sockets in flight in each other's queues, many deep: their end must not be a deep recursion. */
TEST(a_long_chain_of_sockets_in_flight)
{
	int outer[2], inner[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, inner), 0);
	for (int i = 0; i < 300; i++) {
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, outer), 0);
		CHECK_EQ(send_descriptors(outer[0], "x", 1, inner, 2), 1);
		close(inner[0]);
		close(inner[1]);
		memcpy(inner, outer, sizeof(inner));
	}
	close(inner[0]);
	close(inner[1]);
}

TEST(credentials_travel)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { control.bytes, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct ucred credentials;
	struct cmsghdr *head;
	int pair[2], on = 1;
	char byte;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	CHECK_EQ(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	CHECK_EQ(option(pair[1], SO_PASSCRED), 1);
	CHECK_EQ(send(pair[0], "x", 1, 0), 1);
	iov.iov_base = &byte;
	message.msg_control = control.bytes;
	message.msg_controllen = sizeof(control.bytes);
	CHECK_EQ(recvmsg(pair[1], &message, 0), 1);
	head = CMSG_FIRSTHDR(&message);
	CHECK(head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS);
	CHECK_EQ(head->cmsg_len, CMSG_LEN(sizeof(credentials)));
	memcpy(&credentials, CMSG_DATA(head), sizeof(credentials));
	CHECK_EQ(credentials.pid, getpid());
	CHECK_EQ(credentials.gid, getgid());
	/* The same may be sent; another's may not. */
	message.msg_controllen = sizeof(control.bytes);
	CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
	head->cmsg_len = CMSG_LEN(sizeof(int));
	FAILS(sendmsg(pair[0], &message, 0), EINVAL);
	close(pair[0]);
	close(pair[1]);
}

TEST(control_data_that_makes_no_sense)
{
	union control control;
	struct iovec iov = { control.bytes, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = CMSG_SPACE(sizeof(int)) };
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	memset(&control, 0, sizeof(control));
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = 99;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	FAILS(sendmsg(pair[0], &message, 0), EINVAL);
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = 4;
	FAILS(sendmsg(pair[0], &message, 0), EINVAL);
	control.align.cmsg_len = 1000;
	FAILS(sendmsg(pair[0], &message, 0), EINVAL);
	/* Another layer's is passed over. */
	control.align.cmsg_level = 77;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
	close(pair[0]);
	close(pair[1]);
}

/* ---- signals ---- */

struct interrupted {
	int fd, other;
	bool restarts;
	int result, error;
};

static void nothing(int number)
{
	(void)number;
}

static void *wait_in_read(void *argument)
{
	struct interrupted *call = argument;
	char byte;

	errno = 0;
	call->result = (int)read(call->fd, &byte, 1);
	call->error = errno;
	return NULL;
}

static void *wait_in_sendmsg(void *argument)
{
	struct interrupted *call = argument;

	errno = 0;
	call->result = (int)send_descriptors(call->fd, "x", 1, &call->other, 1);
	call->error = errno;
	return NULL;
}

static void *wait_in_connect(void *argument)
{
	struct interrupted *call = argument;

	call->result = connect_to(call->fd, "lavra-slow");
	return NULL;
}

static void set_handler(bool restarts)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = restarts ? SA_RESTART : 0 };

	CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

static void interrupt(void *(*run)(void *), struct interrupted *call, int release_fd)
{
	pthread_t thread;

	set_handler(call->restarts);
	pthread_create(&thread, NULL, run, call);
	usleep(30000);
	pthread_kill(thread, SIGUSR1);
	if (release_fd >= 0) {
		usleep(30000);
		CHECK_EQ(write(release_fd, "r", 1), 1);
	}
	pthread_join(thread, NULL);
	signal(SIGUSR1, SIG_DFL);
}

TEST(signals_interrupt_waits)
{
	static char block[65536];
	struct interrupted call = { .restarts = false };
	int pair[2], listener, first;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	call.fd = pair[0];
	call.other = pair[1];
	interrupt(wait_in_read, &call, -1);
	CHECK_EQ(call.result, -1);
	CHECK_EQ(call.error, EINTR);
	call.restarts = true;
	interrupt(wait_in_read, &call, pair[1]);
	CHECK_EQ(call.result, 1);
	/* Descriptors that are not sent are let go. */
	call.restarts = false;
	while (send(pair[0], block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	interrupt(wait_in_sendmsg, &call, -1);
	CHECK_EQ(call.result, -1);
	CHECK_EQ(call.error, EINTR);
	close(pair[0]);
	close(pair[1]);

	listener = listening(SOCK_STREAM, "lavra-slow", 0);
	first = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(connect_to(first, "lavra-slow"), 0);
	call.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	interrupt(wait_in_connect, &call, -1);
	CHECK_EQ(call.result, -EINTR);
	close(call.fd);
	close(first);
	close(listener);
	check_total("files_in_flight", 0);
}

/* ---- nothing is left behind ---- */

static unsigned random_state;

static int some_socket(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

	return socket(AF_UNIX, types[next_number(&random_state) % 3] | SOCK_NONBLOCK, 0);
}

static void do_something(int *fds, unsigned count)
{
	int a = fds[next_number(&random_state) % count], b;
	struct sockaddr_un address;
	struct msghdr message;
	socklen_t length;
	char name[8], text[64];
	int pair[2], got[2];

	snprintf(name, sizeof(name), "any-%u", next_number(&random_state) % 4);
	length = abstract(&address, name);
	switch (next_number(&random_state) % 14) {
	case 0:
		bind(a, (struct sockaddr *)&address, length);
		break;
	case 1:
		listen(a, 3);
		break;
	case 2:
		connect(a, (struct sockaddr *)&address, length);
		break;
	case 3:
		b = accept4(a, NULL, NULL, SOCK_NONBLOCK);
		if (b >= 0 && dup2(b, fds[next_number(&random_state) % count]) >= 0)
			close(b);
		break;
	case 4:
		sendto(a, text, next_number(&random_state) % sizeof(text), MSG_NOSIGNAL,
		       (struct sockaddr *)&address, length);
		break;
	case 5:
	case 6:
		/* No sockets, which might end up in flight in nothing but each other. */
		b = eventfd(0, 0);
		send_descriptors(a, "x", 1, &b, 1);
		close(b);
		break;
	case 7:
		message.msg_flags = 0;
		if (recv(a, text, 1, MSG_PEEK) > 0) {
			unsigned n = receive_descriptors(a, text, 1, got, 2, 0, &message);

			for (unsigned i = 0; i < n; i++)
				close(got[i]);
		}
		break;
	case 8:
		read(a, text, sizeof(text));
		break;
	case 9:
		shutdown(a, (int)(next_number(&random_state) % 3));
		break;
	case 10:
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
		dup2(pair[0], a);
		dup2(pair[1], fds[next_number(&random_state) % count]);
		close(pair[0]);
		close(pair[1]);
		break;
	case 11:
		events_of(a);
		break;
	default:
		b = some_socket();
		dup2(b, a);
		close(b);
	}
}

TEST(anything_in_any_order_leaves_nothing_behind)
{
	long sockets = total("local_sockets"), in_flight = total("files_in_flight");
	long descriptors = total("descriptors");
	int ncores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	signal(SIGPIPE, SIG_IGN);
	random_state = 4711;
	for (int round = 0; round < 40; round++) {
		int fds[12];

		for (int i = 0; i < 12; i++)
			fds[i] = some_socket();
		for (int i = 0; i < 300; i++) {
			if (i % 50 == 0)
				pin((round + i / 50) % ncores);
			do_something(fds, 12);
		}
		for (int i = 0; i < 12; i++)
			close(fds[i]);
	}
	signal(SIGPIPE, SIG_DFL);
	check_total("descriptors", descriptors);
	check_total("local_sockets", sockets);
	check_total("files_in_flight", in_flight);
}
