#include "net/exchange.h"

#include "arch/arch.h"
#include "mm/frame.h"

#include <errno.h>

/* Without isolation only what TCP sends passes through: whole segments. */
#define STAGE_ORDER 2

CORE_LOCAL struct network_exchange network_exchange;
CORE_LOCAL uint8_t *network_data;
CORE_LOCAL uint8_t *network_sends;

int exchange_init_core(void)
{
	paddr_t frames = frame_alloc_zeroed(arch_isolation() ? EXCHANGE_DATA_ORDER : STAGE_ORDER);

	if (!frames)
		return -ENOMEM;
	network_data = phys_to_virt(frames);
	if (!arch_isolation())
		return 0;
	frames = frame_alloc_zeroed(EXCHANGE_DATA_ORDER);
	if (!frames)
		return -ENOMEM;
	network_sends = phys_to_virt(frames);
	return 0;
}
