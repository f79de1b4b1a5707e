/*
 * In-guest tests.
 *
 * A case is `TEST(name) { ... }` in a file posix_*.c, which is an application's code, or
 * `KERNEL_TEST(name) { ... }` in a file kernel_*.c, which is linked into the kernel and runs as a
 * system call. Nothing else is to be registered: main.c finds them in a section of the image, runs
 * one after the other on the main thread, prints TAP and ends the image with 1 if one failed.
 *
 * A case goes on after a failed check; it fails once, with every check that failed before its line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
	const char *file;
	int line;
	const char *name;
	void (*run)(void);
	bool in_kernel;
};

/* The system call of this image by which the kernel's cases run. Weak: on Linux there are none. */
long sys_kernel_test(void (*run)(void)) __attribute__((weak));

/* Print a line and mark the running case as failed. Any thread of the application (test_failed()) or
 * in the kernel (kernel_test_failed()). */
void test_failed(const char *file, int line, const char *what, long long a, long long b,
		 bool with_values);
void kernel_test_failed(const char *file, int line, const char *what, long long a, long long b,
			bool with_values);

/* Why the running case cannot run here, or NULL. */
extern const char *test_skip_reason;

/* How many cores there are; sysconf() tells how many the caller may run on. */
extern int test_cores;

/* Pointers, so that the section is an array whatever the structure's alignment is. */
#define TEST_CASE(function, in_kernel)                                                             \
	static void function(void);                                                                \
	static const struct test_case case_##function = { __FILE__, __LINE__, #function, function, \
							  in_kernel };                             \
	static const struct test_case *const entry_##function                                      \
	    __attribute__((used, section("test_cases"))) = &case_##function;                       \
	static void function(void)

#if __STDC_HOSTED__ == 0 /* compiled with the kernel's flags */
#define KERNEL_TEST(name) TEST_CASE(name, true)
#define TEST_FAILED kernel_test_failed
#else
#define TEST(name) TEST_CASE(name, false)
#define TEST_FAILED test_failed
#endif

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			TEST_FAILED(__FILE__, __LINE__, #condition, 0, 0, false);                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long value_a = (long long)(a), value_b = (long long)(b);                      \
		if (value_a != value_b)                                                            \
			TEST_FAILED(__FILE__, __LINE__, #a " == " #b, value_a, value_b, true);     \
	} while (0)

/* Leave the case: this machine lacks what it needs. */
#define SKIP(reason)                                                                               \
	do {                                                                                       \
		test_skip_reason = (reason);                                                       \
		return;                                                                            \
	} while (0)
