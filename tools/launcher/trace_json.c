#include "tools/launcher/trace_json.h"

#include "lavra/monitor.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* Tracks are threads of two processes. */
enum { PROCESS_CORES = 1, PROCESS_CALLS = 2 };
#define INTERRUPTS_OF(core) (1000 + (core))

#define NAME_BYTES 64

struct name {
	uint32_t kind;
	uint64_t of;
	char text[NAME_BYTES + 1];
};

struct call {
	uint32_t thread;
	bool under_way;
	uint64_t function, since_ns;
};

struct core_state {
	uint32_t thread; /* that runs; 0: none */
	bool known, halted;
	uint64_t since_ns;
	bool in_interrupt;
	uint64_t interrupt_ns, vector;
};

struct writer {
	FILE *to;
	size_t events;
	uint64_t begin_ns, end_ns;
	void *names, *calls; /* trees of tsearch() */
	struct core_state cores[MONITOR_CORES_MAX];
};

bool trace_add(struct trace *trace, unsigned core, const struct trace_record *record)
{
	if (trace->count == trace->room) {
		size_t room = trace->room ? 2 * trace->room : 4096;
		struct traced *records = reallocarray(trace->records, room, sizeof(*records));

		if (!records)
			return false;
		trace->records = records;
		trace->room = room;
	}
	trace->records[trace->count++] = (struct traced){ *record, core };
	return true;
}

void trace_free(struct trace *trace)
{
	free(trace->records);
	*trace = (struct trace){ 0 };
}

/* ---- names and calls ---- */

static void *need(void *memory)
{
	if (!memory) {
		fputs("lavra: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

static int compare_names(const void *a, const void *b)
{
	const struct name *first = a, *second = b;

	if (first->kind != second->kind)
		return first->kind < second->kind ? -1 : 1;
	return (first->of > second->of) - (first->of < second->of);
}

static int compare_calls(const void *a, const void *b)
{
	const struct call *first = a, *second = b;

	return (first->thread > second->thread) - (first->thread < second->thread);
}

/* What is equal to `key` in the tree, which becomes a part of it if there is none. */
static void *find_or_add(void **tree, const void *key, size_t size,
			 int (*compare)(const void *, const void *))
{
	void **found = tfind(key, tree, compare);

	if (found)
		return *found;
	return *(void **)need(tsearch(memcpy(need(malloc(size)), key, size), tree, compare));
}

static void take_name(struct writer *writer, const struct trace_record *record)
{
	const struct name key = { .kind = record->thread, .of = record->a };
	struct name *name = find_or_add(&writer->names, &key, sizeof(key), compare_names);
	size_t at = record->part * sizeof(record->b);

	if (at >= NAME_BYTES)
		return;
	if (at == 0)
		memset(name->text, 0, sizeof(name->text));
	memcpy(name->text + at, &record->b, sizeof(record->b));
	/* It goes into JSON as it is. */
	for (size_t i = at; i < at + sizeof(record->b) && name->text[i]; i++)
		if (name->text[i] < ' ' || name->text[i] > '~' || strchr("\"\\", name->text[i]))
			name->text[i] = '?';
}

static const char *name_of(struct writer *writer, enum trace_named kind, uint64_t of)
{
	const struct name key = { .kind = kind, .of = of };
	struct name **found = tfind(&key, &writer->names, compare_names);
	static char number[40];

	if (found && (*found)->text[0])
		return (*found)->text;
	snprintf(number, sizeof(number), kind == TRACE_NAMED_THREAD ? "thread %lu" : "call %#lx",
		 of);
	return number;
}

/* ---- events ---- */

static double us(const struct writer *writer, uint64_t time_ns)
{
	return (double)(int64_t)(time_ns - writer->begin_ns) / 1e3;
}

static void begin_event(struct writer *writer)
{
	fputs(writer->events++ ? ",\n" : "\n", writer->to);
}

static void write_slice(struct writer *writer, int process, uint64_t track, const char *name,
			uint64_t from_ns, uint64_t to_ns)
{
	if (to_ns < from_ns)
		return;
	begin_event(writer);
	fprintf(writer->to,
		"{\"ph\":\"X\",\"pid\":%d,\"tid\":%lu,\"ts\":%.3f,\"dur\":%.3f,\"name\":\"%s\"}",
		process, track, us(writer, from_ns), (double)(to_ns - from_ns) / 1e3, name);
}

static void write_instant(struct writer *writer, const struct traced *traced, const char *what,
			  const char *name)
{
	begin_event(writer);
	fprintf(writer->to,
		"{\"ph\":\"i\",\"s\":\"t\",\"pid\":%d,\"tid\":%u,\"ts\":%.3f,\"name\":\"%s%s\"}",
		PROCESS_CORES, traced->core, us(writer, traced->record.time_ns), what, name);
}

static void write_label(struct writer *writer, const char *of, int process, uint64_t track,
			const char *name)
{
	begin_event(writer);
	fprintf(writer->to,
		"{\"ph\":\"M\",\"pid\":%d,\"tid\":%lu,\"name\":\"%s\",\"args\":{\"name\":\"%s\"}}",
		process, track, of, name);
}

/* What the core has done since its state changed last. */
static void end_state(struct writer *writer, unsigned core, uint64_t now_ns)
{
	struct core_state *state = &writer->cores[core];

	if (state->known && state->halted)
		write_slice(writer, PROCESS_CORES, core, "halted", state->since_ns, now_ns);
	else if (state->known && state->thread)
		write_slice(writer, PROCESS_CORES, core,
			    name_of(writer, TRACE_NAMED_THREAD, state->thread), state->since_ns,
			    now_ns);
	state->since_ns = now_ns;
	state->known = true;
}

static void end_interrupt(struct writer *writer, unsigned core, uint64_t now_ns)
{
	struct core_state *state = &writer->cores[core];
	char name[40];

	if (!state->in_interrupt)
		return;
	snprintf(name, sizeof(name), "interrupt %lu", state->vector);
	write_slice(writer, PROCESS_CORES, INTERRUPTS_OF(core), name, state->interrupt_ns, now_ns);
	state->in_interrupt = false;
}

static void end_call(struct writer *writer, struct call *call, uint64_t now_ns)
{
	if (call->under_way)
		write_slice(writer, PROCESS_CALLS, call->thread,
			    name_of(writer, TRACE_NAMED_CALL, call->function), call->since_ns,
			    now_ns);
	call->under_way = false;
}

static void write_packets(struct writer *writer, const struct traced *traced)
{
	begin_event(writer);
	fprintf(
	    writer->to,
	    "{\"ph\":\"C\",\"pid\":%d,\"ts\":%.3f,\"name\":\"frames of core %u\",\"args\":{\"received\":%lu,\"sent\":%lu}"
	    "}",
	    PROCESS_CORES, us(writer, traced->record.time_ns), traced->core, traced->record.a,
	    traced->record.b);
}

static void write_record(struct writer *writer, const struct traced *traced)
{
	const struct trace_record *record = &traced->record;
	struct core_state *state = &writer->cores[traced->core];
	const struct call key = { .thread = record->thread };
	struct call *call;

	switch (record->event) {
	case TRACE_SWITCH:
		end_state(writer, traced->core, record->time_ns);
		state->thread = (uint32_t)record->a;
		state->halted = false;
		break;
	case TRACE_HALT:
	case TRACE_RUN:
		end_state(writer, traced->core, record->time_ns);
		state->halted = record->event == TRACE_HALT;
		state->thread = record->thread;
		break;
	case TRACE_INTERRUPT:
		end_interrupt(writer, traced->core, record->time_ns);
		state->in_interrupt = true;
		state->vector = record->a;
		state->interrupt_ns = record->time_ns;
		break;
	case TRACE_INTERRUPT_END:
		end_interrupt(writer, traced->core, record->time_ns);
		break;
	case TRACE_CALL:
	case TRACE_CALL_END:
		call = find_or_add(&writer->calls, &key, sizeof(key), compare_calls);
		end_call(writer, call, record->time_ns);
		call->under_way = record->event == TRACE_CALL;
		call->function = record->a;
		call->since_ns = record->time_ns;
		break;
	case TRACE_WAKE:
		write_instant(writer, traced, "wakes ",
			      name_of(writer, TRACE_NAMED_THREAD, record->a));
		break;
	case TRACE_FAULT:
		write_instant(writer, traced, "page fault", "");
		break;
	case TRACE_PACKETS:
		write_packets(writer, traced);
		break;
	}
}

static int by_time(const void *a, const void *b)
{
	const struct traced *first = a, *second = b;

	return (first->record.time_ns > second->record.time_ns) -
	       (first->record.time_ns < second->record.time_ns);
}

/* twalk_r() hands over the tree's node. */
static void end_call_of(const void *node, VISIT visit, void *writer)
{
	struct call *call = *(struct call *const *)node;
	char name[80];

	if (visit != postorder && visit != leaf)
		return;
	end_call(writer, call, ((struct writer *)writer)->end_ns);
	snprintf(name, sizeof(name), "%s, %u", name_of(writer, TRACE_NAMED_THREAD, call->thread),
		 call->thread);
	write_label(writer, "thread_name", PROCESS_CALLS, call->thread, name);
}

static void write_labels(struct writer *writer, unsigned ncores)
{
	char name[40];

	write_label(writer, "process_name", PROCESS_CORES, 0, "cores");
	write_label(writer, "process_name", PROCESS_CALLS, 0, "system calls of threads");
	for (unsigned core = 0; core < ncores; core++) {
		snprintf(name, sizeof(name), "core %u", core);
		write_label(writer, "thread_name", PROCESS_CORES, core, name);
		snprintf(name, sizeof(name), "interrupts of core %u", core);
		write_label(writer, "thread_name", PROCESS_CORES, INTERRUPTS_OF(core), name);
	}
}

size_t trace_write_json(FILE *to, struct trace *trace)
{
	struct writer writer = { .to = to };

	if (trace->count)
		qsort(trace->records, trace->count, sizeof(*trace->records), by_time);
	fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", to);
	for (size_t i = 0; i < trace->count; i++) {
		if (trace->records[i].record.event == TRACE_NAME)
			take_name(&writer, &trace->records[i].record);
		else if (!writer.begin_ns)
			writer.begin_ns = trace->records[i].record.time_ns;
		writer.end_ns = trace->records[i].record.time_ns;
	}
	write_labels(&writer, trace->ncores);
	for (size_t i = 0; i < trace->count; i++)
		write_record(&writer, &trace->records[i]);
	for (unsigned core = 0; core < trace->ncores; core++) {
		end_state(&writer, core, writer.end_ns);
		end_interrupt(&writer, core, writer.end_ns);
	}
	twalk_r(writer.calls, end_call_of, &writer);
	fputs("\n]}\n", to);
	tdestroy(writer.names, free);
	tdestroy(writer.calls, free);
	return writer.events;
}
