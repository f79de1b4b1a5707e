/*
 * Protection keys, which musl does not have: pkeys(7).
 *
 * A thread reads its rights from the processor, and changes them by a function of the kernel's that runs
 * with the thread's own rights, for with isolation a program may not hold the instruction itself
 * (arch/x86_64/isolation.h).
 */
#include <cpuid.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#define KEYS 16
#define DENIED_MASK (PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE)

/* The system calls (posix/key_calls.c), and arch/x86_64/rights.S; on Linux, linux_calls.S. */
long sys_pkey_alloc(unsigned long flags, unsigned long denied);
long sys_pkey_free(int key);
long sys_pkey_mprotect(void *address, size_t length, int protection, int key);
void __kernel_set_rights(uint32_t rights);

static int result_of(long result)
{
	if (result >= 0)
		return (int)result;
	errno = (int)-result;
	return -1;
}

int pkey_alloc(unsigned flags, unsigned rights)
{
	return result_of(sys_pkey_alloc(flags, rights));
}

int pkey_free(int key)
{
	return result_of(sys_pkey_free(key));
}

int pkey_mprotect(void *address, size_t length, int protection, int key)
{
	return result_of(sys_pkey_mprotect(address, length, protection, key));
}

/* Has the system switched them on? Asked once: the instruction may be slow in a virtual machine. */
static bool has_keys(void)
{
	static enum { UNKNOWN, NO, YES } known;
	unsigned a, b, c, d;

	if (known == UNKNOWN)
		known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & bit_OSPKE ? YES : NO;
	return known == YES;
}

/* PKRU has two bits a key (SDM volume 3, 4.6.2), which are PKEY_DISABLE_ACCESS and _WRITE. */
static uint32_t rights_read(void)
{
	uint32_t rights, zero;

	__asm__ volatile("rdpkru" : "=a"(rights), "=d"(zero) : "c"(0));
	return rights;
}

int pkey_get(int key)
{
	if (key < 0 || key >= KEYS)
		return result_of(-EINVAL);
	if (!has_keys())
		return result_of(-ENOSYS);
	return rights_read() >> (2 * key) & DENIED_MASK;
}

int pkey_set(int key, unsigned rights)
{
	uint32_t mask, before;

	if (key < 0 || key >= KEYS || rights & ~(unsigned)DENIED_MASK)
		return result_of(-EINVAL);
	if (!has_keys())
		return result_of(-ENOSYS);
	mask = (uint32_t)DENIED_MASK << (2 * key);
	before = rights_read();
	if ((before & mask) != (uint32_t)rights << (2 * key))
		__kernel_set_rights((before & ~mask) | (uint32_t)rights << (2 * key));
	return 0;
}
