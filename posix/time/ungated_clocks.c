/*
 * Clocks without a gate: what is asked most often is computed from constants that everybody may read, so
 * with isolation it need not enter the kernel (tools/make-gates: an ungated_NAME stands before NAME's
 * gate). As in Linux's vDSO a bad pointer is the caller's SIGSEGV.
 *
 * These functions run with the application's rights and touch nothing else.
 */
#include "arch/arch.h"
#include "lavra/types.h"

#include <sys/time.h>
#include <time.h>

#ifndef ISOLATION_NONE

/* The gates, for the rest. */
long gate_sys_clock_gettime(int clock, struct timespec *result);
long gate_sys_gettimeofday(struct timeval *time, struct timezone *zone);

long ungated_sys_clock_gettime(int clock, struct timespec *result)
{
	uint64_t ns;

	if (!arch_isolation() || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
		return gate_sys_clock_gettime(clock, result);
	ns = clock_ns() + (clock == CLOCK_REALTIME ? clock_epoch_ns : 0);
	result->tv_sec = (time_t)(ns / NS_PER_S);
	result->tv_nsec = (long)(ns % NS_PER_S);
	return 0;
}

long ungated_sys_gettimeofday(struct timeval *time, struct timezone *zone)
{
	uint64_t us;

	if (!arch_isolation() || !time || zone)
		return gate_sys_gettimeofday(time, zone);
	us = (clock_epoch_ns + clock_ns()) / NS_PER_US;
	time->tv_sec = (time_t)(us / 1000000);
	time->tv_usec = (suseconds_t)(us % 1000000);
	return 0;
}

#endif
