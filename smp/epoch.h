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
/* core_poll(), and the network's pass in it: calls what is due, looked for when 32 more are deferred, or after 20 ms. */
void epoch_safe_point(uint64_t now_ns);
/* When this core must come to a safe point at the latest, also if it halts: something that it deferred is not yet
 * released. UINT64_MAX: nothing is. Owning core. */
uint64_t epoch_deadline_ns(void);
/* That is now: somebody waits for memory. False: nothing is deferred. Owning core. */
bool epoch_hurry(void);
void epoch_sleep(void); /* before a halt */
void epoch_wake(void); /* after it */
