/*
 * What the socket calls share: descriptors that are sockets, and addresses of the application.
 */
#pragma once

#include "net/socket_address.h"
#include "posix/file/file.h"

/* 0, -EBADF, -ENOTSOCK. */
long socket_lookup(int fd, struct file **file);

/* The application's address, copied before it is looked at. Longer ones than Linux has: -EINVAL. */
long socket_address_get(const struct sockaddr *from, socklen_t length, struct socket_address *to);
/* What fits is copied; *length says how long the whole is, as Linux does. `to` NULL: nothing. */
long socket_address_put(const struct socket_address *from, struct sockaddr *to, socklen_t *length);
