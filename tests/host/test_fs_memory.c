/*
 * Memory that is out: one scenario of system calls, in which each allocation in turn fails, and those
 * after it succeed; then one in which all after it fail, too. Calls may then say so; nothing breaks,
 * and in the end nothing is lost.
 *
 * links: posix/user_memory.c posix/fs/pages.c posix/fs/inode.c posix/fs/directory.c posix/fs/tree.c posix/fs/lookup.c
 * links: posix/fs/make.c posix/fs/regular_file.c posix/fs/open_file.c posix/fs/open_calls.c
 * links: posix/fs/name_calls.c posix/fs/stat_calls.c posix/fs/attribute_calls.c posix/file/fd_table.c
 * links: smp/epoch.c tests/host/fake_memory.c tests/host/fs_fakes.c
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "posix/file/file.h"
#include "posix/fs/inode.h"
#include "posix/fs/tree.h"
#include "tests/host/fs_fakes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

long sys_open(const char *path, int flags, unsigned mode);
long sys_mkdir(const char *path, unsigned mode);
long sys_rmdir(const char *path);
long sys_unlink(const char *path);
long sys_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags);
long sys_link(const char *from, const char *to);
long sys_symlink(const char *target, const char *path);
long sys_ftruncate(int fd, int64_t size);
long sys_fallocate(int fd, int mode, int64_t offset, int64_t length);
long sys_chdir(const char *path);

/* ---- memory that fails when it is told to ---- */

static long until_failure = -1; /* allocations that succeed before; negative: all */
static bool keeps_failing;
static long live; /* objects and frames */
static bool failed;

static bool fails(void)
{
	if (until_failure < 0 || until_failure-- > 0)
		return false;
	failed = true;
	until_failure = keeps_failing ? 0 : -1;
	return true;
}

static void *allocate(size_t alignment, size_t size)
{
	void *memory = fails() ? NULL : aligned_alloc(alignment, align_up(size, alignment));

	if (memory) {
		memset(memory, 0xa5, size);
		live++;
	}
	return memory;
}

void *object_alloc(size_t size)
{
	return allocate(64, size);
}

void *object_alloc_zeroed(size_t size)
{
	void *memory = object_alloc(size);

	return memory ? memset(memory, 0, size) : NULL;
}

void object_free(void *object)
{
	live -= object != NULL;
	free(object);
}

paddr_t frame_alloc(unsigned order)
{
	void *memory = allocate(PAGE_SIZE, PAGE_SIZE << order);

	return memory ? virt_to_phys(memory) : 0;
}

paddr_t frame_alloc_zeroed(unsigned order)
{
	paddr_t frame = frame_alloc(order);

	if (frame)
		memset(phys_to_virt(frame), 0, PAGE_SIZE << order);
	return frame;
}

void frame_free(paddr_t frame, unsigned order)
{
	live--;
	free(phys_to_virt(frame));
}

size_t frame_total(void)
{
	return 65536;
}

size_t frame_free_count(void)
{
	return 32768;
}

void frame_init(const struct boot_info *info) {}
void object_init(void) {}
void object_init_core(void) {}

/* ---- the scenario ---- */

static void put(long fd, int64_t offset, size_t length)
{
	static char bytes[100000];
	struct iovec iov = { bytes, length };

	if (fd >= 0)
		fd_lookup((int)fd)->operations->write(fd_lookup((int)fd), &iov, 1, offset);
}

static void put_away(long fd)
{
	struct file *file = fd < 0 ? NULL : fd_remove((int)fd);

	if (file)
		file_unreference(file);
}

static void scenario(void)
{
	char name[32];
	long fd;

	sys_mkdir("/tmp/d", 0755);
	fd = sys_open("/tmp/d/a", O_CREAT | O_RDWR, 0600);
	put(fd, 0, 100000);
	put(fd, 5ll << 30, 10);
	if (fd >= 0) {
		sys_ftruncate((int)fd, 50000);
		sys_fallocate((int)fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10000, 30000);
		sys_fallocate((int)fd, 0, 0, 90000);
	}
	sys_symlink("a", "/tmp/d/link");
	sys_link("/tmp/d/a", "/tmp/d/b");
	put_away(sys_open("/tmp/d/link", O_RDONLY, 0));
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "/tmp/d/%d", i);
		sys_mkdir(name, 0755);
	}
	sys_renameat2(AT_FDCWD, "/tmp/d/b", AT_FDCWD, "/tmp/d/c", 0);
	sys_renameat2(AT_FDCWD, "/tmp/d/c", AT_FDCWD, "/tmp/d/1/c", 0);
	sys_renameat2(AT_FDCWD, "/tmp/d/a", AT_FDCWD, "/tmp/d/2", RENAME_EXCHANGE);
	sys_chdir("/tmp/d/3");
	sys_rmdir("/tmp/d/3");
	sys_chdir("/");
	put_away(sys_open("/tmp", O_TMPFILE | O_RDWR, 0600));
	put_away(fd);
}

static void remove_everything(void)
{
	char name[32];

	sys_unlink("/tmp/d/1/c");
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "/tmp/d/%d", i);
		if (sys_rmdir(name))
			sys_unlink(name);
	}
	sys_unlink("/tmp/d/link");
	sys_unlink("/tmp/d/b");
	sys_unlink("/tmp/d/c");
	if (sys_unlink("/tmp/d/a"))
		sys_rmdir("/tmp/d/a");
	sys_rmdir("/tmp/d");
	/* An empty directory may keep the table that was made for a name which then did not fit. */
	put_away(sys_open("/tmp/last", O_CREAT | O_RDWR, 0600));
	sys_unlink("/tmp/last");
	fs_fakes_settle();
}

static long at_start;

static int begin(void **state)
{
	if (!at_start) {
		fs_fakes_boot(4ul << 20);
		/* What is made once and stays. */
		until_failure = -1;
		scenario();
		remove_everything();
		at_start = live;
	}
	return 0;
}

static void inject(bool all_after)
{
	long count = 0;

	do {
		failed = false;
		keeps_failing = all_after;
		until_failure = count++;
		scenario();
		until_failure = -1;
		remove_everything();
		assert_int_equal(inode_count(), 2);
		assert_int_equal(live, at_start);
	} while (failed);
	/* There is something to fail. */
	assert_true(count > 80);
}

static void each_allocation_fails_once(void **state)
{
	inject(false);
}

static void memory_stays_out(void **state)
{
	inject(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_allocation_fails_once, begin),
		cmocka_unit_test_setup(memory_stays_out, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
