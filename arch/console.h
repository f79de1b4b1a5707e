/*
 * The console's inside, for arch/: lavra/console.h is what everybody else uses.
 */
#pragma once

/* From now on nobody waits for the console lock: a panic is seen even if its holder is stopped. */
void console_break_lock(void);
