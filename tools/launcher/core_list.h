/*
 * A list of an image's cores, as a person writes it: 0,2-3.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The list as a mask. False: it is none. */
bool core_list_parse(const char *text, uint64_t *cores);
