/*
 * The network's page frames; the names are the kernel's (net/domain.mk). With isolation a page that changes hands costs more than an allocation, so what
 * the network gives back it keeps at first, on each core, and returns it when a pass has time.
 */
#include "net/domain/frames.h"

#include "arch/arch.h"
#include "net/domain/services.h"

#include <string.h>

/* Kept by a core, in pages. */
#define KEPT_MAX 32u

struct kept_block { /* lies in the block */
	struct kept_block *next;
};

static CORE_LOCAL struct kept_block *kept[MAX_ORDER + 1];
static CORE_LOCAL unsigned kept_pages;

static READ_MOSTLY bool (*reclaim_reserves)(void);

void frame_set_reclaim(bool (*reclaim)(void))
{
	reclaim_reserves = reclaim;
}

static __attribute__((noinline)) paddr_t obtain(unsigned order)
{
	paddr_t frame = obtain_frames(order);

	if (unlikely(!frame) && order <= MAX_ORDER && reclaim_reserves() && kept[order])
		return frame_alloc(order);
	return frame;
}

paddr_t frame_alloc(unsigned order)
{
	struct kept_block *block = order <= MAX_ORDER ? kept[order] : NULL;

	if (!block)
		return obtain(order);
	kept[order] = block->next;
	kept_pages -= 1u << order;
	return virt_to_phys(block);
}

paddr_t frame_alloc_zeroed(unsigned order)
{
	paddr_t frame = frame_alloc(order);

	if (frame)
		memset(phys_to_virt(frame), 0, PAGE_SIZE << order);
	return frame;
}

void frame_free(paddr_t frame, unsigned order)
{
	struct kept_block *block = phys_to_virt(frame);

	if (!arch_isolation()) {
		return_frames(frame, order);
		return;
	}
	block->next = kept[order];
	kept[order] = block;
	kept_pages += 1u << order;
}

void network_frames_settle(void)
{
	for (unsigned order = MAX_ORDER + 1; kept_pages > KEPT_MAX && order-- > 0;)
		while (kept_pages > KEPT_MAX / 2 && kept[order])
			return_frames(frame_alloc(order), order);
}
