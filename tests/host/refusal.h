/*
 * What a parser of options says of words that it refuses. After cmocka.h.
 */
#pragma once

#include <string.h>

/* `wrong` is what it said of `line`, or NULL. */
static inline void assert_refused(const char *line, const char *wrong, const char *because)
{
	if (!wrong)
		fail_msg("'%s' is accepted", line);
	if (!strstr(wrong, because))
		fail_msg("'%s' is refused with '%s', which does not say '%s'", line, wrong,
			 because);
}
