/*
 * Isolation: application and kernel in one address space and in ring 0, each behind a protection key.
 *
 * Keys apply to pages that are marked as the user's, whoever touches them (SDM volume 3, 4.6.2). So the
 * kernel's data, its stacks, the direct map and the device registers are marked so and carry
 * KEY_KERNEL; the application's memory carries KEY_APPLICATION, or a key that the application chose.
 * PKRU says, on each core, what may be touched now: everything in the kernel, everything but the system's
 * keys in the application. What carries no key because it is the supervisor's is read-only: text,
 * constants, and what the processor itself reads at an interrupt (VISIBLE); all but a page of each core
 * where the entries begin (WINDOW_OPEN).
 *
 * PKRU changes only where one domain ends and the other begins, at instructions that are listed
 * (tools/check-rights) and each followed by a check, so that it does not matter how one got there:
 *
 *	gate.S			an application's call of a system call, and the return from it
 *	syscall_instruction.S	likewise, by registers
 *	trap.S			interrupts and exceptions, and the return from them
 *	network_gate.S		the kernel's calls of the network, and the network's of its services
 *	rights.S		an application's change of what it may do with its own keys; XRSTOR
 *	user_access.S		the kernel's use of an application's memory with that one's rights
 *
 * Entering, PKRU becomes 0 and the next instructions take the core's own stack, or the thread's, from where
 * only the kernel can write; who jumps there has only made a system call. Leaving, the system's keys
 * must be closed. In between `domain` says who runs.
 *
 * With the processor's NX, WP and no page both writable and executable, code cannot be brought in. Code
 * of the application's could still hold privileged instructions: docs/security.md.
 */
#pragma once

#define KEY_APPLICATION 0
/* The application's own: 1 to KEY_LAST. */
#define KEY_LAST 12
#define KEY_PACKETS 13
#define KEY_NETWORK 14
#define KEY_KERNEL 15

/* PKRU has two bits a key: no access, no writing (SDM volume 3, 4.6.2). */
#define RIGHTS_DENIED(key) (3 << (2 * (key)))
#define RIGHTS_ALL 0
/* The system's three keys; set in an application's PKRU whatever it wishes. */
#define RIGHTS_SYSTEM 0xfc000000
/* An application thread's at first, as Linux has it: key 0 alone. */
#define RIGHTS_INITIAL (RIGHTS_SYSTEM | 0x01555554)

/* For arch_lend_rights(): what the kernel may do for itself (0 is: nothing is lent). */
#define RIGHTS_LENT_ALL RIGHTS_SYSTEM

/* The network's: its own memory, and nothing else. */
#define RIGHTS_NETWORK 0xc3ffffff

#define DOMAIN_APPLICATION 0
#define DOMAIN_KERNEL 1
#define DOMAIN_NETWORK 2

/* `network_caller` of network_gate.S when no call is under way: it may be entered, or not. */
#define NETWORK_IDLE 0
#define NETWORK_DOWN 1

/* Places in struct counters (include/lavra/counters.h), for the gates. */
#ifdef ISOLATION_NONE
#define COUNTER_PKRU_SWITCHES 184
#else
#define COUNTER_SYSTEM_CALLS 184
#define COUNTER_PKRU_SWITCHES 192
#endif

/*
 * Pages of the core window (smp/window.h) that differ from the rest:
 *
 *	VISIBLE		read-only once the core runs; the processor reads it, and so may anybody
 *	OPEN		used while the application's rights still hold, or hold again: it may write there
 *			at any time, so nothing in it is believed. But no other core can.
 */
#define WINDOW_VISIBLE ".core_window.visible"
#define WINDOW_OPEN ".core_window.open"

#ifndef __ASSEMBLER__

#include "lavra/types.h"

/* Decide by the processor and by the word isolation=... of the command line. Ends the image if it is
 * required and the processor has no protection keys. Boot core, before paging_init(). */
void isolation_decide(const char *command_line);

/* What an application gets that wishes for these. */
static inline uint32_t rights_of_application(uint32_t wish)
{
	return wish | RIGHTS_SYSTEM;
}

/* What this core runs: written at the sites that change PKRU. */
extern CORE_LOCAL uint8_t domain;

/* network_gate.S: the kernel calls the network from inside of what the network called. */
void network_was_entered_twice(void);
/* network_gate.S: the call of the network is over, and it is down. Interrupts off. */
void network_give_up(void) __attribute__((noreturn));

/* Who owns the page with this key, for reports. */
const char *isolation_key_owner(unsigned key);

/* This core's PKRU; 0 where the processor has no keys. */
uint32_t rights_read(void);
/* Write it, where there is no isolation. */
void rights_write(uint32_t rights);
/* XRSTOR of these components, but not of PKRU. */
void rights_keep_and_xrstor(const void *area, uint64_t components);

#endif
