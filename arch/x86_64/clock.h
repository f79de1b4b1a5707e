/*
 * Inside the architecture's clock: what its interrupt and its second core need.
 */
#pragma once

#include "lavra/types.h"

/* The timer interrupted. Is the armed deadline reached? If the hardware could not count that far,
 * it is armed anew. Interrupt context. */
bool clock_is_due(void);

/* Make this core's timer ready. Every core but the boot core, after apic_init_core(). */
void clock_init_core(void);

/* The wall clock in seconds since 1970, 0 if there is none that makes sense. Boot core. */
uint64_t rtc_read_seconds(void);

/* Nanoseconds since 1970 now, from that (0: there is none) and what was told at the machine's start
 * (0: nothing): the latter, where it is at most a minute older; the middle of the second, if not. */
uint64_t wall_clock_guess(uint64_t rtc_seconds, uint64_t told_ms);

/* The registers of the MC146818 that matter, as read. */
struct rtc_registers {
	uint8_t seconds, minutes, hours, day, month, year, century;
	uint8_t status_b;
	bool has_century;
};
/* Seconds since 1970, 0 if the registers are no valid time. */
uint64_t rtc_decode(const struct rtc_registers *registers);
