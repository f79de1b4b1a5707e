#include "tools/launcher/complaint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char complaint[3 * 4096]; /* two paths and what is said of them */

const char *complain(const char *format, ...)
{
	char text[sizeof(complaint)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return strcpy(complaint, text);
}
