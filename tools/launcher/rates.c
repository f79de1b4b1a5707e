#include "tools/launcher/rates.h"

#include <stddef.h>

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Since its last sample a core has said something. */
static bool is_news(const struct core_sample *before, const struct core_sample *now)
{
	return now->is_read &&
	       (!before || !before->is_read || before->published_ns != now->published_ns ||
		before->halted_ns != now->halted_ns);
}

void guest_clock_learn(struct guest_clock *clock, const struct monitor_reader *reader,
		       const struct sample *before, const struct sample *now)
{
	uint64_t newest = 0;

	for (unsigned core = 0; core < reader->ncores; core++)
		if (is_news(before ? &before->cores[core] : NULL, &now->cores[core]))
			newest = later(newest, later(now->cores[core].published_ns,
						     now->cores[core].halted_ns));
	if (newest)
		clock->offsets[clock->count++ % CLOCK_SAMPLES] = (int64_t)(newest - now->host_ns);
}

uint64_t guest_clock_at(const struct guest_clock *clock, uint64_t host_ns)
{
	unsigned known = clock->count < CLOCK_SAMPLES ? clock->count : CLOCK_SAMPLES;
	int64_t best;

	if (!known)
		return 0;
	/* What was published is older than the moment it was read: the least old says most. */
	best = clock->offsets[0];
	for (unsigned i = 1; i < known; i++)
		best = clock->offsets[i] > best ? clock->offsets[i] : best;
	return host_ns + (uint64_t)best;
}

/* The moment of the guest's clock for which the sample is true. */
static uint64_t true_at(const struct core_sample *core, uint64_t guest_now_ns)
{
	if (!core->halted_ns)
		return core->published_ns;
	return later(later(core->halted_ns, core->published_ns), guest_now_ns);
}

static uint64_t idle_until(const struct core_sample *core, int idle, uint64_t at_ns)
{
	uint64_t halted = core->halted_ns && at_ns > core->halted_ns ? at_ns - core->halted_ns : 0;

	return core->values[idle] + halted;
}

static double busy_share(const struct core_sample *before, const struct core_sample *now, int idle,
			 uint64_t from_ns, uint64_t to_ns)
{
	double spent =
	    (double)(int64_t)(idle_until(now, idle, to_ns) - idle_until(before, idle, from_ns));
	double busy = 1 - spent / (double)(to_ns - from_ns);

	return busy < 0 ? 0 : busy > 1 ? 1 : busy;
}

static void compute_core(struct core_rates *rates, const struct monitor_reader *reader,
			 const struct core_sample *before, uint64_t before_guest_ns,
			 const struct core_sample *now, uint64_t now_guest_ns)
{
	uint64_t from_ns = true_at(before, before_guest_ns), to_ns = true_at(now, now_guest_ns);
	int idle = monitor_find(reader, "idle_ns");

	*rates = (struct core_rates){ .halts = now->is_read && now->halted_ns };
	if (!before->is_read || !now->is_read || to_ns <= from_ns)
		return;
	rates->is_known = true;
	rates->seconds = (double)(to_ns - from_ns) / 1e9;
	rates->busy = idle < 0 ? 1 : busy_share(before, now, idle, from_ns, to_ns);
	for (unsigned i = 0; i < reader->ncounters; i++)
		/* Counters do not go back; what a damaged file says is no rate. */
		if (now->values[i] >= before->values[i])
			rates->per_second[i] =
			    (double)(now->values[i] - before->values[i]) / rates->seconds;
}

void rates_compute(struct rates *rates, const struct monitor_reader *reader,
		   const struct guest_clock *clock, const struct sample *before,
		   const struct sample *now)
{
	uint64_t before_ns = guest_clock_at(clock, before->host_ns);
	uint64_t now_ns = guest_clock_at(clock, now->host_ns);

	rates->ncores = reader->ncores;
	for (unsigned core = 0; core < reader->ncores; core++)
		compute_core(&rates->cores[core], reader, &before->cores[core], before_ns,
			     &now->cores[core], now_ns);
}

void rates_total(struct core_rates *total, const struct rates *rates,
		 const struct monitor_reader *reader, uint64_t mask)
{
	unsigned known = 0;

	*total = (struct core_rates){ 0 };
	for (unsigned core = 0; core < rates->ncores; core++) {
		const struct core_rates *one = &rates->cores[core];

		if (!(mask >> core & 1) || !one->is_known)
			continue;
		known++;
		total->busy += one->busy;
		total->seconds += one->seconds;
		for (unsigned i = 0; i < reader->ncounters; i++)
			total->per_second[i] += one->per_second[i];
	}
	if (!known)
		return;
	total->is_known = true;
	total->busy /= known;
	total->seconds /= known;
}
