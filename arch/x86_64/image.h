/*
 * The image in memory, as image.ld lays it out: contiguous, virtual = physical + IMAGE_OFFSET.
 */
#pragma once

#include "arch/x86_64/symbols.h"

extern char image_start[], text_start[], text_end[], data_start[], data_end[];
extern const struct symbol_table symbols_start;

/* Behind the symbols, whose number is not known before the link is over. */
static inline char *image_end(void)
{
	return (char *)&symbols_start + symbols_start.size;
}
