/*
 * Formatting, apart from where the text goes (console.c): a pure function over a sink.
 */
#pragma once

#include "lavra/types.h"

#include <stdarg.h>

/* Takes `len` bytes of the text; called several times. */
typedef void print_sink(void *argument, const char *bytes, size_t len);

/* Format as lavra/console.h says for kprintf(). Returns the number of bytes produced. */
size_t print_format(print_sink *sink, void *argument, const char *format, va_list args);
