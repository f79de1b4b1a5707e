#include "net/restart.h"

#include "drivers/virtio/virtio_net.h"
#include "net/config.h"
#include "net/listener.h"
#include "net/net.h"
#include "net/ports.h"
#include "net/shared.h"
#include "smp/core.h"

SHARED uint16_t stack_generations[MAX_CORES];

void stack_restart(void)
{
	stack_generations[this_core]++;
	ports_restart();
	if (this_core < virtio_net_queue_pairs())
		virtio_net_restart(this_core);
	net_init_core();
	config_restart();
	listeners_restart();
}
