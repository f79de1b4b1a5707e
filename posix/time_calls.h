/*
 * Clocks: what the calls about time share with others.
 */
#pragma once

#include "lavra/types.h"

struct thread;

/* A thread ended: the process's processor time keeps its part. */
void time_thread_ended(const struct thread *dead);
