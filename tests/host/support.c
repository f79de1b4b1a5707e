/*
 * What the kernel sources under test find in place of the console, and of the rest of the machine:
 * weak, so that a test that links the real thing, or wants a fake of its own, gets that.
 */
#include "arch/arch.h"
#include "arch/x86_64/user_access.h"
#include "lavra/console.h"
#include "net/queues.h"
#include "smp/core.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEAK __attribute__((weak))

WEAK unsigned ncores = 1;
WEAK struct core cores[MAX_CORES];
WEAK CORE_LOCAL core_id_t this_core;
WEAK uint64_t network_cores = ~0ull; /* sched/affinity.h */
WEAK struct queue_map network_queues = { .cores = ~0ull };
WEAK uint64_t process_signal_pending; /* sched/thread.h: nobody sends signals here */

/* Threads of a test have no protection keys. */
WEAK uint32_t arch_call_rights(void)
{
	return 0;
}

WEAK uint32_t arch_lend_rights(uint32_t rights)
{
	return rights;
}

/* All memory of a test is there. */
WEAK bool isolation_on;

WEAK uint64_t *network_pages;
WEAK size_t nnetwork_pages;
WEAK CORE_LOCAL uintptr_t network_caller;

WEAK bool arch_is_networks(const void *address)
{
	return true;
}

WEAK bool user_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	return true;
}

WEAK bool user_copy_16(void *to, const void *from)
{
	return user_copy(to, from, 16);
}

WEAK bool user_copy_8(void *to, const void *from)
{
	return user_copy(to, from, 8);
}

WEAK bool user_copy_4(void *to, const void *from)
{
	if (((uintptr_t)to | (uintptr_t)from) % 4)
		return user_copy(to, from, 4);
	/* Words that threads share are among them. */
	__atomic_store_n((uint32_t *)to, __atomic_load_n((const uint32_t *)from, __ATOMIC_SEQ_CST),
			 __ATOMIC_SEQ_CST);
	return true;
}

WEAK bool user_copy_2(void *to, const void *from)
{
	return user_copy(to, from, 2);
}

WEAK bool user_store_12(void *to, uint32_t first, uint64_t second)
{
	return user_copy(to, &first, 4) && user_copy((char *)to + 4, &second, 8);
}

/* posix/user_memory.c: not called unless a copy fails. */
WEAK size_t user_copy_pages(void *to, const void *from, size_t length)
{
	return 0;
}

WEAK size_t user_clear_pages(void *to, size_t length)
{
	return 0;
}

WEAK int user_compare_exchange(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *old)
{
	__atomic_compare_exchange_n(word, &expected, desired, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	*old = expected;
	return 0;
}

WEAK bool user_clear(void *to, size_t len)
{
	memset(to, 0, len);
	return true;
}

WEAK bool user_find_zero(const char *string, size_t limit, size_t *length)
{
	*length = strnlen(string, limit);
	return true;
}

WEAK int kvsnprintf(char *buffer, size_t size, const char *format, va_list args)
{
	return vsnprintf(buffer, size, format, args);
}

WEAK int ksnprintf(char *buffer, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = kvsnprintf(buffer, size, format, args);
	va_end(args);
	return length;
}

/* Fuzzers run thousands of inputs that the kernel complains about: they stay silent. */
WEAK void kprintf(const char *format, ...)
{
#ifndef LAVRA_FUZZ
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
#endif
}

WEAK void console_write(const char *bytes, size_t len)
{
	fwrite(bytes, 1, len, stderr);
}

/* cmocka's own: fails the running test, or ends an expect_assert_failure(). */
void mock_assert(int result, const char *expression, const char *file, int line);

static pthread_t main_thread;

__attribute__((constructor)) static void note_main_thread(void)
{
	main_thread = pthread_self();
}

WEAK void panic(const char *format, ...)
{
	static char text[512]; /* outlives the jump out of here */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
#ifndef LAVRA_FUZZ
	/* The jump leads to the main thread's stack. */
	if (pthread_equal(pthread_self(), main_thread))
		mock_assert(0, text, "panic", 0);
#endif
	fprintf(stderr, "panic: %s\n", text);
	abort();
}

WEAK void machine_exit(int status)
{
	panic("machine_exit(%d)", status);
}
