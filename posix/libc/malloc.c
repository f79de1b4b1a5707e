/*
 * The application's malloc: mimalloc, whole and unmodified, with the names that musl uses for its
 * own allocations as well. Linked before musl, whose allocator, with one lock for all threads, is
 * then left out.
 */
#define MI_MALLOC_OVERRIDE 1
#include "static.c"

void *aligned_alloc(size_t alignment, size_t size)
{
	return mi_aligned_alloc(alignment, size);
}

void *__libc_malloc(size_t size)
    MI_FORWARD1(mi_malloc, size) void *__libc_calloc(size_t count, size_t size)
	MI_FORWARD2(mi_calloc, count, size) void *__libc_realloc(void *p, size_t size)
	    MI_FORWARD2(mi_realloc, p, size) void __libc_free(void *p) MI_FORWARD0(mi_free, p)

    /* Before any allocation. Pages appear when they are touched, so there is nothing to gain from
 * making parts of a heap accessible step by step; there is one memory node; and giving memory back
 * stops all cores for a moment, so it waits until the memory has been free for a second.
 * MIMALLOC_* in the environment override these. */
    __attribute__((constructor(101))) static void set_options(void)
{
	mi_option_set_default(mi_option_eager_commit_delay, 0);
	mi_option_set_default(mi_option_use_numa_nodes, 1);
	mi_option_set_default(mi_option_decommit_delay, 1000);
	mi_option_set_default(mi_option_segment_decommit_delay, 1000);
}
