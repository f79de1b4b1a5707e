/*
 * Switching the static branches while other cores run over them: a breakpoint first, then what lies behind it,
 * then the first byte, each before all cores have executed a serialising instruction (SDM volume 3, 8.1.3).
 */
#include "arch/x86_64/static_branch.h"

#include "arch/arch.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/registers.h"
#include "arch/x86_64/rights_scan.h"
#include "arch/x86_64/trap.h"
#include "sched/mutex.h"
#include "smp/mailbox.h"

#include <string.h>

#define BREAKPOINT 0xcc
#define JUMP 0xe9 /* and a distance of 32 bits from behind it */

struct branch {
	uint64_t site, target;
};
extern const struct branch static_branches_start[], static_branches_end[]; /* image.ld */

static struct mutex switching;
static bool is_on;

static void code_of(const struct branch *branch, bool on, uint8_t code[STATIC_BRANCH_BYTES])
{
	static const uint8_t nop[] = { STATIC_BRANCH_NOP };
	int32_t distance = (int32_t)(branch->target - branch->site - STATIC_BRANCH_BYTES);

	memcpy(code, nop, sizeof(nop));
	if (!on)
		return;
	code[0] = JUMP;
	memcpy(code + 1, &distance, sizeof(distance));
}

/* Code is read-only wherever it is mapped: for these bytes this core does not heed that (SDM volume 3, 4.1.3). */
static void write_code(const struct branch *branch, unsigned from, unsigned to, const uint8_t *code)
{
	unsigned long interrupts = arch_irq_save();
	uint64_t cr0 = read_cr0();

	write_cr0(cr0 & ~(uint64_t)CR0_WP);
	for (unsigned i = from; i < to; i++)
		*(volatile uint8_t *)(branch->site + i) = code[i];
	write_cr0(cr0);
	arch_irq_restore(interrupts);
}

/* Would the jump, with what is around it, hold an instruction that changes rights? The build has looked at
 * the code as it was (tools/check-rights). */
static bool is_harmless(const struct branch *branch)
{
	uint8_t around[STATIC_BRANCH_BYTES + 2 * (RIGHTS_BYTES - 1)];

	memcpy(around, (const uint8_t *)branch->site - (RIGHTS_BYTES - 1), sizeof(around));
	code_of(branch, true, around + RIGHTS_BYTES - 1);
	return rights_find(around, sizeof(around), 0) == sizeof(around);
}

static void serialize(void *unused)
{
	unsigned a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
}

static void write_all(bool on, unsigned from, unsigned to, bool breakpoint)
{
	static const uint8_t stop[STATIC_BRANCH_BYTES] = { BREAKPOINT };
	uint8_t code[STATIC_BRANCH_BYTES];

	for (const struct branch *branch = static_branches_start; branch < static_branches_end;
	     branch++) {
		if (!is_harmless(branch))
			continue;
		code_of(branch, on, code);
		write_code(branch, from, to, breakpoint ? stop : code);
	}
	core_call_all(serialize, NULL);
}

unsigned arch_switch_branches(bool on)
{
	unsigned refused = 0;

	mutex_lock(&switching);
	for (const struct branch *branch = static_branches_start; branch < static_branches_end;
	     branch++)
		refused += !is_harmless(branch);
	if (on != is_on) {
		write_all(on, 0, 1, true);
		write_all(on, 1, STATIC_BRANCH_BYTES, false);
		write_all(on, 0, 1, false);
		/* What is there already: a translator, as QEMU's, that read the code while it was written has
		 * kept what it made of it, and drops that at a write. By now all cores have read anew. */
		write_all(on, 0, 1, false);
		is_on = on;
	}
	mutex_unlock(&switching);
	return refused;
}

bool static_branch_hit(struct trap_frame *frame)
{
	for (const struct branch *branch = static_branches_start; branch < static_branches_end;
	     branch++) {
		if (frame->rip != branch->site + 1)
			continue;
		frame->rip = branch->site + STATIC_BRANCH_BYTES;
		return true;
	}
	return false;
}
