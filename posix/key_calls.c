/*
 * Protection keys of the application's own: pkeys(7). What they are to the processor, and which the system
 * keeps for itself, is in arch/x86_64/isolation.h. Rights are each thread's own: the C library changes them
 * without a system call (posix/libc/key.c), and here the calling thread gets its first ones.
 */
#include "posix/syscall.h"

#include "arch/arch.h"
#include "mm/area.h"

#include <errno.h>
#include <sys/mman.h>

/* Linux's; musl has no names for them. */
#define DENIED_MASK 3 /* PKEY_DISABLE_ACCESS, _WRITE */
#define KEY_NONE (-1)

/* A bit for each key that is in use; key 0 always is. Atomic, any core. */
static uint32_t allocated = 1;

static bool key_is_allocated(int key)
{
	return key >= 0 && (unsigned)key <= arch_last_key() && arch_last_key() &&
	       __atomic_load_n(&allocated, __ATOMIC_RELAXED) >> key & 1;
}

static int take_key(void)
{
	uint32_t before = __atomic_load_n(&allocated, __ATOMIC_RELAXED);
	int key;

	/* Relaxed: a key is handed to other threads by the application. */
	do {
		key = __builtin_ctz(~before);
		if ((unsigned)key > arch_last_key())
			return KEY_NONE;
	} while (!__atomic_compare_exchange_n(&allocated, &before, before | 1u << key, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return key;
}

SYSCALL(pkey_alloc)(unsigned long flags, unsigned long denied)
{
	int key;

	if (flags || denied & ~(unsigned long)DENIED_MASK)
		return -EINVAL;
	key = take_key();
	if (key == KEY_NONE)
		return -ENOSPC;
	arch_set_key_rights((unsigned)key, (unsigned)denied);
	return key;
}

/* As on Linux, pages that carry it keep it, and so do threads their rights. */
SYSCALL(pkey_free)(int key)
{
	uint32_t bit;

	if (key == 0 || !key_is_allocated(key))
		return -EINVAL;
	bit = 1u << key;
	return __atomic_fetch_and(&allocated, ~bit, __ATOMIC_RELAXED) & bit ? 0 : -EINVAL;
}

SYSCALL(pkey_mprotect)(vaddr_t address, size_t length, int prot, int key)
{
	if (key != KEY_NONE && length && !key_is_allocated(key))
		return -EINVAL;
	return area_protect_key(address, length, prot & ~(PROT_GROWSDOWN | PROT_GROWSUP),
				key == KEY_NONE ? AREA_KEYS_KEPT : key);
}
