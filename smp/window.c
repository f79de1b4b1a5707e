#include "smp/window.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "smp/core.h"

#include <errno.h>
#include <string.h>

/* As large as the window; reserved by the linker script. */
extern char core_window_template[];

/* The contiguous physical pages of each core's window; 0: none yet. Written during boot. */
static VISIBLE paddr_t windows[MAX_CORES];

static size_t window_size(void)
{
	return (size_t)(core_window_end - core_window_start);
}

void window_save_template(void)
{
	memcpy(core_window_template, core_window_start, window_size());
}

/* The boot core runs in the image's own pages, which are contiguous like the image. */
static paddr_t boot_window(void)
{
	if (!windows[0])
		windows[0] = arch_translate((vaddr_t)core_window_start);
	return windows[0];
}

int window_create(core_id_t core)
{
	size_t npages = window_size() / PAGE_SIZE;
	unsigned order = 0;
	paddr_t window;

	assert(core < MAX_CORES);
	if (core == 0)
		return boot_window() ? 0 : -EFAULT;
	assert(!windows[core]);
	while (1ul << order < npages)
		order++;
	if (order > MAX_ORDER)
		return -ENOMEM;
	window = frame_alloc(order);
	if (!window)
		return -ENOMEM;
	for (size_t page = npages; page < 1ul << order; page++)
		frame_free(window + page * PAGE_SIZE, 0);
	memcpy(phys_to_virt(window), core_window_template, window_size());
	windows[core] = window;
	*core_local_of(core, this_core) = core;
	return 0;
}

void *window_address_of(core_id_t core, const void *core_local_variable)
{
	size_t offset = (size_t)((const char *)core_local_variable - core_window_start);

	assert(core < MAX_CORES && windows[core] && offset < window_size());
	return (char *)phys_to_virt(windows[core]) + offset;
}

paddr_t window_frame(core_id_t core, unsigned index)
{
	paddr_t window = core == 0 ? boot_window() : windows[core];

	assert(window && index < window_size() / PAGE_SIZE);
	return window + index * PAGE_SIZE;
}
