/*
 * The serial port COM1 (16550, polled): where the console goes.
 *
 * A machine without one, or one whose reader has stopped reading, costs bounded time:
 * output is lost instead.
 */
#pragma once

#include "lavra/types.h"

void serial_init(void); /* boot core, once */
/* Caller holds the console lock. */
void serial_write(const char *bytes, size_t len);
/* Wait, for a bounded time, until what was written has left the port. */
void serial_flush(void);
