/*
 * The image in memory, as image.ld lays it out: contiguous, virtual = physical + IMAGE_OFFSET.
 */
#pragma once

#include "arch/x86_64/symbols.h"

extern char image_start[], text_start[], text_end[], data_start[], data_end[];
extern const struct symbol_table symbols_start;
/* Inside the data: the application's own; pages of the core window that are no secret, or anybody's to
 * write (isolation.h); what everybody may read; what is read-only after boot. */
extern char application_data_start[], application_data_end[];
extern char core_window_open[], core_window_closed[];
/* The network's: its part of each core window, and its shared data. */
extern char core_window_network[], core_window_template[], network_data_start[], network_data_end[];
extern char visible_start[], visible_end[], read_mostly_start[], read_mostly_end[];

/* Behind the symbols, whose number is not known before the link is over. */
static inline char *image_end(void)
{
	return (char *)&symbols_start + symbols_start.size;
}
