/*
 * Clocks: what the calls about time share with others.
 */
#pragma once

#include "lavra/types.h"

struct thread;

/* A thread ended: the process's processor time keeps its part. */
void time_thread_ended(const struct thread *dead);

/* The clock's time, by Linux's number. 0, or -EINVAL: there is no such clock (any more). */
int clock_read(int clock, uint64_t *ns);
/* Does it count the processor time of threads? */
bool clock_is_of_processor(int clock);
/* Is it one to read only? */
bool clock_is_coarse(int clock);
/* "The caller's processor time" by a number that means the same to everybody. */
int clock_of_thread(int clock, const struct thread *thread);
/* When a clock reads 0, clock_ns() is -offset: that of wall-clock time and 0 for the others. */
uint64_t clock_offset_ns(int clock);
