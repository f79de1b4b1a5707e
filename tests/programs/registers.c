/*
 * What the `syscall` instruction must leave alone: a program for Linux that test_binaries.py runs
 * there and in an image. Each line it prints is a promise kept; the first broken one ends it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static void fail(const char *what, uint64_t got, uint64_t expected)
{
	printf("not kept: %s: 0x%lx instead of 0x%lx\n", what, got, expected);
	exit(1);
}

static void expect(const char *what, uint64_t got, uint64_t expected)
{
	if (got != expected)
		fail(what, got, expected);
}

/* ---- general registers ---- */

/* call_with_patterns(number, results): every register that is no argument of the call, or could not
 * be one, holds a pattern; afterwards all are stored. */
enum {
	RAX,
	RBX,
	RCX,
	RDX,
	RSI,
	RDI,
	RBP,
	RSP,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
	RSP_BEFORE,
	BEHIND
};
void call_with_patterns(long number, uint64_t *results);
__asm__(".text\n"
	"call_with_patterns:\n"
	"pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
	"pushq %rsi\n"
	"movq %rsp, 128(%rsi)\n"
	"movq %rdi, %rax\n"
	"movabsq $0x1111111111111111, %rbx\n"
	"movabsq $0x2222222222222222, %rdx\n"
	"movabsq $0x3333333333333333, %rsi\n"
	"movabsq $0x4444444444444444, %rdi\n"
	"movabsq $0x5555555555555555, %rbp\n"
	"movabsq $0x6666666666666666, %r8\n"
	"movabsq $0x7777777777777777, %r9\n"
	"movabsq $0x8888888888888888, %r10\n"
	"movabsq $0x9999999999999999, %r12\n"
	"movabsq $0xaaaaaaaaaaaaaaaa, %r13\n"
	"movabsq $0xbbbbbbbbbbbbbbbb, %r14\n"
	"movabsq $0xcccccccccccccccc, %r15\n"
	"syscall\n"
	"1: pushq %rsi\n"
	"movq 8(%rsp), %rsi\n"
	"movq %rax, (%rsi); movq %rbx, 8(%rsi); movq %rcx, 16(%rsi); movq %rdx, 24(%rsi)\n"
	"movq %rdi, 40(%rsi); movq %rbp, 48(%rsi)\n"
	"movq %r8, 64(%rsi); movq %r9, 72(%rsi); movq %r10, 80(%rsi); movq %r11, 88(%rsi)\n"
	"movq %r12, 96(%rsi); movq %r13, 104(%rsi); movq %r14, 112(%rsi); movq %r15, 120(%rsi)\n"
	"popq %rax; movq %rax, 32(%rsi)\n"
	"movq %rsp, 56(%rsi)\n"
	"leaq 1b(%rip), %rax; movq %rax, 136(%rsi)\n"
	"popq %rsi\n"
	"popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
	"ret\n");

static void general_registers(void)
{
	static const struct {
		const char *name;
		int index;
		uint64_t pattern;
	} kept[] = {
		{ "rbx", RBX, 0x1111111111111111 }, { "rdx", RDX, 0x2222222222222222 },
		{ "rsi", RSI, 0x3333333333333333 }, { "rdi", RDI, 0x4444444444444444 },
		{ "rbp", RBP, 0x5555555555555555 }, { "r8", R8, 0x6666666666666666 },
		{ "r9", R9, 0x7777777777777777 },   { "r10", R10, 0x8888888888888888 },
		{ "r12", R12, 0x9999999999999999 }, { "r13", R13, 0xaaaaaaaaaaaaaaaa },
		{ "r14", R14, 0xbbbbbbbbbbbbbbbb }, { "r15", R15, 0xcccccccccccccccc },
	};
	uint64_t r[18];

	call_with_patterns(SYS_getpid, r);
	expect("getpid", r[RAX], (uint64_t)getpid());
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		expect(kept[i].name, r[kept[i].index], kept[i].pattern);
	expect("rsp", r[RSP], r[RSP_BEFORE]);
	expect("rcx", r[RCX], r[BEHIND]);
	expect("r11 has the interrupt flag", r[R11] >> 9 & 1, 1);
	call_with_patterns(SYS_sched_yield, r);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		expect(kept[i].name, r[kept[i].index], kept[i].pattern);
	/* Only the lower half of rax is the number. */
	call_with_patterns(SYS_getpid | (long)0xffff00000000, r);
	expect("getpid by 32 bits", r[RAX], (uint64_t)getpid());
	call_with_patterns(100000, r);
	expect("a number that nothing has", r[RAX], (uint64_t)-38); /* ENOSYS */
	puts("general registers");
}

/* ---- flags ---- */

#define FLAG_CF 1
#define FLAG_ZF 0x40
#define FLAG_TF 0x100
#define FLAG_DF 0x400
#define FLAG_OF 0x800
#define FLAG_AC 0x40000
#define STATUS_FLAGS                                                                               \
	0x40cd5 /* the ones a program may set and the processor keeps: no IF, IOPL, ID */

static uint64_t flags_after(uint64_t flags)
{
	uint64_t after, in_r11;

	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
			 "pushq %2\n\t"
			 "popfq\n\t"
			 "syscall\n\t"
			 "pushfq\n\t"
			 "popq %0\n\t"
			 "movq %%r11, %1\n\t"
			 "cld\n\t"
			 "pushq $0x202\n\t"
			 "popfq\n\t"
			 "leaq 128(%%rsp), %%rsp"
			 : "=&r"(after), "=&r"(in_r11)
			 : "r"(flags), "a"(SYS_getpid)
			 : "rcx", "r11", "memory", "cc");
	expect("flags in r11", in_r11 & STATUS_FLAGS, flags & STATUS_FLAGS);
	return after;
}

static void flags(void)
{
	static const uint64_t sets[] = { 0,	  FLAG_CF, FLAG_ZF,	FLAG_OF | FLAG_CF,
					 FLAG_DF, FLAG_AC, STATUS_FLAGS };

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		expect("flags", flags_after(sets[i] | 0x202) & STATUS_FLAGS, sets[i]);
	puts("flags");
}

/* ---- a traced caller ---- */

static volatile sig_atomic_t traps, strange_traps;
extern const char traced_start[], traced_end[];

static void on_trap(int number, siginfo_t *info, void *context)
{
	uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	traps++;
	if (rip < (uint64_t)traced_start || rip > (uint64_t)traced_end)
		strange_traps++;
}

static void single_steps(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	long result;

	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "orq $0x100, (%%rsp)\n\t"
			 "popfq\n"
			 "traced_start:\n\t"
			 "nop\n\t"
			 "syscall\n\t"
			 "nop\n\t"
			 "pushfq\n\t"
			 "andq $~0x100, (%%rsp)\n\t"
			 "popfq\n"
			 "traced_end:\n\t"
			 "leaq 128(%%rsp), %%rsp"
			 : "=a"(result)
			 : "a"(SYS_getpid)
			 : "rcx", "r11", "memory", "cc");
	expect("getpid while traced", (uint64_t)result, (uint64_t)getpid());
	expect("traps outside the traced code", (uint64_t)strange_traps, 0);
	if (traps < 4)
		fail("traps", (uint64_t)traps, 4);
	puts("single steps");
}

/* ---- the red zone ---- */

static void red_zone(void)
{
	uint64_t wrong;

	/* The 16 words beneath the stack pointer, filled, and compared after the call. */
	__asm__ volatile("movq $-16, %%rdx\n"
			 "1: movq %%rdx, (%%rsp,%%rdx,8)\n\t"
			 "incq %%rdx\n\t"
			 "jnz 1b\n\t"
			 "syscall\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movq $-16, %%rdx\n"
			 "2: cmpq %%rdx, (%%rsp,%%rdx,8)\n\t"
			 "je 3f\n\t"
			 "incq %%rax\n"
			 "3: incq %%rdx\n\t"
			 "jnz 2b"
			 : "=a"(wrong)
			 : "a"(SYS_sched_yield)
			 : "rcx", "rdx", "r11", "memory", "cc");
	expect("words of the red zone that changed", wrong, 0);
	puts("the red zone");
}

/* ---- vector and floating-point registers ---- */

/* Fill all, make the call, store all: 16 SSE registers, MXCSR, the x87 control word and top of
 * stack. */
struct vector_state {
	uint64_t xmm[16][2];
	double top;
	uint32_t mxcsr;
	uint16_t control;
};

static void call_with_vectors(long number, long a, long b, const struct vector_state *in,
			      struct vector_state *out)
{
	__asm__ volatile(
	    "fldl 256(%3)\n\t"
	    "fldcw 268(%3)\n\t"
	    "ldmxcsr 264(%3)\n\t"
	    "movdqu (%3), %%xmm0; movdqu 16(%3), %%xmm1; movdqu 32(%3), %%xmm2\n\t"
	    "movdqu 48(%3), %%xmm3; movdqu 64(%3), %%xmm4; movdqu 80(%3), %%xmm5\n\t"
	    "movdqu 96(%3), %%xmm6; movdqu 112(%3), %%xmm7; movdqu 128(%3), %%xmm8\n\t"
	    "movdqu 144(%3), %%xmm9; movdqu 160(%3), %%xmm10; movdqu 176(%3), %%xmm11\n\t"
	    "movdqu 192(%3), %%xmm12; movdqu 208(%3), %%xmm13\n\t"
	    "movdqu 224(%3), %%xmm14; movdqu 240(%3), %%xmm15\n\t"
	    "syscall\n\t"
	    "movdqu %%xmm0, (%4); movdqu %%xmm1, 16(%4); movdqu %%xmm2, 32(%4)\n\t"
	    "movdqu %%xmm3, 48(%4); movdqu %%xmm4, 64(%4); movdqu %%xmm5, 80(%4)\n\t"
	    "movdqu %%xmm6, 96(%4); movdqu %%xmm7, 112(%4); movdqu %%xmm8, 128(%4)\n\t"
	    "movdqu %%xmm9, 144(%4); movdqu %%xmm10, 160(%4); movdqu %%xmm11, 176(%4)\n\t"
	    "movdqu %%xmm12, 192(%4); movdqu %%xmm13, 208(%4)\n\t"
	    "movdqu %%xmm14, 224(%4); movdqu %%xmm15, 240(%4)\n\t"
	    "fstpl 256(%4)\n\t"
	    "fnstcw 268(%4)\n\t"
	    "stmxcsr 264(%4)\n\t"
	    "fninit\n\t"
	    "ldmxcsr %5"
	    : "+a"(number), "+D"(a), "+S"(b)
	    : "r"(in), "r"(out), "m"((const uint32_t){ 0x1f80 })
	    : "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
	      "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st",
	      "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
}

#define THREADS 6
#define ROUNDS 300

static void *keep_vectors(void *argument)
{
	uint64_t self = (uint64_t)argument;
	struct timespec moment = { 0, 20000 };
	struct vector_state in = { .top = (double)self, .mxcsr = 0x1f80, .control = 0x37f };
	struct vector_state out;

	/* Threads round differently, too. */
	if (self & 1) {
		in.mxcsr |= 0x6000;
		in.control |= 0xc00;
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 16; i++)
			in.xmm[i][0] = in.xmm[i][1] = self << 32 | (uint64_t)(round << 8 | i);
		if (round % 3 == 0)
			call_with_vectors(SYS_nanosleep, (long)&moment, 0, &in, &out);
		else
			call_with_vectors(SYS_sched_yield, 0, 0, &in, &out);
		for (int i = 0; i < 16; i++) {
			expect("a vector register's lower half", out.xmm[i][0], in.xmm[i][0]);
			expect("a vector register's upper half", out.xmm[i][1], in.xmm[i][1]);
		}
		expect("the x87 stack", out.top == in.top, 1);
		expect("MXCSR", out.mxcsr, in.mxcsr);
		expect("the x87 control word", out.control, in.control);
	}
	return NULL;
}

static void vector_registers(void)
{
	pthread_t threads[THREADS];

	for (uint64_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, keep_vectors, (void *)(i + 1)))
			fail("pthread_create", 1, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	puts("vector registers");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	general_registers();
	flags();
	red_zone();
	vector_registers();
	single_steps();
	puts("all kept");
	return 0;
}
