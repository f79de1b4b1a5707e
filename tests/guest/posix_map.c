/* Files in memory: mappings of them, and what read() and write() see of each other. */
#include "tests/guest/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* A new file of `length` bytes: zeros, but for the number of each page at its start. */
static int make_file(size_t length)
{
	int fd = open("/map-test", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)length), 0);
	for (unsigned page = 0; page * PAGE < length; page++)
		CHECK_EQ(pwrite(fd, &page, sizeof(page), page * PAGE), sizeof(page));
	return fd;
}

static void end_file(int fd)
{
	close(fd);
	CHECK_EQ(unlink("/map-test"), 0);
}

static unsigned *map(int fd, size_t pages, int prot, int flags, off_t offset)
{
	void *memory = mmap(NULL, pages * PAGE, prot, flags, fd, offset);

	CHECK(memory != MAP_FAILED);
	return memory;
}

static unsigned at(const unsigned *memory, size_t page)
{
	return *(const volatile unsigned *)(memory + page * PAGE / sizeof(*memory));
}

static void set(unsigned *memory, size_t page, unsigned value)
{
	*(volatile unsigned *)(memory + page * PAGE / sizeof(*memory)) = value;
}

static unsigned in_file(int fd, size_t page)
{
	unsigned value = 0;

	CHECK_EQ(pread(fd, &value, sizeof(value), (off_t)(page * PAGE)), sizeof(value));
	return value;
}

/* ---- what an access ends in ---- */

static sigjmp_buf after_fault;
static volatile sig_atomic_t fault_number, fault_code;
static void *volatile fault_address;

static void note_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	fault_number = number;
	fault_code = info->si_code;
	fault_address = info->si_addr;
	siglongjmp(after_fault, 1);
}

/* The signal that reading, or writing, the word brings; 0: none. */
static int fault_of(volatile unsigned *word, bool write)
{
	struct sigaction action = { .sa_sigaction = note_fault, .sa_flags = SA_SIGINFO }, bus, segv;

	sigaction(SIGBUS, &action, &bus);
	sigaction(SIGSEGV, &action, &segv);
	fault_number = 0;
	if (sigsetjmp(after_fault, 1) == 0) {
		unsigned value = *word;

		if (write)
			*word = value;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return fault_number;
}

/* ---- the cases ---- */

TEST(two_mappings_and_the_file_are_one)
{
	int fd = make_file(8 * PAGE);
	unsigned *first = map(fd, 8, READ_WRITE, MAP_SHARED, 0);
	unsigned *second = map(fd, 3, PROT_READ, MAP_SHARED, 4 * PAGE);

	for (unsigned page = 0; page < 8; page++)
		CHECK_EQ(at(first, page), page);
	CHECK_EQ(at(second, 1), 5);
	set(first, 5, 55);
	CHECK_EQ(at(second, 1), 55);
	CHECK_EQ(in_file(fd, 5), 55);
	CHECK_EQ(pwrite(fd, "word", 4, 6 * PAGE), 4);
	CHECK_EQ(memcmp((char *)second + 2 * PAGE, "word", 4), 0);
	CHECK_EQ(msync(first, 8 * PAGE, MS_SYNC), 0);
	errno = 0;
	CHECK(msync(first, PAGE, MS_SYNC | MS_ASYNC) == -1 && errno == EINVAL);
	CHECK_EQ(munmap(first, 8 * PAGE), 0);
	CHECK(msync(first, PAGE, MS_SYNC) == -1 && errno == ENOMEM);
	CHECK_EQ(at(second, 1), 55);
	CHECK_EQ(munmap(second, 3 * PAGE), 0);
	CHECK_EQ(in_file(fd, 5), 55);
	end_file(fd);
}

TEST(a_mapping_outlives_descriptor_and_name)
{
	int fd = make_file(2 * PAGE);
	unsigned *memory = map(fd, 2, READ_WRITE, MAP_SHARED, 0);

	end_file(fd);
	CHECK_EQ(at(memory, 1), 1);
	set(memory, 1, 11);
	CHECK_EQ(at(memory, 1), 11);
	CHECK_EQ(munmap(memory, 2 * PAGE), 0);
}

TEST(private_pages_are_copies_once_written)
{
	int fd = make_file(4 * PAGE);
	unsigned *memory = map(fd, 4, READ_WRITE, MAP_PRIVATE, 0);

	CHECK_EQ(at(memory, 1), 1);
	set(memory, 1, 100);
	set(memory, 2, 200); /* without reading it first */
	CHECK_EQ(at(memory, 1), 100);
	CHECK_EQ(at(memory, 2), 200);
	CHECK_EQ(in_file(fd, 1), 1);
	CHECK_EQ(in_file(fd, 2), 2);
	/* The rest of a copied page is the file's. */
	CHECK_EQ(pwrite(fd, "after", 5, 3 * PAGE + 100), 5);
	set(memory, 3, 300);
	CHECK_EQ(memcmp((char *)memory + 3 * PAGE + 100, "after", 5), 0);
	CHECK_EQ(madvise(memory, 4 * PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(at(memory, 1), 1);
	CHECK_EQ(at(memory, 3), 3);
	CHECK_EQ(munmap(memory, 4 * PAGE), 0);
	end_file(fd);
}

TEST(behind_the_end_of_the_file_is_sigbus)
{
	int fd = make_file(PAGE + 10);
	unsigned *memory = map(fd, 3, READ_WRITE, MAP_SHARED, 0);
	unsigned *copy = map(fd, 3, READ_WRITE, MAP_PRIVATE, 0);
	volatile unsigned *behind = memory + 2 * PAGE / sizeof(*memory);

	CHECK_EQ(*((volatile char *)memory + 2 * PAGE - 1), 0); /* the last page is whole */
	CHECK_EQ(fault_of(behind, false), SIGBUS);
	CHECK_EQ(fault_code, BUS_ADRERR);
	CHECK(fault_address == behind);
	CHECK_EQ(fault_of(copy + 2 * PAGE / sizeof(*copy), true), SIGBUS);
	/* In a system call it is an error. */
	errno = 0;
	CHECK(pread(fd, (void *)behind, 8, 0) == -1 && errno == EFAULT);
	/* A longer file has it. */
	CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
	CHECK_EQ(fault_of(behind, true), 0);
	/* A shorter one has lost it, and copies of it. */
	set(copy, 2, 7);
	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK_EQ(fault_of(behind, false), SIGBUS);
	CHECK_EQ(fault_of(copy + 2 * PAGE / sizeof(*copy), false), SIGBUS);
	CHECK_EQ(at(memory, 0), 0);
	/* And what comes back is new. */
	CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
	CHECK_EQ(at(copy, 2), 0);
	CHECK_EQ(at(memory, 1), 0);
	munmap(memory, 3 * PAGE);
	munmap(copy, 3 * PAGE);
	end_file(fd);
}

TEST(protection_of_file_mappings)
{
	int fd = make_file(2 * PAGE), reading = open("/map-test", O_RDONLY | O_CLOEXEC);
	int writing = open("/map-test", O_WRONLY | O_CLOEXEC);
	unsigned *memory;

	errno = 0;
	CHECK(mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, reading, 0) == MAP_FAILED);
	CHECK_EQ(errno, EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writing, 0) == MAP_FAILED);
	CHECK_EQ(errno, EACCES);
	CHECK(mmap(NULL, PAGE, READ_WRITE | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	CHECK_EQ(errno, EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, 0, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)(INT64_MAX & ~(PAGE - 1))) ==
		  MAP_FAILED &&
	      errno == EOVERFLOW);

	memory = map(reading, 2, PROT_READ, MAP_SHARED, 0);
	CHECK(mprotect(memory, PAGE, READ_WRITE) == -1 && errno == EACCES);
	CHECK_EQ(fault_of(memory, true), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	munmap(memory, 2 * PAGE);

	memory = map(reading, 2, PROT_READ, MAP_PRIVATE, 0);
	CHECK_EQ(at(memory, 1), 1);
	CHECK_EQ(mprotect(memory, 2 * PAGE, READ_WRITE), 0);
	set(memory, 1, 9);
	CHECK_EQ(in_file(fd, 1), 1);
	CHECK_EQ(mprotect(memory, 2 * PAGE, PROT_NONE), 0);
	CHECK_EQ(fault_of(memory, false), SIGSEGV);
	CHECK_EQ(mprotect(memory, 2 * PAGE, PROT_READ), 0);
	CHECK_EQ(at(memory, 1), 9);
	munmap(memory, 2 * PAGE);
	close(reading);
	close(writing);
	end_file(fd);
}

/* What loaders and JIT compilers do: write, then make executable, and back. */
TEST(code_from_a_file)
{
	static const unsigned char answer[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
	int fd = make_file(PAGE);
	unsigned char *memory;

	CHECK_EQ(pwrite(fd, answer, sizeof(answer), 0), sizeof(answer));
	memory = (unsigned char *)map(fd, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
	CHECK_EQ(((int (*)(void))memory)(), 42);
	for (int round = 0; round < 3; round++) {
		CHECK_EQ(mprotect(memory, PAGE, READ_WRITE), 0);
		memory[1] = (unsigned char)(43 + round);
		CHECK_EQ(mprotect(memory, PAGE, PROT_READ | PROT_EXEC), 0);
		CHECK_EQ(((int (*)(void))memory)(), 43 + round);
	}
	CHECK_EQ(fault_of((unsigned *)(void *)memory, true), SIGSEGV);
	munmap(memory, PAGE);
	end_file(fd);
}

TEST(pieces_of_a_mapping)
{
	int fd = make_file(10 * PAGE);
	unsigned *memory = map(fd, 10, READ_WRITE, MAP_SHARED, 0), *moved, *over;

	/* A hole in the middle, and the rest stays what it was. */
	CHECK_EQ(munmap(memory + 3 * PAGE / 4, 2 * PAGE), 0);
	CHECK_EQ(fault_of(memory + 3 * PAGE / 4, false), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK_EQ(at(memory, 2), 2);
	CHECK_EQ(at(memory, 5), 5);
	/* Something else in its place. */
	over = mmap(memory + 5 * PAGE / 4, PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 9 * PAGE);
	CHECK(over == memory + 5 * PAGE / 4);
	CHECK_EQ(at(memory, 5), 9);
	CHECK_EQ(at(memory, 6), 6);
	/* Moved and longer. */
	set(over, 0, 99);
	moved = mremap(memory + 6 * PAGE / 4, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
	CHECK_EQ(at(moved, 0), 6);
	CHECK_EQ(at(moved, 3), 9);
	CHECK_EQ(fault_of(moved + 4 * PAGE / 4, false), SIGBUS);
	set(moved, 3, 999);
	CHECK_EQ(in_file(fd, 9), 999);
	CHECK_EQ(at(over, 0), 99);
	CHECK_EQ(munmap(moved, 6 * PAGE), 0);
	CHECK_EQ(munmap(memory, 10 * PAGE), 0);
	end_file(fd);
}

TEST(mincore_and_populate_of_a_file)
{
	int fd = make_file(40 * PAGE);
	unsigned char residency[41];
	unsigned *memory;

	memory = map(fd, 40, PROT_READ, MAP_SHARED | MAP_POPULATE, 0);
	CHECK_EQ(mincore(memory, 40 * PAGE, residency), 0);
	for (int page = 0; page < 40; page++)
		CHECK_EQ(residency[page] & 1, 1);
	CHECK_EQ(at(memory, 39), 39);
	munmap(memory, 40 * PAGE);
	end_file(fd);
}

TEST(shared_memory_without_a_file)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	unsigned *memory = mmap(NULL, 2 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
		 *other;

	CHECK(memory != MAP_FAILED);
	set(memory, 1, 5);
	CHECK_EQ(madvise(memory, 2 * PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(at(memory, 1), 5); /* it is in no other place */
	munmap(memory, 2 * PAGE);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
	memory = map(fd, 2, READ_WRITE, MAP_SHARED, 0);
	other = map(fd, 2, PROT_READ, MAP_SHARED, 0);
	close(fd);
	set(memory, 1, 6);
	CHECK_EQ(at(other, 1), 6);
	munmap(memory, 2 * PAGE);
	munmap(other, 2 * PAGE);

	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	memory = map(fd, 1, READ_WRITE, MAP_SHARED, 0);
	CHECK_EQ(at(memory, 0), 0);
	set(memory, 0, 1);
	munmap(memory, PAGE);
	close(fd);
}

TEST(maps_tells_of_files)
{
	int fd = make_file(3 * PAGE);
	unsigned *memory = map(fd, 2, PROT_READ, MAP_SHARED, PAGE);
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], expected[64];
	bool found = false;

	snprintf(expected, sizeof(expected), "%lx-%lx r--s 00001000 ", (unsigned long)memory,
		 (unsigned long)memory + 2 * PAGE);
	CHECK(maps);
	while (maps && fgets(line, sizeof(line), maps))
		found |= strstr(line, expected) && strstr(line, " /map-test\n");
	CHECK(found);
	if (maps)
		fclose(maps);
	munmap(memory, 2 * PAGE);
	end_file(fd);
}

/* musl's sbrk() refuses to move it, so the kernel is asked. */
TEST(the_break_moves)
{
	long start = syscall(SYS_brk, 0), end = start + 5 * (long)PAGE + 3;
	volatile char *last = (char *)end - 1;

	CHECK(start > 0);
	CHECK_EQ(syscall(SYS_brk, start - 1), start);
	CHECK_EQ(syscall(SYS_brk, end), end);
	*last = 1;
	CHECK_EQ(*last, 1);
	CHECK_EQ(syscall(SYS_brk, start + 1), start + 1);
	CHECK_EQ(fault_of((unsigned *)((unsigned long)last & -PAGE), false), SIGSEGV);
	CHECK_EQ(syscall(SYS_brk, end), end);
	CHECK_EQ(*last, 0); /* new again */
	CHECK_EQ(syscall(SYS_brk, start + (1l << 50)), end);
	CHECK_EQ(syscall(SYS_brk, start), start);
}

/* ---- cores ---- */

#define MOST_THREADS 8
#define PAGES 64ul
#define ROUNDS 30

static pthread_barrier_t barrier;
static unsigned *shared, *copies;

static void pin_to(long core)
{
	cpu_set_t set_of_one;

	CPU_ZERO(&set_of_one);
	CPU_SET(core, &set_of_one);
	CHECK_EQ(sched_setaffinity(0, sizeof(set_of_one), &set_of_one), 0);
}

static long core_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < MOST_THREADS ? count : MOST_THREADS;
}

/* All cores read the same pages, one of them writes each first: then nobody may see the original. */
static void *read_and_write(void *argument)
{
	long core = (long)argument, cores = core_count();

	pin_to(core);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		for (unsigned page = 0; page < PAGES; page++) {
			CHECK_EQ(at(copies, page), page); /* cached on every core */
			atomic_fetch_add((atomic_uint *)shared + page * PAGE / 4 + 1, 1);
		}
		pthread_barrier_wait(&barrier);
		for (unsigned page = (unsigned)core; page < PAGES; page += (unsigned)cores)
			set(copies, page, 1000 * round + page + 1);
		pthread_barrier_wait(&barrier);
		for (unsigned page = 0; page < PAGES; page++)
			CHECK_EQ(at(copies, page), 1000 * round + page + 1);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TEST(cores_that_fault_the_same_file_pages)
{
	pthread_t threads[MOST_THREADS];
	long cores = core_count();
	int fd = make_file(PAGES * PAGE);

	shared = map(fd, PAGES, READ_WRITE, MAP_SHARED, 0);
	copies = map(fd, PAGES, READ_WRITE, MAP_PRIVATE, 0);
	pthread_barrier_init(&barrier, NULL, (unsigned)cores + 1);
	for (long core = 0; core < cores; core++)
		CHECK_EQ(pthread_create(&threads[core], NULL, read_and_write, (void *)core), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		CHECK_EQ(madvise(copies, PAGES * PAGE, MADV_DONTNEED), 0);
		CHECK_EQ(madvise(shared, PAGES * PAGE, MADV_DONTNEED), 0);
	}
	for (long core = 0; core < cores; core++)
		pthread_join(threads[core], NULL);
	for (unsigned page = 0; page < PAGES; page++) {
		CHECK_EQ(shared[page * PAGE / 4 + 1], (unsigned)cores * ROUNDS);
		CHECK_EQ(in_file(fd, page), page);
	}
	pthread_barrier_destroy(&barrier);
	munmap(shared, PAGES * PAGE);
	munmap(copies, PAGES * PAGE);
	end_file(fd);
}

static atomic_bool writers_stop;

static void *write_pages(void *argument)
{
	pin_to((long)argument);
	while (!atomic_load(&writers_stop)) {
		for (unsigned page = 0; page < PAGES; page++)
			set(shared, page, 0xdead);
		sched_yield();
	}
	return NULL;
}

/* The file loses pages while other cores write them: what is cut off never shows up again, and nobody
 * writes into memory that is somebody else's by then. */
TEST(a_file_shrinks_under_writing_cores)
{
	pthread_t threads[MOST_THREADS];
	long cores = core_count();
	int fd = make_file(PAGES * PAGE), other;
	unsigned *mine;

	shared = map(fd, PAGES, READ_WRITE, MAP_SHARED, 0);
	for (unsigned page = 0; page < PAGES; page++)
		CHECK_EQ(fault_of(shared + page * PAGE / 4, true), 0);
	other = memfd_create("other", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(other, PAGES * PAGE), 0);
	/* The file's pages are replaced by another's before they go: no writer meets SIGBUS. */
	atomic_store(&writers_stop, false);
	for (long core = 1; core < cores; core++)
		CHECK_EQ(pthread_create(&threads[core], NULL, write_pages, (void *)core), 0);
	for (int round = 0; round < ROUNDS; round++) {
		CHECK(mmap(shared, PAGES * PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED, other, 0) ==
		      shared);
		CHECK_EQ(ftruncate(fd, 0), 0);
		mine = mmap(NULL, PAGES * PAGE, READ_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		sched_yield();
		for (unsigned page = 0; page < PAGES; page++)
			if (at(mine, page))
				CHECK(!"a freed page was written");
		munmap(mine, PAGES * PAGE);
		CHECK_EQ(ftruncate(fd, PAGES * PAGE), 0);
		CHECK(mmap(shared, PAGES * PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		      shared);
	}
	atomic_store(&writers_stop, true);
	for (long core = 1; core < cores; core++)
		pthread_join(threads[core], NULL);
	munmap(shared, PAGES * PAGE);
	close(other);
	end_file(fd);
}
