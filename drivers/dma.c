#include "drivers/dma.h"

#include "lavra/console.h"
#include "smp/window.h"

/* The linker script's; the image is contiguous in physical memory. */
extern char image_start[], data_end[];

paddr_t dma_image_address(const void *memory)
{
	const char *byte = memory;
	static paddr_t image_physical; /* of image_start; the same whichever core finds it out */

	if (byte < image_start || byte >= data_end ||
	    (byte >= core_window_start && byte < core_window_end))
		panic("%p is no memory for a device", memory);
	if (image_physical == 0)
		image_physical = arch_translate((vaddr_t)image_start);
	return image_physical + (paddr_t)(byte - image_start);
}
