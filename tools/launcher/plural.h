/*
 * A noun behind a number: printf("%u core%s", n, plural(n)).
 */
#pragma once

#define plural(count) ((count) == 1 ? "" : "s")
