/*
 * Epoll sets and their files on three cores, played by one thread: parcels lie in queues until the
 * test delivers them, so every order of events between cores can happen. A model says what must be
 * told; AddressSanitizer sees what is used after its end.
 *
 * links: tests/host/fake_cores.c posix/event/epoll.c posix/event/epoll_nesting.c posix/file/file.c
 */
#include "tests/host/fake_cores.h"

#include "posix/event/epoll.h"
#include "sched/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "mm/object.h"

#define FILES 8
#define SETS 3
#define WANTED_BITS (EPOLLIN | EPOLLOUT)

/* ---- the machine ---- */

static long objects;

void *object_alloc(size_t size)
{
	objects++;
	return malloc(size);
}

void *object_alloc_zeroed(size_t size)
{
	objects++;
	return calloc(1, size);
}

void object_free(void *object)
{
	objects -= object != NULL;
	free(object);
}

/* No thread waits here. */
CORE_LOCAL struct thread *current;
struct file *fd_remove(int fd)
{
	return NULL;
}
void thread_prepare_block(void)
{
	fail();
}
bool thread_block(uint64_t deadline_ns)
{
	fail();
	return false;
}
bool thread_block_interruptible(uint64_t deadline_ns)
{
	return thread_block(deadline_ns);
}
bool fd_names(const struct file *file)
{
	fail();
	return false;
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
void thread_wake(struct thread *thread)
{
	fail();
}
void thread_yield(void)
{
	fail();
}
void thread_migrate(core_id_t core)
{
	fail();
}
bool core_poll(void)
{
	return false;
}
uint64_t clock_ns(void)
{
	return 0;
}

/* ---- files ---- */

/* What is true of a file; also its view, which outlives it. */
struct fake_state {
	struct file_view view; /* first */
	uint32_t events;
	unsigned references;
};

struct fake {
	struct file file; /* first */
	struct fake_state *state;
};

static void state_release(struct file_view *view)
{
	struct fake_state *state = container_of(view, struct fake_state, view);

	if (--state->references == 0)
		object_free(state);
}

static uint32_t state_events(struct file_view *view)
{
	return container_of(view, struct fake_state, view)->events;
}

static struct file_view *view_of(struct fake *fake)
{
	fake->state->references++;
	return &fake->state->view;
}

static uint32_t fake_events(struct file *file)
{
	assert_int_equal(file->home, this_core);
	return container_of(file, struct fake, file)->state->events;
}

static void fake_release(struct file *file)
{
	state_release(&container_of(file, struct fake, file)->state->view);
	file_free(file);
}

static const struct file_operations fake_operations = {
	.kind = "fake",
	.events = fake_events,
	.release = fake_release,
};

static struct fake *fake_create(core_id_t home)
{
	struct fake *fake = object_alloc_zeroed(sizeof(*fake));

	this_core = home;
	file_init(&fake->file, &fake_operations, O_RDWR, NULL);
	fake->state = object_alloc_zeroed(sizeof(*fake->state));
	fake->state->view = (struct file_view){ state_events, state_release };
	fake->state->references = 1;
	return fake;
}

static void trigger(struct fake *fake, uint32_t events)
{
	this_core = fake->file.home;
	fake->state->events |= events;
	file_notify(&fake->file, events);
}

/* ---- the model ---- */

static struct fake *files[FILES];
static struct epoll *sets[SETS];
static struct {
	bool present, disarmed;
	bool edge; /* became true since it was last told */
	uint32_t events;
} model[SETS][FILES];

static unsigned random_state;

static unsigned pick(unsigned n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 10) % n;
}

static core_id_t home_of(int set)
{
	return epoll_file(sets[set])->home;
}

static uint32_t wanted(int set, int file)
{
	return model[set][file].disarmed ? 0 : model[set][file].events & WANTED_BITS;
}

static void note_edge(int file, uint32_t events)
{
	for (int set = 0; set < SETS; set++)
		if (model[set][file].present && (wanted(set, file) & events))
			model[set][file].edge = true;
}

/* Collect, check each event against the model, return them by file. */
static void collect(int set, uint32_t told[FILES])
{
	struct epoll_event events[FILES + 1];
	int n;

	this_core = home_of(set);
	n = epoll_collect(sets[set], events, FILES + 1);
	assert_in_range(n + EAGAIN, 0, FILES + EAGAIN);
	memset(told, 0, FILES * sizeof(told[0]));
	for (int i = 0; i < n; i++) {
		int file = events[i].data.u64;

		assert_true(model[set][file].present);
		assert_int_equal(told[file], 0);
		assert_int_not_equal(events[i].events, 0);
		assert_int_equal(events[i].events & ~wanted(set, file), 0);
		told[file] = events[i].events;
		model[set][file].edge = false;
		if (model[set][file].events & EPOLLONESHOT)
			model[set][file].disarmed = true;
	}
}

/* When all messages have arrived, a set tells exactly what is true. */
static void check_settled(int set)
{
	uint32_t told[FILES], again[FILES], last[FILES];
	bool edge[FILES], armed[FILES];

	settle();
	for (int i = 0; i < FILES; i++) {
		edge[i] = model[set][i].edge;
		armed[i] = model[set][i].present && !model[set][i].disarmed;
	}
	collect(set, told);
	settle();
	/* Files of other cores that were told are now asked, and tell the last time. */
	collect(set, again);
	settle();
	collect(set, last);
	for (int i = 0; i < FILES; i++) {
		uint32_t now = files[i]->state->events & model[set][i].events & WANTED_BITS;

		again[i] |= last[i];
		if (!armed[i]) {
			assert_int_equal(told[i] | again[i], 0);
		} else if (model[set][i].events & EPOLLONESHOT) {
			assert_true(!now || told[i] || again[i]);
			assert_false(told[i] && again[i]);
		} else if (model[set][i].events & EPOLLET) {
			assert_true(!edge[i] || !now || told[i] || again[i]);
		} else {
			assert_int_equal(again[i], now);
		}
	}
}

static void replace_file(int file)
{
	struct fake *old = files[file];

	this_core = pick(CORES);
	file_unreference(&old->file);
	/* Between its end and its last message a set may still tell the old file; a new one under
	 * the same number comes after that here, since the model knows files by their number. */
	settle();
	files[file] = fake_create(pick(CORES));
	for (int set = 0; set < SETS; set++)
		model[set][file].present = false;
}

static void replace_set(int set)
{
	this_core = pick(CORES);
	file_unreference(epoll_file(sets[set]));
	this_core = pick(CORES);
	sets[set] = epoll_create_set();
	memset(model[set], 0, sizeof(model[set]));
}

static void change(int set, int file)
{
	static const uint32_t kinds[] = { 0, 0, EPOLLET, EPOLLONESHOT };
	uint32_t events = kinds[pick(4)] | (pick(2) ? EPOLLIN : EPOLLIN | EPOLLOUT);
	int result;

	this_core = home_of(set);
	if (!model[set][file].present) {
		struct file_view *view = pick(2) ? view_of(files[file]) : NULL;

		result = epoll_add(sets[set], file, &files[file]->file, view, events, file);
	} else if (pick(2)) {
		result = epoll_modify(sets[set], file, &files[file]->file, events, file);
	} else {
		assert_int_equal(epoll_remove(sets[set], file, &files[file]->file), 0);
		model[set][file].present = false;
		return;
	}
	assert_int_equal(result, 0);
	model[set][file].present = true;
	model[set][file].disarmed = false;
	model[set][file].events = events;
	model[set][file].edge = (files[file]->state->events & wanted(set, file)) != 0;
}

static void step(void)
{
	uint32_t told[FILES];
	int set = pick(SETS), file = pick(FILES);

	switch (pick(12)) {
	case 0:
	case 1:
	case 2: {
		uint32_t events = pick(2) ? EPOLLIN : EPOLLOUT;

		trigger(files[file], events);
		note_edge(file, events);
		break;
	}
	case 3:
		files[file]->state->events = 0;
		break;
	case 4:
	case 5:
		change(set, file);
		break;
	case 6:
	case 7:
		deliver_one(pick(CORES));
		break;
	case 8:
		collect(set, told);
		break;
	case 9:
		this_core = pick(CORES);
		assert_true(epoll_bring_here(sets[set]) || home_of(set) != this_core);
		break;
	case 10:
		if (pick(10) == 0)
			replace_file(file);
		else if (pick(10) == 0)
			replace_set(set);
		else
			safe_point(pick(CORES));
		break;
	case 11:
		if (pick(4) == 0)
			check_settled(set);
		break;
	}
}

static void every_order_of_events(void **state)
{
	for (unsigned seed = 1; seed <= 500; seed++) {
		random_state = seed * 7919;
		memset(model, 0, sizeof(model));
		for (int i = 0; i < FILES; i++)
			files[i] = fake_create(pick(CORES));
		for (int i = 0; i < SETS; i++) {
			this_core = pick(CORES);
			sets[i] = epoll_create_set();
		}
		for (int i = 0; i < 3000; i++)
			step();
		for (int i = 0; i < SETS; i++)
			check_settled(i);
		/* Sets and files end in any order, with messages under way. */
		for (int i = 0; i < FILES; i++) {
			trigger(files[i], EPOLLIN);
			if (i < SETS) {
				this_core = pick(CORES);
				file_unreference(epoll_file(sets[i]));
			}
			this_core = pick(CORES);
			file_unreference(&files[i]->file);
			deliver_one(pick(CORES));
		}
		settle();
		assert_int_equal(objects, 0);
	}
}

static void a_file_of_another_core_is_asked_before_it_is_told_again(void **state)
{
	struct fake *fake = fake_create(1);
	struct epoll_event event;
	struct epoll *set;

	this_core = 0;
	set = epoll_create_set();
	assert_int_equal(epoll_add(set, 5, &fake->file, NULL, EPOLLIN, 5), 0);
	/* Nothing is known, but the answer is under way. */
	assert_int_equal(epoll_collect(set, &event, 1), -EAGAIN);
	settle();
	this_core = 0;
	assert_int_equal(epoll_collect(set, &event, 1), 0);
	trigger(fake, EPOLLIN);
	settle();
	this_core = 0;
	assert_int_equal(epoll_collect(set, &event, 1), 1);
	fake->state->events = 0;
	assert_int_equal(epoll_collect(set, &event, 1), -EAGAIN);
	settle();
	this_core = 0;
	assert_int_equal(epoll_collect(set, &event, 1), 0);
	file_unreference(epoll_file(set));
	file_unreference(&fake->file);
	settle();
	assert_int_equal(objects, 0);
}

static void an_answer_is_no_event_of_the_set(void **state)
{
	struct fake *fake = fake_create(1);
	struct epoll *inner, *outer;
	struct epoll_event event;

	this_core = 0;
	inner = epoll_create_set();
	this_core = 2;
	outer = epoll_create_set();
	assert_int_equal(epoll_add(outer, 1, epoll_file(inner), NULL, EPOLLIN, 1), 0);
	settle();
	/* The file of a third core answers that there is nothing: then that is all that the outer set
	 * may hear of the inner one. */
	this_core = 0;
	assert_int_equal(epoll_add(inner, 5, &fake->file, NULL, EPOLLIN, 5), 0);
	settle();
	this_core = 2;
	assert_int_equal(epoll_collect(outer, &event, 1), 0);
	trigger(fake, EPOLLIN);
	settle();
	this_core = 2;
	assert_int_equal(epoll_collect(outer, &event, 1), 1);
	this_core = 0;
	file_unreference(epoll_file(inner));
	file_unreference(epoll_file(outer));
	file_unreference(&fake->file);
	settle();
	assert_int_equal(objects, 0);
}

static void sets_make_no_circle(void **state)
{
	struct epoll *a, *b, *c, *deep[6];

	this_core = 0;
	a = epoll_create_set();
	b = epoll_create_set();
	c = epoll_create_set();
	assert_int_equal(epoll_add(a, 1, epoll_file(b), NULL, EPOLLIN, 0), 0);
	assert_int_equal(epoll_add(b, 2, epoll_file(c), NULL, EPOLLIN, 0), 0);
	assert_int_equal(epoll_add(c, 3, epoll_file(a), NULL, EPOLLIN, 0), -ELOOP);
	assert_int_equal(epoll_add(b, 4, epoll_file(a), NULL, EPOLLIN, 0), -ELOOP);
	file_unreference(epoll_file(a));
	file_unreference(epoll_file(b));
	file_unreference(epoll_file(c));
	settle();
	this_core = 0;
	for (int i = 0; i < 6; i++)
		deep[i] = epoll_create_set();
	for (int i = 1; i < 5; i++)
		assert_int_equal(epoll_add(deep[i], i, epoll_file(deep[i - 1]), NULL, EPOLLIN, 0),
				 0);
	assert_int_equal(epoll_add(deep[5], 5, epoll_file(deep[4]), NULL, EPOLLIN, 0), -ELOOP);
	/* A shorter chain has room again, also from its top on. */
	assert_int_equal(epoll_remove(deep[1], 1, epoll_file(deep[0])), 0);
	assert_int_equal(epoll_add(deep[5], 5, epoll_file(deep[4]), NULL, EPOLLIN, 0), 0);
	assert_int_equal(epoll_add(deep[1], 1, epoll_file(deep[0]), NULL, EPOLLIN, 0), -ELOOP);
	for (int i = 0; i < 6; i++)
		file_unreference(epoll_file(deep[i]));
	settle();
	assert_int_equal(objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_of_another_core_is_asked_before_it_is_told_again),
		cmocka_unit_test(an_answer_is_no_event_of_the_set),
		cmocka_unit_test(sets_make_no_circle),
		cmocka_unit_test(every_order_of_events),
	};

	ncores = CORES;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
