#include "arch/x86_64/clock.h"

#include "arch/arch.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock_rate.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/isolation.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "smp/core.h"

#include <string.h>

uint64_t clock_epoch_ns VISIBLE;

static uint64_t tsc_base VISIBLE; /* at clock_ns() == 0 */
static rate_t ns_per_tsc VISIBLE;
static READ_MOSTLY rate_t tsc_per_ns, timer_per_ns;
static READ_MOSTLY bool tsc_deadline;

/* The launcher knows the time to the millisecond, the real-time clock only to the second. */
static uint64_t told_ms;

static const char *parse_time(const char *value)
{
	uint64_t ms = 0;

	if (!*value)
		return "needs a number";
	for (; *value; value++) {
		if (*value < '0' || *value > '9' || ms > UINT64_MAX / 100)
			return "must be milliseconds since 1970";
		ms = ms * 10 + (uint64_t)(*value - '0');
	}
	told_ms = ms;
	return NULL;
}
BOOT_OPTION(time,
	    "time=MS: the time now, in milliseconds since 1970, finer than the real-time clock's",
	    parse_time);

static CORE_LOCAL uint64_t armed_until = UINT64_MAX;

uint64_t clock_ns(void)
{
	return scale(read_tsc() - tsc_base, ns_per_tsc);
}

/* ---- the one-shot timer ---- */

static void program(uint64_t deadline_ns)
{
	uint64_t tsc = read_tsc(), now = scale(tsc - tsc_base, ns_per_tsc);

	if (tsc_deadline) /* never 0, which would disarm */
		write_msr(MSR_TSC_DEADLINE, tsc + ticks_until(deadline_ns, now, tsc_per_ns));
	else
		apic_timer_set((uint32_t)min(ticks_until(deadline_ns, now, timer_per_ns),
					     (uint64_t)APIC_TIMER_MAX));
}

/* An interrupt in the middle of this sees the new deadline, arms it, and is harmless. */
void clock_arm(uint64_t deadline_ns)
{
	armed_until = deadline_ns;
	__asm__ volatile("" ::: "memory");
	if (deadline_ns != UINT64_MAX)
		program(deadline_ns);
	else if (tsc_deadline)
		write_msr(MSR_TSC_DEADLINE, 0);
	else
		apic_timer_set(0);
}

bool clock_is_due(void)
{
	uint64_t deadline_ns = armed_until;

	if (deadline_ns == UINT64_MAX)
		return false;
	if (clock_ns() < deadline_ns) {
		program(deadline_ns);
		return false;
	}
	armed_until = UINT64_MAX;
	return true;
}

void clock_init_core(void)
{
	if (tsc_deadline)
		apic_timer_use_tsc_deadline();
}

/* ---- calibration ---- */

/* A counter of known frequency. */
struct reference {
	const char *name;
	uint64_t hz;
	uint32_t mask; /* it counts modulo mask + 1 */
	uint32_t (*read)(void);
};

static uint32_t read_tsc_low(void)
{
	return (uint32_t)read_tsc();
}

/* ACPI 6.4, 4.8.3.3 */
#define PM_TIMER_HZ 3579545

static uint32_t read_pm_timer(void)
{
	return inl((uint16_t)acpi.pm_timer.address);
}

/* Counter 2 of the 8254 counts down; its gate is bit 0 of port 0x61, bit 1 is the speaker.
 * Intel 8254 data sheet: control word, latch command. */
#define PIT_HZ 1193182

static void start_pit(void)
{
	outb(0x61, (inb(0x61) & ~2u) | 1);
	outb(0x43, 0xb0); /* counter 2, low byte then high, mode 0, binary */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
}

static uint32_t read_pit(void)
{
	uint32_t low;

	outb(0x43, 0x80); /* latch counter 2 */
	low = inb(0x42);
	return 0u - (low | (uint32_t)inb(0x42) << 8);
}

/* The TSC's frequency where the processor or the hypervisor knows it, else 0. */
static uint64_t known_tsc_hz(void)
{
	uint32_t last = cpuid(0, 0).eax;

	if (cpu_features.hypervisor) {
		struct cpuid base = cpuid(0x40000000, 0);

		/* Timing leaf, defined by VMware and taken over by others: kHz in EAX. */
		if (base.eax >= 0x40000010 && base.eax < 0x40010000 && cpuid(0x40000010, 0).eax)
			return cpuid(0x40000010, 0).eax * 1000ull;
	}
	if (last >= 0x15) { /* SDM volume 2, CPUID: crystal clock and ratio */
		struct cpuid ratio = cpuid(0x15, 0);

		if (ratio.eax && ratio.ebx && ratio.ecx)
			return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
		/* The crystal is not told: then the TSC runs at the base frequency, in MHz. */
		if (ratio.eax && ratio.ebx && last >= 0x16)
			return (cpuid(0x16, 0).eax & 0xffff) * 1000000ull;
	}
	return 0;
}

struct sample {
	uint64_t tsc;
	uint32_t reference;
	uint32_t timer;
};

/* All three counters at (nearly) one moment: the tightest of a few tries, since a virtual
 * machine may be stopped between any two instructions. */
static struct sample take_sample(const struct reference *reference)
{
	struct sample best = { 0 };
	uint64_t best_width = UINT64_MAX;

	for (unsigned attempt = 0; attempt < 8; attempt++) {
		uint64_t before = read_tsc();
		uint32_t value = reference->read();
		uint32_t timer = apic_timer_count();
		uint64_t width = read_tsc() - before;

		if (width >= best_width)
			continue;
		best_width = width;
		best = (struct sample){ before + width / 2, value, timer };
	}
	return best;
}

#define MEASURE_PER_SECOND 200 /* 5 ms */

/* One measurement; false if the reference stands still or the result makes no sense. */
static bool measure(const struct reference *reference, uint64_t *tsc_hz, uint64_t *timer_hz)
{
	struct sample start, end;
	uint32_t passed, wanted = (uint32_t)(reference->hz / MEASURE_PER_SECOND);
	unsigned spins = 0;
	uint64_t begin;

	apic_timer_set(APIC_TIMER_MAX);
	start = take_sample(reference);
	begin = read_tsc();
	do {
		/* A counter that stands still: 2^34 cycles are seconds on any processor. */
		if (++spins % 64 == 0 && read_tsc() - begin > 1ull << 34)
			return false;
		arch_pause();
	} while (((reference->read() - start.reference) & reference->mask) < wanted);
	end = take_sample(reference);
	apic_timer_set(0);

	passed = (end.reference - start.reference) & reference->mask;
	if (passed < wanted)
		return false;
	*tsc_hz = (end.tsc - start.tsc) * reference->hz / passed;
	*timer_hz = (uint64_t)(start.timer - end.timer) * reference->hz / passed;
	return *tsc_hz >= 100000000 && *tsc_hz <= 10000000000 && *timer_hz >= 100000 &&
	       *timer_hz <= 10000000000;
}

static bool close(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= max(a, b) / 1000;
}

/* Two measurements in a row must agree to 0.1 %, or at the end to what there is. */
static bool calibrate(const struct reference *reference, uint64_t *tsc_hz, uint64_t *timer_hz)
{
	uint64_t last_tsc = 0, last_timer = 0;

	for (unsigned attempt = 0; attempt < 8; attempt++) {
		if (!measure(reference, tsc_hz, timer_hz))
			return false;
		if (close(*tsc_hz, last_tsc) && close(*timer_hz, last_timer))
			return true;
		last_tsc = *tsc_hz;
		last_timer = *timer_hz;
	}
	kprintf("clock: unsteady against the %s: measurements differ by more than 0.1 %%\n",
		reference->name);
	return true;
}

void clock_init(void)
{
	uint64_t tsc_hz = known_tsc_hz(), measured_hz = 0, timer_hz = 0, wall_clock;
	struct reference reference;
	bool found = false;

	apic_init();
	if (tsc_hz) {
		reference = (struct reference){ "TSC", tsc_hz, UINT32_MAX, read_tsc_low };
		found = calibrate(&reference, &measured_hz, &timer_hz);
	}
	if (!found && acpi.pm_timer.address && acpi.pm_timer.space == ACPI_SPACE_IO) {
		reference = (struct reference){ "ACPI timer", PM_TIMER_HZ,
						acpi.pm_timer_32bit ? UINT32_MAX : 0xffffff,
						read_pm_timer };
		found = calibrate(&reference, &measured_hz, &timer_hz);
	}
	if (!found) {
		start_pit();
		reference = (struct reference){ "PIT", PIT_HZ, 0xffff, read_pit };
		found = calibrate(&reference, &measured_hz, &timer_hz);
	}
	if (!found)
		panic("clock: no CPUID frequency, ACPI timer or PIT to calibrate the TSC with");
	if (reference.read != read_tsc_low)
		tsc_hz = measured_hz;

	tsc_per_ns = make_rate(tsc_hz, NS_PER_S);
	timer_per_ns = make_rate(timer_hz, NS_PER_S);
	tsc_base = read_tsc();
	ns_per_tsc = make_rate(NS_PER_S, tsc_hz);
	tsc_deadline = cpu_features.tsc_deadline;
	clock_init_core();

	wall_clock = wall_clock_guess(rtc_read_seconds(), told_ms);
	if (wall_clock)
		clock_epoch_ns = wall_clock - clock_ns();
	else
		kprintf("clock: no usable real-time clock: the wall clock starts at 1970\n");
	kprintf("clock: TSC %lu.%03lu MHz by %s, timer %s\n", tsc_hz / 1000000,
		tsc_hz / 1000 % 1000, reference.name, tsc_deadline ? "TSC deadline" : "one-shot");
}
