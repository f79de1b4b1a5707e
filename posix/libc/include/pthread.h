/*
 * musl's header, with the two functions that glibc has beyond it (posix/libc/affinity.c).
 */
#include_next <pthread.h>

#if defined(_GNU_SOURCE) && !defined(LAVRA_PTHREAD_H)
#define LAVRA_PTHREAD_H

#ifdef __cplusplus
extern "C" {
#endif

/* Threads created with these attributes run on the processors of `set` from their first
 * instruction on. At creation: EINVAL if the machine has none of them. */
int pthread_attr_setaffinity_np(pthread_attr_t *attributes, size_t size,
				const struct cpu_set_t *set);
int pthread_attr_getaffinity_np(const pthread_attr_t *attributes, size_t size,
				struct cpu_set_t *set);

#ifdef __cplusplus
}
#endif

#endif
