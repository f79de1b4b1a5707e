#include "smp/trace.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <string.h>

static READ_MOSTLY struct trace_ring *rings;

void trace_init(struct trace_ring *memory)
{
	rings = memory;
}

const struct trace_ring *trace_ring_of(core_id_t core)
{
	return &rings[core];
}

static void write_record(const struct trace_record *record)
{
	struct trace_ring *ring = &rings[this_core];
	/* An interrupt writes behind it, not into it. */
	unsigned long interrupts = arch_irq_save();
	uint64_t number = ring->head;

	ring->records[number % TRACE_RING_RECORDS] = *record;
	/* Release: the host finds the record whole. */
	__atomic_store_n(&ring->head, number + 1, __ATOMIC_RELEASE);
	arch_irq_restore(interrupts);
}

void trace_write(enum trace_event event, uint64_t a, uint64_t b)
{
	struct trace_record record = {
		clock_ns(), (uint16_t)event, 0, (uint32_t)current->tid, a, b
	};

	write_record(&record);
}

/* Of gate.S. */
void trace_call_begins(uint64_t function);
void trace_call_ends(uint64_t result);

void trace_call_begins(uint64_t function)
{
	trace_write(TRACE_CALL, function, 0);
}

void trace_call_ends(uint64_t result)
{
	/* It may have been switched off since the call began. */
	TRACE(TRACE_CALL_END, result, 0);
}

/* ---- names ---- */

static void write_name(enum trace_named kind, uint64_t of, const char *name)
{
	size_t length = strlen(name) + 1;

	for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
		struct trace_record record = {
			clock_ns(), TRACE_NAME, (uint16_t)(at / sizeof(uint64_t)), kind, of, 0
		};

		memcpy(&record.b, name + at, min(length - at, sizeof(record.b)));
		write_record(&record);
	}
}

static void write_thread_name(struct thread *thread, void *unused)
{
	if (thread->tid)
		write_name(TRACE_NAMED_THREAD, (uint64_t)thread->tid, thread->name);
}

void trace_thread_name(int tid, const char *name)
{
	if (arch_static_branch())
		write_name(TRACE_NAMED_THREAD, (uint64_t)tid, name);
}

void trace_call_name(uint64_t call, const char *name)
{
	write_name(TRACE_NAMED_CALL, call, name);
}

int trace_switch(bool on)
{
	unsigned refused;

	if (!rings)
		return -ENODEV;
	if (on)
		thread_for_each(write_thread_name, NULL);
	refused = arch_switch_branches(on);
	if (on && refused)
		kprintf(
		    "trace: %u of the places where events happen are left out: their jump would hold the bytes of an "
		    "instruction that changes protection keys\n",
		    refused);
	return 0;
}
