/*
 * The vDSO, by its name as a library, and its calls beside the same system calls: a program for
 * Linux that test_binaries.py runs there and in an image.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void *library;

static void *find(const char *name)
{
	void *function = dlvsym(library, name, "LINUX_2.6");

	if (!function) {
		printf("%s is not there\n", name);
		exit(1);
	}
	return function;
}

static long long in_ns(const struct timespec *time)
{
	return time->tv_sec * 1000000000ll + time->tv_nsec;
}

int main(void)
{
	int (*get_clock)(clockid_t, struct timespec *);
	int (*get_resolution)(clockid_t, struct timespec *);
	int (*get_day)(struct timeval *, void *);
	int (*get_cpu)(unsigned *, unsigned *, void *);
	time_t (*get_time)(time_t *);
	struct timespec before, now, after;
	struct timeval day;
	unsigned cpu = 1000;

	if (!getauxval(AT_SYSINFO_EHDR) ||
	    !(library = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD))) {
		printf("there is no vDSO\n");
		return 1;
	}
	get_clock = find("__vdso_clock_gettime");
	get_resolution = find("__vdso_clock_getres");
	get_day = find("__vdso_gettimeofday");
	get_cpu = find("__vdso_getcpu");
	get_time = find("__vdso_time");
	for (int i = 0; i < 1000; i++) {
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before);
		if (get_clock(CLOCK_MONOTONIC, &now))
			printf("clock_gettime fails\n");
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after);
		if (in_ns(&before) > in_ns(&now) || in_ns(&now) > in_ns(&after)) {
			printf("%lld is not between %lld and %lld\n", in_ns(&now), in_ns(&before),
			       in_ns(&after));
			return 1;
		}
	}
	printf("clocks agree\n");
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &before);
	if (get_day(&day, NULL) || day.tv_sec < before.tv_sec || day.tv_sec > before.tv_sec + 60 ||
	    get_time(NULL) < before.tv_sec || get_time(NULL) > before.tv_sec + 60)
		printf("the time of day is another one\n");
	printf("a bad clock: %d\n", get_clock(1000, &now) < 0);
	if (get_resolution(CLOCK_MONOTONIC, &now) || get_cpu(&cpu, NULL, NULL))
		printf("clock_getres or getcpu fails\n");
	printf("resolution: %ld ns\n", now.tv_nsec);
	printf("a core with a small number: %d\n", cpu < 1000);
	return 0;
}
