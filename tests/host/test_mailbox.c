/*
 * Mailboxes, parcels and calls, step by step: this_core is a plain variable here, so one thread
 * plays all cores.
 * links: smp/mailbox.c smp/parcel.c smp/call.c
 */
#include "lavra/console.h"
#include "lavra/counters.h"
#include "smp/call.h"
#include "smp/core.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAPACITY 1023u

struct counters counters;
static unsigned ipis[4];

void arch_send_ipi(core_id_t core);
void arch_send_ipi(core_id_t core)
{
	ipis[core]++;
}

/* Mailboxes are made once and never freed: each test starts with all of this again. */
static char memory[4][32768] CACHE_ALIGNED;
static unsigned nmailboxes;

void *object_alloc_zeroed(size_t size);
void *object_alloc_zeroed(size_t size)
{
	assert_true(size <= sizeof(memory[0]) && nmailboxes < array_size(memory));
	return memset(memory[nmailboxes++], 0, size);
}

static unsigned order[4096];
static unsigned norder;

static void record(void *argument)
{
	order[norder++] = (unsigned)(uintptr_t)argument;
}

struct numbered {
	struct parcel parcel;
	unsigned number;
};

static void record_parcel(struct parcel *parcel)
{
	order[norder++] = container_of(parcel, struct numbered, parcel)->number;
}

static int set_up(void **state)
{
	(void)state;
	ncores = 4;
	for (core_id_t core = 0; core < 4; core++) {
		cores[core].online = true;
		ipis[core] = 0;
	}
	this_core = 0;
	norder = 0;
	nmailboxes = 0;
	return mailbox_init();
}

static void messages_arrive_in_order(void **state)
{
	(void)state;
	for (uintptr_t i = 0; i < 10; i++)
		assert_int_equal(mailbox_post(1, record, (void *)i), 0);
	assert_true(mailbox_is_empty());
	this_core = 1;
	assert_false(mailbox_is_empty());
	assert_int_equal(mailbox_drain(), 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(order[i], i);
	assert_true(mailbox_is_empty());
	assert_int_equal(ipis[1], 0);
}

static void a_full_mailbox_is_an_error(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CAPACITY; i++)
		assert_int_equal(mailbox_post(2, record, NULL), 0);
	assert_int_equal(mailbox_post(2, record, NULL), -ENOSPC);
	this_core = 2;
	assert_int_equal(mailbox_drain(), CAPACITY);
	assert_int_equal(mailbox_post(2, record, NULL), 0);
	assert_int_equal(mailbox_drain(), 1);
}

static void post_nothing(void *argument)
{
	(void)argument;
}

static void parcels_wait_in_the_outbox(void **state)
{
	static struct numbered parcels[CAPACITY + 10];

	(void)state;
	for (unsigned i = 0; i < array_size(parcels); i++) {
		parcel_init(&parcels[i].parcel, record_parcel);
		parcels[i].number = i;
		parcel_send(1, &parcels[i].parcel);
	}
	/* Waiting: not asleep, and nothing may overtake; another core's mailbox is not affected. */
	assert_false(mailbox_is_empty());
	assert_false(mailbox_prepare_sleep());
	assert_int_equal(mailbox_post(1, record, NULL), -ENOSPC);
	assert_int_equal(mailbox_post(3, post_nothing, NULL), 0);
	assert_int_equal(mailbox_drain(), 0);
	assert_false(mailbox_is_empty());

	/* The outbox is a plain variable here, too: this drain makes room and then flushes it. */
	this_core = 1;
	assert_int_equal(mailbox_drain(), CAPACITY);
	this_core = 0;
	assert_int_equal(mailbox_post(1, record, (void *)99), 0);
	assert_true(mailbox_is_empty());
	assert_true(mailbox_prepare_sleep());
	mailbox_awake();
	this_core = 1;
	assert_int_equal(mailbox_drain(), 11); /* and the message posted last */
	assert_int_equal(norder, array_size(parcels) + 1);
	for (unsigned i = 0; i < array_size(parcels); i++)
		assert_int_equal(order[i], i);
	assert_int_equal(order[array_size(parcels)], 99);
}

static void a_parcel_in_flight_is_not_sent_again(void **state)
{
	static struct numbered parcel;

	(void)state;
	parcel_init(&parcel.parcel, record_parcel);
	parcel_send(1, &parcel.parcel);
	expect_assert_failure(parcel_send(1, &parcel.parcel));
	this_core = 1;
	assert_int_equal(mailbox_drain(), 1);
	parcel_send(1, &parcel.parcel);
	assert_int_equal(mailbox_drain(), 1);
	assert_int_equal(norder, 2);
}

static void only_a_sleeper_is_interrupted_and_once(void **state)
{
	(void)state;
	mailbox_post(1, record, NULL);
	assert_int_equal(ipis[1], 0);
	this_core = 1;
	assert_false(mailbox_prepare_sleep());
	mailbox_drain();
	assert_true(mailbox_prepare_sleep());
	this_core = 0;
	mailbox_post(1, record, NULL);
	mailbox_post(1, record, NULL);
	assert_int_equal(ipis[1], 1);
	this_core = 1;
	mailbox_awake();
	assert_int_equal(mailbox_drain(), 2);
	this_core = 0;
	mailbox_post(1, record, NULL);
	assert_int_equal(ipis[1], 1);
}

static void post_to_self(void *argument)
{
	norder++;
	mailbox_post(this_core, post_to_self, argument);
}

static void a_drain_ends_though_handlers_post(void **state)
{
	(void)state;
	mailbox_post(0, post_to_self, NULL);
	assert_int_equal(mailbox_drain(), CAPACITY + 1);
	assert_int_equal(norder, CAPACITY + 1);
}

static long twice(void *argument)
{
	return 2 * (long)(intptr_t)argument;
}

/* Waiting, with the one thread playing the other core meanwhile. */
static int prepared, blocked, woken;

static bool is_away(core_id_t core)
{
	return core % 2;
}

static void *prepare(void)
{
	prepared++;
	return &prepared;
}

static void block(void)
{
	core_id_t caller = this_core;

	blocked++;
	this_core = 3;
	mailbox_drain();
	this_core = caller;
}

static void wake(void *thread)
{
	assert_ptr_equal(thread, &prepared);
	woken++;
}

static void a_call_brings_the_result_back(void **state)
{
	static const struct smp_blocking blocking = { prepare, block, wake, is_away };

	(void)state;
	assert_int_equal(core_call(0, twice, (void *)21), 42); /* plain, on this core */
	assert_int_equal(prepared, 0);
	smp_set_blocking(&blocking);
	assert_int_equal(core_call(3, twice, (void *)4), 8);
	assert_int_equal(prepared, 1);
	assert_int_equal(blocked, 1);
	assert_int_equal(woken, 1);
	smp_set_blocking(NULL);
	cores[3].online = false;
	expect_assert_failure(core_call(3, twice, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(messages_arrive_in_order, set_up),
		cmocka_unit_test_setup(a_full_mailbox_is_an_error, set_up),
		cmocka_unit_test_setup(parcels_wait_in_the_outbox, set_up),
		cmocka_unit_test_setup(a_parcel_in_flight_is_not_sent_again, set_up),
		cmocka_unit_test_setup(only_a_sleeper_is_interrupted_and_once, set_up),
		cmocka_unit_test_setup(a_drain_ends_though_handlers_post, set_up),
		cmocka_unit_test_setup(a_call_brings_the_result_back, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
