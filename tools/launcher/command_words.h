/*
 * The words of a command that takes `lavra run`'s, and one of its own.
 */
#pragma once

/* A copy for options_parse(), which free() gives back, with --pin=auto in front: a later one is in its place. Of what
 * comes before "--", `own` (as --svg) is taken out: its value is put into *value, if it is there. Refuses
 * one without a value, which is `wanted`. */
char **command_words(int *argc, char **argv, const char *own, const char *wanted,
		     const char **value);
