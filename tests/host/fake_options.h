/* Boot options for the tests of the command line's parser. */
#pragma once

#include "lavra/boot_option.h"

#include <stddef.h>
#include <string.h>

static const char *seen_text;
static uint64_t seen_number;

static const char *parse_text(const char *value)
{
	seen_text = value;
	return NULL;
}

static const char *parse_number(const char *value)
{
	return boot_parse_number(value, &seen_number) ? NULL : "must be a number";
}

BOOT_OPTION(text, "text=ANYTHING", parse_text);
BOOT_OPTION(number, "number=N", parse_number);
