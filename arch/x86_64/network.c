/*
 * The network's domain on a core: its stack, its part of the window, and its end (network_gate.S).
 */
#include "arch/arch.h"
#include "arch/x86_64/image.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/paging.h"
#include "mm/kva.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/window.h"

#include <errno.h>
#include <string.h>

#ifdef ISOLATION_NONE
CORE_LOCAL uintptr_t network_caller;
static CORE_LOCAL void *network_stack;
#else
/* network_gate.S */
extern CORE_LOCAL void *network_stack;
#endif

bool arch_is_network_text(vaddr_t address)
{
	return address >= (vaddr_t)network_text_start && address < (vaddr_t)network_text_end;
}

#define NETWORK_STACK_PAGES 6

int arch_network_start_core(void)
{
	size_t first = (size_t)(core_window_network - core_window_start) / PAGE_SIZE;
	size_t size = (size_t)(core_window_end - core_window_network);
	char *top = kva_stack_alloc(NETWORK_STACK_PAGES);
	int error;

	if (!top)
		return -ENOMEM;
	error = paging_set_keys((vaddr_t)top - NETWORK_STACK_PAGES * PAGE_SIZE,
				NETWORK_STACK_PAGES * PAGE_SIZE, KEY_NETWORK);
	if (error)
		return error;
	network_stack = top;
	/* Other cores read it there. */
	return arch_give_to_network(window_frame(this_core, (unsigned)first), size, true);
}

void arch_network_restart(void)
{
	size_t offset = (size_t)(core_window_network - core_window_start);

	memcpy(core_window_network, core_window_template + offset,
	       (size_t)(core_window_end - core_window_network));
	network_caller = NETWORK_IDLE;
}

bool arch_network_runs(void)
{
	return isolation_on && network_caller != NETWORK_IDLE && network_caller != NETWORK_DOWN;
}

void arch_network_give_up(void)
{
	if (!arch_network_runs())
		return;
	arch_irq_disable();
	poll_wanted = true;
	network_give_up();
}
