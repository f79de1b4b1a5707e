/*
 * What the kernel says, and where it ends, for tests that look at both. Included once, by the test.
 */
#pragma once

#include "lavra/boot_option.h"
#include "lavra/console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char output[10000]; /* since the last boot_with() */
static jmp_buf ended;

void kprintf(const char *format, ...)
{
	size_t length = strlen(output);
	va_list args;

	va_start(args, format);
	vsnprintf(output + length, sizeof(output) - length, format, args);
	va_end(args);
}

void machine_exit(int status)
{
	longjmp(ended, status);
}

/* Parse a command line: 0, or the status with which the image ended. */
static int boot_with(const char *line)
{
	int status;

	output[0] = 0;
	status = setjmp(ended);
	if (status == 0)
		boot_options_parse(line);
	return status;
}
