/*
 * A core's network as the kernel sees it: what it does in a pass, and around a sleep. Timers, parcels,
 * objects and epochs are the network's own (net/domain.mk): the same code as the kernel's, with data that
 * is the network's.
 */
#include "net/domain/poll.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/object.h"
#include "net/domain/frames.h"
#include "net/domain/services.h"
#include "net/exchange.h"
#include "net/look.h"
#include "net/net.h"
#include "net/restart.h"
#include "sched/timer.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "smp/mailbox.h"

/* In which a device sends a good part of a ring. */
#define ROOM_NS (200 * NS_PER_US)

static CORE_LOCAL struct timer look_again;
static CORE_LOCAL bool asleep;

static void nothing_else(struct timer *timer) {}

__attribute__((optimize("no-stack-protector"))) void network_init(void)
{
	network_canary_init();
	object_init();
	object_init_core();
	epoch_init();
	net_init();
}

void network_init_core(void)
{
	if (this_core != 0)
		object_init_core();
	epoch_online();
	timer_init(&look_again, nothing_else);
	net_init_core();
}

void network_restart_core(void)
{
	object_init_core();
	timer_init(&look_again, nothing_else);
	stack_restart();
}

bool network_poll(uint64_t now_ns)
{
	bool worked;

	look_settle_now();
	worked = timers_run(now_ns) != 0;
	worked |= interface_poll();
	/* It may be long until this core allocates again. */
	object_collect();
	epoch_safe_point();
	parcels_flush();
	network_frames_settle();
	return worked;
}

bool network_prepare_sleep(void)
{
	look_settle_now();
	if (interface_waits_for_room())
		timer_start(&look_again, clock_ns() + ROOM_NS);
	/* What is deferred is released when other cores have passed a safe point. */
	else if (epoch_is_pending() || network_exchange.nsends)
		timer_start(&look_again, clock_ns() + TICK_NS);
	if (parcels_wait() || !interface_prepare_sleep())
		return false;
	epoch_sleep();
	asleep = true;
	return true;
}

void network_awake(void)
{
	if (asleep)
		epoch_wake();
	asleep = false;
	interface_awake();
}

void network_run(void (*handler)(void *argument), void *argument)
{
	handler(argument);
}
