/*
 * Scripts: files whose first line names the program that reads them, `#!INTERPRETER [ARGUMENT]`.
 */
#pragma once

#include "lavra/types.h"

#define SCRIPT_LINE_BYTES 256 /* as Linux */

enum script_kind { NOT_A_SCRIPT, SCRIPT, BAD_SCRIPT };

/* `line` holds the first bytes of the file, `length` of at most SCRIPT_LINE_BYTES. For SCRIPT,
 * *interpreter and *argument (NULL if there is none) point into `line`, which is changed. For
 * BAD_SCRIPT *reason reads as a sentence after the file's name. */
enum script_kind script_parse(char *line, size_t length, char **interpreter, char **argument,
			      const char **reason);
