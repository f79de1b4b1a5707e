/*
 * The kernel's voice: what it prints, and how it stops.
 *
 * Any core, any context, interrupts on or off, also before memory exists. Lines of
 * different cores do not mix: a call prints its whole text under the console lock
 * (the panic path breaks the lock, so a panic is always seen).
 */
#pragma once

#include "lavra/types.h"

#include <stdarg.h>

/* Print to the console. Formats: %d %i %u %x %X %p %s %c %% with the lengths l, ll, z, h, hh,
 * flags 0 and -, width and precision (also *), and %pI (a uint32_t * IPv4 address in network
 * order, as dotted quad) and %pM (6 bytes, a MAC address). */
void kprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int kvsnprintf(char *buffer, size_t size, const char *format, va_list args);
int ksnprintf(char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Write bytes to the console as they are (the application's stdout). */
void console_write(const char *bytes, size_t len);

/* Say what happened, with registers, core, thread and backtrace; stop the other cores; end the
 * image with EXIT_PANIC. Only when going on would lose data. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The exit status the launcher reports after a panic. */
#define EXIT_PANIC 125

/* What can only be our own mistake. On in every build. */
#define assert(condition)                                                                          \
	do {                                                                                       \
		if (unlikely(!(condition)))                                                        \
			panic("%s:%d: %s: assertion failed: %s", __FILE__, __LINE__, __func__,     \
			      #condition);                                                         \
	} while (0)

/* End the image: flush the console, power off, and give `status` (0..255) to the launcher. */
void machine_exit(int status) __attribute__((noreturn));
