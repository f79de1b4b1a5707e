/*
 * Lists of cores, placement of threads, and what a changed affinity does to a thread.
 *
 * links: sched/affinity.c
 */
#include "sched/affinity.h"
#include "sched/run_queue.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The rest of the scheduler, as far as affinity.c sees it. */
CORE_LOCAL struct thread *current;
static struct thread self = { .tid = 1, .magic = THREAD_MAGIC };
static struct thread other = { .tid = 2, .magic = THREAD_MAGIC };
static struct thread *pushed, *removed, *parcelled;
static core_id_t parcelled_to, interrupted;
static void (*posted)(void *);
static void *posted_argument;

struct thread *thread_find(int tid)
{
	return tid == 1 ? &self : tid == 2 ? &other : NULL;
}

void run_queue_push_back(struct thread *thread)
{
	pushed = thread;
}

void run_queue_remove(struct thread *thread)
{
	thread->queued = false;
	removed = thread;
}

void parcel_send(core_id_t core, struct parcel *parcel)
{
	parcelled = container_of(parcel, struct thread, move_parcel);
	parcelled_to = core;
}

int mailbox_post(core_id_t core, void (*handler)(void *), void *argument)
{
	posted = handler;
	posted_argument = argument;
	return 0;
}

void arch_send_ipi(core_id_t core)
{
	interrupted = core;
}

void leave_core(void (*act)(struct thread *, core_id_t), core_id_t argument)
{
	struct thread *leaver = current;

	current = NULL; /* the idle thread */
	act(leaver, argument);
	current = leaver;
}

static int setup(void **state)
{
	ncores = 4;
	for (unsigned i = 0; i < ncores; i++)
		cores[i].online = true;
	current = &self;
	this_core = 0;
	self.core = other.core = 0;
	self.affinity = other.affinity = all_cores_mask();
	self.affinity_set = other.affinity_set = other.queued = false;
	pushed = removed = parcelled = NULL;
	posted = NULL;
	interrupted = MAX_CORES;
	return 0;
}

static uint64_t parsed(const char *text)
{
	uint64_t mask = 0;

	assert_null(affinity_parse(text, &mask));
	return mask;
}

static void takes_lists(void **state)
{
	assert_int_equal(parsed("0"), 1);
	assert_int_equal(parsed("0,2-3"), 0xd);
	assert_int_equal(parsed("63"), 1ull << 63);
	assert_int_equal(parsed("0-63"), ~0ull);
	assert_int_equal(parsed("5,5,5-5"), 1 << 5);
	assert_int_equal(parsed("07"), 1 << 7);
}

static void refuses_what_is_not_a_list(void **state)
{
	static const char *const bad[] = { "",
					   ",",
					   "0,",
					   ",0",
					   "-",
					   "1-",
					   "-1",
					   "3-2",
					   "64",
					   "0-64",
					   "a",
					   "0 1",
					   "1-2-3",
					   "1--2",
					   "0,,1",
					   "0x1",
					   "99999999999999999999" };

	for (unsigned i = 0; i < array_size(bad); i++) {
		uint64_t mask = 0x5a;

		if (!affinity_parse(bad[i], &mask))
			fail_msg("\"%s\" was taken as %#lx", bad[i], (unsigned long)mask);
		assert_int_equal(mask, 0x5a);
	}
}

static void places_on_the_least_loaded_allowed_core(void **state)
{
	/* Nothing anywhere: the next one after the creator's, round and round. */
	assert_int_equal(core_choose(~0ull, 0), 1);
	assert_int_equal(core_choose(~0ull, 3), 0);
	core_load_add(1, 1);
	assert_int_equal(core_choose(~0ull, 0), 2);
	assert_int_equal(core_choose(1 << 1, 0), 1);
	core_load_add(2, 2);
	core_load_add(3, 2);
	core_load_add(0, 2);
	assert_int_equal(core_choose(~0ull, 0), 1);
	assert_int_equal(core_choose(0xc, 0), 2);
	cores[2].online = false;
	assert_int_equal(core_choose(0xc, 0), 3);
	core_load_add(1, -1);
	core_load_add(2, -2);
	core_load_add(3, -2);
	core_load_add(0, -2);
}

static void says_what_linux_says(void **state)
{
	assert_int_equal(thread_set_affinity(0, 0), -EINVAL);
	assert_int_equal(thread_set_affinity(0, 1 << 4), -EINVAL);
	assert_int_equal(thread_set_affinity(3, 1), -ESRCH);
	assert_int_equal(self.affinity, 0xf);
	assert_int_equal(thread_set_affinity(0, ~0ull), 0);
	assert_int_equal(thread_affinity(1), 0xf);
	assert_int_equal(thread_affinity(3), 0);
	assert_false(self.affinity_set);
	assert_int_equal(thread_set_affinity(1, 0x13), 0);
	assert_int_equal(thread_affinity(0), 0x3);
	assert_true(self.affinity_set);
}

static void the_caller_moves_itself_at_once(void **state)
{
	assert_int_equal(thread_set_affinity(0, 1 << 2), 0);
	assert_ptr_equal(parcelled, &self);
	assert_int_equal(parcelled_to, 2);
	assert_int_equal(self.core, 2);
}

static void a_queued_thread_is_sent_by_its_core(void **state)
{
	other.core = 3;
	other.queued = true;
	assert_int_equal(thread_set_affinity(2, 1 << 1), 0);
	assert_int_equal(interrupted, 3);
	assert_null(parcelled);
	/* There: */
	this_core = 3;
	posted(posted_argument);
	assert_ptr_equal(removed, &other);
	assert_ptr_equal(parcelled, &other);
	assert_int_equal(parcelled_to, 1);
}

static void a_blocked_thread_stays_until_it_wakes(void **state)
{
	other.core = 3;
	assert_int_equal(thread_set_affinity(2, 1 << 1), 0);
	this_core = 3;
	posted(posted_argument);
	assert_null(removed);
	assert_null(parcelled);
	assert_int_equal(other.core, 3);
}

static void nobody_is_told_when_the_core_is_still_allowed(void **state)
{
	other.core = 3;
	assert_int_equal(thread_set_affinity(2, 0xc), 0);
	assert_null(posted);
	assert_int_equal(interrupted, MAX_CORES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(takes_lists, setup),
		cmocka_unit_test_setup(refuses_what_is_not_a_list, setup),
		cmocka_unit_test_setup(places_on_the_least_loaded_allowed_core, setup),
		cmocka_unit_test_setup(says_what_linux_says, setup),
		cmocka_unit_test_setup(the_caller_moves_itself_at_once, setup),
		cmocka_unit_test_setup(a_queued_thread_is_sent_by_its_core, setup),
		cmocka_unit_test_setup(a_blocked_thread_stays_until_it_wakes, setup),
		cmocka_unit_test_setup(nobody_is_told_when_the_core_is_still_allowed, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
