/*
 * Random numbers: arch_random() (arch/arch.h), and the canary of the stack protector.
 */
#include "arch/x86_64/random.h"

#include "arch/arch.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "lavra/console.h"

/* RDSEED may be out of entropy for a moment; RDRAND is advised to be tried 10 times (SDM volume 1,
 * 7.3.17). */
#define TRIES 10
#define JITTER_ROUNDS 256

static bool from_rdseed(uint64_t *value)
{
	for (int i = 0; i < TRIES && cpu_features.rdseed; i++) {
		bool ok;

		__asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(ok));
		if (ok)
			return true;
		arch_pause();
	}
	return false;
}

static bool from_rdrand(uint64_t *value)
{
	for (int i = 0; i < TRIES && cpu_features.rdrand; i++) {
		bool ok;

		__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(ok));
		if (ok)
			return true;
	}
	return false;
}

/* The finishing steps of MurmurHash3: every bit of the input changes half of the output's. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccd;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53;
	return x ^ x >> 33;
}

/* How long a port read takes differs from time to time. No generator, but never constant. */
static uint64_t from_jitter(void)
{
	static bool said;
	uint64_t value = 0;

	if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		kprintf("random: this processor has no generator; timing gives weak numbers\n");
	for (int i = 0; i < JITTER_ROUNDS; i++) {
		inb(0x80);
		value = mix(value ^ read_tsc());
	}
	return value;
}

uint64_t arch_random(void)
{
	static uint64_t state; /* what earlier calls gathered; a lost update does no harm */
	uint64_t value;

	if (!from_rdseed(&value) && !from_rdrand(&value))
		value = from_jitter();
	value = mix(value ^ __atomic_load_n(&state, __ATOMIC_RELAXED)) ^ mix(read_tsc());
	__atomic_store_n(&state, value * 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);
	return value;
}

/* The compiler's names (-mstack-protector-guard=global). */
uintptr_t __stack_chk_guard READ_MOSTLY;

void __stack_chk_fail(void)
{
	panic("stack smashed: the canary of a function's frame was overwritten");
}

__attribute__((optimize("no-stack-protector"))) void random_set_canary(void)
{
	/* A zero byte in the end that a string would overwrite first stops string functions. */
	__stack_chk_guard = arch_random() & ~0xfful;
}
