/*
 * TLB shootdown: each thread is a core with a small cache of a shared table. A frame that was
 * unmapped and shot down is dead; whoever still reaches it through a cache has found a bug.
 * links: smp/shootdown.c
 */
#include "smp/core.h"
#include "smp/shootdown.h"

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
#define NPAGES 8u
#define CHANGES 500u
#define MAX_FRAMES (NTHREADS * CHANGES + NPAGES + 1)

static unsigned table[NPAGES]; /* page -> frame, atomic */
static bool dead[MAX_FRAMES]; /* plain: ordered by the shootdown alone */
static unsigned next_frame;
static unsigned interrupt[NTHREADS];
static unsigned finished;
static unsigned ipis;
static __thread unsigned cache[NPAGES]; /* 0: nothing cached */

void arch_tlb_flush_local(vaddr_t address, size_t npages);
void arch_tlb_flush_local(vaddr_t address, size_t npages)
{
	for (vaddr_t page = address / PAGE_SIZE; page < address / PAGE_SIZE + npages; page++)
		cache[page] = 0;
}

void arch_send_tlb_ipi(core_id_t core);
void arch_send_tlb_ipi(core_id_t core)
{
	__atomic_store_n(&interrupt[core], 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&ipis, 1, __ATOMIC_RELAXED);
}

uint64_t clock_ns(void);
uint64_t clock_ns(void)
{
	struct timespec now;

	/* Asked every now and then while waiting: let the others run, where cores are fewer. */
	sched_yield();
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void take_interrupt(void)
{
	if (__atomic_exchange_n(&interrupt[this_core], 0, __ATOMIC_SEQ_CST))
		tlb_interrupt();
}

static void use_page(unsigned page)
{
	if (!cache[page])
		cache[page] = __atomic_load_n(&table[page], __ATOMIC_ACQUIRE);
	if (dead[cache[page]]) {
		fprintf(stderr, "core %u reached a frame that was unmapped everywhere\n",
			this_core);
		abort();
	}
}

static void remap_page(unsigned page)
{
	unsigned frame = __atomic_fetch_add(&next_frame, 1, __ATOMIC_RELAXED);
	unsigned old = __atomic_exchange_n(&table[page], frame, __ATOMIC_ACQ_REL);

	tlb_shootdown(page * PAGE_SIZE, 1);
	dead[old] = true;
}

static void *run_core(void *argument)
{
	unsigned random = 12345 + (unsigned)(uintptr_t)argument;

	this_core = (core_id_t)(uintptr_t)argument;
	for (unsigned i = 0; i < CHANGES; i++) {
		random = random * 1664525 + 1013904223;
		take_interrupt();
		use_page(random >> 8 & (NPAGES - 1));
		take_interrupt();
		remap_page(random >> 16 & (NPAGES - 1));
	}
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < NTHREADS) {
		take_interrupt();
		sched_yield();
	}
	return NULL;
}

static void nobody_uses_what_was_unmapped(void **state)
{
	pthread_t threads[NTHREADS];

	(void)state;
	ncores = NTHREADS;
	next_frame = 1;
	for (unsigned page = 0; page < NPAGES; page++)
		table[page] = next_frame++;
	for (unsigned i = 0; i < NTHREADS; i++)
		cores[i].online = true;
	for (uintptr_t i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_core, (void *)i), 0);
	for (unsigned i = 0; i < NTHREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(next_frame, NTHREADS * CHANGES + NPAGES + 1);
	assert_true(ipis > 0);
}

static void a_core_that_is_not_online_is_not_waited_for(void **state)
{
	(void)state;
	this_core = 0;
	ncores = 3;
	cores[1].online = cores[2].online = false;
	ipis = 0;
	tlb_shootdown(0, NPAGES);
	assert_int_equal(ipis, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_uses_what_was_unmapped),
		cmocka_unit_test(a_core_that_is_not_online_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
