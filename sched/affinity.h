/*
 * Sets of cores, as words and as masks.
 */
#pragma once

#include "lavra/types.h"

/* Parse a list such as "0,2-3" (as taskset's). Returns NULL, or what is wrong with it (then
 * *mask is untouched). */
const char *affinity_parse(const char *text, uint64_t *mask);

/* What the boot option `affinity=` allows; all cores without it. */
extern uint64_t affinity_default;

/* The cores that are up. */
uint64_t online_cores_mask(void);
