/* Protection keys of the application's own: the calls, rights that are each thread's, and faults. */
#include "tests/guest/test.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul
#define LAST_KEY 12
#define DENY_ACCESS PKEY_DISABLE_ACCESS
#define DENY_WRITE PKEY_DISABLE_WRITE
#define READ_WRITE (PROT_READ | PROT_WRITE)

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

static bool has_keys(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & bit_OSPKE;
}

#define NEED_KEYS()                                                                                \
	do {                                                                                       \
		if (!has_keys())                                                                   \
			SKIP("this processor has no protection keys");                             \
	} while (0)

static char *map(size_t npages)
{
	char *address = mmap(NULL, npages * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(address != MAP_FAILED);
	return address;
}

static void check_errno(int result, int expected, int line)
{
	if (result != -1 || errno != expected)
		test_failed(__FILE__, line, "-1 and this error", result, errno, true);
}
#define CHECK_ERROR(result, error) check_errno((result), (error), __LINE__)

/* ---- what an access does ---- */

static __thread sigjmp_buf way_out;
static __thread volatile struct {
	int count, code, key;
	void *address;
	greg_t error, cr2;
} fault;

static void leave(int number, siginfo_t *info, void *context)
{
	ucontext_t *at = context;

	(void)number;
	fault.count++;
	fault.code = info->si_code;
	fault.key = (int)info->si_pkey;
	fault.address = info->si_addr;
	fault.error = at->uc_mcontext.gregs[REG_ERR];
	fault.cr2 = at->uc_mcontext.gregs[REG_CR2];
	siglongjmp(way_out, 1);
}

static void handle_with(int number, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	CHECK_EQ(sigaction(number, &action, NULL), 0);
}

static void set_all(const int *rights)
{
	for (int key = 1; key <= LAST_KEY; key++)
		pkey_set(key, (unsigned)rights[key]);
}

/* As Linux, a handler begins with the first rights, and siglongjmp() keeps those: they are put back. */
static bool can(volatile char *address, bool write, int key)
{
	int rights[LAST_KEY + 1];

	for (int i = 1; i <= LAST_KEY; i++)
		rights[i] = pkey_get(i);

	if (sigsetjmp(way_out, 1) == 0) {
		if (write)
			*address = 1;
		else
			(void)*address;
		return true;
	}
	CHECK_EQ(pkey_get(key), DENY_ACCESS);
	set_all(rights);
	return false;
}

static bool can_read(char *address, int key)
{
	return can(address, false, key);
}

static bool can_write(char *address, int key)
{
	return can(address, true, key);
}

/* ---- the calls ---- */

TEST(without_keys_the_calls_say_so)
{
	char *page;

	if (has_keys())
		SKIP("this processor has protection keys");
	page = map(1);
	CHECK_ERROR(pkey_alloc(0, 0), ENOSPC);
	CHECK_ERROR(pkey_free(1), EINVAL);
	CHECK_ERROR(pkey_mprotect(page, PAGE, PROT_READ, 1), EINVAL);
	CHECK_ERROR(pkey_mprotect(page, PAGE, PROT_READ, 0), EINVAL);
	CHECK_EQ(pkey_mprotect(page, PAGE, PROT_READ, -1), 0);
	CHECK_ERROR(pkey_get(1), ENOSYS);
	CHECK_ERROR(pkey_set(1, 0), ENOSYS);
	munmap(page, PAGE);
}

TEST(keys_are_given_out_and_taken_back)
{
	int keys[LAST_KEY], count = 0;

	NEED_KEYS();
	CHECK_ERROR(pkey_alloc(1, 0), EINVAL);
	CHECK_ERROR(pkey_alloc(0, 4), EINVAL);
	CHECK_ERROR(pkey_free(0), EINVAL);
	CHECK_ERROR(pkey_free(-1), EINVAL);
	CHECK_ERROR(pkey_free(LAST_KEY), EINVAL);
	CHECK_ERROR(pkey_free(LAST_KEY + 1), EINVAL);
	CHECK_ERROR(pkey_free(16), EINVAL);
	CHECK_ERROR(pkey_free(32), EINVAL);
	while (count < LAST_KEY && (keys[count] = pkey_alloc(0, (unsigned)count % 4)) > 0)
		count++;
	CHECK_EQ(count, LAST_KEY);
	for (int i = 0; i < count; i++) {
		CHECK(keys[i] >= 1 && keys[i] <= LAST_KEY);
		CHECK_EQ(pkey_get(keys[i]), i % 4);
		for (int j = 0; j < i; j++)
			CHECK(keys[i] != keys[j]);
	}
	CHECK_ERROR(pkey_alloc(0, 0), ENOSPC);
	CHECK_EQ(pkey_free(keys[4]), 0);
	CHECK_ERROR(pkey_free(keys[4]), EINVAL);
	CHECK_EQ(pkey_alloc(0, DENY_WRITE), keys[4]);
	CHECK_EQ(pkey_get(keys[4]), DENY_WRITE);
	for (int i = 0; i < count; i++)
		CHECK_EQ(pkey_free(keys[i]), 0);
}

TEST(rights_are_read_and_set_without_a_call)
{
	int key;

	NEED_KEYS();
	key = pkey_alloc(0, DENY_ACCESS);
	for (unsigned rights = 0; rights < 4; rights++) {
		CHECK_EQ(pkey_set(key, rights), 0);
		CHECK_EQ(pkey_get(key), rights);
		CHECK_EQ(sched_yield(), 0);
		CHECK_EQ(pkey_get(key), rights);
	}
	CHECK_ERROR(pkey_set(16, 0), EINVAL);
	CHECK_ERROR(pkey_set(-1, 0), EINVAL);
	CHECK_ERROR(pkey_set(key, 4), EINVAL);
	CHECK_ERROR(pkey_get(16), EINVAL);
	CHECK_ERROR(pkey_get(-1), EINVAL);
	CHECK_EQ(pkey_free(key), 0);
}

/* ---- pages ---- */

TEST(a_key_says_who_may_touch_its_pages)
{
	char *page;
	int key;

	NEED_KEYS();
	handle_with(SIGSEGV, leave);
	key = pkey_alloc(0, 0);
	page = map(3);
	page[PAGE] = 5;
	CHECK_EQ(pkey_mprotect(page + PAGE, PAGE, READ_WRITE, key), 0);
	CHECK(can_write(page + PAGE, key));
	CHECK_EQ(pkey_set(key, DENY_WRITE), 0);
	CHECK(can_read(page + PAGE, key));
	fault.count = 0;
	CHECK(!can_write(page + PAGE + 7, key));
	CHECK_EQ(fault.count, 1);
	CHECK_EQ(fault.code, SEGV_PKUERR);
	CHECK_EQ(fault.key, key);
	CHECK(fault.address == page + PAGE + 7);
	CHECK_EQ(fault.cr2, (greg_t)(page + PAGE + 7));
	CHECK_EQ(fault.error & 0x23, 0x23); /* the key, writing, a page that is there */
	CHECK_EQ(pkey_set(key, DENY_ACCESS), 0);
	CHECK(!can_read(page + PAGE, key));
	CHECK_EQ(fault.error & 0x23, 0x21);
	CHECK(can_write(page + PAGE - 1, key));
	CHECK(can_write(page + 2 * PAGE, key));
	CHECK_EQ(pkey_set(key, 0), 0);
	CHECK_EQ(page[PAGE], 1);
	CHECK_EQ(munmap(page, 3 * PAGE), 0);
	CHECK_EQ(pkey_free(key), 0);
	signal(SIGSEGV, SIG_DFL);
}

TEST(pages_keep_their_key)
{
	char *pages, *moved, *large;
	int key, other;

	NEED_KEYS();
	handle_with(SIGSEGV, leave);
	key = pkey_alloc(0, DENY_ACCESS);
	other = pkey_alloc(0, 0);
	pages = map(8);

	/* Not touched yet; then with another protection. */
	CHECK_EQ(pkey_mprotect(pages, 4 * PAGE, READ_WRITE, key), 0);
	CHECK(!can_read(pages, key));
	CHECK_EQ(mprotect(pages, 8 * PAGE, PROT_READ), 0);
	CHECK_EQ(pkey_mprotect(pages, 8 * PAGE, READ_WRITE, -1), 0);
	CHECK(!can_read(pages + 3 * PAGE, key));
	CHECK(can_write(pages + 4 * PAGE, key));
	/* In the middle of an area, and back. */
	CHECK_EQ(pkey_mprotect(pages + PAGE, PAGE, READ_WRITE, other), 0);
	CHECK(can_write(pages + PAGE, other));
	CHECK(!can_read(pages, key));
	CHECK(!can_read(pages + 2 * PAGE, key));
	CHECK_EQ(pkey_mprotect(pages + PAGE, PAGE, READ_WRITE, 0), 0);
	CHECK_EQ(pkey_set(other, DENY_ACCESS), 0);
	CHECK(can_write(pages + PAGE, other));

	/* Moved, with new pages behind. */
	moved = mremap(pages + 2 * PAGE, 2 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
	CHECK(!can_read(moved, key));
	CHECK(!can_read(moved + 599 * PAGE, key));
	CHECK_EQ(munmap(moved, 600 * PAGE), 0);
	/* New mappings have key 0. */
	CHECK(mmap(pages, 4 * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      pages);
	CHECK(can_write(pages, key));
	munmap(pages, 8 * PAGE);

	/* 2 MiB pages, cut. */
	large = map(3 * 512);
	memset(large, 7, 3 * 512 * PAGE);
	CHECK_EQ(pkey_mprotect(large + 700 * PAGE, 100 * PAGE, READ_WRITE, key), 0);
	CHECK(can_write(large + 699 * PAGE, key));
	CHECK(!can_read(large + 700 * PAGE, key));
	CHECK(!can_read(large + 799 * PAGE, key));
	CHECK(can_write(large + 800 * PAGE, key));
	CHECK_EQ(madvise(large, 3 * 512 * PAGE, MADV_DONTNEED), 0);
	CHECK(!can_read(large + 700 * PAGE, key));
	pkey_set(key, 0);
	CHECK(can_read(large + 700 * PAGE, key));
	CHECK_EQ(large[700 * PAGE], 0);
	munmap(large, 3 * 512 * PAGE);

	CHECK_EQ(pkey_free(key), 0);
	CHECK_EQ(pkey_free(other), 0);
	signal(SIGSEGV, SIG_DFL);
}

TEST(pkey_mprotect_refuses_what_mprotect_does)
{
	static char data[2 * PAGE] __attribute__((aligned(4096)));
	char *page = map(2);
	int key;

	NEED_KEYS();
	key = pkey_alloc(0, 0);
	CHECK_ERROR(pkey_mprotect(page, PAGE, PROT_READ, key + 1), EINVAL);
	CHECK_ERROR(pkey_mprotect(page, PAGE, PROT_READ, 15), EINVAL);
	CHECK_ERROR(pkey_mprotect(page, PAGE, PROT_READ, -2), EINVAL);
	CHECK_ERROR(pkey_mprotect(page + 1, PAGE, PROT_READ, key), EINVAL);
	CHECK_EQ(pkey_mprotect(page, 0, PROT_READ, key), 0);
	CHECK_EQ(munmap(page, PAGE), 0);
	CHECK_ERROR(pkey_mprotect(page, 2 * PAGE, PROT_READ, key), ENOMEM);
	/* The image's own data are as they are. */
	CHECK_ERROR(mprotect(data, PAGE, PROT_READ), ENOMEM);
	CHECK_ERROR(pkey_mprotect(data, PAGE, PROT_READ, key), ENOMEM);
	munmap(page + PAGE, PAGE);
	CHECK_EQ(pkey_free(key), 0);
}

TEST(files_are_mapped_with_keys)
{
	char *shared, *private;
	int key, fd;

	NEED_KEYS();
	handle_with(SIGSEGV, leave);
	key = pkey_alloc(0, 0);
	fd = memfd_create("keys", 0);
	CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
	CHECK_EQ(pwrite(fd, "abc", 3, PAGE), 3);
	shared = mmap(NULL, 4 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 4 * PAGE, READ_WRITE, MAP_PRIVATE, fd, 0);
	CHECK_EQ(pkey_mprotect(shared, 4 * PAGE, READ_WRITE, key), 0);
	CHECK_EQ(pkey_mprotect(private, 4 * PAGE, READ_WRITE, key), 0);
	CHECK_EQ(shared[PAGE], 'a');
	CHECK_EQ(private[PAGE], 'a');
	pkey_set(key, DENY_WRITE);
	CHECK_EQ(private[PAGE + 1], 'b');
	CHECK(!can_write(shared + PAGE, key));
	CHECK(!can_write(private + PAGE, key)); /* not copied first */
	pkey_set(key, 0);
	CHECK(can_write(private + PAGE, key));
	CHECK_EQ(shared[PAGE], 'a');
	pkey_set(key, DENY_ACCESS);
	CHECK(!can_read(private + PAGE, key));
	CHECK(!can_read(private + 2 * PAGE, key));
	close(fd);
	munmap(shared, 4 * PAGE);
	munmap(private, 4 * PAGE);
	CHECK_EQ(pkey_free(key), 0);
	signal(SIGSEGV, SIG_DFL);
}

/* ---- system calls ---- */

TEST(a_call_may_do_what_its_thread_may)
{
	char *page;
	int key, fd, pipe_ends[2];

	NEED_KEYS();
	key = pkey_alloc(0, 0);
	page = map(1);
	strcpy(page, "/tmp/named by a page with a key");
	CHECK_EQ(pkey_mprotect(page, PAGE, READ_WRITE, key), 0);
	fd = open(page, O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(pipe(pipe_ends), 0);
	CHECK_EQ(write(fd, page, 10), 10);
	CHECK_EQ(write(pipe_ends[1], page, 10), 10);
	pkey_set(key, DENY_ACCESS);
	CHECK_ERROR(open(page, O_RDWR), EFAULT);
	CHECK_ERROR((int)write(fd, page, 10), EFAULT);
	CHECK_ERROR((int)pread(fd, page, 10, 0), EFAULT);
	CHECK_ERROR((int)write(pipe_ends[1], page, 10), EFAULT);
	CHECK_ERROR((int)read(pipe_ends[0], page, 10), EFAULT);
	CHECK_ERROR(unlink(page), EFAULT);
	CHECK_EQ(pkey_get(key), DENY_ACCESS);
	pkey_set(key, DENY_WRITE);
	CHECK_EQ(pwrite(fd, page, 10, 0), 10);
	CHECK_ERROR((int)pread(fd, page, 10, 0), EFAULT);
	CHECK_ERROR((int)read(pipe_ends[0], page, 10), EFAULT);
	CHECK_ERROR(getcwd(page, 100) ? 0 : -1, EFAULT);
	CHECK_EQ(unlink(page), 0);
	pkey_set(key, 0);
	CHECK_EQ(pread(fd, page, 10, 0), 10);
	CHECK_EQ(read(pipe_ends[0], page, 10), 10);
	close(fd);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	munmap(page, PAGE);
	CHECK_EQ(pkey_free(key), 0);
}

/* A pipe's home is the core of who made it, where this thread waits with the key closed. */
static int remote_key, remote_ends[2];
static char *remote_page;

static void pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void *use_pipe_from_core_1(void *argument)
{
	(void)argument;
	pin(1);
	for (int i = 0; i < 100; i++) {
		pkey_set(remote_key, 0);
		CHECK_EQ(write(remote_ends[1], remote_page, 100), 100);
		CHECK_EQ(read(remote_ends[0], remote_page, 100), 100);
		pkey_set(remote_key, DENY_ACCESS);
		CHECK_ERROR((int)write(remote_ends[1], remote_page, 100), EFAULT);
	}
	return NULL;
}

TEST(a_call_done_elsewhere_may_do_what_its_thread_may)
{
	pthread_t thread;

	NEED_KEYS();
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one core");
	pin(0);
	remote_key = pkey_alloc(0, 0);
	remote_page = map(1);
	strcpy(remote_page, "from afar");
	CHECK_EQ(pkey_mprotect(remote_page, PAGE, READ_WRITE, remote_key), 0);
	CHECK_EQ(pipe(remote_ends), 0);
	pkey_set(remote_key, DENY_ACCESS);
	CHECK_EQ(pthread_create(&thread, NULL, use_pipe_from_core_1, NULL), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(pkey_get(remote_key), DENY_ACCESS);
	pkey_set(remote_key, 0);
	CHECK_EQ(strcmp(remote_page, "from afar"), 0);
	close(remote_ends[0]);
	close(remote_ends[1]);
	munmap(remote_page, PAGE);
	CHECK_EQ(pkey_free(remote_key), 0);
}

/* ---- threads ---- */

enum { NKEYS = 6, NTHREADS = 6 };
static int keys[NKEYS];
static char *key_pages[NKEYS];
static atomic_bool stop;
static atomic_uint rounds;

static void make_key_pages(void)
{
	for (int i = 0; i < NKEYS; i++) {
		keys[i] = pkey_alloc(0, DENY_ACCESS);
		key_pages[i] = map(1);
		CHECK_EQ(pkey_mprotect(key_pages[i], PAGE, READ_WRITE, keys[i]), 0);
	}
}

static void drop_key_pages(void)
{
	for (int i = 0; i < NKEYS; i++) {
		munmap(key_pages[i], PAGE);
		CHECK_EQ(pkey_free(keys[i]), 0);
	}
}

static unsigned rights_of(unsigned thread, unsigned round, int key)
{
	static const unsigned choices[] = { 0, DENY_ACCESS, DENY_WRITE, DENY_ACCESS | DENY_WRITE };

	return choices[(thread * 7 + round * 3 + (unsigned)key * 5 + (round >> 2)) % 4];
}

static void spin(unsigned count)
{
	for (volatile unsigned i = 0; i < count; i++)
		;
}

static void check_rights(unsigned thread, unsigned round)
{
	for (int i = 0; i < NKEYS; i++)
		CHECK_EQ(pkey_get(keys[i]), rights_of(thread, round, i));
}

static void *hold_rights(void *argument)
{
	unsigned thread = (unsigned)(uintptr_t)argument;
	unsigned ncores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), seed = thread;

	for (unsigned round = 0; !atomic_load(&stop); round++) {
		for (int i = 0; i < NKEYS; i++)
			CHECK_EQ(pkey_set(keys[i], rights_of(thread, round, i)), 0);
		spin((unsigned)rand_r(&seed) % 20000);
		check_rights(thread, round);
		switch (rand_r(&seed) % 8) {
		case 0:
			nanosleep(&(struct timespec){ .tv_nsec = rand_r(&seed) % 300000 }, NULL);
			break;
		case 1:
			pin((unsigned)rand_r(&seed) % ncores);
			break;
		case 2:
			sched_yield();
			break;
		case 3:
			getppid();
			break;
		}
		check_rights(thread, round);
		/* What the register says is what the processor does. */
		if (round % 8 == 0) {
			int i = rand_r(&seed) % NKEYS;
			unsigned rights = rights_of(thread, round, i);

			CHECK_EQ(can_read(key_pages[i], keys[i]), !(rights & DENY_ACCESS));
			CHECK_EQ(can_write(key_pages[i], keys[i]), !rights);
		}
		atomic_fetch_add(&rounds, 1);
	}
	return NULL;
}

TEST(rights_are_each_threads_own)
{
	pthread_t threads[NTHREADS];
	struct timespec wait = { .tv_nsec = 2000000 };

	NEED_KEYS();
	handle_with(SIGSEGV, leave);
	make_key_pages();
	atomic_store(&stop, false);
	atomic_store(&rounds, 0);
	for (uintptr_t i = 0; i < NTHREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, hold_rights, (void *)i), 0);
	for (int i = 0; i < 700; i++)
		nanosleep(&wait, NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(atomic_load(&rounds) > NTHREADS * 4);
	/* This one's are as they were. */
	for (int i = 0; i < NKEYS; i++)
		CHECK_EQ(pkey_get(keys[i]), DENY_ACCESS);
	drop_key_pages();
	signal(SIGSEGV, SIG_DFL);
}

static void *tell_rights(void *argument)
{
	return (void *)(intptr_t)pkey_get(*(int *)argument);
}

TEST(a_new_thread_has_its_creators_rights)
{
	int key;

	NEED_KEYS();
	key = pkey_alloc(0, 0);
	for (unsigned rights = 0; rights < 4; rights++) {
		pthread_t thread;
		void *told = NULL;

		pkey_set(key, rights);
		CHECK_EQ(pthread_create(&thread, NULL, tell_rights, &key), 0);
		pthread_join(thread, &told);
		CHECK_EQ((intptr_t)told, rights);
	}
	CHECK_EQ(pkey_free(key), 0);
}

static void *allocate(void *argument)
{
	*(int *)argument = pkey_alloc(0, DENY_WRITE);
	return (void *)(intptr_t)pkey_get(*(int *)argument);
}

TEST(pkey_alloc_changes_the_callers_rights_alone)
{
	pthread_t thread;
	void *told;
	int key;

	NEED_KEYS();
	for (key = 1; key <= LAST_KEY; key++)
		pkey_set(key, DENY_ACCESS);
	CHECK_EQ(pthread_create(&thread, NULL, allocate, &key), 0);
	pthread_join(thread, &told);
	CHECK_EQ((intptr_t)told, DENY_WRITE);
	CHECK_EQ(pkey_get(key), DENY_ACCESS);
	CHECK_EQ(pkey_free(key), 0);
}

/* ---- signals ---- */

static int signal_key;
static volatile int seen_rights, handled;

static void look(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	seen_rights = pkey_get(signal_key);
	pkey_set(signal_key, DENY_WRITE);
	handled++;
}

static void *interrupted_by_signals(void *argument)
{
	(void)argument;
	pkey_set(signal_key, 0);
	while (!atomic_load(&stop)) {
		spin(1000);
		CHECK_EQ(pkey_get(signal_key), 0);
		atomic_fetch_add(&rounds, 1);
	}
	return NULL;
}

TEST(handlers_start_with_first_rights_and_give_back_the_threads)
{
	pthread_t thread;

	NEED_KEYS();
	signal_key = pkey_alloc(0, 0);
	handle_with(SIGUSR1, look);
	/* At the end of a call. */
	seen_rights = -1;
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(seen_rights, DENY_ACCESS);
	CHECK_EQ(pkey_get(signal_key), 0);
	/* Between any two instructions. */
	atomic_store(&stop, false);
	atomic_store(&rounds, 0);
	handled = 0;
	CHECK_EQ(pthread_create(&thread, NULL, interrupted_by_signals, NULL), 0);
	while (atomic_load(&rounds) == 0)
		sched_yield();
	for (int i = 0; i < 100; i++) {
		seen_rights = -1;
		CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
		for (int wait = 0; wait < 10000 && handled <= i; wait++)
			usleep(100);
		CHECK_EQ(seen_rights, DENY_ACCESS);
	}
	CHECK_EQ(handled, 100);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	CHECK_EQ(pkey_free(signal_key), 0);
	signal(SIGUSR1, SIG_DFL);
}

/* Where PKRU lies in the frame of a signal: behind the legacy part and the header, as CPUID says. */
static uint32_t *saved_rights(ucontext_t *context)
{
	unsigned offset, size, c, d;

	__cpuid_count(0xd, 9, size, offset, c, d);
	(void)size;
	return (uint32_t *)((char *)context->uc_mcontext.fpregs + offset);
}

static void allow(int number, siginfo_t *info, void *context)
{
	uint32_t *saved = saved_rights(context);

	(void)number;
	handled++;
	CHECK_EQ(info->si_code, SEGV_PKUERR);
	CHECK_EQ(info->si_pkey, signal_key);
	CHECK_EQ(*saved >> (2 * signal_key) & 3, DENY_ACCESS);
	/* All of it, the system's keys as well: those it does not get. */
	*saved = 0;
}

static uint32_t read_pkru(void)
{
	uint32_t rights, zero;

	__asm__ volatile("rdpkru" : "=a"(rights), "=d"(zero) : "c"(0));
	return rights;
}

TEST(a_handler_changes_the_rights_of_what_it_interrupts)
{
	uint32_t before;
	char *page;

	NEED_KEYS();
	before = read_pkru();
	signal_key = pkey_alloc(0, 0);
	page = map(1);
	*page = 9;
	CHECK_EQ(pkey_mprotect(page, PAGE, READ_WRITE, signal_key), 0);
	pkey_set(signal_key, DENY_ACCESS);
	handle_with(SIGSEGV, allow);
	handled = 0;
	CHECK_EQ(*(volatile char *)page, 9);
	CHECK_EQ(handled, 1);
	CHECK_EQ(pkey_get(signal_key), 0);
	CHECK_EQ(read_pkru(), 0xfc000000u);
	for (int key = 1; key <= LAST_KEY; key++)
		pkey_set(key, before >> (2 * key) & 3);
	munmap(page, PAGE);
	CHECK_EQ(pkey_free(signal_key), 0);
	signal(SIGSEGV, SIG_DFL);
}

TEST(a_thread_may_close_key_0)
{
	NEED_KEYS();
	/* The next access to its stack is a fault, whose handler has the first rights; meanwhile interrupts
	 * come as ever. */
	handle_with(SIGSEGV, leave);
	fault.count = 0;
	for (int i = 0; i < 20; i++)
		if (sigsetjmp(way_out, 1) == 0) {
			__asm__ volatile("" ::: "memory");
			pkey_set(0, DENY_ACCESS);
			test_failed(__FILE__, __LINE__, "it went on", 0, 0, false);
		}
	CHECK_EQ(fault.count, 20);
	CHECK_EQ(fault.code, SEGV_PKUERR);
	CHECK_EQ(fault.key, 0);
	signal(SIGSEGV, SIG_DFL);
}
