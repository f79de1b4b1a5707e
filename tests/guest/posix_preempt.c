/*
 * Preemption: application code that never calls the kernel is interrupted, and finds every register
 * as it left it.
 */
#include "tests/guest/test.h"

#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static atomic_bool stop;

static void pin_to_core_0(pthread_t thread)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	CHECK_EQ(pthread_setaffinity_np(thread, sizeof(set), &set), 0);
}

static void unpin(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static void *count_for_ever(void *argument)
{
	volatile unsigned long *count = argument;

	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		++*count;
	return NULL;
}

TEST(busy_threads_of_one_core_all_progress)
{
	enum { COUNT = 3 };
	static volatile unsigned long counts[COUNT];
	pthread_t threads[COUNT];
	unsigned long before[COUNT];

	atomic_store(&stop, false);
	for (unsigned i = 0; i < COUNT; i++) {
		CHECK_EQ(pthread_create(&threads[i], NULL, count_for_ever, (void *)&counts[i]), 0);
		pin_to_core_0(threads[i]);
	}
	sleep_ms(50);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < COUNT; i++)
			before[i] = counts[i];
		/* How long it takes is the host's affair; that it never happens is ours. */
		for (unsigned i = 0; i < COUNT; i++) {
			for (unsigned wait = 0; wait < 200 && counts[i] == before[i]; wait++)
				sleep_ms(50);
			CHECK(counts[i] > before[i]);
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
}

/* ---- messages to a core that computes ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void pin_self(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* What a set has told of a file of another core it asks that core again. A tick is 4 ms. */
TEST(a_core_that_computes_answers_before_its_tick)
{
	enum { QUESTIONS = 100 };
	static volatile unsigned long count;
	struct epoll_event event = { .events = EPOLLIN };
	unsigned quick = 0;
	pthread_t thread;
	int fd, set;

	if (test_cores < 2) {
		test_skip_reason = "needs two cores";
		return;
	}
	pin_self(0);
	fd = eventfd(1, 0);
	pin_self(1);
	set = epoll_create1(0);
	CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
	atomic_store(&stop, false);
	CHECK_EQ(pthread_create(&thread, NULL, count_for_ever, (void *)&count), 0);
	pin_to_core_0(thread);
	sleep_ms(50);
	for (unsigned i = 0; i < QUESTIONS; i++) {
		uint64_t asked_ns = now_ns();

		CHECK_EQ(epoll_wait(set, &event, 1, 5000), 1);
		quick += now_ns() - asked_ns < 1000000;
	}
	/* A busy host makes some of them slow. */
	CHECK(quick > QUESTIONS / 4);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	close(set);
	close(fd);
	unpin();
}

/* ---- x87 exceptions ---- */

/* Bit 5 of the control word masks the exception of inexact results, whose flag in the status word
 * nearly every operation sets (SDM volume 1, 8.1.3, 8.1.5). */
#define X87_INEXACT_MASK 0x20

static void *calculate_inexactly(void *argument)
{
	volatile long double third = 1;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		third = third / 3 + 1;
		sched_yield();
	}
	return NULL;
}

static void *calculate_exactly(void *argument)
{
	volatile long double one = 1;
	uint16_t control, unmasked, found;

	__asm__ volatile("fnclex; fnstcw %0" : "=m"(control));
	unmasked = control & ~X87_INEXACT_MASK;
	__asm__ volatile("fldcw %0" ::"m"(unmasked));
	for (unsigned i = 0; i < 1000; i++) {
		one = one * 1;
		sched_yield();
	}
	__asm__ volatile("fnstcw %0; fnclex; fldcw %1" : "=m"(found) : "m"(control));
	CHECK_EQ(found, unmasked);
	CHECK(one == 1);
	return NULL;
}

TEST(x87_exceptions_stay_with_their_thread)
{
	pthread_t exact, inexact;

	atomic_store(&stop, false);
	CHECK_EQ(pthread_create(&inexact, NULL, calculate_inexactly, NULL), 0);
	pin_to_core_0(inexact);
	CHECK_EQ(pthread_create(&exact, NULL, calculate_exactly, NULL), 0);
	pin_to_core_0(exact);
	pthread_join(exact, NULL);
	atomic_store(&stop, true);
	pthread_join(inexact, NULL);
}

/* ---- registers ---- */

/*
 * Fill every general and vector register from `pattern`, spin, and compare. The loop runs with the
 * red zone in use, since this is a leaf that keeps the stack pointer. Returns how many differ.
 */
struct registers {
	uint64_t general[13]; /* rax rbx rcx rdx rdi r8..r15: all but rsp, rbp and rsi */
	uint64_t red_zone;
	uint8_t vector[16][32] __attribute__((aligned(32)));
	uint32_t mxcsr, x87_control;
};

static void spin_with_registers(struct registers *in_out, bool avx)
{
	register struct registers *state __asm__("rsi") = in_out;

#define EACH_VECTOR(move, prefix)                                                                  \
	move(prefix, 0) move(prefix, 1) move(prefix, 2) move(prefix, 3) move(prefix, 4)            \
	    move(prefix, 5) move(prefix, 6) move(prefix, 7) move(prefix, 8) move(prefix, 9)        \
		move(prefix, 10) move(prefix, 11) move(prefix, 12) move(prefix, 13)                \
		    move(prefix, 14) move(prefix, 15)
#define LOAD(prefix, n) prefix "mov" LOAD_SUFFIX " 128+32*" #n "(%%rsi), %%" REGISTER #n "\n\t"
#define STORE(prefix, n) prefix "mov" LOAD_SUFFIX " %%" REGISTER #n ", 128+32*" #n "(%%rsi)\n\t"

	_Static_assert(offsetof(struct registers, vector) == 128, "the assembly counts on it");
	_Static_assert(offsetof(struct registers, mxcsr) == 640, "the assembly counts on it");
	if (avx) {
#define LOAD_SUFFIX "dqu"
#define REGISTER "ymm"
		__asm__ volatile(EACH_VECTOR(LOAD, "v")::"r"(state) : "memory");
	} else {
#undef REGISTER
#define REGISTER "xmm"
		__asm__ volatile(EACH_VECTOR(LOAD, "")::"r"(state) : "memory");
	}
	__asm__ volatile("ldmxcsr 640(%%rsi)\n\t"
			 "fldcw 644(%%rsi)\n\t"
			 "leaq -256(%%rsp), %%rsp\n\t" /* the compiler's own red zone */
			 "push %%rbp\n\t"
			 "push %%rbx\n\t"
			 "movq 104(%%rsi), %%rax\n\t"
			 "movq %%rax, -8(%%rsp)\n\t"
			 "movq %%rax, -120(%%rsp)\n\t"
			 "movq 0(%%rsi), %%rax\n\t"
			 "movq 8(%%rsi), %%rbx\n\t"
			 "movq 16(%%rsi), %%rcx\n\t"
			 "movq 24(%%rsi), %%rdx\n\t"
			 "movq 32(%%rsi), %%rdi\n\t"
			 "movq 40(%%rsi), %%r8\n\t"
			 "movq 48(%%rsi), %%r9\n\t"
			 "movq 56(%%rsi), %%r10\n\t"
			 "movq 64(%%rsi), %%r11\n\t"
			 "movq 72(%%rsi), %%r12\n\t"
			 "movq 80(%%rsi), %%r13\n\t"
			 "movq 88(%%rsi), %%r14\n\t"
			 "movq 96(%%rsi), %%r15\n\t"
			 "movl $2000000, %%ebp\n\t"
			 "stc\n"
			 "1:\tdecl %%ebp\n\t" /* dec leaves the carry flag alone */
			 "jnz 1b\n\t"
			 "jc 2f\n\t"
			 "notq %%rax\n" /* a lost flag shows as a wrong rax */
			 "2:\tmovq %%rax, 0(%%rsi)\n\t"
			 "movq %%rbx, 8(%%rsi)\n\t"
			 "movq %%rcx, 16(%%rsi)\n\t"
			 "movq %%rdx, 24(%%rsi)\n\t"
			 "movq %%rdi, 32(%%rsi)\n\t"
			 "movq %%r8, 40(%%rsi)\n\t"
			 "movq %%r9, 48(%%rsi)\n\t"
			 "movq %%r10, 56(%%rsi)\n\t"
			 "movq %%r11, 64(%%rsi)\n\t"
			 "movq %%r12, 72(%%rsi)\n\t"
			 "movq %%r13, 80(%%rsi)\n\t"
			 "movq %%r14, 88(%%rsi)\n\t"
			 "movq %%r15, 96(%%rsi)\n\t"
			 "movq -8(%%rsp), %%rax\n\t"
			 "movq -120(%%rsp), %%rbx\n\t"
			 "andq %%rbx, %%rax\n\t"
			 "movq %%rax, 104(%%rsi)\n\t"
			 "pop %%rbx\n\t"
			 "pop %%rbp\n\t"
			 "leaq 256(%%rsp), %%rsp\n\t"
			 "stmxcsr 640(%%rsi)\n\t"
			 "fnstcw 644(%%rsi)\n\t"
			 :
			 : "r"(state)
			 : "rax", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "cc", "memory");
	if (avx) {
#undef REGISTER
#define REGISTER "ymm"
		__asm__ volatile(EACH_VECTOR(STORE, "v") "vzeroupper" ::"r"(state) : "memory");
	} else {
#undef REGISTER
#define REGISTER "xmm"
		__asm__ volatile(EACH_VECTOR(STORE, "")::"r"(state) : "memory");
	}
	__asm__ volatile("ldmxcsr %0; fldcw %1" ::"m"((uint32_t){ 0x1f80 }),
			 "m"((uint16_t){ 0x37f }));
}

static bool has_avx(void)
{
	uint32_t a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
		return false;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & 6) == 6;
}

static bool has_protection_keys(void)
{
	uint32_t a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_OSPKE);
}

static uint32_t read_pkru(void)
{
	uint32_t low, high;

	__asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

/* Of the keys 8 to 12. */
static void write_pkru(uint32_t rights)
{
	for (int key = 8; key <= 12; key++)
		CHECK_EQ(pkey_set(key, rights >> 2 * key & 3), 0);
}

static atomic_uint rounds_done;

static void *keep_registers(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	bool avx = has_avx(), keys = has_protection_keys();
	/* Only the rights of the keys 8 and up: nothing carries those. */
	uint32_t original = keys ? read_pkru() : 0, pkru = original ^ number << 16;
	uint16_t directions = (uint16_t)(number & 3);

	if (keys)
		write_pkru(pkru);
	for (unsigned round = 0; !atomic_load(&stop); round++) {
		struct registers expected, got;
		bool same_vectors = true;

		memset(&expected, 0, sizeof(expected));
		for (unsigned i = 0; i < 13; i++)
			expected.general[i] = 0x0101010101010101ull * number + i * 0x10000 + round;
		expected.red_zone = 0xfeed0000ull + number;
		for (unsigned i = 0; i < 16; i++)
			memset(expected.vector[i], (int)(number * 16 + i + round), avx ? 32 : 16);
		expected.mxcsr = 0x1f80 | (uint32_t)directions << 13;
		expected.x87_control = 0x37f | (uint32_t)directions << 10;
		got = expected;
		spin_with_registers(&got, avx);
		for (unsigned i = 0; i < 13; i++)
			CHECK_EQ(got.general[i], expected.general[i]);
		CHECK_EQ(got.red_zone, expected.red_zone);
		for (unsigned i = 0; i < 16; i++)
			same_vectors &= memcmp(got.vector[i], expected.vector[i], 32) == 0;
		CHECK(same_vectors);
		CHECK_EQ(got.mxcsr & ~0x3fu, expected.mxcsr);
		CHECK_EQ(got.x87_control & 0xffff, expected.x87_control);
		if (keys)
			CHECK_EQ(read_pkru(), pkru);
		atomic_fetch_add(&rounds_done, 1);
	}
	if (keys)
		write_pkru(original);
	return NULL;
}

TEST(registers_survive_preemption)
{
	enum { COUNT = 4 };
	pthread_t threads[COUNT];

	atomic_store(&stop, false);
	atomic_store(&rounds_done, 0);
	for (uintptr_t i = 0; i < COUNT; i++) {
		CHECK_EQ(pthread_create(&threads[i], NULL, keep_registers, (void *)(i + 1)), 0);
		pin_to_core_0(threads[i]);
	}
	sleep_ms(1500);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
	CHECK(atomic_load(&rounds_done) >= COUNT);
}

/* The x87 stack belongs to one thread, too: what a preempted one left there must not fill up
 * that of one that continues from a system call. */
static void *keep_x87_full(void *argument)
{
	while (!atomic_load(&stop)) {
		double sum;

		__asm__ volatile("fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1\n\t"
				 "movl $1000000, %%ecx\n"
				 "1:\tdecl %%ecx; jnz 1b\n\t"
				 "faddp; faddp; faddp; faddp; faddp; faddp; faddp\n\t"
				 "fstpl %0"
				 : "=m"(sum)::"ecx", "cc");
		CHECK_EQ(sum, 8);
		atomic_fetch_add(&rounds_done, 1);
	}
	return argument;
}

/* Two bits for each register of the x87 stack; all ones: empty (SDM volume 1, 8.1.7). */
static unsigned x87_tags(void)
{
	uint32_t environment[7]; /* figure 8-9; the tags are in the third word */

	/* fnstenv masks exceptions, so what it stored is loaded back. */
	__asm__ volatile("fnstenv %0; fldenv %0" : "=m"(environment));
	return environment[2] & 0xffff;
}

TEST(the_x87_stack_is_of_one_thread)
{
	pthread_t thread;

	CHECK_EQ(x87_tags(), 0xffff);
	atomic_store(&stop, false);
	atomic_store(&rounds_done, 0);
	CHECK_EQ(pthread_create(&thread, NULL, keep_x87_full, NULL), 0);
	pin_to_core_0(thread);
	pin_to_core_0(pthread_self());
	for (unsigned i = 0; i < 100; i++) {
		sleep_ms(3);
		CHECK_EQ(x87_tags(), 0xffff);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	CHECK(atomic_load(&rounds_done) > 0);
	unpin();
}

/* A tick that hits the kernel preempts nobody; there must be another one, although the system call
 * it hit neither waits nor polls. */
TEST(a_thread_is_interrupted_after_many_system_calls)
{
	static volatile unsigned long count;
	pthread_t thread;
	bool interrupted = true;

	atomic_store(&stop, false);
	pin_to_core_0(pthread_self());
	CHECK_EQ(pthread_create(&thread, NULL, count_for_ever, (void *)&count), 0);
	pin_to_core_0(thread);
	for (unsigned round = 0; round < 20 && interrupted; round++) {
		struct timespec start, now;
		unsigned long long limit;
		unsigned long before;

		clock_gettime(CLOCK_MONOTONIC, &start);
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec <
		       10000000);
		before = count;
		limit = __rdtsc() + 20000000000ull; /* seconds */
		while (count == before && __rdtsc() < limit)
			;
		interrupted = count != before;
	}
	CHECK(interrupted);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	unpin();
}

/* A thread that sleeps is woken although another one never gives the core away. */
TEST(a_busy_thread_does_not_starve_a_sleeper)
{
	static volatile unsigned long count;
	pthread_t thread;
	struct timespec before, after;

	atomic_store(&stop, false);
	CHECK_EQ(pthread_create(&thread, NULL, count_for_ever, (void *)&count), 0);
	pin_to_core_0(thread);
	pin_to_core_0(pthread_self());
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (unsigned i = 0; i < 20; i++)
		sleep_ms(1);
	clock_gettime(CLOCK_MONOTONIC, &after);
	/* Each of them waits for one turn of the other at most: 20 * (1 + 4) ms, and much slack. */
	CHECK(after.tv_sec - before.tv_sec < 10);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	unpin();
}
