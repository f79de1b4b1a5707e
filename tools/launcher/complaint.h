/*
 * What is wrong, in a sentence.
 */
#pragma once

/* Format it into static memory, which the next one takes; what the last one returned may be among the
 * arguments. */
const char *complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
