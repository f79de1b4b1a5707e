/*
 * WRPKRU and XRSTOR of programs, which mm/code.c made invalid instructions (rights_scan.h): what they do, but
 * for the system's keys.
 */
#pragma once

#include "lavra/types.h"

struct trap_frame;

enum rights_emulation {
	RIGHTS_NONE, /* an invalid instruction as any other */
	RIGHTS_DONE, /* the program goes on behind it */
	RIGHTS_FAULT, /* the processor would raise a general protection fault */
};

/* An invalid instruction of the application's. Interrupts off. */
enum rights_emulation rights_emulate(struct trap_frame *frame);
