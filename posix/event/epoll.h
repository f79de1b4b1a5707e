/*
 * Epoll sets: which of many files are ready.
 *
 * A set is a file with a home core of its own. Items are told of readiness by a watch on their
 * file; a ready item is linked into the set's ready list, and whoever waits for the set is a
 * watch on the set itself (so a set can be watched by a set).
 *
 * Item and file at one core, the usual case: everything is a list operation, and readiness is
 * asked of the file itself when events are collected. At different cores, the item has two words
 * of bits, requests to the file's core and replies to the set's core; the side that turns a word
 * from zero sends the parcel, the other takes all bits at once. So nothing is lost, nothing is
 * sent twice, and an item is freed only when the file's core has said that it is detached. Of a file
 * that offers a view (posix/file/file.h) readiness is looked at in place, without a question: the file's
 * core only says that something changed.
 */
#pragma once

#include "posix/file/file.h"

struct epoll;

/* A set at this core, with one reference on its file. NULL without memory. */
struct epoll *epoll_create_set(void);
struct file *epoll_file(struct epoll *epoll);
extern const struct file_operations epoll_operations;
/* The set that is this file, or NULL. Its file is a set's first member. */
static inline struct epoll *epoll_of(struct file *file)
{
	return file->operations == &epoll_operations ? (struct epoll *)file : NULL;
}
/* Make this core the set's home. False if somebody waits for it where it is. Thread context; the
 * caller holds a reference. */
bool epoll_bring_here(struct epoll *epoll);

/* Home core of the set. `file` is kept by the caller during the call. 0, -EEXIST, -ENOENT, -ENOMEM,
 * -ELOOP, -EINVAL. `events` are EPOLL*. A view of the file, or NULL; taken over if the result is 0. */
int epoll_add(struct epoll *epoll, int fd, struct file *file, struct file_view *view,
	      uint32_t events, uint64_t data);
int epoll_modify(struct epoll *epoll, int fd, struct file *file, uint32_t events, uint64_t data);
int epoll_remove(struct epoll *epoll, int fd, struct file *file);

struct epoll_event;

/* Of a set's file, beside EPOLL* and FILE_* bits: no answer from another core is under way. It is
 * true or not, as readiness is: who begins to wait for it after the last answer does not wait. */
#define EPOLL_SETTLED (1u << 18)

/* Home core: up to `max` events, to memory that may be the application's. 0: none are known. -EAGAIN: none
 * are known yet, but answers from other cores are under way; with the last of them the file has EPOLLIN,
 * or EPOLL_SETTLED alone. -EFAULT: the first has no place, and is not told. */
int epoll_collect(struct epoll *epoll, struct epoll_event *events, int max);
