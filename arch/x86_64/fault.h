/*
 * Exceptions: what they mean, and the report when nobody can mend them.
 */
#pragma once

#include "arch/x86_64/trap.h"

/* Vector 14. Returns if the access may be tried again. Fault stack. */
void fault_page(struct trap_frame *frame);

/* The exceptions that are always somebody's mistake. Returns if a signal handler is to run. */
void fault_other(struct trap_frame *frame);
