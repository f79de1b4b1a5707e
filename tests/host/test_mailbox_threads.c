/*
 * Mailboxes under contention: each thread is a core; halting is waiting for a condition that an
 * interrupt sets, as `sti; hlt` waits for one that may already be pending.
 * links: smp/mailbox.c smp/parcel.c smp/call.c
 */
#include "lavra/counters.h"
#include "smp/call.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define NTHREADS 4u

CORE_LOCAL struct counters counters;

/* A core's halt. */
static struct halt {
	pthread_mutex_t lock;
	pthread_cond_t interrupted;
	bool pending;
	unsigned interrupts;
} halts[NTHREADS];

void arch_send_ipi(core_id_t core);
void arch_send_ipi(core_id_t core)
{
	struct halt *halt = &halts[core];

	pthread_mutex_lock(&halt->lock);
	halt->pending = true;
	halt->interrupts++;
	pthread_cond_signal(&halt->interrupted);
	pthread_mutex_unlock(&halt->lock);
}

static void fail_here(const char *what)
{
	fprintf(stderr, "core %u: %s\n", this_core, what);
	abort();
}

static void wait_for_interrupt(void)
{
	struct halt *halt = &halts[this_core];
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 60;
	pthread_mutex_lock(&halt->lock);
	while (!halt->pending)
		if (pthread_cond_timedwait(&halt->interrupted, &halt->lock, &limit) != 0)
			fail_here("halted and nobody interrupted: a wake-up is lost");
	halt->pending = false;
	pthread_mutex_unlock(&halt->lock);
}

/* As the idle loop does it. */
static void sleep_until_message(void)
{
	static __thread unsigned moments;

	if (mailbox_drain() > 0)
		return;
	/* Of different length each time, so that messages arrive in it. */
	for (unsigned i = 0; i < (moments & 255); i++)
		__asm__ volatile("pause");
	moments += 37;
	if (mailbox_prepare_sleep())
		wait_for_interrupt();
	mailbox_awake();
}

void *object_alloc_zeroed(size_t size);
void *object_alloc_zeroed(size_t size)
{
	void *object = aligned_alloc(CACHE_LINE, align_up(size, (size_t)CACHE_LINE));

	return object ? memset(object, 0, size) : NULL;
}

static void run_on_all(void *(*function)(void *))
{
	pthread_t threads[NTHREADS];

	ncores = NTHREADS;
	assert_int_equal(mailbox_init(), 0);
	for (uintptr_t i = 0; i < NTHREADS; i++) {
		cores[i].online = true;
		halts[i] = (struct halt){ .lock = PTHREAD_MUTEX_INITIALIZER,
					  .interrupted = PTHREAD_COND_INITIALIZER };
	}
	for (uintptr_t i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, function, (void *)i), 0);
	for (unsigned i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- every message arrives once, those of one poster in order ---- */

#define MESSAGES 2000u

struct letter { /* plain data: the ring alone orders it */
	core_id_t from;
	unsigned number;
};

static unsigned expected[NTHREADS][NTHREADS]; /* [receiver][poster], touched by the receiver */

static void receive_letter(void *argument)
{
	struct letter *letter = argument;

	if (letter->number != expected[this_core][letter->from])
		fail_here("a message is lost, doubled or out of order");
	expected[this_core][letter->from]++;
	free(letter);
}

static bool all_received(void)
{
	for (unsigned from = 0; from < NTHREADS; from++)
		if (from != this_core && expected[this_core][from] != MESSAGES)
			return false;
	return true;
}

static void *exchange_letters(void *argument)
{
	unsigned sent[NTHREADS] = { 0 };
	unsigned to;

	this_core = (core_id_t)(uintptr_t)argument;
	for (unsigned i = 0; i < (NTHREADS - 1) * MESSAGES; i++) {
		struct letter *letter = malloc(sizeof(*letter));

		to = (this_core + 1 + i % (NTHREADS - 1)) % NTHREADS;
		*letter = (struct letter){ this_core, sent[to]++ };
		while (mailbox_post(to, receive_letter, letter) == -ENOSPC) {
			mailbox_drain();
			sched_yield();
		}
	}
	while (!all_received())
		sleep_until_message();
	return NULL;
}

static void messages_arrive_once_and_in_order(void **state)
{
	(void)state;
	memset(expected, 0, sizeof(expected));
	run_on_all(exchange_letters);
}

/* ---- no wake-up is lost: everybody sleeps most of the time ---- */

#define ROUNDS 2000u

static unsigned tokens[NTHREADS];

static void receive_token(void *argument)
{
	(void)argument;
	tokens[this_core]++;
}

/* One token goes round: each core sleeps until it comes, and only the one that has it is awake. */
static void *pass_token(void *argument)
{
	this_core = (core_id_t)(uintptr_t)argument;
	for (unsigned round = 0; round < ROUNDS; round++) {
		while (tokens[this_core] == round)
			sleep_until_message();
		if (this_core == NTHREADS - 1 && round == ROUNDS - 1)
			break;
		/* Now and then a moment later, to hit each step of the receiver falling asleep. */
		for (unsigned i = 0; i < round % 64; i++)
			__asm__ volatile("pause");
		if (mailbox_post((this_core + 1) % NTHREADS, receive_token, NULL) != 0)
			fail_here("a mailbox with one message is full");
	}
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	unsigned interrupts = 0;

	(void)state;
	memset(tokens, 0, sizeof(tokens));
	tokens[0] = 1; /* core 0 starts */
	run_on_all(pass_token);
	for (unsigned i = 0; i < NTHREADS; i++)
		interrupts += halts[i].interrupts;
	assert_true(interrupts > 0);
	assert_true(interrupts <= ROUNDS * NTHREADS);
}

/* ---- parcels through full mailboxes ---- */

#define PARCELS 1500u

struct numbered {
	struct parcel parcel;
	core_id_t from;
	unsigned number;
};

static struct numbered parcels[NTHREADS][PARCELS];
static unsigned senders_done;

static void receive_parcel(struct parcel *parcel)
{
	struct numbered *numbered = container_of(parcel, struct numbered, parcel);

	if (numbered->number != expected[0][numbered->from])
		fail_here("a parcel is lost, doubled or out of order");
	expected[0][numbered->from]++;
}

static bool all_parcels_received(void)
{
	for (unsigned from = 1; from < NTHREADS; from++)
		if (expected[0][from] != PARCELS)
			return false;
	return true;
}

static void *flood_core_0(void *argument)
{
	this_core = (core_id_t)(uintptr_t)argument;
	if (this_core == 0) {
		while (!all_parcels_received())
			sleep_until_message();
		return NULL;
	}
	for (unsigned i = 0; i < PARCELS; i++) {
		struct numbered *numbered = &parcels[this_core][i];

		parcel_init(&numbered->parcel, receive_parcel);
		numbered->from = this_core;
		numbered->number = i;
		parcel_send(0, &numbered->parcel);
	}
	while (!mailbox_is_empty()) { /* until the outbox is */
		mailbox_drain();
		sched_yield();
	}
	__atomic_fetch_add(&senders_done, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void parcels_survive_full_mailboxes(void **state)
{
	(void)state;
	memset(expected, 0, sizeof(expected));
	senders_done = 0;
	run_on_all(flood_core_0);
	assert_int_equal(senders_done, NTHREADS - 1);
}

/* ---- calls, everybody to everybody ---- */

#define CALLS 300u

static unsigned long sums[NTHREADS]; /* touched by its core only */
static unsigned finished;

static long add_on_core(void *argument)
{
	unsigned long value = *(unsigned long *)argument;

	sums[this_core] += value;
	return (long)(value * 2 + this_core);
}

static void finish(void *argument)
{
	(void)argument;
}

static void *call_everybody(void *argument)
{
	this_core = (core_id_t)(uintptr_t)argument;
	for (unsigned long i = 0; i < CALLS; i++) {
		core_id_t to = (this_core + (unsigned)i) % NTHREADS;

		if (core_call(to, add_on_core, &i) != (long)(i * 2 + to))
			fail_here("a call returned another's result");
	}
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
	for (core_id_t core = 0; core < NTHREADS; core++)
		mailbox_post(core, finish, NULL); /* look again */
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < NTHREADS)
		sleep_until_message();
	return NULL;
}

/* A thread per core: the waiting thread is its core's number, and while it waits its core polls. */
static unsigned wakes[NTHREADS];

static bool is_away(core_id_t core)
{
	return core % 2;
}

static void *prepare(void)
{
	wakes[this_core] = 0;
	return &wakes[this_core];
}

static void woken(void *argument)
{
	++*(unsigned *)argument;
}

static void wake(void *thread)
{
	core_id_t core = (core_id_t)((unsigned *)thread - wakes);

	while (mailbox_post(core, woken, thread) == -ENOSPC)
		sched_yield();
}

static void block(void)
{
	while (wakes[this_core] == 0)
		sleep_until_message();
	if (wakes[this_core] != 1)
		fail_here("woken more than once");
}

static void check_calls(void)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < NTHREADS; i++)
		sum += sums[i];
	assert_int_equal(sum, NTHREADS * ((unsigned long)CALLS * (CALLS - 1) / 2));
}

static void calls_that_poll_do_not_deadlock(void **state)
{
	(void)state;
	memset(sums, 0, sizeof(sums));
	finished = 0;
	smp_set_blocking(NULL);
	run_on_all(call_everybody);
	check_calls();
}

static void calls_that_block_are_woken_once(void **state)
{
	static const struct smp_blocking blocking = { prepare, block, wake, is_away };

	(void)state;
	memset(sums, 0, sizeof(sums));
	finished = 0;
	smp_set_blocking(&blocking);
	run_on_all(call_everybody);
	check_calls();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive_once_and_in_order),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(parcels_survive_full_mailboxes),
		cmocka_unit_test(calls_that_poll_do_not_deadlock),
		cmocka_unit_test(calls_that_block_are_woken_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
