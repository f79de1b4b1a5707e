/*
 * Isolation as an attacker meets it, who runs in ring 0 and controls every register, but for privileged
 * instructions: reading, writing, and jumping to wherever the kernel's code looks useful. Whatever is tried, the
 * kernel's memory stays out of reach and as it was, and the program goes on.
 */
#include "tests/guest/isolation.h"

#include "tests/guest/test.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

#define RIGHTS_SYSTEM 0xfc000000u
#define RFLAGS_FIXED 0x002
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200
#define RFLAGS_DF 0x400
#define RFLAGS_NT 0x4000
#define RFLAGS_AC 0x40000
#define KERNEL_HALF 0xffff800000000000ul

/* ---- control of every register ---- */

/* As attack() and attack_back use it. */
struct registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rsp,
	    flags;
};

/* Load all registers and jump. Comes back where attack_back is jumped to. */
void attack(const struct registers *registers, uintptr_t target);
extern char attack_back[];
/* What was in the registers then; not after a signal. */
struct registers attack_found;
uint8_t attack_vectors[16][16];
uintptr_t attack_target, attack_stack;

/* clang-format off */
__asm__(
    ".text\n"
    ".globl attack, attack_back\n"
    "attack:\n"
    "	pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
    "	movq %rsp, attack_stack(%rip)\n"
    "	movq %rsi, attack_target(%rip)\n"
    "	movq 120(%rdi), %rsp\n"
    "	movq 8(%rdi), %rbx; movq 16(%rdi), %rcx; movq 24(%rdi), %rdx; movq 32(%rdi), %rsi\n"
    "	movq 48(%rdi), %rbp; movq 56(%rdi), %r8; movq 64(%rdi), %r9; movq 72(%rdi), %r10\n"
    "	movq 80(%rdi), %r11; movq 88(%rdi), %r12; movq 96(%rdi), %r13; movq 104(%rdi), %r14\n"
    "	movq 112(%rdi), %r15; movq 0(%rdi), %rax\n"
    /* The flags last, by a stack that is there. */
    "	movq %rsp, attack_found+120(%rip)\n"
    "	movq attack_stack(%rip), %rsp\n"
    "	pushq 128(%rdi)\n"
    "	movq 40(%rdi), %rdi\n"
    "	popfq\n"
    "	movq attack_found+120(%rip), %rsp\n"
    "	jmp *attack_target(%rip)\n"
    /* An odd byte's instruction that overwrites the low byte of a word with that of our area's address does no
     * harm then. */
    "	.balign 256\n"
    "attack_back:\n"
    "	movq %rax, attack_found(%rip); movq %rbx, attack_found+8(%rip)\n"
    "	movq %rcx, attack_found+16(%rip); movq %rdx, attack_found+24(%rip)\n"
    "	movq %rsi, attack_found+32(%rip); movq %rdi, attack_found+40(%rip)\n"
    "	movq %rbp, attack_found+48(%rip); movq %r8, attack_found+56(%rip)\n"
    "	movq %r9, attack_found+64(%rip); movq %r10, attack_found+72(%rip)\n"
    "	movq %r11, attack_found+80(%rip); movq %r12, attack_found+88(%rip)\n"
    "	movq %r13, attack_found+96(%rip); movq %r14, attack_found+104(%rip)\n"
    "	movq %r15, attack_found+112(%rip); movq %rsp, attack_found+120(%rip)\n"
    "	movq attack_stack(%rip), %rsp\n"
    "	pushq $0x202; popfq\n"
    "	movups %xmm0, attack_vectors(%rip); movups %xmm1, attack_vectors+16(%rip)\n"
    "	movups %xmm2, attack_vectors+32(%rip); movups %xmm3, attack_vectors+48(%rip)\n"
    "	movups %xmm4, attack_vectors+64(%rip); movups %xmm5, attack_vectors+80(%rip)\n"
    "	movups %xmm6, attack_vectors+96(%rip); movups %xmm7, attack_vectors+112(%rip)\n"
    "	movups %xmm8, attack_vectors+128(%rip); movups %xmm9, attack_vectors+144(%rip)\n"
    "	movups %xmm10, attack_vectors+160(%rip); movups %xmm11, attack_vectors+176(%rip)\n"
    "	movups %xmm12, attack_vectors+192(%rip); movups %xmm13, attack_vectors+208(%rip)\n"
    "	movups %xmm14, attack_vectors+224(%rip); movups %xmm15, attack_vectors+240(%rip)\n"
    "	popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
    "	ret\n");
/* clang-format on */

static uint32_t rights(void)
{
	uint32_t low, high;

	__asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

/* ---- faults ---- */

static sigjmp_buf way_out;
static volatile bool attacking;
static volatile long steps;
static volatile struct {
	int number, code;
	uintptr_t rip;
} fault;

/* Where XSAVE puts PKRU. */
static unsigned rights_offset(void)
{
	unsigned size, offset, c, d;

	__cpuid_count(0xd, 9, size, offset, c, d);
	return offset;
}

/* An attack may have taken from itself what it needs to go on. */
static void reset_rights(ucontext_t *context)
{
	const uint32_t initial = 0x55555554;

	memcpy((char *)context->uc_mcontext.fpregs + rights_offset(), &initial, sizeof(initial));
}

/* On a stack of its own: the interrupted one is as bad as can be. */
static void caught(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (number == SIGTRAP && attacking) {
		if (registers[REG_RIP] == (greg_t)(uintptr_t)attack_back)
			registers[REG_EFL] &= ~RFLAGS_TF;
		steps++;
		return;
	}
	fault.number = number;
	fault.code = info->si_code;
	fault.rip = (uintptr_t)registers[REG_RIP];
	if (!attacking)
		siglongjmp(way_out, 1);
	registers[REG_RIP] = (greg_t)(uintptr_t)attack_back;
	registers[REG_EFL] = RFLAGS_IF | RFLAGS_FIXED;
	reset_rights(context);
}

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
#define NFAULT_SIGNALS (sizeof(fault_signals) / sizeof(fault_signals[0]))
#define STACK_BYTES 65536

static void catch_faults(bool wanted)
{
	static stack_t stack = { .ss_size = STACK_BYTES };
	struct sigaction action = { .sa_sigaction = caught,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (!wanted) {
		for (size_t i = 0; i < NFAULT_SIGNALS; i++)
			signal(fault_signals[i], SIG_DFL);
		stack.ss_flags = SS_DISABLE;
		sigaltstack(&stack, NULL);
		return;
	}
	if (!stack.ss_sp)
		stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	stack.ss_flags = 0;
	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	for (size_t i = 0; i < NFAULT_SIGNALS; i++)
		CHECK_EQ(sigaction(fault_signals[i], &action, NULL), 0);
}

/* The si_code of the fault, or 0. */
static int try_read(uintptr_t address)
{
	if (sigsetjmp(way_out, 1) != 0)
		return fault.code;
	(void)*(volatile uint8_t *)address;
	return 0;
}

static int try_write(uintptr_t address)
{
	if (sigsetjmp(way_out, 1) != 0)
		return fault.code;
	/* What is there already: without isolation this must not break what it proves. */
	*(volatile uint8_t *)address = *(volatile uint8_t *)address;
	return 0;
}

/* Without reading it first. */
static int try_blind_write(uintptr_t address)
{
	if (sigsetjmp(way_out, 1) != 0)
		return fault.code;
	*(volatile uint8_t *)address = 0xa5;
	return 0;
}

/* ---- places ---- */

static struct isolation_place places[ISOLATION_PLACES_MAX];
static char my_page[4096] __attribute__((aligned(4096)));

static bool processor_has_keys(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 3 & 1;
}

#define NEEDS_KEYS                                                                                 \
	do {                                                                                       \
		if (!processor_has_keys())                                                         \
			SKIP("this processor has no protection keys");                             \
		if (sys_isolation_damage() == -ENOSYS)                                             \
			SKIP("built with ISOLATION=none");                                         \
	} while (0)

/* Without isolation the attacks would succeed, and nobody would be left to say so. */
#define NEEDS_ISOLATION                                                                            \
	do {                                                                                       \
		NEEDS_KEYS;                                                                        \
		CHECK_EQ(rights() & RIGHTS_SYSTEM, RIGHTS_SYSTEM);                                 \
		if ((rights() & RIGHTS_SYSTEM) != RIGHTS_SYSTEM)                                   \
			return;                                                                    \
	} while (0)

static void on_every_core(void (*act)(void))
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (int core = 0; core < CPU_SETSIZE; core++) {
		if (!CPU_ISSET(core, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(core, &one);
		CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
		CHECK_EQ(sched_getcpu(), core);
		act();
	}
	sched_setaffinity(0, sizeof(all), &all);
}

static void check_access(const struct isolation_place *place, bool allowed, int code,
			 const char *how)
{
	char what[100];

	if (code == (allowed ? 0 : place->code))
		return;
	strcpy(what, how);
	strncat(what, place->what, 60);
	test_failed(__FILE__, __LINE__, what, code, allowed ? 0 : place->code, true);
}

static void try_place(const struct isolation_place *place)
{
	int code = try_read(place->address);
	bool readable = code == 0;

	check_access(place, place->readers & BY_APPLICATION, code, "reading ");
	code = readable ? try_write(place->address) : try_blind_write(place->address);
	/* What is not readable, but should be, is said already. */
	if (readable || !(place->readers & BY_APPLICATION))
		check_access(place, place->writers & BY_APPLICATION, code, "writing ");
}

static void try_places(void)
{
	long count = sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);

	CHECK(count > 40 && count <= ISOLATION_PLACES_MAX);
	for (long i = 0; i < count && i < ISOLATION_PLACES_MAX; i++)
		try_place(&places[i]);
	CHECK_EQ(sys_isolation_damage(), 0);
}

TEST(the_kernels_memory_is_out_of_reach_on_every_core)
{
	NEEDS_KEYS;
	CHECK_EQ(rights() & RIGHTS_SYSTEM, RIGHTS_SYSTEM);
	catch_faults(true);
	on_every_core(try_places);
	catch_faults(false);
}

static void *try_places_in_thread(void *unused)
{
	/* The handlers are there; the stack for signals is a thread's own. */
	stack_t stack = { .ss_size = STACK_BYTES };

	stack.ss_sp =
	    mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&stack, NULL);
	on_every_core(try_places);
	munmap(stack.ss_sp, STACK_BYTES);
	return unused;
}

TEST(another_threads_rights_are_no_better)
{
	pthread_t thread;

	NEEDS_KEYS;
	catch_faults(true);
	CHECK_EQ(pthread_create(&thread, NULL, try_places_in_thread, NULL), 0);
	pthread_join(thread, NULL);
	catch_faults(false);
}

TEST(the_kernels_addresses_cannot_be_mapped_or_protected)
{
	long count;

	NEEDS_ISOLATION;
	count = sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	for (long i = 0; i < count && i < ISOLATION_PLACES_MAX; i++) {
		void *page = (void *)(places[i].address & ~4095ul);

		if ((uintptr_t)page < KERNEL_HALF || places[i].writers & BY_APPLICATION)
			continue;
		CHECK(mmap(page, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
		CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE), -1);
		/* May say yes where nothing of the application's is: that is how munmap() is. */
		munmap(page, 4096);
		CHECK_EQ(madvise(page, 4096, MADV_DONTNEED), -1);
	}
	CHECK_EQ(sys_isolation_damage(), 0);
}

TEST(no_page_of_the_applications_is_writable_and_executable)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page == MAP_FAILED);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), -1);
	munmap(page, 4096);
}

static void *touch_beneath_the_stack(void *unused)
{
	pthread_attr_t attributes;
	void *bottom;
	size_t size, guard;
	int code;

	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &bottom, &size);
	pthread_attr_getguardsize(&attributes, &guard);
	CHECK(guard >= 4096);
	code = try_read((uintptr_t)bottom - 1);
	CHECK(code == SEGV_ACCERR || code == SEGV_MAPERR);
	code = try_blind_write((uintptr_t)bottom - 1);
	CHECK(code == SEGV_ACCERR || code == SEGV_MAPERR);
	return unused;
}

TEST(a_guard_page_lies_beneath_every_stack)
{
	pthread_t thread;

	catch_faults(true);
	CHECK_EQ(pthread_create(&thread, NULL, touch_beneath_the_stack, NULL), 0);
	pthread_join(thread, NULL);
	catch_faults(false);
}

/* ---- jumps ---- */

long sys_getpid(void);
long sys_arch_prctl(int, unsigned long);
#define ARCH_SET_FS 0x1002

#define AREA_BYTES 65536
#define AREA_WORDS (AREA_BYTES / 8)

static struct isolation_targets targets;
static uint64_t *area; /* to be a stack, a structure, whatever is asked for */

static void prepare(void)
{
	/* What runs wild in it, to either side, shall not run out of it. */
	if (!area) {
		area = mmap(NULL, AREA_BYTES + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		area += 512;
		mprotect(area, AREA_BYTES, PROT_READ | PROT_WRITE);
		memset(area, 0, AREA_BYTES);
	}
	CHECK_EQ(sys_isolation_targets(&targets), 0);
	catch_faults(true);
}

static void fill_area(void)
{
	for (long i = 0; i < AREA_WORDS; i++)
		area[i] = (uintptr_t)attack_back;
}

/* Every register holds what may be read, written and returned to. */
static struct registers registers_of(uint64_t flags)
{
	uint64_t middle = (uintptr_t)(area + AREA_WORDS / 2);

	return (struct registers){ middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   middle,
				   flags | RFLAGS_FIXED };
}

/* What the processor leaves in the open page is believed by nobody. Until the attack it shall leave nothing more
 * there, so interrupts are off: an attack that makes up a trap from it would go on where this test was
 * interrupted, with other registers. */
static void fill_open_page(uint64_t word)
{
	__asm__ volatile("pushq $2; popfq" ::: "memory", "cc");

	for (volatile uint64_t *to = (uint64_t *)targets.open_start;
	     to < (uint64_t *)targets.open_end; to++)
		*to = word;
}

static void try_attack(const struct registers *registers, uintptr_t target)
{
	uint64_t thread_pointer;

	__asm__("movq %%fs:0, %0" : "=r"(thread_pointer));
	attacking = true;
	attack(registers, target);
	attacking = false;
	/* Odd bytes of an instruction may be one that loads FS. */
	sys_arch_prctl(ARCH_SET_FS, thread_pointer);
	if ((rights() & RIGHTS_SYSTEM) != RIGHTS_SYSTEM)
		test_failed(__FILE__, __LINE__, "rights gained by a jump to", rights(),
			    (long long)target, true);
}

static void check_kernel_is_whole(void)
{
	CHECK_EQ(try_read(places[0].address), SEGV_PKUERR);
	CHECK_EQ(try_blind_write(places[0].address), SEGV_PKUERR);
	CHECK_EQ(sys_isolation_damage(), 0);
	CHECK_EQ(getpid(), 1);
}

/* Where the gate of a system call keeps what it calls: `leaq target(%rip), %rax` at its start. */
static uintptr_t gate_target(const void *gate)
{
	const uint8_t *code = gate;
	int32_t distance;

	CHECK(code[0] == 0x48 && code[1] == 0x8d && code[2] == 0x05);
	memcpy(&distance, code + 3, sizeof(distance));
	return (uintptr_t)code + 7 + (uintptr_t)(long)distance;
}

void __kernel_entry(void);

static const uint64_t flag_choices[] = { RFLAGS_IF, 0, RFLAGS_IF | RFLAGS_DF,
					 RFLAGS_NT | RFLAGS_AC | RFLAGS_IF };
#define NFLAG_CHOICES (sizeof(flag_choices) / sizeof(flag_choices[0]))

static void jump_to_site(uintptr_t site)
{
	static const uint32_t wishes[] = { 0, RIGHTS_SYSTEM, 0xffffffff, 4, 0x3fffffff, 0x55555554 };
	const uint64_t open_words[] = { 0,  (uintptr_t)attack_back, gate_target(sys_getpid), 14,
					32, places[0].address };

	for (size_t flags = 0; flags < NFLAG_CHOICES; flags++) {
		for (size_t wish = 0; wish < sizeof(wishes) / sizeof(*wishes); wish++) {
			for (size_t word = 0; word < sizeof(open_words) / sizeof(*open_words);
			     word++) {
				struct registers registers = registers_of(flag_choices[flags]);

				fill_area();
				fill_open_page(open_words[word]);
				registers.rax = wishes[wish];
				registers.rcx = registers.rdx = 0;
				try_attack(&registers, site);
			}
		}
	}
}

/* An area as XSAVE leaves it, with all rights in it. */
static void forge_extended(void)
{
	uint64_t *header;

	fill_area();
	memset(area, 0, rights_offset() + 8);
	((uint32_t *)area)[6] = 0x1f80; /* MXCSR */
	header = area + 64;
	header[0] = 0x200; /* what is there: PKRU */
}

static void xrstor_at(uintptr_t site)
{
	static const uint32_t masks[] = { 0xffffffff, 0x200, 0xfffffdff, 0 };

	for (size_t flags = 0; flags < NFLAG_CHOICES; flags++) {
		for (size_t i = 0; i < sizeof(masks) / sizeof(*masks); i++) {
			struct registers registers = registers_of(flag_choices[flags]);

			forge_extended();
			registers.rax = masks[i];
			registers.rdx = masks[i] ? 0xffffffff : 0;
			registers.rbx = registers.rcx = registers.rsi = registers.rdi =
			    registers.rbp = registers.r8 = registers.r9 = (uintptr_t)area;
			try_attack(&registers, site);
		}
	}
}

static void jump_to_sites(void)
{
	sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	for (long i = 0; i < targets.nsites; i++) {
		jump_to_site(targets.sites[i]);
		check_kernel_is_whole();
		xrstor_at(targets.sites[i]);
		check_kernel_is_whole();
	}
	jump_to_site(targets.rights_write);
	xrstor_at(targets.xrstor);
	check_kernel_is_whole();
}

TEST(a_jump_to_an_instruction_that_changes_rights_gains_nothing)
{
	NEEDS_ISOLATION;
	prepare();
	CHECK(targets.nsites >= 7 && targets.nsites < 64);
	on_every_core(jump_to_sites);
	catch_faults(false);
}

static void jump_to(uintptr_t target, bool zeros)
{
	struct registers registers = registers_of(zeros ? RFLAGS_IF : 0);

	fill_area();
	fill_open_page((uintptr_t)attack_back);
	if (zeros)
		registers.rax = registers.rcx = registers.rdx = 0;
	try_attack(&registers, target);
}

/* To each instruction. What lies between them may be others, which change no rights (tools/check-rights), but
 * may well be a loop without an end. */
static void jump_everywhere(uintptr_t start, uintptr_t end)
{
	for (uintptr_t target = start; target < end;) {
		long length = sys_isolation_instruction(target);

		jump_to(target, false);
		jump_to(target, true);
		CHECK(length > 0);
		target += length > 0 ? (uintptr_t)length : 1;
	}
	check_kernel_is_whole();
}

static void jump_into_entries(void)
{
	sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	for (unsigned vector = 0; vector < 256; vector++) {
		jump_to(targets.code[CODE_ENTRIES].start + vector * 16, false);
		jump_to(targets.code[CODE_ENTRIES].start + vector * 16, true);
	}
	for (int i = CODE_GATE; i < NCODES; i++)
		jump_everywhere(targets.code[i].start, targets.code[i].end);
}

TEST(a_jump_to_any_instruction_of_the_entries_gains_nothing)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(jump_into_entries);
	catch_faults(false);
}

/* struct trap_frame (arch/x86_64/trap.h). */
struct forged_frame {
	uint64_t registers[15], vector, error, rip;
	uint32_t cs, domain;
	uint64_t rflags, rsp;
	uint32_t ss, rights;
};

static void return_by_forged_frames(void)
{
	static const uint32_t wishes[] = { 0, 4, RIGHTS_SYSTEM, 0xffffffff, 0x3fffffff };

	sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	for (unsigned is_kernel = 0; is_kernel < 2; is_kernel++) {
		for (size_t flags = 0; flags < NFLAG_CHOICES; flags++) {
			for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
				struct registers registers = registers_of(flag_choices[flags]);
				struct forged_frame *frame = (struct forged_frame *)(area + 1024);

				fill_area();
				*frame = (struct forged_frame){
					.rip = (uintptr_t)attack_back,
					.cs = 8,
					.domain = is_kernel,
					.rflags = flag_choices[flags] | RFLAGS_FIXED,
					.rsp = registers.rsp,
					.ss = 16,
					.rights = wishes[i],
				};
				registers.rdi = registers.rsp = (uintptr_t)frame;
				try_attack(&registers, targets.resume);
				registers.rdi = (uintptr_t)frame;
				try_attack(&registers, targets.resume_preempted);
				/* Returns to the kernel's own code, as if it were the kernel. */
				frame->rip = targets.kernel_call;
				try_attack(&registers, targets.resume);
			}
		}
	}
	check_kernel_is_whole();
}

TEST(a_forged_frame_gains_nothing)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(return_by_forged_frames);
	catch_faults(false);
}

static void call_kernel_functions(void)
{
	struct registers registers = registers_of(RFLAGS_IF);

	sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	fill_area();
	try_attack(&registers, targets.kernel_call);
	fill_area();
	try_attack(&registers, targets.kernel_function);
	CHECK_EQ(fault.number, SIGSEGV);
	check_kernel_is_whole();
}

TEST(a_call_past_the_gates_has_the_callers_rights)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(call_kernel_functions);
	catch_faults(false);
}

/* ---- gates ---- */

static void enter_with_bad_stacks(void)
{
	static const struct {
		const char *what;
		int number, code;
	} bad[] = {
		{ "data", SIGSEGV, SEGV_PKUERR },
		{ "own stack", SIGSEGV, SEGV_PKUERR },
		{ "page table", SIGSEGV, SEGV_PKUERR },
		{ "domain", SIGSEGV, SEGV_PKUERR },
		{ "stack of traps", SIGSEGV, SEGV_PKUERR },
		{ "guard page", SIGSEGV, SEGV_MAPERR },
		{ "device registers", SIGSEGV, SEGV_PKUERR },
	};
	static const uint64_t others[] = { 0, 4096, 0x8000000000000000, 0x7fffffffffff, 1 };
	long count = sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		for (long place = 0; place < count; place++) {
			struct registers registers = registers_of(RFLAGS_IF);

			if (strcmp(places[place].what, bad[i].what) != 0)
				continue;
			fill_area();
			registers.rsp = places[place].address & ~7ul;
			fault.number = fault.code = 0;
			try_attack(&registers, (uintptr_t)sys_getpid);
			CHECK_EQ(fault.number, bad[i].number);
			CHECK_EQ(fault.code, bad[i].code);
			/* By registers the stack is not touched. */
			registers.rcx = (uintptr_t)attack_back;
			registers.rax = SYS_getpid;
			fault.number = 0;
			try_attack(&registers, (uintptr_t)__kernel_entry);
			CHECK_EQ(fault.number, 0);
			CHECK_EQ(attack_found.rax, 1);
			CHECK_EQ(attack_found.rsp, registers.rsp);
		}
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct registers registers = registers_of(RFLAGS_IF);

		registers.rsp = others[i];
		fault.number = 0;
		try_attack(&registers, (uintptr_t)sys_getpid);
		CHECK(fault.number == SIGSEGV || fault.number == SIGBUS);
	}
	/* A misaligned one is no fault, but a call. */
	for (unsigned i = 0; i < 8; i++) {
		struct registers registers = registers_of(RFLAGS_IF);
		uintptr_t back = (uintptr_t)attack_back;

		registers.rsp -= 64 + i;
		memcpy((void *)registers.rsp, &back, sizeof(back));
		try_attack(&registers, (uintptr_t)sys_getpid);
		CHECK_EQ(attack_found.rax, 1);
		CHECK_EQ(attack_found.rsp, registers.rsp + 8);
	}
	check_kernel_is_whole();
}

TEST(a_bad_stack_pointer_at_a_gate_is_the_callers_fault)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(enter_with_bad_stacks);
	catch_faults(false);
}

static void check_is_no_secret(const char *what, uint64_t value)
{
	/* Text, constants and the application's own are none. */
	if (value >= KERNEL_HALF && value < -4096ul &&
	    (value < targets.text_start || value >= targets.text_end) &&
	    (value < targets.data_start || value >= targets.data_end))
		test_failed(__FILE__, __LINE__, what, (long long)value, 0, true);
}

static void check_registers(void)
{
	uint64_t words[2];

	check_is_no_secret("rcx", attack_found.rcx);
	check_is_no_secret("rdx", attack_found.rdx);
	check_is_no_secret("rsi", attack_found.rsi);
	check_is_no_secret("rdi", attack_found.rdi);
	check_is_no_secret("r8", attack_found.r8);
	check_is_no_secret("r9", attack_found.r9);
	check_is_no_secret("r10", attack_found.r10);
	check_is_no_secret("r11", attack_found.r11);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(words, attack_vectors[i], sizeof(words));
		check_is_no_secret("low half of a vector register", words[0]);
		check_is_no_secret("high half of a vector register", words[1]);
	}
}

long sys_sched_yield(void);
long sys_mmap(void *, size_t, int, int, int, long);
long sys_munmap(void *, size_t);
long sys_write(int, const void *, size_t);

static void look_at_registers(void)
{
	struct registers registers = registers_of(RFLAGS_IF);
	const uintptr_t calls[] = { (uintptr_t)sys_getpid, (uintptr_t)sys_sched_yield,
				    (uintptr_t)sys_mmap, (uintptr_t)sys_write,
				    (uintptr_t)sys_munmap };

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		fill_area();
		try_attack(&registers, calls[i]);
		CHECK_EQ(attack_found.rbx, registers.rbx);
		CHECK_EQ(attack_found.rbp, registers.rbp);
		CHECK_EQ(attack_found.r12, registers.r12);
		CHECK_EQ(attack_found.r15, registers.r15);
		check_registers();
	}
	registers.rax = SYS_getpid;
	registers.rcx = (uintptr_t)attack_back;
	try_attack(&registers, (uintptr_t)__kernel_entry);
	check_registers();
}

TEST(nothing_of_the_kernels_is_left_in_registers)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(look_at_registers);
	catch_faults(false);
}

static void step_through_gates(void)
{
	struct registers registers = registers_of(RFLAGS_IF | RFLAGS_TF);

	sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	fill_area();
	steps = 0;
	fault.number = 0;
	try_attack(&registers, (uintptr_t)sys_getpid);
	CHECK(steps > 5);
	/* The step after WRPKRU is the application's, whose rights come back with it. */
	CHECK_EQ(fault.number, SIGSEGV);
	registers.rax = SYS_getpid;
	registers.rcx = (uintptr_t)attack_back;
	fault.number = 0;
	try_attack(&registers, (uintptr_t)__kernel_entry);
	CHECK_EQ(fault.number, SIGSEGV);
	for (long i = 0; i < targets.nsites; i++) {
		registers = registers_of(RFLAGS_IF | RFLAGS_TF);
		registers.rax = registers.rcx = registers.rdx = 0;
		fill_area();
		fill_open_page(gate_target(sys_getpid));
		try_attack(&registers, targets.sites[i]);
	}
	/* Behind a forged trap, too. */
	for (unsigned vector = 0; vector < 256; vector++) {
		if (vector == 2 || vector == 8 || vector == 18)
			continue;
		registers = registers_of(RFLAGS_IF | RFLAGS_TF);
		fill_area();
		fill_open_page(0);
		try_attack(&registers, targets.code[CODE_ENTRIES].start + vector * 16);
	}
	check_kernel_is_whole();
}

TEST(single_steps_through_a_gate_are_no_way_in)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(step_through_gates);
	catch_faults(false);
}

static void call_with_interrupts_off(void)
{
	struct registers registers = registers_of(0);
	uint64_t flags;

	fill_area();
	try_attack(&registers, (uintptr_t)sys_getpid);
	CHECK_EQ(attack_found.rax, 1);
	/* Without a call, but with a fault. */
	try_attack(&registers, 4096);
	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	CHECK(flags & RFLAGS_IF);
}

TEST(a_fault_with_interrupts_off_is_handled)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(call_with_interrupts_off);
	catch_faults(false);
}

/* ---- traps that the program makes itself ---- */

static void trap_by_instruction(void)
{
	struct registers registers = registers_of(RFLAGS_IF);
	static uint8_t code[] = { 0xcd, 0, 0xc3 }; /* int N; ret */
	uint8_t *page =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned vector = 0; vector < 256; vector++) {
		if (vector == 2 || vector == 8 || vector == 18)
			continue;
		CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
		code[1] = (uint8_t)vector;
		memcpy(page, code, sizeof(code));
		CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
		fill_area();
		fill_open_page((uintptr_t)attack_back);
		try_attack(&registers, (uintptr_t)page);
	}
	munmap(page, 4096);
	sys_isolation_places(places, ISOLATION_PLACES_MAX, my_page);
	check_kernel_is_whole();
}

TEST(traps_that_a_program_makes_itself_gain_nothing)
{
	NEEDS_ISOLATION;
	prepare();
	on_every_core(trap_by_instruction);
	catch_faults(false);
}
