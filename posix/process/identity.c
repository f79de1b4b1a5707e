/*
 * System calls that say who the program is. The image is one process of one user, who may do what it
 * likes to what is his and nothing else: the calls that would make him somebody else answer as Linux
 * answers such a user.
 */
#include "posix/syscall.h"
#include "posix/user_memory.h"
#include "sched/thread.h"

#include <errno.h>
#include <string.h>

/* Not 0: programs that find themselves root try to become somebody else, by files that are not here. */
#define USER 1000
#define GROUP 1000
#define PROCESS 1
#define UNCHANGED 0xffffffffu

SYSCALL(getuid)(void)
{
	return USER;
}

SYSCALL(geteuid)(void)
{
	return USER;
}

SYSCALL(getgid)(void)
{
	return GROUP;
}

SYSCALL(getegid)(void)
{
	return GROUP;
}

static long put_three(unsigned *a, unsigned *b, unsigned *c, unsigned value)
{
	if (user_write(a, &value, sizeof(value)) || user_write(b, &value, sizeof(value)))
		return -EFAULT;
	return user_write(c, &value, sizeof(value));
}

SYSCALL(getresuid)(unsigned *real, unsigned *effective, unsigned *saved)
{
	return put_three(real, effective, saved, USER);
}

SYSCALL(getresgid)(unsigned *real, unsigned *effective, unsigned *saved)
{
	return put_three(real, effective, saved, GROUP);
}

SYSCALL(getgroups)(int size, unsigned *groups)
{
	return size < 0 ? -EINVAL : 0;
}

/* ---- becoming whom one is, which is allowed ---- */

static long become(unsigned user, unsigned wanted)
{
	return wanted == user || wanted == UNCHANGED ? 0 : -EPERM;
}

SYSCALL(setuid)(unsigned user)
{
	return user == UNCHANGED ? -EINVAL : become(USER, user);
}

SYSCALL(setgid)(unsigned group)
{
	return group == UNCHANGED ? -EINVAL : become(GROUP, group);
}

SYSCALL(setreuid)(unsigned real, unsigned effective)
{
	return become(USER, real) | become(USER, effective);
}

SYSCALL(setregid)(unsigned real, unsigned effective)
{
	return become(GROUP, real) | become(GROUP, effective);
}

SYSCALL(setresuid)(unsigned real, unsigned effective, unsigned saved)
{
	return become(USER, real) | become(USER, effective) | become(USER, saved);
}

SYSCALL(setresgid)(unsigned real, unsigned effective, unsigned saved)
{
	return become(GROUP, real) | become(GROUP, effective) | become(GROUP, saved);
}

/* They return what was so before, and no error. */
SYSCALL(setfsuid)(unsigned user)
{
	return USER;
}

SYSCALL(setfsgid)(unsigned group)
{
	return GROUP;
}

SYSCALL(setgroups)(size_t count, const unsigned *groups)
{
	return -EPERM;
}

/* ---- capabilities: none ---- */

/* Linux's struct __user_cap_header_struct and __user_cap_data_struct. */
struct capability_header {
	uint32_t version;
	int tid;
};

struct capability_data {
	uint32_t effective, permitted, inheritable;
};

#define CAPABILITY_VERSION_1 0x19980330
#define CAPABILITY_VERSION_2 0x20071026
#define CAPABILITY_VERSION_3 0x20080522
#define CAPABILITY_WORDS 2

/* Copies the header. How many structures the caller has, or -errno; of an unknown version it is told the
 * one to use. */
static int capability_words(struct capability_header *user_header, struct capability_header *header)
{
	static const uint32_t version = CAPABILITY_VERSION_3;

	if (user_read(header, user_header, sizeof(*header)))
		return -EFAULT;
	switch (header->version) {
	case CAPABILITY_VERSION_1:
		return 1;
	case CAPABILITY_VERSION_2:
	case CAPABILITY_VERSION_3:
		return 2;
	}
	return user_write(&user_header->version, &version, sizeof(version)) ? -EFAULT : -EINVAL;
}

SYSCALL(capget)(struct capability_header *user_header, struct capability_data *data)
{
	static const struct capability_data none[CAPABILITY_WORDS];
	struct capability_header header;
	int words = capability_words(user_header, &header);

	if (words < 0)
		return words == -EINVAL && !data ? 0 : words;
	if (header.tid < 0)
		return -EINVAL;
	if (header.tid && !thread_find(header.tid))
		return -ESRCH;
	return data ? user_write(data, none, (size_t)words * sizeof(*data)) : 0;
}

SYSCALL(capset)(struct capability_header *user_header, const struct capability_data *user_data)
{
	struct capability_data data[CAPABILITY_WORDS];
	struct capability_header header;
	int words = capability_words(user_header, &header);

	if (words < 0)
		return words;
	if (header.tid && header.tid != current->tid)
		return -EPERM;
	if (user_read(data, user_data, (size_t)words * sizeof(*data)))
		return -EFAULT;
	for (int i = 0; i < words; i++)
		if (data[i].effective | data[i].permitted | data[i].inheritable)
			return -EPERM;
	return 0;
}

/* ---- groups of processes ---- */

SYSCALL(getpgid)(int process)
{
	return process == 0 || process == PROCESS ? PROCESS : -ESRCH;
}

SYSCALL(getpgrp)(void)
{
	return PROCESS;
}

SYSCALL(getsid)(int process)
{
	return sys_getpgid(process);
}

/* The process leads its session and its group already. */
SYSCALL(setsid)(void)
{
	return -EPERM;
}

SYSCALL(setpgid)(int process, int group)
{
	if (group < 0)
		return -EINVAL;
	return process == 0 || process == PROCESS ? -EPERM : -ESRCH;
}

/* ---- other processes: there are none ---- */

SYSCALL(wait4)(int process, int *status, int options, void *usage)
{
	return -ECHILD;
}

SYSCALL(waitid)(int kind, int id, void *info, int options, void *usage)
{
	return -ECHILD;
}

/* ---- the mode of new files ---- */
