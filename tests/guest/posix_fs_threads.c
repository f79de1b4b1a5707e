/* Many threads on all cores in the same files and directories. */
#include "tests/guest/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 8

static atomic_bool stop;
static atomic_uint turn;

static void run(void *(*function)(void *), void *(*other)(void *), unsigned nothers)
{
	pthread_t threads[THREADS];

	atomic_store(&stop, false);
	atomic_store(&turn, 0);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, i < nothers ? other : function,
					(void *)(uintptr_t)i),
			 0);
	for (unsigned i = nothers; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < nothers; i++)
		pthread_join(threads[i], NULL);
}

static unsigned next_random(unsigned *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Each thread on a core of its own, as far as there are. */
static void take_a_core(unsigned number)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number % sysconf(_SC_NPROCESSORS_ONLN), &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

#define RECORD 100
#define RECORDS 200

static void *append(void *argument)
{
	char record[RECORD];
	int fd = open("/tmp/log", O_WRONLY | O_APPEND);

	take_a_core((uintptr_t)argument);
	memset(record, 'a' + (uintptr_t)argument, sizeof(record));
	for (int i = 0; i < RECORDS; i++)
		CHECK_EQ(write(fd, record, sizeof(record)), sizeof(record));
	close(fd);
	return NULL;
}

TEST(appended_records_do_not_mix)
{
	unsigned count[THREADS] = { 0 };
	char record[RECORD];
	int fd = open("/tmp/log", O_CREAT | O_RDWR, 0600);

	run(append, NULL, 0);
	for (int i = 0; i < THREADS * RECORDS; i++) {
		CHECK_EQ(read(fd, record, sizeof(record)), sizeof(record));
		CHECK_EQ(memcmp(record, record + 1, sizeof(record) - 1), 0);
		count[(record[0] - 'a') % THREADS]++;
	}
	CHECK_EQ(read(fd, record, 1), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(count[i], RECORDS);
	close(fd);
	CHECK_EQ(unlink("/tmp/log"), 0);
}

static int shared;

static void *read_shared(void *argument)
{
	static atomic_uint seen[THREADS * RECORDS];
	unsigned number;

	take_a_core((uintptr_t)argument);
	while (read(shared, &number, sizeof(number)) == sizeof(number)) {
		CHECK(number < THREADS * RECORDS);
		CHECK_EQ(atomic_fetch_add(&seen[number % (THREADS * RECORDS)], 1), 0);
		atomic_fetch_add(&turn, 1);
	}
	return NULL;
}

TEST(one_position_serves_all_readers)
{
	shared = open("/tmp/numbers", O_CREAT | O_RDWR, 0600);
	for (unsigned i = 0; i < THREADS * RECORDS; i++)
		CHECK_EQ(write(shared, &i, sizeof(i)), sizeof(i));
	CHECK_EQ(lseek(shared, 0, SEEK_SET), 0);
	run(read_shared, NULL, 0);
	CHECK_EQ(atomic_load(&turn), THREADS * RECORDS);
	close(shared);
	CHECK_EQ(unlink("/tmp/numbers"), 0);
}

/* Files that are replaced by renaming are always there, and whole. */
#define WHOLE 5000

static void *replace(void *argument)
{
	static char bytes[THREADS][WHOLE];
	unsigned number = (uintptr_t)argument;
	char name[32];

	take_a_core(number);
	snprintf(name, sizeof(name), "/tmp/next%u", number);
	for (int i = 0; i < 150; i++) {
		int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);

		memset(bytes[number], 'A' + (i + number) % 26, WHOLE);
		CHECK_EQ(write(fd, bytes[number], WHOLE), WHOLE);
		close(fd);
		CHECK_EQ(rename(name, "/tmp/current"), 0);
	}
	return NULL;
}

static void *read_current(void *argument)
{
	static char bytes[THREADS][WHOLE + 1];
	unsigned number = (uintptr_t)argument;
	struct stat st;

	take_a_core(number + 1);
	while (!atomic_load(&stop)) {
		int fd = open("/tmp/current", O_RDONLY);

		CHECK(fd >= 0);
		CHECK_EQ(stat("/tmp/current", &st), 0);
		CHECK_EQ(st.st_size, WHOLE);
		CHECK_EQ(read(fd, bytes[number], WHOLE + 1), WHOLE);
		CHECK_EQ(memcmp(bytes[number], bytes[number] + 1, WHOLE - 1), 0);
		close(fd);
		if (number & 1)
			sched_yield();
	}
	return NULL;
}

TEST(a_file_that_is_replaced_is_always_there)
{
	int fd = open("/tmp/current", O_CREAT | O_WRONLY, 0600);
	static char bytes[WHOLE];

	CHECK_EQ(write(fd, bytes, WHOLE), WHOLE);
	close(fd);
	run(replace, read_current, 4);
	CHECK_EQ(unlink("/tmp/current"), 0);
}

/* Everybody makes, renames, links, removes and reads the same few names. */
static void *disturb(void *argument)
{
	unsigned random = (uintptr_t)argument * 77 + 5;
	char a[32], b[32], bytes[64];
	struct stat st;

	take_a_core((uintptr_t)argument);
	for (int i = 0; i < 1500; i++) {
		unsigned what = next_random(&random) % 12;
		int fd;

		snprintf(a, sizeof(a), "/tmp/t/%u/%u", next_random(&random) % 2,
			 next_random(&random) % 3);
		snprintf(b, sizeof(b), "/tmp/t/%u/%u", next_random(&random) % 2,
			 next_random(&random) % 3);
		switch (what) {
		case 0:
		case 1:
		case 2:
			fd = open(a, O_CREAT | O_RDWR, 0600);
			if (fd < 0) {
				CHECK(errno == EISDIR || errno == ENOENT || errno == ELOOP);
				break;
			}
			CHECK_EQ(write(fd, "content", 7), 7);
			if (what == 1)
				CHECK_EQ(ftruncate(fd, next_random(&random) % 20000), 0);
			CHECK(read(fd, bytes, sizeof(bytes)) >= 0);
			CHECK_EQ(close(fd), 0);
			break;
		case 3:
			if (unlink(a))
				CHECK(errno == ENOENT || errno == EISDIR);
			break;
		case 4:
		case 5:
			if (rename(a, b))
				CHECK(errno == ENOENT || errno == EISDIR || errno == ENOTDIR ||
				      errno == ENOTEMPTY || errno == EINVAL);
			break;
		case 6:
			if (link(a, b))
				CHECK(errno == ENOENT || errno == EEXIST || errno == EPERM);
			break;
		case 7:
			if (mkdir(a, 0700))
				CHECK_EQ(errno, EEXIST);
			break;
		case 8:
			if (rmdir(a))
				CHECK(errno == ENOENT || errno == ENOTDIR || errno == ENOTEMPTY);
			break;
		case 9:
			if (symlink(b, a))
				CHECK_EQ(errno, EEXIST);
			break;
		case 10:
			if (stat(a, &st))
				CHECK(errno == ENOENT || errno == ELOOP);
			else
				CHECK(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
			break;
		case 11: {
			DIR *dir = opendir("/tmp/t/0");

			CHECK(dir != NULL);
			while (readdir(dir))
				;
			closedir(dir);
			break;
		}
		}
	}
	return NULL;
}

static long inodes(void)
{
	FILE *file = fopen("/proc/lavra/totals", "r");
	char line[100];
	long count = -1;

	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "inodes ", 7) == 0)
			count = atol(line + 7);
	fclose(file);
	return count;
}

/* When nothing has ended for a while. */
static long settled_inodes(void)
{
	long last = inodes();

	for (int calm = 0; calm < 20; calm++) {
		long now;

		usleep(3000);
		now = inodes();
		if (now != last)
			calm = 0;
		last = now;
	}
	return last;
}

TEST(the_same_names_on_all_cores)
{
	long ninodes = settled_inodes();
	char name[32];

	CHECK_EQ(mkdir("/tmp/t", 0700) | mkdir("/tmp/t/0", 0700) | mkdir("/tmp/t/1", 0700), 0);
	run(disturb, NULL, 0);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "/tmp/t/%d/%d", i / 3, i % 3);
		/* A directory may have been moved into another. */
		if (unlink(name))
			rmdir(name);
	}
	CHECK_EQ(rmdir("/tmp/t/0"), 0);
	CHECK_EQ(rmdir("/tmp/t/1"), 0);
	CHECK_EQ(rmdir("/tmp/t"), 0);
	CHECK_EQ(settled_inodes(), ninodes);
}

/* What is open on one core is closed on others, while it is removed. */
static _Atomic(int) hand;

static void *close_what_is_handed(void *argument)
{
	char bytes[8];

	take_a_core((uintptr_t)argument + 1);
	while (!atomic_load(&stop)) {
		int fd = atomic_exchange(&hand, -1);

		if (fd < 0) {
			sched_yield();
			continue;
		}
		CHECK_EQ(pread(fd, bytes, sizeof(bytes), 0), 4);
		CHECK_EQ(memcmp(bytes, "hand", 4), 0);
		CHECK_EQ(close(fd), 0);
	}
	return NULL;
}

static void *hand_over(void *argument)
{
	unsigned number = (uintptr_t)argument;
	char name[32];

	take_a_core(number);
	snprintf(name, sizeof(name), "/tmp/hand%u", number);
	for (int i = 0; i < 300; i++) {
		int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0600), mine = -1;

		CHECK(fd >= 0);
		CHECK_EQ(write(fd, "hand", 4), 4);
		if (i & 1)
			CHECK_EQ(unlink(name), 0);
		while (!atomic_compare_exchange_weak(&hand, &mine, fd)) {
			mine = -1;
			sched_yield();
		}
		if (!(i & 1))
			CHECK_EQ(unlink(name), 0);
	}
	return NULL;
}

TEST(open_here_and_closed_there)
{
	long ninodes = settled_inodes();

	atomic_store(&hand, -1);
	run(hand_over, close_what_is_handed, 4);
	if (atomic_load(&hand) >= 0)
		close(atomic_load(&hand));
	CHECK_EQ(settled_inodes(), ninodes);
}

/* Reading what is cut off and grows again: old bytes or zeros, never anything else. */
static void *grow_and_shrink(void *argument)
{
	static char bytes[THREADS][20000];
	unsigned number = (uintptr_t)argument, random = number;

	take_a_core(number);
	memset(bytes[number], 'g', sizeof(bytes[number]));
	for (int i = 0; i < 300; i++) {
		CHECK_EQ(pwrite(shared, bytes[number], next_random(&random) % 20000 + 1,
				next_random(&random) % 100000) > 0,
			 1);
		CHECK_EQ(ftruncate(shared, next_random(&random) % 100000), 0);
	}
	return NULL;
}

static void *read_it(void *argument)
{
	static char bytes[THREADS][120000];
	unsigned number = (uintptr_t)argument;

	take_a_core(number + 1);
	while (!atomic_load(&stop)) {
		ssize_t n = pread(shared, bytes[number], sizeof(bytes[number]), 0);

		CHECK(n >= 0);
		for (ssize_t i = 0; i < n; i++)
			if (bytes[number][i] != 'g' && bytes[number][i] != 0) {
				CHECK_EQ(bytes[number][i], 'g');
				break;
			}
		sched_yield();
	}
	return NULL;
}

TEST(reading_what_grows_and_shrinks)
{
	shared = open("/tmp/elastic", O_CREAT | O_RDWR, 0600);
	run(grow_and_shrink, read_it, 4);
	close(shared);
	CHECK_EQ(unlink("/tmp/elastic"), 0);
}
