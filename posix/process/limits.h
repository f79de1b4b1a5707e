/*
 * Limits of the process (getrlimit(2)).
 */
#pragma once

struct rlimit;

/* What the limit is, in *before; `new`, if not NULL, takes its place. 0, -EINVAL, -EPERM. Any core. */
long process_limit(int resource, const struct rlimit *new, struct rlimit *before);
