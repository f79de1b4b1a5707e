/*
 * Names to addresses, as the C library finds them: each argument is a name; a line for each says what
 * came of it. "-4" and "-6" choose the family of what follows.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static void resolve(const char *name, int family)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	struct timespec before, after;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &before);
	error = getaddrinfo(name, NULL, &hints, &found);
	clock_gettime(CLOCK_MONOTONIC, &after);
	printf("%s:", name);
	if (error)
		printf(" error %s", gai_strerror(error));
	for (struct addrinfo *one = found; one; one = one->ai_next) {
		char text[INET6_ADDRSTRLEN];

		getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof(text), NULL, 0,
			    NI_NUMERICHOST);
		printf(" %s", text);
	}
	printf(" (%ld s)\n", (long)(after.tv_sec - before.tv_sec));
	if (found)
		freeaddrinfo(found);
}

int main(int argc, char **argv)
{
	int family = AF_UNSPEC;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-4") == 0)
			family = AF_INET;
		else if (strcmp(argv[i], "-6") == 0)
			family = AF_INET6;
		else
			resolve(argv[i], family);
	}
	return 0;
}
