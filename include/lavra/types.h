/*
 * The words everything else is written in: address types, units of memory, and
 * the two attributes that say who may touch a variable.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t; /* a physical address */
typedef uint64_t vaddr_t; /* a virtual address, where it is arithmetic, not a pointer */
typedef unsigned core_id_t; /* 0 .. ncores - 1; core 0 is the one that booted */

#define PAGE_SHIFT 12
#undef PAGE_SIZE /* musl's <limits.h> has it as an int */
#define PAGE_SIZE 4096ul
#define HUGE_PAGE_SIZE (2ul << 20)

#define MAX_CORES 64 /* a set of cores fits one uint64_t */

#define CACHE_LINE 64
#define CACHE_ALIGNED __attribute__((aligned(CACHE_LINE)))

/*
 * A variable of which every core has its own copy, at the same virtual address: it
 * lives in the core window (smp/window.h). Access is a plain load or store. Its
 * address means another object on another core: never store it, never send it, and
 * never keep it over a call that may block.
 */
#if defined(LAVRA_HOST_THREADS)
#define CORE_LOCAL __thread /* a thread of a host test stands for a core */
#elif defined(LAVRA_HOST_TEST)
#define CORE_LOCAL
#else
#define CORE_LOCAL __attribute__((section(".core_window")))
#endif

/* Likewise, and read by everybody, applications too: read-only once the core runs (arch/x86_64/isolation.h). */
#ifdef LAVRA_HOST_TEST
#define CORE_LOCAL_VISIBLE CORE_LOCAL
#else
#define CORE_LOCAL_VISIBLE __attribute__((section(".core_window.visible")))
#endif

/* Data that is written during boot and read-only from then on. */
#ifdef LAVRA_HOST_TEST
#define READ_MOSTLY
#else
#define READ_MOSTLY __attribute__((section(".data.read_mostly")))
#endif

/* Likewise, and read by everybody. */
#ifdef LAVRA_HOST_TEST
#define VISIBLE
#else
#define VISIBLE __attribute__((section(".data.visible")))
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define array_size(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once: of what others write meanwhile the value that was compared is the result. */
#define min(a, b)                                                                                  \
	({                                                                                         \
		const typeof(0 ? (a) : (b)) min_a = (a), min_b = (b);                              \
		min_a < min_b ? min_a : min_b;                                                     \
	})
#define max(a, b)                                                                                  \
	({                                                                                         \
		const typeof(0 ? (a) : (b)) max_a = (a), max_b = (b);                              \
		max_a > max_b ? max_a : max_b;                                                     \
	})

/* `align` is a power of two. */
#define align_up(x, align) (((x) + (align)-1) & ~((typeof(x))(align)-1))
#define align_down(x, align) ((x) & ~((typeof(x))(align)-1))
#define is_aligned(x, align) (((uintptr_t)(x) & ((align)-1)) == 0)

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
