/*
 * Exceptions: what they mean, and the report when nobody can mend them.
 */
#pragma once

#include "arch/x86_64/trap.h"

/* Vector 14. Returns if the access may be tried again. Fault stack. */
void fault_page(struct trap_frame *frame);

/* An interrupt that did not meet the application: was it the network, and in one and the same call for a second? Then
 * that is a failure as others are. Interrupt stack. */
void fault_network_lasts(struct trap_frame *frame);

/* The exceptions that are always somebody's mistake. Returns if a signal handler is to run. */
void fault_other(struct trap_frame *frame);
