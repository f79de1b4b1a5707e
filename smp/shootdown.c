#include "smp/shootdown.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "smp/core.h"

#include <ck_pr.h>

/*
 * Each core has one request, filled by it as initiator, and one set of initiators that wait for
 * it as target. Lock-free: a target is interrupted by the first initiator that enters its set,
 * takes the whole set and acknowledges each.
 */
struct request {
	vaddr_t address; /* written by the initiator before it enters a set */
	size_t npages;
	uint64_t waiting_for CACHE_ALIGNED; /* targets clear their bit; the initiator waits for 0 */
	uint64_t initiators CACHE_ALIGNED; /* as target: set by initiators, taken by the owner */
} CACHE_ALIGNED;

static struct request requests[MAX_CORES];

#define PATIENCE_NS (10 * NS_PER_S)

/* Answer those who wait for this core. Any context: taking the set is one step. */
static void serve(void)
{
	struct request *own = &requests[this_core];
	uint64_t initiators;

	if (__atomic_load_n(&own->initiators, __ATOMIC_RELAXED) == 0)
		return;
	/* Pairs with the release in tlb_shootdown(): we see the initiators' ranges. */
	initiators = __atomic_exchange_n(&own->initiators, 0, __ATOMIC_ACQUIRE);
	while (initiators) {
		core_id_t initiator = (core_id_t)__builtin_ctzll(initiators);
		struct request *request = &requests[initiator];

		initiators &= initiators - 1;
		arch_tlb_flush_local(request->address, request->npages);
		/* After the flush. Pairs with the initiator's load; `request` is its own again. */
		__atomic_fetch_and(&request->waiting_for, ~(1ull << this_core), __ATOMIC_RELEASE);
	}
}

void tlb_interrupt(void)
{
	serve();
}

static void give_up(uint64_t silent)
{
	char names[MAX_CORES * 3 + 1];
	size_t length = 0;

	for (; silent; silent &= silent - 1)
		length += (size_t)ksnprintf(names + length, sizeof(names) - length, " %d",
					    __builtin_ctzll(silent));
	panic("TLB shootdown: no answer for 10 s from core%s", names);
}

static uint64_t online_others(void)
{
	uint64_t others = 0;

	for (core_id_t core = 0; core < ncores; core++)
		if (core != this_core && core_is_online(core))
			others |= 1ull << core;
	return others;
}

void tlb_shootdown(vaddr_t address, size_t npages)
{
	struct request *own = &requests[this_core];
	uint64_t targets, waiting, self = 1ull << this_core, give_up_at = 0;

	arch_tlb_flush_local(address, npages);
	if (ncores == 1)
		return;
	/* The page tables changed before we look who is online. Pairs with the fence in
	 * core_came_online(): a core we miss flushes everything after our change. */
	ck_pr_fence_memory();
	targets = online_others();
	if (!targets)
		return;

	assert(own->waiting_for == 0);
	own->address = address;
	own->npages = npages;
	__atomic_store_n(&own->waiting_for, targets, __ATOMIC_RELAXED);
	for (uint64_t rest = targets; rest; rest &= rest - 1) {
		core_id_t core = (core_id_t)__builtin_ctzll(rest);

		/* Not the first in the set: an interrupt is on its way already. */
		if (__atomic_fetch_or(&requests[core].initiators, self, __ATOMIC_RELEASE) == 0)
			arch_send_tlb_ipi(core);
	}
	for (unsigned spins = 1;; spins++) {
		waiting = __atomic_load_n(&own->waiting_for, __ATOMIC_ACQUIRE);
		if (!waiting)
			return;
		/* Two initiators may wait for each other with interrupts off. */
		serve();
		arch_pause();
		if (spins % 1024 == 0) {
			uint64_t now = clock_ns();

			if (!give_up_at)
				give_up_at = now + PATIENCE_NS;
			else if (now > give_up_at)
				give_up(waiting);
		}
	}
}
