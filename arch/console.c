#include "lavra/console.h"

#include "arch/arch.h"
#include "arch/console.h"
#include "arch/print.h"
#include "arch/x86_64/serial.h"

#include <ck_spinlock.h>

/*
 * Guards the serial port, so that lines of different cores do not mix. Held with interrupts off,
 * innermost: nothing is locked under it (docs/locking.md). A fault or NMI that prints while its own
 * core holds it would wait for ever; the panic path breaks the lock first.
 */
static ck_spinlock_fas_t console_lock = CK_SPINLOCK_FAS_INITIALIZER;
static bool lock_broken;

static unsigned long console_acquire(void)
{
	unsigned long saved = arch_irq_save();

	while (!ck_spinlock_fas_trylock(&console_lock)) {
		if (__atomic_load_n(&lock_broken, __ATOMIC_RELAXED))
			break;
		arch_pause();
	}
	return saved;
}

static void console_release(unsigned long saved)
{
	ck_spinlock_fas_unlock(&console_lock);
	arch_irq_restore(saved);
}

void console_break_lock(void)
{
	__atomic_store_n(&lock_broken, true, __ATOMIC_RELAXED);
}

/* A terminal starts a new line with a carriage return. */
static void write_lines(const char *bytes, size_t len)
{
	size_t done = 0;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n')
			continue;
		serial_write(bytes + done, i - done);
		serial_write("\r\n", 2);
		done = i + 1;
	}
	serial_write(bytes + done, len - done);
}

void console_write(const char *bytes, size_t len)
{
	unsigned long saved = console_acquire();

	write_lines(bytes, len);
	console_release(saved);
}

static void console_sink(void *argument, const char *bytes, size_t len)
{
	(void)argument;
	write_lines(bytes, len);
}

void kprintf(const char *format, ...)
{
	unsigned long saved = console_acquire();
	va_list args;

	va_start(args, format);
	print_format(console_sink, NULL, format, args);
	va_end(args);
	console_release(saved);
}
