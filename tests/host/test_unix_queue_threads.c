/*
 * Inboxes and accounts of local sockets under contention: threads push, one takes and at some time
 * closes; nothing is lost, nothing comes twice or out of order, and each account ends exactly once.
 * links: posix/socket/unix_queue.c
 */
#include "posix/socket/unix_queue.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SENDERS 3u
#define MESSAGES 20000u

struct sender {
	struct unix_account account; /* first */
	struct unix_inbox *inbox;
	unsigned number;
	unsigned delivered; /* how many the inbox took */
	unsigned ended; /* how often its account did; atomic */
	unsigned next; /* the receiver's */
};

static void drop(struct sender *sender, uint32_t bytes)
{
	if (account_drop(&sender->account, bytes))
		__atomic_fetch_add(&sender->ended, 1, __ATOMIC_RELAXED);
}

static void drop_message(struct unix_message *message)
{
	struct sender *sender = container_of(message->sender, struct sender, account);
	uint32_t charge = message->charge;

	free(message);
	drop(sender, charge);
}

static void *send_all(void *argument)
{
	struct sender *sender = argument;

	for (unsigned i = 0; i < MESSAGES; i++) {
		struct unix_message *message = malloc(sizeof(*message));

		message->sender = &sender->account;
		message->charge = 10 + i % 5;
		message->length = i;
		account_hold(&sender->account, message->charge);
		if (!inbox_push(sender->inbox, message)) {
			drop_message(message);
			break;
		}
		sender->delivered++;
		if (i % 64 == 0)
			sched_yield();
	}
	drop(sender, 0);
	return NULL;
}

static void start(struct sender *senders, pthread_t *threads, struct unix_inbox *inbox)
{
	inbox_init(inbox);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .inbox = inbox, .number = i };
		account_init(&senders[i].account);
		assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
	}
}

static void check_order(struct unix_message *message)
{
	struct sender *sender = container_of(message->sender, struct sender, account);

	assert_int_equal(message->length, sender->next);
	sender->next++;
}

static void everything_arrives_in_order(void **state)
{
	static struct sender senders[SENDERS];
	pthread_t threads[SENDERS];
	struct unix_inbox inbox;

	start(senders, threads, &inbox);
	for (unsigned taken = 0; taken < SENDERS * MESSAGES;) {
		struct unix_message *message = inbox_first(&inbox);

		if (!message) {
			sched_yield();
			continue;
		}
		check_order(message);
		inbox_remove_first(&inbox);
		drop_message(message);
		taken++;
	}
	assert_null(inbox_first(&inbox));
	assert_null(inbox_close(&inbox));
	for (unsigned i = 0; i < SENDERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(senders[i].delivered, MESSAGES);
		assert_int_equal(senders[i].account.word, 0);
		assert_int_equal(senders[i].ended, 1);
	}
}

static void closing_loses_nothing(void **state)
{
	for (unsigned round = 0; round < 30; round++) {
		static struct sender senders[SENDERS];
		pthread_t threads[SENDERS];
		struct unix_inbox inbox;
		struct unix_message *left;

		start(senders, threads, &inbox);
		for (unsigned taken = 0; taken < round * 200;) {
			struct unix_message *message = inbox_first(&inbox);

			if (!message)
				continue;
			check_order(message);
			inbox_remove_first(&inbox);
			drop_message(message);
			taken++;
		}
		left = inbox_close(&inbox);
		while (left) {
			struct unix_message *next = left->next;

			check_order(left);
			drop_message(left);
			left = next;
		}
		for (unsigned i = 0; i < SENDERS; i++) {
			pthread_join(threads[i], NULL);
			/* What was taken is what was delivered. */
			assert_int_equal(senders[i].next, senders[i].delivered);
			assert_int_equal(senders[i].account.word, 0);
			assert_int_equal(senders[i].ended, 1);
			assert_false(account_try_hold(&senders[i].account));
		}
		assert_false(inbox_append(&inbox, &unix_inbox_closed));
	}
}

/* The sender is now here and now there: its messages stay in order. */
static void both_ways_into_an_inbox_keep_the_order(void **state)
{
	struct unix_message messages[8], *list;
	struct unix_inbox inbox;

	inbox_init(&inbox);
	for (unsigned i = 0; i < 8; i++) {
		messages[i].length = i;
		if (i % 3 == 2)
			assert_true(inbox_append(&inbox, &messages[i]));
		else
			assert_true(inbox_push(&inbox, &messages[i]));
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_ptr_equal(inbox_first(&inbox), &messages[i]);
		inbox_remove_first(&inbox);
	}
	list = inbox_empty(&inbox);
	for (unsigned i = 4; i < 8; i++, list = list->next)
		assert_ptr_equal(list, &messages[i]);
	assert_null(list);
	assert_true(inbox_push(&inbox, &messages[0]));
	assert_ptr_equal(inbox_first(&inbox), &messages[0]);
	assert_ptr_equal(inbox_close(&inbox), &messages[0]);
	assert_null(inbox_first(&inbox));
	assert_false(inbox_push(&inbox, &messages[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_arrives_in_order),
		cmocka_unit_test(closing_loses_nothing),
		cmocka_unit_test(both_ways_into_an_inbox_keep_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
