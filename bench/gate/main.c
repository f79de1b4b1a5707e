/*
 * What a system call costs: calls the cheapest one as often as the argument says, and ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 1000000;
	double begun = now_ns();

	for (long i = 0; i < calls; i++)
		getppid();
	printf("%ld calls, %.1f ns each\n", calls, (now_ns() - begun) / (double)calls);
	return 0;
}
