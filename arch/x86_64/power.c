/*
 * The end of the image: machine_exit() (lavra/console.h).
 */
#include "arch/arch.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/serial.h"
#include "lavra/console.h"
#include "mm/kva.h"

/* QEMU's isa-debugcon: reads give its own port number. The launcher listens there. */
#define DEBUG_CONSOLE 0xe9
/* QEMU's isa-debug-exit at its usual place: QEMU ends with status value * 2 + 1. */
#define DEBUG_EXIT 0xf4
#define DEBUG_EXIT_MASK 0x7f

#define SLEEP_ENABLE (1 << 13) /* PM1 control: ACPI 6.4, 4.8.3.2.1 */
#define SLEEP_TYPE_SHIFT 10
#define SLEEP_CONTROL_ENABLE (1 << 5) /* sleep control register: 4.8.3.7 */
#define SLEEP_CONTROL_TYPE_SHIFT 2

#define RESET_CONTROL 0xcf9 /* Intel ICH9 data sheet, 13.7.5 */
#define RESET_CONTROL_HARD 0x06
#define KEYBOARD_COMMAND 0x64 /* 8042: command 0xfe pulses the reset line */
#define KEYBOARD_PULSE_RESET 0xfe

static void tell_launcher(int status)
{
	char text[16];
	int len = ksnprintf(text, sizeof(text), "exit %d\n", status);

	if (inb(DEBUG_CONSOLE) == DEBUG_CONSOLE) {
		for (int i = 0; i < len; i++)
			outb(DEBUG_CONSOLE, (uint8_t)text[i]);
	}
	outb(DEBUG_EXIT, status & DEBUG_EXIT_MASK);
}

/* A register in memory needs a mapping; a panic may have stopped the one who holds mm's locks. */
static void write_register(const struct acpi_register *reg, uint8_t value)
{
	volatile uint8_t *mapped;

	if (reg->address == 0)
		return;
	if (reg->space == ACPI_SPACE_IO) {
		outb((uint16_t)reg->address, value);
	} else if (reg->space == ACPI_SPACE_MEMORY && !panic_in_progress()) {
		mapped = kva_map_device(reg->address, 1);
		if (mapped != NULL)
			*mapped = value;
	}
}

static void soft_off(void)
{
	if (!acpi.fadt_found || !acpi.soft_off_found)
		return;
	if (acpi.hardware_reduced) {
		write_register(&acpi.sleep_control,
			       (uint8_t)(acpi.soft_off_type_a << SLEEP_CONTROL_TYPE_SHIFT |
					 SLEEP_CONTROL_ENABLE));
		return;
	}
	if (acpi.pm1a_control.address != 0 && acpi.pm1a_control.space == ACPI_SPACE_IO)
		outw((uint16_t)acpi.pm1a_control.address,
		     (uint16_t)(acpi.soft_off_type_a << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
	if (acpi.pm1b_control.address != 0 && acpi.pm1b_control.space == ACPI_SPACE_IO)
		outw((uint16_t)acpi.pm1b_control.address,
		     (uint16_t)(acpi.soft_off_type_b << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
}

/* Long enough for a power-off to take effect before the next way is tried. */
static void wait_a_moment(void)
{
	for (int i = 0; i < 100000; i++)
		inb(0x80); /* the PC's diagnostic port: about 1 us, no side effect */
}

void machine_exit(int status)
{
	static bool begun;

	arch_irq_disable();
	/* The first core to end the image gives the status. */
	if (!__atomic_exchange_n(&begun, true, __ATOMIC_ACQ_REL)) {
		serial_flush();
		tell_launcher(status);
		soft_off();
		wait_a_moment();
		/* Some monitors take a reset for the end. */
		outb(RESET_CONTROL, RESET_CONTROL_HARD);
		outb(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
	}
	for (;;)
		__asm__ volatile("cli; hlt");
}
