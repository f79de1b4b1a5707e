#include "arch/x86_64/cpu.h"

#include "arch/x86_64/io.h"
#include "arch/x86_64/registers.h"

/* Read by context.S and the exit path of traps as well. */
struct cpu_features cpu_features READ_MOSTLY;

/* Extended state components (SDM volume 1, 13.1): x87, SSE, AVX, the three of AVX-512, PKRU. Not
 * AMX: its 8 KiB would make every save area four times as large. */
#define XCR0_X87 (1ul << 0)
#define XCR0_SSE (1ul << 1)
#define XCR0_AVX (1ul << 2)
#define XCR0_AVX512 (7ul << 5)
#define XCR0_PKRU (1ul << 9)

#define FXSAVE_SIZE 512

static void write_xcr0(uint64_t value)
{
	__asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static bool bit(uint32_t word, unsigned index)
{
	return word >> index & 1;
}

/* The components that we switch on, of those that the processor has. The AVX-512 ones go
 * together, and only with AVX (SDM volume 1, 13.3). */
static uint64_t wanted_xcr0(void)
{
	struct cpuid r = cpuid(0xd, 0);
	uint64_t supported = (uint64_t)r.edx << 32 | r.eax;
	uint64_t xcr0 = XCR0_X87 | XCR0_SSE;

	if (supported & XCR0_AVX) {
		xcr0 |= XCR0_AVX;
		if ((supported & XCR0_AVX512) == XCR0_AVX512)
			xcr0 |= XCR0_AVX512;
	}
	if (cpu_features.protection_keys && (supported & XCR0_PKRU))
		xcr0 |= XCR0_PKRU;
	return xcr0;
}

void cpu_detect(void)
{
	struct cpu_features *f = &cpu_features;
	uint32_t highest = cpuid(0, 0).eax;
	uint32_t highest_extended = cpuid(0x80000000, 0).eax;
	struct cpuid r;

	/* SDM volume 2, CPUID, leaf by leaf. */
	r = cpuid(1, 0);
	f->global_pages = bit(r.edx, 13);
	f->x2apic = bit(r.ecx, 21);
	f->tsc_deadline = bit(r.ecx, 24);
	f->xsave = bit(r.ecx, 26);
	f->rdrand = bit(r.ecx, 30);
	f->hypervisor = bit(r.ecx, 31);
	if (highest >= 7) {
		r = cpuid(7, 0);
		f->fsgsbase = bit(r.ebx, 0);
		f->smep = bit(r.ebx, 7);
		f->rdseed = bit(r.ebx, 18);
		f->smap = bit(r.ebx, 20);
		f->umip = bit(r.ecx, 2);
		f->protection_keys = bit(r.ecx, 3);
	}
	f->huge_1g = bit(cpuid(0x80000001, 0).edx, 26);
	if (highest_extended >= 0x80000007)
		f->invariant_tsc = bit(cpuid(0x80000007, 0).edx, 8);
	f->physical_bits = highest_extended >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
	if (f->xsave && highest >= 0xd)
		f->xcr0 = wanted_xcr0();
	else
		f->xsave = false;
}

/* The features that other cores rely on because the boot core has them. */
static const char *missing_feature(void)
{
	const struct cpu_features *f = &cpu_features;
	struct cpuid one = cpuid(1, 0);
	struct cpuid seven = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid){ 0 };

	if (f->global_pages && !bit(one.edx, 13))
		return "global pages";
	if (f->huge_1g && !bit(cpuid(0x80000001, 0).edx, 26))
		return "1 GiB pages";
	if (f->fsgsbase && !bit(seven.ebx, 0))
		return "FSGSBASE";
	if (f->smep && !bit(seven.ebx, 7))
		return "SMEP";
	if (f->smap && !bit(seven.ebx, 20))
		return "SMAP";
	if (f->umip && !bit(seven.ecx, 2))
		return "UMIP";
	if (f->protection_keys && !bit(seven.ecx, 3))
		return "protection keys";
	if (f->xsave && (!bit(one.ecx, 26) || (wanted_xcr0() & f->xcr0) != f->xcr0))
		return "XSAVE components";
	return NULL;
}

const char *cpu_enable_core(void)
{
	struct cpu_features *f = &cpu_features;
	const char *missing = missing_feature();
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (missing != NULL)
		return missing;
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	if (f->global_pages)
		cr4 |= CR4_PGE;
	if (f->umip)
		cr4 |= CR4_UMIP;
	if (f->fsgsbase)
		cr4 |= CR4_FSGSBASE;
	if (f->xsave)
		cr4 |= CR4_OSXSAVE;
	/* Keys apply to the user's pages, which so are touched from ring 0. */
	if (f->protection_keys)
		cr4 |= CR4_PKE;
	else
		cr4 |= (f->smep ? CR4_SMEP : 0) | (f->smap ? CR4_SMAP : 0);
	write_cr4(cr4);
	/* No syscall instruction: system calls are function calls (but see syscall_instruction.c). */
	write_msr(MSR_EFER, (read_msr(MSR_EFER) & ~(uint64_t)EFER_SCE) | EFER_NXE);
	/* The table as at reset, which firmware may have changed: write-back, write-through,
	 * uncached-, uncached, twice (SDM volume 3, 12.12.4). */
	write_msr(MSR_PAT, 0x0007040600070406);
	__asm__ volatile("fninit");
	if (f->xsave)
		write_xcr0(f->xcr0);
	if (f->xsave_size == 0) /* CPUID tells the size for the components that are switched on */
		f->xsave_size = f->xsave ? align_up(cpuid(0xd, 0).ebx, 64u) : FXSAVE_SIZE;
	return NULL;
}
