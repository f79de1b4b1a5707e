/* POSIX message queues; the conformance suite has more (tests/conformance). */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES 3000

static mqd_t open_queue(const char *name, int flags, long messages, long bytes)
{
	struct mq_attr attributes = { .mq_maxmsg = messages, .mq_msgsize = bytes };

	return mq_open(name, flags, 0600, &attributes);
}

TEST(messages_come_by_priority_and_then_by_age)
{
	mqd_t queue = open_queue("/order", O_RDWR | O_CREAT | O_EXCL, 8, 16);
	static const struct {
		const char *text;
		unsigned priority;
	} sent[] = { { "a1", 1 }, { "b5", 5 }, { "c1", 1 }, { "d9", 9 }, { "e5", 5 } };
	static const char *const order[] = { "d9", "b5", "e5", "a1", "c1" };
	struct mq_attr attributes;
	char text[16];
	unsigned priority;

	CHECK(queue >= 0);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(mq_send(queue, sent[i].text, 3, sent[i].priority), 0);
	CHECK_EQ(mq_getattr(queue, &attributes), 0);
	CHECK_EQ(attributes.mq_curmsgs, 5);
	CHECK_EQ(attributes.mq_maxmsg, 8);
	CHECK_EQ(mq_receive(queue, text, 15, NULL), -1);
	CHECK_EQ(errno, EMSGSIZE);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(mq_receive(queue, text, 16, &priority), 3);
		CHECK_EQ(strcmp(text, order[i]), 0);
		CHECK_EQ(priority, order[i][1] - '0');
	}
	CHECK_EQ(mq_unlink("/order"), 0);
	CHECK_EQ(mq_unlink("/order"), -1);
	CHECK_EQ(errno, ENOENT);
	/* An unlinked queue lives on until it is closed. */
	CHECK_EQ(mq_send(queue, "x", 1, 0), 0);
	CHECK_EQ(mq_close(queue), 0);
	CHECK_EQ(mq_open("/order", O_RDWR), -1);
	CHECK_EQ(errno, ENOENT);
}

TEST(a_queue_refuses_what_it_cannot_take)
{
	mqd_t queue = open_queue("/refuse", O_RDWR | O_CREAT | O_NONBLOCK, 1, 4);
	struct timespec past = { 0 }, bad = { .tv_nsec = -1 };
	char text[4];
	mqd_t reader;

	CHECK(queue >= 0);
	CHECK_EQ(mq_send(queue, "12345", 5, 0), -1);
	CHECK_EQ(errno, EMSGSIZE);
	CHECK_EQ(mq_send(queue, "1", 1, 40000), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(mq_receive(queue, text, 4, NULL), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(mq_send(queue, "1", 1, 0), 0);
	CHECK_EQ(mq_send(queue, "2", 1, 0), -1);
	CHECK_EQ(errno, EAGAIN);
	reader = mq_open("/refuse", O_RDONLY);
	CHECK_EQ(mq_send(reader, "1", 1, 0), -1);
	CHECK_EQ(errno, EBADF);
	CHECK_EQ(mq_receive(reader, text, 4, NULL), 1);
	CHECK_EQ(mq_timedreceive(reader, text, 4, NULL, &past), -1);
	CHECK_EQ(errno, ETIMEDOUT);
	CHECK_EQ(mq_timedreceive(reader, text, 4, NULL, &bad), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(open_queue("/refuse", O_RDWR | O_CREAT | O_EXCL, 1, 4), -1);
	CHECK_EQ(errno, EEXIST);
	CHECK_EQ(open_queue("/new", O_RDWR | O_CREAT, 0, 4), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(mq_close(reader), 0);
	CHECK_EQ(mq_close(queue), 0);
	CHECK_EQ(mq_unlink("/refuse"), 0);
}

static void *send_numbers(void *argument)
{
	mqd_t queue = mq_open(argument, O_WRONLY);

	for (int i = 0; i < MESSAGES; i++)
		if (mq_send(queue, (char *)&i, sizeof(i), 0) != 0)
			return "a send failed";
	mq_close(queue);
	return NULL;
}

TEST(threads_send_and_receive_through_a_short_queue)
{
	mqd_t queue = open_queue("/threads", O_RDONLY | O_CREAT, 2, sizeof(int));
	pthread_t senders[2];
	long sum = 0;
	int number;

	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&senders[i], NULL, send_numbers, "/threads"), 0);
	for (int i = 0; i < 2 * MESSAGES; i++) {
		CHECK_EQ(mq_receive(queue, (char *)&number, sizeof(number), NULL), sizeof(number));
		sum += number;
	}
	for (int i = 0; i < 2; i++) {
		void *result;

		pthread_join(senders[i], &result);
		CHECK(result == NULL);
	}
	CHECK_EQ(sum, (long)MESSAGES * (MESSAGES - 1));
	CHECK_EQ(mq_close(queue), 0);
	CHECK_EQ(mq_unlink("/threads"), 0);
}

static volatile int notified;

static void on_notify(int number, siginfo_t *info, void *context)
{
	notified = info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

TEST(mq_notify_tells_once_of_a_message_in_an_empty_queue)
{
	mqd_t queue = open_queue("/notify", O_RDWR | O_CREAT, 4, 4);
	struct sigaction action = { .sa_sigaction = on_notify, .sa_flags = SA_SIGINFO };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };

	event.sigev_value.sival_int = 17;
	sigaction(SIGUSR1, &action, NULL);
	notified = 0;
	CHECK_EQ(mq_notify(queue, &event), 0);
	CHECK_EQ(mq_notify(queue, &event), -1);
	CHECK_EQ(errno, EBUSY);
	CHECK_EQ(mq_send(queue, "1", 1, 0), 0);
	for (int i = 0; i < 1000 && !notified; i++)
		usleep(1000);
	CHECK_EQ(notified, 17);
	notified = 0;
	CHECK_EQ(mq_send(queue, "2", 1, 0), 0);
	usleep(20000);
	CHECK_EQ(notified, 0);
	CHECK_EQ(mq_notify(queue, &event), 0);
	CHECK_EQ(mq_notify(queue, NULL), 0);
	CHECK_EQ(mq_close(queue), 0);
	CHECK_EQ(mq_unlink("/notify"), 0);
	signal(SIGUSR1, SIG_DFL);
}
