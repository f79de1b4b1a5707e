/*
 * What the host asks of a running image, in the monitor's memory (lavra/monitor.h): to trace, to move threads, to
 * change what idle cores do.
 */
#pragma once

/* A thread looks from now on, if there is such memory. Boot core, thread context. */
void host_commands_start(void);
