/*
 * fcntl()'s commands about locks.
 */
#pragma once

struct flock;

/* F_GETLK, F_SETLK, F_SETLKW and F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW. */
long fcntl_lock(int fd, int command, struct flock *lock);
