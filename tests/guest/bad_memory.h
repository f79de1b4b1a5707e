/*
 * Addresses that no system call may touch, and memory that ends in the middle of a buffer.
 */
#pragma once

#include "tests/guest/test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* image.ld */
extern char core_window_start[], application_data_start[], application_data_end[];

#define BAD_ADDRESSES 11

/* Number 0 is the null pointer, for arguments that may be one. All are aligned to 4. */
static inline void *bad_address(int i)
{
	static char *nothing, *hidden;

	if (!nothing) {
		nothing = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(nothing, 4096);
		hidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	switch (i) {
	case 0:
		return NULL;
	case 1:
		return hidden;
	case 2:
		return nothing;
	case 3: /* not canonical */
		return (void *)0x8000123456789abcul;
	case 4: /* the first kernel stack */
		return (void *)0xffffc00000004000ul;
	case 5: /* the image in the direct map */
		return (void *)0xffff800000200000ul;
	case 6:
		return core_window_start;
	case 7: /* the kernel's data */
		return (void *)(((uintptr_t)application_data_start - 64) & ~63ul);
	case 8: /* ... and its zeroed data */
		return application_data_end;
	case 9: /* begins in the application's memory and ends outside */
		return (void *)(0x20000000000ul - 4);
	default: /* the range wraps around */
		return (void *)-4ul;
	}
}

#define REFUSED(call, error)                                                                       \
	do {                                                                                       \
		errno = 0;                                                                         \
		long long result_ = (long long)(call);                                             \
		if (result_ != -1 || errno != (error))                                             \
			test_failed(__FILE__, __LINE__, #call, result_, errno, true);              \
	} while (0)

/* With each bad address as `bad`; the numbers from `first` on. */
#define EACH_FAILS(first, call)                                                                    \
	do {                                                                                       \
		for (int i_ = (first); i_ < BAD_ADDRESSES; i_++) {                                 \
			void *bad = bad_address(i_);                                               \
			errno = 0;                                                                 \
			long long result_ = (long long)(call);                                     \
			if (result_ != -1 || errno != EFAULT)                                      \
				test_failed(__FILE__, __LINE__, #call, i_,                         \
					    result_ == -1 ? errno : result_, true);                \
		}                                                                                  \
	} while (0)

enum edge { NOT_THERE, READ_ONLY };

/* `length` bytes (at most a page) that are there, right before a page that is not, or is read-only. Each
 * call has pages of its own. */
static inline char *edge(size_t length, enum edge kind)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(pages != MAP_FAILED);
	memset(pages, 'e', 8192);
	if (kind == NOT_THERE)
		CHECK_EQ(munmap(pages + 4096, 4096), 0);
	else
		CHECK_EQ(mprotect(pages + 4096, 4096, PROT_READ), 0);
	return pages + 4096 - length;
}
