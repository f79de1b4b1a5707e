#include "drivers/ivshmem.h"

#include "drivers/pci.h"
#include "lavra/console.h"
#include "smp/monitor.h"

#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110
#define MEMORY_BAR 2

static const char *attach(const struct pci_function *function)
{
	uint64_t size = monitor_size();
	void *memory;

	if (pci_assign(function) != 0)
		return "it has no address";
	pci_enable(function);
	/* Plain memory: stores to it need no order but that of the program. */
	memory = (void *)pci_map_bar(function, MEMORY_BAR, 0, size);
	if (!memory)
		return "its memory is too small or cannot be mapped";
	return monitor_attach(memory, size) == 0 ? NULL : "its memory is too small";
}

static bool visit(const struct pci_function *function, void *argument)
{
	const char *wrong;

	if (function->vendor_id != IVSHMEM_VENDOR || function->device_id != IVSHMEM_DEVICE)
		return false;
	wrong = attach(function);
	if (wrong)
		kprintf("monitor: the shared memory at pci %02x:%02x.%x is not used: %s\n",
			function->bus, function->device, function->function, wrong);
	return true;
}

void ivshmem_init(void)
{
	pci_enumerate(visit, NULL);
}
