/*
 * Cores from inside: windows, calls, shootdown, clocks, deferred release.
 */
#include "tests/guest/test.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "lavra/counters.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/object.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"
#include "smp/shootdown.h"
#include "smp/window.h"

static CORE_LOCAL unsigned long private_value = 4711;

static long swap_private_value(void *argument)
{
	long old = (long)private_value;

	private_value = (unsigned long)(uintptr_t)argument;
	return old;
}

KERNEL_TEST(every_core_has_its_own_window)
{
	for (core_id_t core = 0; core < ncores; core++) {
		CHECK_EQ(*core_local_of(core, this_core), core);
		CHECK_EQ(core_call(core, swap_private_value, (void *)(uintptr_t)(core + 1)), 4711);
	}
	for (core_id_t core = 0; core < ncores; core++) {
		CHECK_EQ(*core_local_of(core, private_value), core + 1);
		CHECK_EQ(core_call(core, swap_private_value, (void *)4711), core + 1);
	}
}

KERNEL_TEST(cores_have_distinct_places)
{
	for (core_id_t a = 0; a < ncores; a++) {
		CHECK(core_is_online(a));
		for (core_id_t b = 0; b < a; b++) {
			CHECK(cores[a].apic_id != cores[b].apic_id);
			CHECK(cores[a].package != cores[b].package ||
			      cores[a].physical != cores[b].physical ||
			      cores[a].thread != cores[b].thread);
		}
	}
}

static long add_core(void *argument)
{
	return (long)(uintptr_t)argument * 100 + (long)this_core;
}

KERNEL_TEST(calls_reach_every_core_and_return)
{
	for (uintptr_t round = 0; round < 50; round++)
		for (core_id_t core = 0; core < ncores; core++)
			CHECK_EQ(core_call(core, add_core, (void *)round), round * 100 + core);
}

static void count_call(void *argument)
{
	__atomic_fetch_add((unsigned *)argument, 1, __ATOMIC_RELAXED);
}

KERNEL_TEST(a_call_to_all_runs_once_on_each)
{
	static unsigned count;

	count = 0;
	core_call_all(count_call, &count);
	CHECK_EQ(count, ncores);
}

static CORE_LOCAL unsigned calls_back;

static long call_back(void *argument)
{
	calls_back++;
	return (long)(uintptr_t)argument;
}

struct caller {
	core_id_t target;
	unsigned *failed, *done;
};

static void call_often(void *argument)
{
	struct caller *caller = argument;

	for (uintptr_t i = 0; i < 100; i++)
		if (core_call(caller->target, call_back, (void *)i) != (long)i)
			__atomic_fetch_add(caller->failed, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(caller->done, 1, __ATOMIC_RELEASE);
}

static void wait_until(const unsigned *word, unsigned value)
{
	uint64_t end = clock_ns() + 20 * NS_PER_S;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value && clock_ns() < end) {
		thread_prepare_block();
		thread_block(clock_ns() + NS_PER_MS / 4);
	}
	CHECK_EQ(__atomic_load_n(word, __ATOMIC_ACQUIRE), value);
}

/* Each core calls its neighbour while it is called by the other one. */
KERNEL_TEST(calls_in_a_circle_do_not_deadlock)
{
	static struct caller callers[MAX_CORES];
	static unsigned failed, done;

	failed = done = 0;
	for (core_id_t core = 0; core < ncores; core++) {
		callers[core] = (struct caller){ (core + 1) % ncores, &failed, &done };
		CHECK(thread_create("caller", core, call_often, &callers[core]));
	}
	wait_until(&done, ncores);
	CHECK_EQ(failed, 0);
}

static long read_word(void *argument)
{
	return *(volatile long *)argument;
}

static void ignore_frame(paddr_t frame, size_t size, unsigned protection, void *argument)
{
	(void)protection;
	(void)frame;
	(void)size;
	(void)argument;
}

/* Every core has the old translation cached when the page behind an address changes. */
KERNEL_TEST(a_shot_down_translation_is_gone_on_every_core)
{
	long *top = kva_stack_alloc(1);
	long *word = top ? top - 4 : NULL;
	vaddr_t page = (vaddr_t)word & ~(PAGE_SIZE - 1);
	paddr_t original = word ? arch_translate(page) : 0, other = frame_alloc_zeroed(0);
	long *alias;

	CHECK(word && other && original);
	if (!word || !other || !original)
		return;
	alias = (long *)((char *)phys_to_virt(other) + ((vaddr_t)word - page));
	for (long round = 0; round < 10; round++) {
		*word = round;
		*alias = 1000 + round;
		for (core_id_t core = 0; core < ncores; core++)
			CHECK_EQ(core_call(core, read_word, word), round);
		CHECK_EQ(arch_unmap(page, PAGE_SIZE, ignore_frame, NULL), 0);
		CHECK_EQ(arch_map(page, other, PAGE_SIZE, PAGE_READ | PAGE_WRITE), 0);
		tlb_shootdown(page, round % 2 ? 1 : 1000); /* one page, or everything */
		for (core_id_t core = 0; core < ncores; core++)
			CHECK_EQ(core_call(core, read_word, word), 1000 + round);
		CHECK_EQ(arch_unmap(page, PAGE_SIZE, ignore_frame, NULL), 0);
		CHECK_EQ(arch_map(page, original, PAGE_SIZE, PAGE_READ | PAGE_WRITE), 0);
		tlb_shootdown(page, 1);
	}
	kva_stack_free(top, 1);
	frame_free(other, 0);
}

static void shoot(void *argument)
{
	unsigned *done = argument;

	/* Fewer where virtual cores outnumber the real ones by far. */
	for (unsigned i = 0; i < (ncores > 8 ? 2 : 20); i++) {
		tlb_shootdown(KVA_START, i % 3 ? 1 : 1000);
		thread_yield();
	}
	__atomic_fetch_add(done, 1, __ATOMIC_RELEASE);
}

KERNEL_TEST(shootdowns_of_all_cores_at_once_end)
{
	static unsigned done;

	done = 0;
	for (core_id_t core = 0; core < ncores; core++)
		CHECK(thread_create("shoot", core, shoot, &done));
	wait_until(&done, ncores);
}

static long read_clock(void *argument)
{
	(void)argument;
	return (long)clock_ns();
}

/* What a core reads after a message lies between what the caller reads before and after. */
KERNEL_TEST(clocks_of_all_cores_agree)
{
	for (unsigned round = 0; round < 20; round++) {
		for (core_id_t core = 0; core < ncores; core++) {
			long before = (long)clock_ns();
			long there = core_call(core, read_clock, NULL);

			CHECK(before <= there);
			CHECK(there <= (long)clock_ns());
		}
	}
}

KERNEL_TEST(the_wall_clock_is_of_this_century)
{
	/* 2020 to 2100: the emulated machine's clock is the host's. */
	CHECK(clock_epoch_ns / NS_PER_S > 1577836800);
	CHECK(clock_epoch_ns / NS_PER_S < 4102444800);
}

struct deferred_object {
	struct deferred deferred;
	unsigned *count;
};

static void count_release(struct deferred *deferred)
{
	struct deferred_object *object = container_of(deferred, struct deferred_object, deferred);

	__atomic_fetch_add(object->count, 1, __ATOMIC_RELEASE);
	object_free(object);
}

static long defer_one(void *argument)
{
	struct deferred_object *object = object_alloc(sizeof(*object));

	if (!object)
		return -1;
	object->count = argument;
	epoch_defer(&object->deferred, count_release);
	return 0;
}

KERNEL_TEST(what_any_core_defers_is_released)
{
	static unsigned released;

	released = 0;
	for (unsigned round = 0; round < 5; round++)
		for (core_id_t core = 0; core < ncores; core++)
			CHECK_EQ(core_call(core, defer_one, &released), 0);
	wait_until(&released, 5 * ncores);
}

static void ignore_interrupt(void *argument)
{
	(void)argument;
}

KERNEL_TEST(vectors_are_counted_per_core)
{
	static struct msi_message messages[256];
	unsigned got[2] = { 0, 0 };

	for (core_id_t core = 0; core < min(ncores, 2u); core++) {
		unsigned n = 0;

		while (n < array_size(messages) &&
		       irq_allocate(core, ignore_interrupt, NULL, &messages[n]) == 0) {
			CHECK(n == 0 || messages[n].data != messages[n - 1].data);
			n++;
		}
		got[core] = n;
		CHECK(n > 150 && n < 224); /* the devices of this machine have a few */
		while (n-- > 0)
			irq_free(core, &messages[n]);
	}
	/* One core's were not taken from the other's. */
	if (ncores > 1)
		CHECK(got[1] > 150);
}
