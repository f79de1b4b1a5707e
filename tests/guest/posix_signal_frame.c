/* Handlers that run between any two instructions: on which stack, what they are told, what they may
 * change, and that nothing else changes. */
#include "tests/guest/test.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1 << 31)
#endif

static atomic_int handled, ready;
static atomic_bool stop;

static void handle_with(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO };

	CHECK_EQ(sigaction(number, &action, NULL), 0);
}

static void count(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	atomic_fetch_add(&handled, 1);
}

static void pin(pthread_t thread, int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	CHECK_EQ(pthread_setaffinity_np(thread, sizeof(cores), &cores), 0);
}

static bool wait_until(atomic_int *value, int wanted)
{
	for (int i = 0; i < 20000 && atomic_load(value) < wanted; i++)
		usleep(1000);
	return atomic_load(value) >= wanted;
}

/* ---- a thread that never calls the kernel ---- */

static void *compute(void *argument)
{
	int wanted = (int)(intptr_t)argument;

	atomic_store(&ready, 1);
	while (atomic_load_explicit(&handled, memory_order_relaxed) < wanted)
		;
	return &handled;
}

TEST(a_computing_thread_is_interrupted)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	handle_with(SIGUSR1, count, 0);
	for (int core = 0; core < cores; core++) {
		pthread_t thread;
		void *result = NULL;

		atomic_store(&handled, 0);
		atomic_store(&ready, 0);
		CHECK_EQ(pthread_create(&thread, NULL, compute, (void *)20), 0);
		pin(thread, core);
		CHECK(wait_until(&ready, 1));
		for (int i = 1; i <= 20; i++) {
			CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
			CHECK(wait_until(&handled, i));
		}
		CHECK_EQ(pthread_join(thread, &result), 0);
		CHECK(result == &handled);
	}
	signal(SIGUSR1, SIG_DFL);
}

static void *call_quickly(void *unused)
{
	struct timespec now;

	(void)unused;
	atomic_store(&ready, 1);
	while (atomic_load_explicit(&handled, memory_order_relaxed) < 20)
		clock_gettime(CLOCK_MONOTONIC, &now);
	return NULL;
}

/* Its calls never wait, and most interrupts come while it is in one of them. */
TEST(a_thread_of_quick_calls_is_interrupted)
{
	pthread_t thread;

	handle_with(SIGUSR1, count, 0);
	atomic_store(&handled, 0);
	atomic_store(&ready, 0);
	CHECK_EQ(pthread_create(&thread, NULL, call_quickly, NULL), 0);
	CHECK(wait_until(&ready, 1));
	for (int i = 1; i <= 20; i++) {
		CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
		CHECK(wait_until(&handled, i));
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	signal(SIGUSR1, SIG_DFL);
}

TEST(a_timer_interrupts_a_loop)
{
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, none = { 0 };

	handle_with(SIGALRM, count, 0);
	atomic_store(&handled, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
	compute((void *)10);
	CHECK_EQ(setitimer(ITIMER_REAL, &none, NULL), 0);
	signal(SIGALRM, SIG_DFL);
}

static void *compute_for_ever(void *unused)
{
	int old;

	(void)unused;
	CHECK_EQ(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old), 0);
	atomic_store(&ready, 1);
	for (;;)
		__asm__ volatile("");
	return NULL;
}

TEST(asynchronous_cancellation_ends_a_loop)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);

	for (int i = 0; i < 3 * cores; i++) {
		pthread_t thread;
		void *result = NULL;

		atomic_store(&ready, 0);
		CHECK_EQ(pthread_create(&thread, NULL, compute_for_ever, NULL), 0);
		pin(thread, i % cores);
		CHECK(wait_until(&ready, 1));
		CHECK_EQ(pthread_cancel(thread), 0);
		CHECK_EQ(pthread_join(thread, &result), 0);
		CHECK(result == PTHREAD_CANCELED);
	}
}

static sigjmp_buf way_out;

static void leave(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	siglongjmp(way_out, 1);
}

TEST(a_loop_is_left_by_siglongjmp)
{
	struct itimerval soon = { .it_value.tv_usec = 1000 };
	static volatile int rounds;

	handle_with(SIGALRM, leave, 0);
	for (rounds = 0; rounds < 20; rounds++) {
		if (sigsetjmp(way_out, 1))
			continue;
		setitimer(ITIMER_REAL, &soon, NULL);
		for (;;)
			__asm__ volatile("");
	}
	signal(SIGALRM, SIG_DFL);
}

/* ---- registers ---- */

struct registers {
	uint64_t general[14]; /* rax rbx rcx rdx rdi rbp r8..r15 */
	uint64_t red_zone[16];
	uint8_t vector[16][32];
};

/* Every register gets its value, and keeps it for some time, as does the red zone. */
#define EACH_VECTOR(do)                                                                            \
	do                                                                                         \
	(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(  \
	    14) do(15)
#define LOAD(n) "vmovdqu 240+32*" #n "(%%rsi), %%ymm" #n "\n\t"
#define STORE(n) "vmovdqu %%ymm" #n ", 240+32*" #n "(%%rsi)\n\t"
#define LOAD_SSE(n) "movdqu 240+32*" #n "(%%rsi), %%xmm" #n "\n\t"
#define STORE_SSE(n) "movdqu %%xmm" #n ", 240+32*" #n "(%%rsi)\n\t"
#define EACH_WORD(do)                                                                              \
	do                                                                                         \
	(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do( \
	    15) do(16)
#define FILL(n) "movq 104+8*" #n "(%%rsi), %%rax\n\tmovq %%rax, -8*" #n "(%%rsp)\n\t"
#define READ(n) "movq -8*" #n "(%%rsp), %%rax\n\tmovq %%rax, 104+8*" #n "(%%rsi)\n\t"

_Static_assert(offsetof(struct registers, red_zone) == 112, "the assembly counts on it");
_Static_assert(offsetof(struct registers, vector) == 240, "the assembly counts on it");

static bool has_avx(void)
{
	uint32_t a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
		return false;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & 6) == 6;
}

static __attribute__((noinline)) void hold_registers(struct registers *state, bool avx,
						     unsigned turns)
{
	register struct registers *pointer __asm__("rsi") = state;
	uint64_t count = turns;

	if (avx)
		__asm__ volatile(EACH_VECTOR(LOAD)::"r"(pointer) : "memory");
	else
		__asm__ volatile(EACH_VECTOR(LOAD_SSE)::"r"(pointer) : "memory");
	__asm__ volatile("leaq -256(%%rsp), %%rsp\n\t"
			 "pushq %%rbp\n\tpushq %%rbx\n\tpushq %1\n\t" EACH_WORD(
			     FILL) "movq 0(%%rsi), %%rax\n\tmovq 8(%%rsi), %%rbx\n\t"
				   "movq 16(%%rsi), %%rcx\n\tmovq 24(%%rsi), %%rdx\n\t"
				   "movq 32(%%rsi), %%rdi\n\tmovq 40(%%rsi), %%rbp\n\t"
				   "movq 48(%%rsi), %%r8\n\tmovq 56(%%rsi), %%r9\n\t"
				   "movq 64(%%rsi), %%r10\n\tmovq 72(%%rsi), %%r11\n\t"
				   "movq 80(%%rsi), %%r12\n\tmovq 88(%%rsi), %%r13\n\t"
				   "movq 96(%%rsi), %%r14\n\tmovq 104(%%rsi), %%r15\n\t"
				   "stc\n"
				   "1:\tdecq (%%rsp)\n\tjnz 1b\n\t" /* dec keeps the carry flag */
				   "jc 2f\n\tnotq %%rbx\n"
				   "2:\tmovq %%rax, 0(%%rsi)\n\tmovq %%rbx, 8(%%rsi)\n\t"
				   "movq %%rcx, 16(%%rsi)\n\tmovq %%rdx, 24(%%rsi)\n\t"
				   "movq %%rdi, 32(%%rsi)\n\tmovq %%rbp, 40(%%rsi)\n\t"
				   "movq %%r8, 48(%%rsi)\n\tmovq %%r9, 56(%%rsi)\n\t"
				   "movq %%r10, 64(%%rsi)\n\tmovq %%r11, 72(%%rsi)\n\t"
				   "movq %%r12, 80(%%rsi)\n\tmovq %%r13, 88(%%rsi)\n\t"
				   "movq %%r14, 96(%%rsi)\n\tmovq %%r15, 104(%%rsi)\n\t" EACH_WORD(
				       READ) "addq $8, %%rsp\n\tpopq %%rbx\n\tpopq %%rbp\n\t"
					     "leaq 256(%%rsp), %%rsp\n\t" ::"r"(pointer),
			 "r"(count)
			 : "rax", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "cc", "memory");
	if (avx)
		__asm__ volatile(EACH_VECTOR(STORE) "vzeroupper" ::"r"(pointer) : "memory");
	else
		__asm__ volatile(EACH_VECTOR(STORE_SSE)::"r"(pointer) : "memory");
}

static bool registers_hold(unsigned seed, bool avx, unsigned turns)
{
	struct registers before, after;

	for (size_t i = 0; i < sizeof(before); i++)
		((uint8_t *)&before)[i] = (uint8_t)(seed * 7 + i * 13 + (i >> 5));
	if (!avx)
		for (int i = 0; i < 16; i++)
			memset(before.vector[i] + 16, 0, 16);
	after = before;
	hold_registers(&after, avx, turns);
	return memcmp(&before, &after, sizeof(before)) == 0;
}

static __attribute__((noinline)) double calculate(double x)
{
	for (int i = 0; i < 10; i++)
		x = x / 3 + 1.5;
	return x;
}

static volatile double sink;

static void clobber(int number, siginfo_t *info, void *context)
{
	char bytes[256];
	uint32_t mxcsr;
	uint16_t control;

	(void)number;
	(void)context;
	memset(bytes, 0xa5, sizeof(bytes));
	__asm__ volatile("" ::"r"(bytes) : "memory");
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
	/* A handler begins as a program does. */
	CHECK_EQ(mxcsr & ~0x3fu, 0x1f80);
	CHECK_EQ(control, 0x37f);
	sink = calculate(info->si_signo);
	if (has_avx())
		__asm__ volatile("vpcmpeqd %%xmm15, %%xmm15, %%xmm15\n\t"
				 "vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\tvzeroall" ::
				     : "xmm0", "xmm15", "memory");
	atomic_fetch_add(&handled, 1);
}

TEST(a_handler_changes_no_register)
{
	struct itimerval every = { { 0, 500 }, { 0, 500 } }, none = { 0 };
	uint32_t mxcsr = 0x3f80, mxcsr_after; /* rounding down */
	uint16_t control = 0x77f, control_after;
	bool avx = has_avx();

	handle_with(SIGALRM, clobber, 0);
	atomic_store(&handled, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
	__asm__ volatile("ldmxcsr %0; fldcw %1" ::"m"(mxcsr), "m"(control));
	for (unsigned i = 0; atomic_load(&handled) < 100; i++)
		if (!registers_hold(i, avx, 200000)) {
			CHECK(!"a register has changed");
			break;
		}
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr_after), "=m"(control_after));
	CHECK_EQ(mxcsr_after & ~0x3fu, mxcsr);
	CHECK_EQ(control_after, control);
	mxcsr = 0x1f80;
	control = 0x37f;
	__asm__ volatile("fnclex; ldmxcsr %0; fldcw %1" ::"m"(mxcsr), "m"(control));
	CHECK_EQ(setitimer(ITIMER_REAL, &none, NULL), 0);
	signal(SIGALRM, SIG_DFL);
}

/* ---- the frame ---- */

extern char loop_start[], loop_end[];

/* Does not end by itself. */
__asm__(".text\nendless:\n\tmovq $0x1234, %rax\n\tmovq $0x5678, %r12\n\tmovq %rsp, %r13\n"
	"loop_start:\n\tjmp loop_start\nloop_end:\n\tmovq %r12, %rax\n\tret\n");
uint64_t endless(void);

static uint64_t call_endless(void)
{
	uint64_t result;

	__asm__ volatile("call endless"
			 : "=a"(result)::"r12", "r13", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
			   "r10", "r11", "memory", "cc");
	return result;
}

static void end_loop(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	greg_t *registers = context->uc_mcontext.gregs;

	(void)info;
	if (registers[REG_RIP] != (greg_t)loop_start)
		return; /* not yet there: the timer goes on */
	CHECK_EQ(registers[REG_RAX], 0x1234);
	CHECK_EQ(registers[REG_R12], 0x5678);
	CHECK_EQ(registers[REG_R13], registers[REG_RSP]);
	/* Deeper than the red zone, and as a function finds its stack. */
	CHECK((uintptr_t)context + sizeof(*context) < (uintptr_t)registers[REG_RSP]);
	CHECK((uintptr_t)info + sizeof(*info) <= (uintptr_t)registers[REG_RSP] - 128);
	CHECK_EQ((uintptr_t)((void **)context - 1) % 16, 8);
	CHECK_EQ(registers[REG_CSGSFS] & 0xffff, 0x33);
	CHECK(registers[REG_EFL] & 0x200);
	CHECK(!sigismember(&context->uc_sigmask, number));
	registers[REG_RIP] = (greg_t)loop_end;
	registers[REG_R12] = 0x9abc;
	sigaddset(&context->uc_sigmask, SIGUSR2);
	atomic_fetch_add(&handled, 1);
}

TEST(a_handler_changes_what_it_interrupted)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, none = { 0 };
	sigset_t mask;

	handle_with(SIGALRM, end_loop, 0);
	atomic_store(&handled, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
	CHECK_EQ(call_endless(), 0x9abc);
	CHECK_EQ(setitimer(ITIMER_REAL, &none, NULL), 0);
	CHECK_EQ(atomic_load(&handled), 1);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	CHECK_EQ(sigismember(&mask, SIGUSR2), 1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	signal(SIGALRM, SIG_DFL);
}

/* What Linux writes into the bytes that XSAVE leaves free. */
struct mark {
	uint32_t mark1, extended_size;
	uint64_t components;
	uint32_t area_size, padding[7];
};

static uint8_t *extended_of(ucontext_t *context)
{
	return (uint8_t *)context->uc_mcontext.fpregs;
}

static atomic_bool spinning;

/* xmm5 at its place in the FXSAVE image (SDM volume 1, table 10-2). */
#define XMM5 (160 + 5 * 16)

static void change_xmm5(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	uint8_t *extended = extended_of(context);
	struct mark mark;
	uint32_t mark2;
	uint64_t present, value;

	(void)number;
	(void)info;
	if (!atomic_load(&spinning))
		return;
	CHECK_EQ((uintptr_t)extended % 64, 0);
	memcpy(&mark, extended + 464, sizeof(mark));
	if (has_avx()) {
		CHECK_EQ(mark.mark1, 0x46505853);
		CHECK_EQ(mark.extended_size, mark.area_size + 4);
		CHECK_EQ(mark.components & 7, 7);
		memcpy(&mark2, extended + mark.area_size, sizeof(mark2));
		CHECK_EQ(mark2, 0x46505845);
		memcpy(&present, extended + 512, sizeof(present));
		CHECK(present & 2);
	}
	memcpy(&value, extended + XMM5, sizeof(value));
	if (value != 0x1122334455667788)
		return; /* not yet loaded */
	value = 0x99aabbccddeeff00;
	memcpy(extended + XMM5, &value, sizeof(value));
}

TEST(a_handler_changes_a_vector_register)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, none = { 0 };
	uint64_t value = 0x1122334455667788;

	handle_with(SIGALRM, change_xmm5, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
	atomic_store(&spinning, true);
	__asm__ volatile("movq %0, %%xmm5\n"
			 "1:\tmovq %%xmm5, %%rax\n\tcmpq %0, %%rax\n\tje 1b\n\tmovq %%rax, %0"
			 : "+r"(value)::"rax", "xmm5", "cc");
	atomic_store(&spinning, false);
	CHECK_EQ(setitimer(ITIMER_REAL, &none, NULL), 0);
	CHECK(value == 0x99aabbccddeeff00);
	signal(SIGALRM, SIG_DFL);
}

static bool on_lavra(void)
{
	struct utsname name;

	return uname(&name) == 0 && strstr(name.release, "lavra");
}

static int damage_kind;

static void damage(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	uint8_t *extended = extended_of(context);

	(void)number;
	(void)info;
	switch (damage_kind) {
	case 0: /* reserved bits of MXCSR */
		memset(extended + 24, 0xff, 4);
		break;
	case 1: /* components that do not exist, a compacted format, reserved bytes */
		memset(extended + 512, 0xff, 64);
		break;
	case 2: /* the marks */
		memset(extended + 464, 0xff, 48);
		break;
	case 3:
		context->uc_mcontext.fpregs = NULL;
		break;
	case 4: /* flags that are not the program's, and selectors */
		context->uc_mcontext.gregs[REG_EFL] |= 0x27000;
		context->uc_mcontext.gregs[REG_EFL] &= ~0x200l;
		context->uc_mcontext.gregs[REG_CSGSFS] = -1;
		break;
	case 5: /* where XRSTOR would not look */
		context->uc_mcontext.fpregs = memmove(extended - 8, extended, 512);
		break;
	}
	atomic_fetch_add(&handled, 1);
}

TEST(a_damaged_frame_does_no_harm)
{
	uint32_t mxcsr = 0x1f80;

	if (!on_lavra())
		SKIP("Linux ends the process for some of it");
	handle_with(SIGALRM, damage, 0);
	for (damage_kind = 0; damage_kind < 6; damage_kind++) {
		struct itimerval soon = { .it_value.tv_usec = 1000 };

		atomic_store(&handled, 0);
		CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
		while (atomic_load_explicit(&handled, memory_order_relaxed) == 0)
			;
		__asm__ volatile("fninit; ldmxcsr %0" ::"m"(mxcsr));
		/* Interrupts still come. */
		atomic_store(&handled, 0);
		handle_with(SIGALRM, count, 0);
		CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
		compute((void *)1);
		handle_with(SIGALRM, damage, 0);
	}
	signal(SIGALRM, SIG_DFL);
}

/* ---- sigaltstack ---- */

static char *stack_base;
static size_t stack_size;
static volatile int flags_seen, error_seen;

static bool is_on_it(const void *address)
{
	return (const char *)address >= stack_base &&
	       (const char *)address < stack_base + stack_size;
}

static void look_at_stack(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	stack_t state, other = { .ss_flags = SS_DISABLE };
	char here;

	(void)info;
	if (number == SIGUSR2) { /* inside the other: on the same stack, beneath it */
		CHECK(is_on_it(&here));
		atomic_fetch_add(&handled, 1);
		return;
	}
	CHECK(is_on_it(&here));
	CHECK(context->uc_stack.ss_sp == stack_base);
	CHECK_EQ(context->uc_stack.ss_size, stack_size);
	CHECK_EQ(sigaltstack(NULL, &state), 0);
	flags_seen = state.ss_flags;
	errno = 0;
	error_seen = sigaltstack(&other, NULL) == 0 ? 0 : errno;
	raise(SIGUSR2);
	atomic_fetch_add(&handled, 1);
}

static void spin_until_handled(int wanted)
{
	while (atomic_load_explicit(&handled, memory_order_relaxed) < wanted)
		;
}

TEST(handlers_run_on_the_signal_stack)
{
	struct itimerval soon = { .it_value.tv_usec = 1000 };
	stack_t state;

	stack_size = 65536;
	stack_base = malloc(stack_size);
	state = (stack_t){ .ss_sp = stack_base, .ss_size = stack_size };
	CHECK_EQ(sigaltstack(&state, NULL), 0);
	handle_with(SIGALRM, look_at_stack, SA_ONSTACK);
	handle_with(SIGUSR1, look_at_stack, SA_ONSTACK);
	handle_with(SIGUSR2, look_at_stack, SA_ONSTACK);

	/* By a frame, and at the end of a system call. */
	for (int way = 0; way < 2; way++) {
		atomic_store(&handled, 0);
		flags_seen = error_seen = -1;
		if (way == 0) {
			CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
			spin_until_handled(2);
		} else {
			raise(SIGUSR1);
		}
		CHECK_EQ(atomic_load(&handled), 2);
		CHECK_EQ(flags_seen, SS_ONSTACK);
		CHECK_EQ(error_seen, EPERM);
		CHECK_EQ(sigaltstack(NULL, &state), 0);
		CHECK_EQ(state.ss_flags, 0);
		CHECK(state.ss_sp == stack_base);
	}

	/* One that disarms itself is free while the handler runs, and back afterwards. */
	state = (stack_t){ .ss_sp = stack_base, .ss_size = stack_size, .ss_flags = SS_AUTODISARM };
	CHECK_EQ(sigaltstack(&state, NULL), 0);
	handle_with(SIGUSR2, count, 0);
	for (int way = 0; way < 2; way++) {
		atomic_store(&handled, 0);
		flags_seen = error_seen = -1;
		if (way == 0) {
			CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
			spin_until_handled(2);
		} else {
			raise(SIGUSR1);
		}
		CHECK_EQ(flags_seen, SS_DISABLE);
		CHECK_EQ(error_seen, 0);
		CHECK_EQ(sigaltstack(NULL, &state), 0);
		CHECK_EQ(state.ss_flags, (int)SS_AUTODISARM);
		CHECK(state.ss_sp == stack_base);
	}

	state.ss_flags = SS_DISABLE;
	CHECK_EQ(sigaltstack(&state, NULL), 0);
	CHECK_EQ(sigaltstack(NULL, &state), 0);
	CHECK_EQ(state.ss_flags, SS_DISABLE);
	state = (stack_t){ .ss_sp = stack_base, .ss_size = 100 };
	CHECK(sigaltstack(&state, NULL) == -1 && errno == ENOMEM);
	state = (stack_t){ .ss_sp = stack_base, .ss_size = stack_size, .ss_flags = 77 };
	CHECK(sigaltstack(&state, NULL) == -1 && errno == EINVAL);
	/* Without one the flag has no effect. */
	atomic_store(&handled, 0);
	handle_with(SIGUSR1, count, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK_EQ(atomic_load(&handled), 1);
	free(stack_base);
	signal(SIGALRM, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
}

/* ---- many of them, everywhere ---- */

#define CROWD 8
#define SIGCROWD (SIGRTMIN + 3)

static atomic_int crowd_tid[CROWD], sent[CROWD], seen[CROWD];
static _Thread_local int own_number;
static _Thread_local sigjmp_buf own_way_out;
static _Thread_local volatile sig_atomic_t may_jump;

static int queue_to(int tid, int number, int value)
{
	siginfo_t info = { .si_signo = number, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	return (int)syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, number, &info);
}

static void count_own(int number, siginfo_t *info, void *context)
{
	(void)context;
	sink = calculate(number);
	CHECK_EQ(info->si_code, SI_QUEUE);
	atomic_fetch_add(&seen[own_number], 1);
	if (may_jump && info->si_value.sival_int % 4 == 0) {
		may_jump = 0;
		siglongjmp(own_way_out, 1);
	}
}

/* What a system call moves is whole, however often it is interrupted. */
static void check_pipe(const int *ends, unsigned seed)
{
	unsigned out[64], in[64];

	for (int i = 0; i < 64; i++)
		out[i] = seed * 31 + i;
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(write(ends[1], out, sizeof(out)), sizeof(out));
		CHECK_EQ(read(ends[0], in, sizeof(in)), sizeof(in));
		CHECK(memcmp(in, out, sizeof(in)) == 0);
	}
}

static void *live_in_crowd(void *argument)
{
	volatile unsigned random = (unsigned)(uintptr_t)argument + 1;
	volatile bool avx = has_avx();
	int pipe_ends[2];

	CHECK_EQ(pipe(pipe_ends), 0);
	own_number = (int)(intptr_t)argument;
	atomic_store(&crowd_tid[own_number], gettid());
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < CROWD)
		sched_yield();
	while (!atomic_load(&stop)) {
		unsigned round, other;

		random = random * 1103515245 + 12345;
		round = random >> 16;
		switch (round % 5) {
		case 0:
			if (!registers_hold(round, avx, 5000))
				CHECK(!"a register has changed");
			break;
		case 1:
			usleep(round % 300);
			break;
		case 2:
			sched_yield();
			break;
		case 3:
			if (sigsetjmp(own_way_out, 1) == 0) {
				may_jump = 1;
				for (volatile int i = 0; i < 5000; i++)
					;
			}
			may_jump = 0;
			break;
		case 4:
			check_pipe(pipe_ends, round);
			break;
		}
		other = (round >> 4) % CROWD;
		/* Refused when too many wait: then nothing was sent. */
		if (queue_to(atomic_load(&crowd_tid[other]), SIGCROWD, (int)round) == 0)
			atomic_fetch_add(&sent[other], 1);
		else
			CHECK_EQ(errno, EAGAIN);
	}
	/* Nobody sends any more when all have come here. */
	atomic_fetch_sub(&ready, 1);
	for (int i = 0;
	     i < 20000 && (atomic_load(&ready) > 0 ||
			   atomic_load(&seen[own_number]) < atomic_load(&sent[own_number]));
	     i++)
		usleep(1000);
	CHECK_EQ(atomic_load(&seen[own_number]), atomic_load(&sent[own_number]));
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	return NULL;
}

TEST(threads_everywhere_signal_each_other)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), total = 0;
	pthread_t threads[CROWD];

	handle_with(SIGCROWD, count_own, SA_RESTART);
	atomic_store(&stop, false);
	atomic_store(&ready, 0);
	for (intptr_t i = 0; i < CROWD; i++) {
		atomic_store(&sent[i], 0);
		atomic_store(&seen[i], 0);
		CHECK_EQ(pthread_create(&threads[i], NULL, live_in_crowd, (void *)i), 0);
		pin(threads[i], (int)i % cores);
	}
	sleep(2);
	atomic_store(&stop, true);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < CROWD; i++)
		total += atomic_load(&seen[i]);
	CHECK(total >= CROWD * 10);
	signal(SIGCROWD, SIG_DFL);
}
