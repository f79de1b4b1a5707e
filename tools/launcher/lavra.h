/*
 * The commands of `lavra`, each in a file of its name: they take the words behind it, and return the exit
 * status.
 */
#pragma once

#define EXIT_USAGE 2
#define EXIT_CANNOT 123 /* refused before anything was started */

int run_command(int argc, char **argv);
int topology_command(int argc, char **argv);
int inspect_command(int argc, char **argv);
int domain_command(int argc, char **argv);
int pod_command(int argc, char **argv);
int top_command(int argc, char **argv);
int tune_command(int argc, char **argv);
int trace_command(int argc, char **argv);

/* Say why, and exit. */
__attribute__((format(printf, 2, 3), noreturn)) void refuse(int status, const char *format, ...);

/* Where this program is. */
const char *launcher_path(void);
