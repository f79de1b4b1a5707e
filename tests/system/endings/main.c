/*
 * The ways in which an image can end: test_endings.py starts each and looks at the exit status
 * and at what the console says.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

long sys_ask_for_panic(void); /* kernel_panic.c */
long sys_ask_for_failed_assertion(void);
long sys_ask_to_change_what_is_settled(void);
long sys_ask_for_stack_overflow(void);
long sys_ask_for_smashed_stack(void);

static volatile int sink;

/* A function of its own, so that the report can name it: nothing is inlined or worked out ahead. */
#define NAMED __attribute__((noipa))

NAMED static void write_to_null(void)
{
	*(volatile int *)0 = 1;
}

NAMED static void write_to_text(void)
{
	*(volatile char *)(uintptr_t)write_to_null = 0;
}

static const char constant[] = "constant";

NAMED static void write_to_constant(void)
{
	*(volatile char *)(uintptr_t)constant = 0;
}

NAMED static void execute_data(void)
{
	static char code[] = "\xc3";

	((void (*)(void))(uintptr_t)code)();
	sink = 1; /* so that this function stands in the backtrace */
}

/* Ends only with the stack. */
NAMED static int overflow_the_stack(int depth)
{
	volatile char page[4096];

	page[0] = (char)depth;
	return depth < 0 ? 0 : overflow_the_stack(depth / 2 + 1) + page[0];
}

NAMED static void divide_by_zero(void)
{
	volatile int zero = 0;

	sink = 10 / zero;
}

NAMED static void read_with_closed_key(void)
{
	int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (key < 0) {
		puts("no keys");
		exit(0);
	}
	pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key);
	sink = *(volatile char *)page;
}

/* All physical memory is there (arch/arch.h). */
NAMED static void write_to_the_direct_map(void)
{
	*(volatile char *)0xffff800000800000ul = 1;
}

static sigjmp_buf next_page;
static volatile int why;

static void go_on(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	why = info->si_code;
	siglongjmp(next_page, 1);
}

/* Kernel stacks and device registers lie there, between guard pages. */
NAMED static void read_kernel_memory(void)
{
	struct sigaction action = { .sa_sigaction = go_on, .sa_flags = SA_SIGINFO };
	volatile char *volatile address = (char *)0xffffc00000000000ul;

	sigaction(SIGSEGV, &action, NULL);
	if (sigsetjmp(next_page, 1) && why != SEGV_PKUERR)
		address += 4096;
	if (why == SEGV_PKUERR)
		signal(SIGSEGV, SIG_DFL);
	sink = *address;
}

static void use_all_memory(void)
{
	size_t length = 1ul << 30;
	char *memory =
	    mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		puts("mmap refused");
		exit(1);
	}
	for (size_t i = 0; i < length; i += 4096)
		memory[i] = 1;
	puts("there was enough memory");
}

NAMED static void *crash(void *unused)
{
	write_to_constant();
	return unused;
}

static void crash_in_thread(void)
{
	pthread_t thread;

	int error = pthread_create(&thread, NULL, crash, NULL);

	if (error)
		printf("pthread_create: %s\n", strerror(error));
	else
		pthread_join(thread, NULL);
}

static void absent_call(void)
{
	printf("fork: %ld\n", syscall(SYS_fork));
	printf("fork: %ld\n", syscall(SYS_fork));
	exit(0);
}

static void panic_in_kernel(void)
{
	sys_ask_for_panic();
}

static void fail_assertion_in_kernel(void)
{
	sys_ask_for_failed_assertion();
}

static void change_what_is_settled(void)
{
	sys_ask_to_change_what_is_settled();
}

static void overflow_the_kernels_stack(void)
{
	sys_ask_for_stack_overflow();
}

static void smash_the_kernels_stack(void)
{
	sys_ask_for_smashed_stack();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*act)(void);
	} acts[] = {
		{ "null", write_to_null },
		{ "text", write_to_text },
		{ "constant", write_to_constant },
		{ "data", execute_data },
		{ "divide", divide_by_zero },
		{ "key", read_with_closed_key },
		{ "direct-map", write_to_the_direct_map },
		{ "kernel", read_kernel_memory },
		{ "memory", use_all_memory },
		{ "thread", crash_in_thread },
		{ "absent", absent_call },
		{ "abort", abort },
		{ "panic", panic_in_kernel },
		{ "assertion", fail_assertion_in_kernel },
		{ "settled", change_what_is_settled },
		{ "kernel-stack", overflow_the_kernels_stack },
		{ "smash", smash_the_kernels_stack },
	};
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(what, "exit") == 0 && argc > 2)
		return atoi(argv[2]);
	if (strcmp(what, "stack") == 0)
		return overflow_the_stack(0);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (strcmp(what, acts[i].name) == 0)
			acts[i].act();
	printf("nothing ended the image: '%s'\n", what);
	return 99;
}
