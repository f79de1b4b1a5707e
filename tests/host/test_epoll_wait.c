/*
 * epoll_wait() on a core where neither the set is nor its files. One thread plays three cores; what is
 * under way between them arrives, or does not, at each moment where the caller lets its core do other
 * work. A caller that goes on waiting when nothing is under way any more has lost its wake-up.
 *
 * links: tests/host/fake_cores.c tests/host/host_object.c posix/event/epoll.c posix/event/epoll_calls.c
 * links: posix/event/epoll_nesting.c posix/file/fd_table.c posix/file/file.c
 */
#include "tests/host/fake_cores.h"

#include "posix/file/file.h"
#include "sched/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define FILES 3

enum { SET_CORE, FILE_CORE, CALLER_CORE };

long sys_epoll_create1(int flags);
long sys_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
long sys_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms);

/* ---- the machine ---- */

static unsigned random_state;

static unsigned pick(unsigned n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 10) % n;
}

static void some_arrive(void)
{
	for (unsigned n = pick(4); n; n--)
		deliver_one(pick(CORES));
	this_core = CALLER_CORE;
}

static struct thread caller;
CORE_LOCAL struct thread *current = &caller;

bool core_poll(void)
{
	some_arrive();
	return false;
}

void thread_prepare_block(void)
{
	caller.woken = false;
	some_arrive();
}

bool thread_block(uint64_t deadline_ns)
{
	while (!caller.woken) {
		bool arrived = false;

		for (core_id_t core = 0; core < CORES; core++)
			arrived |= deliver_one(core);
		if (!arrived && !caller.woken)
			fail_msg("the thread waits, and nothing is under way that could wake it");
	}
	this_core = CALLER_CORE;
	return true;
}

bool thread_block_interruptible(uint64_t deadline_ns)
{
	return thread_block(deadline_ns);
}

void thread_wake(struct thread *thread)
{
	assert_ptr_equal(thread, &caller);
	assert_false(caller.woken);
	caller.woken = true;
}

void thread_yield(void)
{
	some_arrive();
}

uint64_t clock_ns(void)
{
	return 0;
}

/* Not in a call that does not wait, and that no signal ends. */
void thread_migrate(core_id_t core)
{
	fail();
}
bool signal_restarts(bool may_restart)
{
	fail();
	return false;
}
long signal_finish_slowly(long result)
{
	fail();
	return result;
}
long signal_enter_mask(const uint64_t *mask, size_t mask_size, uint64_t *old_mask)
{
	fail();
	return 0;
}
void signal_leave_mask(uint64_t old_mask, long result)
{
	fail();
}

/* ---- files ---- */

struct fake {
	struct file file; /* first */
	bool ready;
};

static uint32_t fake_events(struct file *file)
{
	assert_int_equal(file->home, this_core);
	return container_of(file, struct fake, file)->ready ? EPOLLIN : 0;
}

static const struct file_operations fake_operations = { .kind = "fake", .events = fake_events };

static struct fake *fakes[FILES];

static int fake_open(unsigned index)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	this_core = FILE_CORE;
	file_init(&fake->file, &fake_operations, O_RDWR, NULL);
	fakes[index] = fake;
	return fd_install(&fake->file, 0, false);
}

static void change(struct fake *fake)
{
	this_core = FILE_CORE;
	fake->ready = !fake->ready;
	if (fake->ready)
		file_notify(&fake->file, EPOLLIN);
}

static bool any_is_ready(void)
{
	bool any = false;

	for (unsigned i = 0; i < FILES; i++)
		any |= fakes[i]->ready;
	return any;
}

/* Another thread waits for the set at its home: so it stays there. */
static void ignore(struct watch *watch, uint32_t events) {}

static long look(int set)
{
	struct epoll_event events[FILES];

	this_core = CALLER_CORE;
	return sys_epoll_wait(set, events, FILES, 0);
}

static void a_look_at_a_set_of_another_core_ends(void **state)
{
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct watch other = { .notify = ignore, .events = EPOLLIN, .exclusive = true };
		int set, fds[FILES];

		random_state = seed * 7919;
		this_core = SET_CORE;
		set = (int)sys_epoll_create1(0);
		file_watch(fd_lookup(set), &other);
		for (unsigned i = 0; i < FILES; i++) {
			struct epoll_event event = { .events = EPOLLIN };

			fds[i] = fake_open(i);
			this_core = SET_CORE;
			assert_int_equal(sys_epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event), 0);
		}
		for (unsigned step = 0; step < 300; step++) {
			if (pick(2))
				change(fakes[pick(FILES)]);
			some_arrive();
			assert_in_range(look(set), 0, FILES);
			if (pick(4) == 0) {
				settle();
				/* What was true when it was told may be over; then it is asked. */
				look(set);
				assert_int_equal(look(set) > 0, any_is_ready());
			}
		}
		settle();
		this_core = SET_CORE;
		file_unwatch(&other);
		fd_close(set);
		settle();
		for (unsigned i = 0; i < FILES; i++) {
			this_core = FILE_CORE;
			fd_close(fds[i]);
		}
		settle();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_at_a_set_of_another_core_ends),
	};

	ncores = CORES;
	caller.signal_mask = ~0ull;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
