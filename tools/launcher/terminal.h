/*
 * A terminal that is drawn on: keys at once, a screen of its own, and all as before at the end, also when a signal
 * ends the program.
 */
#pragma once

#include <stdbool.h>

/* ECMA-48, and what xterm added to it: understood by terminals of today. */
#define TERMINAL_HOME "\033[H\033[2K"
#define TERMINAL_END_LINE "\033[K"
#define TERMINAL_END_SCREEN "\033[J"
#define TERMINAL_BOLD "\033[7m"
#define TERMINAL_PLAIN "\033[27m"

#define TERMINAL_NO_KEY (-1)
#define TERMINAL_CLOSED (-2)

bool terminal_begin(void); /* false: errno says why */
void terminal_end(void);
/* A signal wants the end: SIGINT, SIGTERM, SIGHUP. */
bool terminal_is_over(void);

/* The next key within so many milliseconds (-1: for ever), TERMINAL_NO_KEY (time is over, a signal came), or
 * TERMINAL_CLOSED. */
int terminal_key(int timeout_ms);

void terminal_size(unsigned *width, unsigned *height);
