/*
 * A noun behind a number: printf("%u core%s", n, plural(n)).
 */
#pragma once

static inline const char *plural(unsigned long count)
{
	return count == 1 ? "" : "s";
}
