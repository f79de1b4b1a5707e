/*
 * The network's kprintf() and panic(), by the kernel's names (net/domain.mk): the text is made here, and
 * printed by the kernel.
 */
#include "lavra/console.h"
#include "net/domain/services.h"

#include <stdarg.h>

void kprintf(const char *format, ...)
{
	char text[NETWORK_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	kvsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	say(text);
}

void panic(const char *format, ...)
{
	char text[NETWORK_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	kvsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	die(text);
	__builtin_trap();
}
