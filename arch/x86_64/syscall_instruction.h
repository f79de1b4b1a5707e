/*
 * The `syscall` instruction, as programs that were made for Linux use it. Images built for Lavra
 * hold none, and pay nothing for it.
 */
#pragma once

#include "lavra/types.h"

/* The current thread's context.syscall_stack, where the entry finds it: written at every switch. */
extern CORE_LOCAL void *syscall_stack;
