/*
 * Deferred release: an object that other cores may still be looking at is freed once
 * every core has passed a safe point (Concurrency Kit's epochs, one section from one
 * core_poll() to the next; a halted core is outside any).
 *
 * Rule for readers: kernel code may use what it found in a shared structure until it
 * blocks or polls, with no reference taken. To keep it longer, take a reference.
 */
#pragma once

#include "lavra/types.h"

#include <ck_epoch.h>

struct deferred {
	ck_epoch_entry_t entry;
	void (*release)(struct deferred *);
};

/* Call release(deferred) on this core after every core has passed a safe point. */
void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *));

int epoch_init(void); /* boot core, before the others start and before applications run */
void epoch_online(void); /* each core, once, before it runs threads */
void epoch_safe_point(void); /* core_poll(); calls what is due */
/* Is something this core deferred not yet released? Then it must come to a safe point again within
 * milliseconds: a timer is due before it halts. Owning core, any context. */
bool epoch_is_pending(void);
void epoch_sleep(void); /* before a halt */
void epoch_wake(void); /* after it */
