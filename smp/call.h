/*
 * How a thread waits for another core's answer (core_call() in smp/mailbox.h).
 *
 * Threads live above this folder, so the scheduler registers what waiting means. Until it
 * has, the boot core waits by polling.
 */
#pragma once

#include "lavra/types.h"

struct smp_blocking {
	/* Prepare to block; returns the handle of the thread that is about to. */
	void *(*prepare)(void);
	/* Block until wake() was called for that thread since prepare(). */
	void (*block)(void);
	/* Any core, at a safe point. Exactly one wake() for each prepare(). */
	void (*wake)(void *thread);
	/* Must `core` be interrupted to look at its messages soon? */
	bool (*is_away)(core_id_t core);
};

/* Boot core, once, before the first thread runs; `blocking` lives for ever. */
void smp_set_blocking(const struct smp_blocking *blocking);
