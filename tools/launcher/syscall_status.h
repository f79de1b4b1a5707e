/*
 * What docs/posix.md says of each system call; the table is made of it when the launcher is built.
 */
#pragma once

enum syscall_status { SYSCALL_COMPLETE, SYSCALL_PARTIAL, SYSCALL_REFUSED, SYSCALL_ABSENT };

struct syscall_entry {
	const char *name;
	enum syscall_status status;
	const char *note; /* what is missing, or the error; "" if there is nothing to say */
};

/* NULL if the document does not know it. */
const struct syscall_entry *syscall_find(const char *name);
const char *syscall_status_name(enum syscall_status status);
