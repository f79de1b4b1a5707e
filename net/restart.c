#include "net/restart.h"

#include "drivers/virtio/virtio_net.h"
#include "net/config.h"
#include "net/listener.h"
#include "net/net.h"
#include "net/ports.h"
#include "net/queues.h"
#include "net/shared.h"
#include "smp/core.h"

SHARED uint16_t stack_generations[MAX_CORES];

void stack_restart(void)
{
	stack_generations[this_core]++;
	ports_restart();
	virtio_net_restart(network_queues.of[this_core].owns | network_queues.of[this_core].leaves);
	net_init_core();
	config_restart();
	listeners_restart();
}
