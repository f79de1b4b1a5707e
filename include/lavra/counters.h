/*
 * Per-core counters: what a core has done since boot.
 *
 * Written by the owning core alone, with plain increments; read by anybody, without
 * stopping anyone (`counters_of`), so a sum over cores may be a moment out of step.
 * A counter is one line in the table below, at its end: it then has a field, a name in
 * /proc/lavra/cores, a place in the monitor's file (docs/monitor.md) and a line in the metrics.
 */
#pragma once

#include "lavra/types.h"

/* Without gates they are function calls: one of a few would be counted, so there is no such counter. */
#ifdef ISOLATION_NONE
#define COUNTER_OF_SYSTEM_CALLS(X)
#else
#define COUNTER_OF_SYSTEM_CALLS(X) X(system_calls, "system calls, but for reading clocks")
#endif

#define COUNTERS(X)                                                                                \
	X(rx_packets, "frames received")                                                           \
	X(rx_bytes, "bytes received")                                                              \
	X(rx_drops, "received frames dropped for lack of memory or room")                          \
	X(rx_errors, "received frames or ring entries refused as malformed")                       \
	X(tx_packets, "frames sent")                                                               \
	X(tx_bytes, "bytes sent")                                                                  \
	X(tx_drops, "frames not sent for lack of memory or room")                                  \
	X(tx_kicks, "doorbells rung on transmit queues")                                           \
	X(frames_forwarded, "frames handed to the core that owns their flow")                      \
	X(connections_opened, "TCP connections established")                                       \
	X(connections_closed, "TCP connections ended")                                             \
	X(connections_moved, "TCP connections taken over from another core")                       \
	X(connections_refused, "TCP connections refused: backlog or memory exhausted")             \
	X(network_restarts, "times that the core's stack failed and began anew")                   \
	X(interrupts, "device interrupts")                                                         \
	X(timer_interrupts, "timer interrupts")                                                    \
	X(ipis, "inter-processor interrupts received")                                             \
	X(messages, "mailbox messages handled")                                                    \
	X(context_switches, "switches from one thread to another")                                 \
	X(preemptions, "threads preempted in application code")                                    \
	X(page_faults, "page faults that mapped a page")                                           \
	X(polls, "passes over the core's work sources")                                            \
	X(idle_ns, "time halted, in nanoseconds")                                                  \
	COUNTER_OF_SYSTEM_CALLS(X)                                                                 \
	X(pkru_switches, "writes of PKRU where a domain was entered or left")                      \
	X(socket_requests, "receiving, sending and accepting asked of sockets at home here")       \
	X(rx_batches, "passes that found received frames")                                         \
	X(rx_waiting, "frames that waited in the ring at those passes, summed up")                 \
	X(run_queue_ns, "time that threads waited in the run queue, in nanoseconds")               \
	X(halts, "times that the core halted")

struct counters {
#define X(name, help) uint64_t name;
	COUNTERS(X)
#undef X
};

/* This core's: counters.rx_packets++. Owning core, any context. */
extern CORE_LOCAL struct counters counters;

/* One that came by no gate; gates count themselves. Owning core, any context. */
static inline void count_system_call(void)
{
#ifndef ISOLATION_NONE
	counters.system_calls++;
#endif
}

/* Another core's, all of them. Any core. Valid after smp_start(). */
struct counters counters_of(core_id_t core);

/* The network has counters of its own (net/domain.mk), a CORE_LOCAL: counters_of() adds them. Boot core. */
void counters_add_domain(const struct counters *counters);
