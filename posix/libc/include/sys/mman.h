/*
 * musl's header, with the protection keys that glibc has beyond it (posix/libc/key.c); pkeys(7).
 */
#include_next <sys/mman.h>

#if defined(_GNU_SOURCE) && !defined(LAVRA_SYS_MMAN_H)
#define LAVRA_SYS_MMAN_H

#ifndef PKEY_DISABLE_ACCESS
#define PKEY_DISABLE_ACCESS 0x1
#define PKEY_DISABLE_WRITE 0x2
#endif

#ifdef __cplusplus
extern "C" {
#endif

int pkey_alloc(unsigned flags, unsigned rights);
int pkey_free(int key);
int pkey_mprotect(void *address, size_t length, int protection, int key);
/* What the calling thread may not do with pages of the key: PKEY_DISABLE_*. No system calls. ENOSYS where
 * the processor has no keys. */
int pkey_get(int key);
int pkey_set(int key, unsigned rights);

#ifdef __cplusplus
}
#endif

#endif
