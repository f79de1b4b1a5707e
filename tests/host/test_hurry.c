/*
 * Who is interrupted for a message, and when: this core posts, and what other cores have done since is
 * set by the test.
 *
 * links: sched/hurry.c
 */
#include "sched/run_queue.h"
#include "smp/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define AWAY_NS (100 * NS_PER_US)

CORE_LOCAL uint64_t poll_ns;
CORE_LOCAL uint64_t mailbox_posted_to;

static uint64_t passes[4]; /* each core's last */
static bool sleeps[4];
static unsigned interrupts[4];
static uint64_t now;

void *window_address_of(core_id_t core, const void *variable)
{
	assert_ptr_equal(variable, &poll_ns);
	return &passes[core];
}

bool mailbox_owner_sleeps(core_id_t core)
{
	return sleeps[core];
}

uint64_t clock_ns(void)
{
	return now;
}

void arch_send_ipi(core_id_t core)
{
	interrupts[core]++;
}

static int set_up(void **state)
{
	(void)state;
	memset(sleeps, 0, sizeof(sleeps));
	memset(interrupts, 0, sizeof(interrupts));
	now += NS_PER_S;
	for (int i = 0; i < 4; i++)
		passes[i] = now;
	mailbox_posted_to = addressees = 0;
	return 0;
}

/* As core_poll() begins. */
static void pass(uint64_t later_ns)
{
	now += later_ns;
	poll_ns = passes[0] = now;
	if (mailbox_posted_to | addressees)
		hurry_addressees();
}

static void who_looks_is_left_alone(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		mailbox_posted_to |= 2;
		pass(10 * NS_PER_US);
		passes[1] = now;
	}
	assert_int_equal(interrupts[1], 0);
}

static void who_computes_is_interrupted_once(void **state)
{
	(void)state;
	mailbox_posted_to |= 2 | 4;
	pass(10);
	passes[2] = now + 1;
	for (int i = 0; i < 9; i++)
		pass(10 * NS_PER_US);
	assert_int_equal(interrupts[1], 0);
	for (int i = 0; i < 50; i++)
		pass(10 * NS_PER_US);
	assert_int_equal(interrupts[1], 1);
	assert_int_equal(interrupts[2], 0);
	assert_int_equal(interrupts[3], 0);
}

/* What is posted while an earlier message is waited for has its own time. */
static void later_messages_are_not_forgotten(void **state)
{
	(void)state;
	mailbox_posted_to |= 2;
	pass(10);
	mailbox_posted_to |= 8;
	pass(AWAY_NS / 2);
	pass(AWAY_NS);
	assert_int_equal(interrupts[1], 1);
	assert_int_equal(interrupts[3], 0);
	pass(AWAY_NS + 1);
	assert_int_equal(interrupts[1], 1);
	assert_int_equal(interrupts[3], 1);
	assert_int_equal(mailbox_posted_to | addressees, 0);
}

static void before_a_halt_it_is_known_when_to_look(void **state)
{
	(void)state;
	assert_true(hurry_next() == UINT64_MAX);
	now += 5;
	mailbox_posted_to |= 2 | 4;
	sleeps[2] = true;
	assert_true(hurry_next() == now + AWAY_NS);
	pass(AWAY_NS + 1);
	assert_int_equal(interrupts[1], 1);
	assert_int_equal(interrupts[2], 0);
	assert_true(hurry_next() == UINT64_MAX);
	/* Who has looked in the meantime needs no other look. */
	mailbox_posted_to |= 2;
	assert_true(hurry_next() == now + AWAY_NS);
	passes[1] = now;
	assert_true(hurry_next() == UINT64_MAX);
}

static void absence_is_told_once(void **state)
{
	(void)state;
	assert_false(core_is_away(1));
	now += AWAY_NS + 1;
	assert_true(core_is_away(1));
	assert_false(core_is_away(1));
	assert_true(core_is_away(2));
	passes[1] = now;
	assert_false(core_is_away(1));
	now += AWAY_NS + 1;
	assert_true(core_is_away(1));
	sleeps[3] = true;
	assert_false(core_is_away(3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_looks_is_left_alone, set_up),
		cmocka_unit_test_setup(who_computes_is_interrupted_once, set_up),
		cmocka_unit_test_setup(later_messages_are_not_forgotten, set_up),
		cmocka_unit_test_setup(before_a_halt_it_is_known_when_to_look, set_up),
		cmocka_unit_test_setup(absence_is_told_once, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
