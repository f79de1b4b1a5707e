/*
 * A core's stack begins anew, after a fault in it (net/calls/restart.c). Its part of the core window is as at
 * boot, and its objects are forgotten; what others still hold of them stays in memory.
 */
#pragma once

#include "lavra/types.h"

/* How often that was, by core. */
extern uint16_t stack_generations[MAX_CORES];

/* This core's stack, in place of the one that was given up. */
void stack_restart(void);
