/*
 * Deferred release: each thread is a core that reads shared objects between safe points, replaces
 * them and defers the old ones. A released object that somebody still reads is a race that the
 * sanitizer reports, or a wrong stamp.
 *
 * The epochs themselves are the library's and not instrumented: the annotations tell the sanitizer
 * what they promise (what a core did before a safe point comes before a release), no more, so a
 * read after the safe point is still found out.
 * links: smp/epoch.c
 */
#include "smp/core.h"
#include "smp/epoch.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NTHREADS 4u
#define NOBJECTS 8u
#define ROUNDS 3000u
#define LIVE 0x11fe11feu

void __tsan_acquire(void *address);
void __tsan_release(void *address);

struct object {
	struct deferred deferred;
	unsigned stamp; /* plain */
};

static struct object *objects[NOBJECTS]; /* atomic */
static char promise; /* what the epochs order */
static unsigned released, deferred, finished;

static struct object *make_object(void)
{
	struct object *object = malloc(sizeof(*object));

	if (!object)
		abort();
	object->stamp = LIVE;
	return object;
}

static void release_object(struct deferred *entry)
{
	struct object *object = container_of(entry, struct object, deferred);

	__tsan_acquire(&promise);
	if (object->stamp != LIVE)
		abort();
	object->stamp = 0;
	free(object);
	__atomic_fetch_add(&released, 1, __ATOMIC_RELAXED);
}

static void safe_point(void)
{
	__tsan_release(&promise);
	epoch_safe_point();
}

static void use(const struct object *object)
{
	if (object->stamp != LIVE) {
		fprintf(stderr, "core %u reads a released object\n", this_core);
		abort();
	}
}

static void *run_core(void *argument)
{
	unsigned random = 777 + (unsigned)(uintptr_t)argument;

	this_core = (core_id_t)(uintptr_t)argument;
	epoch_online();
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct object *held[3];

		for (unsigned k = 0; k < array_size(held); k++) {
			random = random * 1664525 + 1013904223;
			held[k] = __atomic_load_n(&objects[random >> 8 & (NOBJECTS - 1)],
						  __ATOMIC_ACQUIRE);
		}
		if (i % 16 == 0)
			sched_yield();
		for (unsigned k = 0; k < array_size(held); k++)
			use(held[k]);
		if (i % 4 == 0) {
			struct object *old =
			    __atomic_exchange_n(&objects[random >> 16 & (NOBJECTS - 1)],
						make_object(), __ATOMIC_ACQ_REL);

			epoch_defer(&old->deferred, release_object);
			__atomic_fetch_add(&deferred, 1, __ATOMIC_RELAXED);
		}
		if (i % 64 == 0) {
			__tsan_release(&promise);
			epoch_sleep();
			sched_yield();
			epoch_wake();
		}
		safe_point();
	}
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
	/* Sleeping cores hold nobody up; those with something pending come back to safe points. */
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < NTHREADS || epoch_is_pending()) {
		safe_point();
		sched_yield();
	}
	__tsan_release(&promise);
	epoch_sleep();
	return NULL;
}

static void nothing_is_released_under_a_reader(void **state)
{
	pthread_t threads[NTHREADS];

	(void)state;
	ncores = NTHREADS;
	assert_int_equal(epoch_init(), 0);
	for (unsigned i = 0; i < NOBJECTS; i++)
		objects[i] = make_object();
	for (uintptr_t i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_core, (void *)i), 0);
	for (unsigned i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(deferred, NTHREADS * ((ROUNDS + 3) / 4));
	assert_int_equal(released, deferred);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_released_under_a_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
