/*
 * A list of an image's cores, as a person writes it: 0,2-3.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The list as a mask. False: it is none. */
bool core_list_parse(const char *text, uint64_t *cores);

/* The same for an option --cores: NULL, or what is wrong (static memory). */
const char *core_list_option(const char *text, uint64_t *cores);

/* The mask as a list. */
#define CORE_LIST_SIZE                                                                             \
	192 /* none is longer: 0,2,4 and so on has 3 letters for 2 cores, 0-1,3-4 has 6 for 3 */
void core_list_print(uint64_t cores, char list[CORE_LIST_SIZE]);
