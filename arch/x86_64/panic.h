/*
 * Reports: what an image says before it ends because of a mistake.
 */
#pragma once

#include "arch/x86_64/trap.h"

#include <stdarg.h>

/* As panic(), for code that a trap interrupted: shows its registers and its backtrace. */
void panic_at(const struct trap_frame *frame, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* The same report without the end. Stops the other cores for good, so an end must follow. */
void panic_report(const struct trap_frame *frame, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same report, and all goes on. */
void panic_describe(const struct trap_frame *frame, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The thread that has `address` on its kernel stack; false if none is known. */
bool panic_name_stack(vaddr_t address, int *tid, const char **name);

bool panic_in_progress(void);
