/* Faults: the signal, its code and address, and what a handler can do about it. */
#include "tests/guest/test.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SEGV_MAPERR
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#endif

static sigjmp_buf way_out;
static volatile struct {
	int number, code, count;
	void *address;
} fault;

static void note(int number, siginfo_t *info)
{
	fault.number = number;
	fault.code = info->si_code;
	fault.address = info->si_addr;
	fault.count++;
}

static void leave(int number, siginfo_t *info, void *context)
{
	(void)context;
	note(number, info);
	siglongjmp(way_out, 1);
}

static void handle_with(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO };

	CHECK_EQ(sigaction(number, &action, NULL), 0);
}

static void default_actions(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		signal(numbers[i], SIG_DFL);
}

static char *map(size_t pages, int protection)
{
	void *address = mmap(NULL, pages * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(address != MAP_FAILED);
	return address;
}

/* ---- memory ---- */

static void check_fault(const char *what, char *address, bool write, int code)
{
	memset((void *)&fault, 0, sizeof(fault));
	if (sigsetjmp(way_out, 1) == 0) {
		if (write)
			*(volatile char *)address = 1;
		else
			(void)*(volatile char *)address;
		test_failed(__FILE__, __LINE__, what, 0, 0, false);
		return;
	}
	if (fault.number != SIGSEGV || fault.code != code)
		test_failed(__FILE__, __LINE__, what, fault.number, fault.code, true);
	CHECK(fault.address == address);
}

TEST(a_wild_pointer_is_a_sigsegv)
{
	char *inaccessible = map(1, PROT_NONE), *constant = map(1, PROT_READ);
	char *gone = map(1, PROT_READ | PROT_WRITE);
	char *touched = map(1, PROT_READ | PROT_WRITE);

	handle_with(SIGSEGV, leave, 0);
	CHECK_EQ(munmap(gone, 4096), 0);
	*touched = 1;
	CHECK_EQ(mprotect(touched, 4096, PROT_NONE), 0);
	for (int i = 0; i < 3; i++) {
		check_fault("null", NULL, false, SEGV_MAPERR);
		check_fault("null", NULL, true, SEGV_MAPERR);
		check_fault("unmapped", gone + 123, true, SEGV_MAPERR);
		check_fault("unmapped", gone + 123, false, SEGV_MAPERR);
		check_fault("no access", inaccessible + 5, false, SEGV_ACCERR);
		check_fault("no access", inaccessible + 5, true, SEGV_ACCERR);
		check_fault("no access any more", touched, false, SEGV_ACCERR);
		check_fault("read-only", constant + 4095, true, SEGV_ACCERR);
		(void)*(volatile char *)constant;
		check_fault("read-only, present", constant + 4095, true, SEGV_ACCERR);
		/* The program's own text and constants. */
		check_fault("text", (char *)(uintptr_t)check_fault, true, SEGV_ACCERR);
		check_fault("constant", (char *)(uintptr_t) "constant", true, SEGV_ACCERR);
	}
	/* An address that none can be: the processor does not tell it. */
	if (sigsetjmp(way_out, 1) == 0)
		(void)*(volatile char *)0x8000123456789abcul;
	CHECK_EQ(fault.number, SIGSEGV);
	CHECK_EQ(fault.code, SI_KERNEL);
	CHECK(fault.address == NULL);
	munmap(inaccessible, 4096);
	munmap(constant, 4096);
	munmap(touched, 4096);
	default_actions();
}

static char *lazy;

static void mend(int number, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~4095ul);

	(void)context;
	note(number, info);
	if (fault.code == SEGV_ACCERR)
		CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
	else
		CHECK(mmap(page, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
}

/* As collectors of garbage and databases use it. */
TEST(a_handler_mends_a_fault)
{
	enum { PAGES = 64 };
	long sum = 0;

	handle_with(SIGSEGV, mend, 0);
	memset((void *)&fault, 0, sizeof(fault));
	lazy = map(PAGES, PROT_NONE);
	for (int i = 0; i < PAGES; i++)
		((volatile char *)lazy)[i * 4096 + i] = (char)i;
	CHECK_EQ(fault.count, PAGES);
	CHECK_EQ(mprotect(lazy, PAGES * 4096, PROT_READ), 0);
	for (int i = 0; i < PAGES; i++)
		sum += ((volatile char *)lazy)[i * 4096 + i]++;
	CHECK_EQ(fault.count, 2 * PAGES);
	CHECK_EQ(sum, PAGES * (PAGES - 1) / 2);
	CHECK_EQ(munmap(lazy, PAGES * 4096), 0);
	for (int i = 0; i < PAGES; i++)
		((volatile char *)lazy)[i * 4096] = 1;
	CHECK_EQ(fault.count, 3 * PAGES);
	CHECK_EQ(munmap(lazy, PAGES * 4096), 0);
	default_actions();
}

static void skip_instruction(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;

	note(number, info);
	CHECK_EQ(context->uc_mcontext.gregs[REG_TRAPNO], 14);
	CHECK_EQ(context->uc_mcontext.gregs[REG_ERR] & 2, 2); /* a write */
	CHECK(context->uc_mcontext.gregs[REG_CR2] == (greg_t)info->si_addr);
	context->uc_mcontext.gregs[REG_RIP] += 3; /* movb %cl, (%rax) and a nop */
	context->uc_mcontext.gregs[REG_RCX] = 77;
}

TEST(a_handler_sees_and_changes_registers)
{
	long address = 0x10, value = 5;

	handle_with(SIGSEGV, skip_instruction, 0);
	__asm__ volatile("movb %%cl, (%%rax)\n\tnop" : "+c"(value) : "a"(address) : "memory");
	CHECK_EQ(value, 77);
	CHECK(fault.address == (void *)0x10);
	default_actions();
}

/* ---- files ---- */

TEST(beyond_the_end_of_a_mapped_file_is_a_sigbus)
{
	char name[] = "/tmp/fault-XXXXXX", *mapped;
	int fd;

	mkdir("/tmp", 0777);
	fd = mkstemp(name);
	CHECK(fd >= 0);
	CHECK_EQ(unlink(name), 0);
	CHECK_EQ(ftruncate(fd, 4096 + 100), 0);
	mapped = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapped != MAP_FAILED);
	handle_with(SIGBUS, leave, 0);
	handle_with(SIGSEGV, leave, 0);
	memset((void *)&fault, 0, sizeof(fault));
	mapped[4096 + 4000] = 1; /* the rest of the last page is there */
	for (int i = 1; i <= 3; i++) {
		if (sigsetjmp(way_out, 1) == 0) {
			*(volatile char *)(mapped + 2 * 4096 + 5) = 1;
			CHECK(!"no fault");
		}
		CHECK_EQ(fault.number, SIGBUS);
		CHECK_EQ(fault.code, BUS_ADRERR);
		CHECK(fault.address == mapped + 2 * 4096 + 5);
		CHECK_EQ(fault.count, i);
	}
	/* The file grows, and there is something. */
	CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
	if (sigsetjmp(way_out, 1) == 0)
		*(volatile char *)(mapped + 2 * 4096 + 5) = 1;
	CHECK_EQ(fault.count, 3);
	CHECK_EQ(munmap(mapped, 4 * 4096), 0);
	check_fault("unmapped", mapped, false, SEGV_MAPERR);
	close(fd);
	default_actions();
}

/* ---- instructions ---- */

static void step_over(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;

	note(number, info);
	if (number == SIGILL)
		context->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
}

static volatile int zero, one = 1;
static volatile double zero_double, one_double = 1;

#define CHECK_SIGNAL(signal_number, signal_code)                                                   \
	do {                                                                                       \
		CHECK_EQ(fault.number, signal_number);                                             \
		CHECK_EQ(fault.code, signal_code);                                                 \
	} while (0)

TEST(arithmetic_faults_are_sigfpe)
{
	extern char division[];
	int quotient = 1;
	uint16_t control = 0x37f, trapping_control = 0x37f & ~5;

	handle_with(SIGFPE, leave, 0);
	if (sigsetjmp(way_out, 1) == 0)
		__asm__ volatile("cltd\n\tdivision: idivl %1"
				 : "+a"(quotient)
				 : "r"(zero)
				 : "edx", "cc");
	CHECK_SIGNAL(SIGFPE, FPE_INTDIV);
	CHECK(fault.address == division);

	memset((void *)&fault, 0, sizeof(fault));
	if (sigsetjmp(way_out, 1) == 0) {
		__asm__ volatile(
		    "fldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait" ::"m"(trapping_control));
		CHECK(!"no fault");
	}
	__asm__ volatile("fninit\n\tfldcw %0" ::"m"(control));
	CHECK_SIGNAL(SIGFPE, FPE_FLTDIV);
	default_actions();
}

static bool is_emulated(void)
{
	uint32_t a, b, c, d;

	__cpuid(0x40000000, a, b, c, d);
	return b == 0x54474354; /* "TCGT" */
}

TEST(vector_arithmetic_faults_are_sigfpe)
{
	uint32_t mxcsr = 0x1f80, trapping = 0x1f80 & ~0x280; /* invalid and zero divide */

	if (is_emulated())
		SKIP("QEMU's emulator raises no exceptions of vector arithmetic");
	handle_with(SIGFPE, leave, 0);
	memset((void *)&fault, 0, sizeof(fault));
	if (sigsetjmp(way_out, 1) == 0) {
		__asm__ volatile("ldmxcsr %0" ::"m"(trapping));
		__asm__ volatile("divsd %1, %0" : "+x"((double){ one_double }) : "x"(zero_double));
		CHECK(!"no fault");
	}
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	CHECK_SIGNAL(SIGFPE, FPE_FLTDIV);

	memset((void *)&fault, 0, sizeof(fault));
	if (sigsetjmp(way_out, 1) == 0) {
		__asm__ volatile("ldmxcsr %0" ::"m"(trapping));
		__asm__ volatile("divsd %0, %0" : "+x"((double){ zero_double }));
		CHECK(!"no fault");
	}
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	CHECK_SIGNAL(SIGFPE, FPE_FLTINV);

	default_actions();
}

TEST(bad_instructions_and_breakpoints)
{
	extern char bad_instruction[];
	int before = 41;

	handle_with(SIGILL, step_over, 0);
	handle_with(SIGTRAP, step_over, 0);
	__asm__ volatile("bad_instruction: ud2\n\tincl %0" : "+r"(before));
	CHECK_EQ(before, 42);
	CHECK_SIGNAL(SIGILL, ILL_ILLOPN);
	CHECK(fault.address == bad_instruction);

	__asm__ volatile("int3\n\tincl %0" : "+r"(before));
	CHECK_EQ(before, 43);
	CHECK_SIGNAL(SIGTRAP, SI_KERNEL);
	default_actions();
}

/* ---- the end of a stack ---- */

static __attribute__((noinline)) long recurse(volatile char *above, long depth)
{
	volatile char frame[512];

	frame[0] = *above;
	return depth + (frame[0] ? 1 : recurse(frame, depth + 1));
}

static void *overflow(void *unused)
{
	static char stacks[3][65536];
	static int next;
	char *base = stacks[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % 3];
	stack_t stack = { .ss_sp = base, .ss_size = sizeof(stacks[0]) };
	stack_t none = { .ss_flags = SS_DISABLE };
	char zero_byte = 0;

	(void)unused;
	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	for (int i = 0; i < 3; i++) {
		memset((void *)&fault, 0, sizeof(fault));
		if (sigsetjmp(way_out, 1) == 0) {
			recurse(&zero_byte, 0);
			CHECK(!"a stack without an end");
		}
		CHECK_EQ(fault.number, SIGSEGV);
		CHECK((char *)fault.address < &zero_byte);
	}
	CHECK_EQ(sigaltstack(&none, NULL), 0);
	return NULL;
}

TEST(a_stack_overflow_is_survived_on_another_stack)
{
	pthread_attr_t attributes;
	pthread_t thread;

	handle_with(SIGSEGV, leave, SA_ONSTACK);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	CHECK_EQ(pthread_create(&thread, &attributes, overflow, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	overflow(NULL); /* the first thread's stack */
	default_actions();
}

/* ---- the same mistakes in system calls ---- */

TEST(a_bad_pointer_to_a_system_call_is_efault)
{
	char *gone = map(3, PROT_READ | PROT_WRITE), *hidden = map(1, PROT_NONE);
	char *const bad[] = {
		NULL, (char *)8, hidden, gone + 4096, (char *)0x8000123456789abcul, (char *)-4096l
	};
	int pipe_ends[2], socket_fd = socket(AF_INET, SOCK_DGRAM, 0);

	handle_with(SIGSEGV, leave, 0); /* must not be asked */
	memset((void *)&fault, 0, sizeof(fault));
	CHECK_EQ(munmap(gone + 4096, 4096), 0);
	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(write(pipe_ends[1], "0123456789", 10), 10);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct iovec iov = { bad[i], 5 };

#define CHECK_EFAULT(call)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		if ((call) != -1 || errno != EFAULT)                                               \
			test_failed(__FILE__, __LINE__, #call, (long)i, errno, true);              \
	} while (0)
		CHECK_EFAULT(write(pipe_ends[1], bad[i], 5));
		CHECK_EFAULT(read(pipe_ends[0], bad[i], 5));
		CHECK_EFAULT(writev(pipe_ends[1], &iov, 1));
		CHECK_EFAULT(writev(pipe_ends[1], (struct iovec *)bad[i], 1));
		CHECK_EFAULT(open(bad[i], O_RDONLY));
		CHECK_EFAULT(syscall(SYS_stat, "/dev/null", bad[i]));
		CHECK_EFAULT(pipe((int *)bad[i]));
		CHECK_EFAULT(nanosleep((struct timespec *)bad[i], NULL));
		CHECK_EFAULT(bind(socket_fd, (struct sockaddr *)bad[i], 16));
	}
	CHECK_EQ(fault.count, 0);
	munmap(gone, 3 * 4096);
	munmap(hidden, 4096);
	close(socket_fd);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	default_actions();
}
