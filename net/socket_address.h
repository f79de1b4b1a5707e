/*
 * A socket's address of any family, with its length, as Linux lays it out.
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct socket_address {
	socklen_t length; /* of what is filled in; 0: no address */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage; /* the longest that Linux takes */
	};
};
