/* Files and directories: what each call does, and what it refuses. */
#include "tests/guest/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utime.h>

#define FAILS(call, error)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK_EQ((call), -1);                                                              \
		CHECK_EQ(errno, (error));                                                          \
	} while (0)

static void make(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	CHECK_EQ(close(fd), 0);
}

static bool holds(const char *path, const char *text)
{
	char bytes[4096];
	int fd = open(path, O_RDONLY);
	ssize_t length = read(fd, bytes, sizeof(bytes));

	close(fd);
	return length == (ssize_t)strlen(text) && memcmp(bytes, text, length) == 0;
}

static char *repeat(char character, size_t count)
{
	static char text[8192];

	memset(text, character, count);
	text[count] = 0;
	return text;
}

TEST(a_file_is_made_written_and_read)
{
	char bytes[16];
	struct stat st;
	int fd;

	FAILS(open("/tmp/a", O_RDONLY), ENOENT);
	fd = open("/tmp/a", O_CREAT | O_EXCL | O_RDWR, 0640);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_EQ(read(fd, bytes, 5), 0);
	CHECK_EQ(pread(fd, bytes, sizeof(bytes), 1), 4);
	CHECK_EQ(memcmp(bytes, "ello", 4), 0);
	CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 5);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_blocks, 8);
	CHECK_EQ(st.st_uid, getuid());
	CHECK_EQ(close(fd), 0);
	CHECK(holds("/tmp/a", "Jello"));
	FAILS(open("/tmp/a", O_CREAT | O_EXCL | O_RDWR, 0640), EEXIST);
	FAILS(open("/tmp/a", O_DIRECTORY), ENOTDIR);
	FAILS(open("/tmp/a/", O_RDONLY), ENOTDIR);
	FAILS(open("/tmp/a/b", O_RDONLY), ENOTDIR);
	FAILS(open("/tmp/new/", O_CREAT | O_WRONLY, 0600), EISDIR);
	FAILS(open("/tmp", O_WRONLY), EISDIR);
	FAILS(open("/tmp", O_CREAT | O_RDONLY, 0600), EISDIR);
	fd = open("/tmp/a", O_WRONLY);
	FAILS(read(fd, bytes, 1), EBADF);
	close(fd);
	fd = open("/tmp/a", O_RDONLY);
	FAILS(write(fd, bytes, 1), EBADF);
	close(fd);
	fd = open("/tmp/a", O_TRUNC | O_RDWR);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_blocks, 0);
	close(fd);
	CHECK_EQ(unlink("/tmp/a"), 0);
	FAILS(unlink("/tmp/a"), ENOENT);
}

TEST(names_have_their_limits)
{
	char path[8300];

	snprintf(path, sizeof(path), "/tmp/%s", repeat('n', 255));
	make(path, "x");
	CHECK_EQ(unlink(path), 0);
	snprintf(path, sizeof(path), "/tmp/%s", repeat('n', 256));
	FAILS(open(path, O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
	FAILS(open(repeat('/', 4096), O_RDONLY), ENAMETOOLONG);
	CHECK_EQ(access(repeat('/', 4095), F_OK), 0);
	FAILS(open("", O_RDONLY), ENOENT);
	FAILS(open(NULL, O_RDONLY), EFAULT);
}

TEST(directories)
{
	struct stat st;

	CHECK_EQ(mkdir("/tmp/d", 0755), 0);
	FAILS(mkdir("/tmp/d", 0755), EEXIST);
	FAILS(mkdir("/", 0755), EEXIST);
	FAILS(mkdir("/tmp/none/d", 0755), ENOENT);
	CHECK_EQ(mkdir("/tmp/d/e/", 0700), 0);
	CHECK_EQ(stat("/tmp/d", &st), 0);
	CHECK_EQ(st.st_nlink, 3);
	CHECK(S_ISDIR(st.st_mode));
	FAILS(rmdir("/tmp/d"), ENOTEMPTY);
	FAILS(unlink("/tmp/d/e"), EISDIR);
	FAILS(rmdir("/tmp/d/."), EINVAL);
	FAILS(rmdir("/tmp/d/e/.."), ENOTEMPTY);
	FAILS(rmdir("/"), EBUSY);
	FAILS(rmdir("/proc"), EBUSY);
	make("/tmp/d/f", "f");
	FAILS(rmdir("/tmp/d/f"), ENOTDIR);
	FAILS(unlink("/tmp/d/f/"), ENOTDIR);
	CHECK_EQ(unlinkat(AT_FDCWD, "/tmp/d/e", AT_REMOVEDIR), 0);
	CHECK_EQ(unlink("/tmp/d/f"), 0);
	CHECK_EQ(stat("/tmp/d", &st), 0);
	CHECK_EQ(st.st_nlink, 2);
	CHECK_EQ(rmdir("/tmp/d/"), 0);
	FAILS(stat("/tmp/d", &st), ENOENT);
}

TEST(the_working_directory)
{
	char path[PATH_MAX];
	int fd;

	CHECK_EQ(mkdir("/tmp/w", 0755), 0);
	CHECK_EQ(chdir("/tmp/w"), 0);
	CHECK(getcwd(path, sizeof(path)) && strcmp(path, "/tmp/w") == 0);
	make("here", "here");
	CHECK(holds("/tmp/w/here", "here"));
	CHECK(holds("../w/./here", "here"));
	FAILS(chdir("here"), ENOTDIR);
	FAILS(chdir("nowhere"), ENOENT);
	errno = 0;
	CHECK(!getcwd(path, 6) && errno == ERANGE);
	CHECK_EQ(rename("/tmp/w", "/tmp/v"), 0);
	CHECK(getcwd(path, sizeof(path)) && strcmp(path, "/tmp/v") == 0);
	fd = open("/", O_RDONLY | O_DIRECTORY);
	CHECK_EQ(unlink("here"), 0);
	CHECK_EQ(rmdir("/tmp/v"), 0);
	errno = 0;
	CHECK(!getcwd(path, sizeof(path)) && errno == ENOENT);
	FAILS(open("new", O_CREAT | O_WRONLY, 0600), ENOENT);
	CHECK_EQ(access("..", F_OK), 0);
	CHECK_EQ(fchdir(fd), 0);
	CHECK(getcwd(path, sizeof(path)) && strcmp(path, "/") == 0);
	close(fd);
}

TEST(calls_relative_to_a_directory)
{
	int fd;
	struct stat st;

	CHECK_EQ(mkdir("/tmp/r", 0755), 0);
	fd = open("/tmp/r", O_RDONLY | O_DIRECTORY);
	CHECK_EQ(mkdirat(fd, "sub", 0755), 0);
	CHECK_EQ(close(openat(fd, "sub/f", O_CREAT | O_WRONLY, 0600)), 0);
	CHECK_EQ(fstatat(fd, "sub/f", &st, 0), 0);
	CHECK_EQ(fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(renameat(fd, "sub/f", fd, "g"), 0);
	CHECK_EQ(linkat(fd, "g", fd, "sub/h", 0), 0);
	CHECK_EQ(symlinkat("g", fd, "l"), 0);
	CHECK_EQ(faccessat(fd, "l", R_OK, 0), 0);
	FAILS(openat(999, "x", O_RDONLY), EBADF);
	FAILS(openat(1, "x", O_RDONLY), ENOTDIR);
	CHECK_EQ(close(openat(999, "/tmp", O_RDONLY)), 0);
	FAILS(read(fd, &st, 1), EISDIR);
	FAILS(write(fd, &st, 1), EBADF);
	CHECK_EQ(unlinkat(fd, "l", 0), 0);
	CHECK_EQ(unlinkat(fd, "g", 0), 0);
	CHECK_EQ(unlinkat(fd, "sub/h", 0), 0);
	FAILS(unlinkat(fd, "sub", 0), EISDIR);
	CHECK_EQ(unlinkat(fd, "sub", AT_REMOVEDIR), 0);
	close(fd);
	CHECK_EQ(rmdir("/tmp/r"), 0);
}

TEST(symbolic_links)
{
	char text[64], name[16];
	struct stat st;

	make("/tmp/target", "there");
	CHECK_EQ(symlink("target", "/tmp/link"), 0);
	FAILS(symlink("x", "/tmp/link"), EEXIST);
	FAILS(symlink("", "/tmp/empty"), ENOENT);
	CHECK(holds("/tmp/link", "there"));
	CHECK_EQ(readlink("/tmp/link", text, sizeof(text)), 6);
	CHECK_EQ(memcmp(text, "target", 6), 0);
	CHECK_EQ(readlink("/tmp/link", text, 3), 3);
	FAILS(readlink("/tmp/target", text, sizeof(text)), EINVAL);
	FAILS(syscall(SYS_readlink, "/tmp/link", text, 0), EINVAL);
	CHECK_EQ(lstat("/tmp/link", &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(st.st_size, 6);
	CHECK_EQ(stat("/tmp/link", &st), 0);
	CHECK(S_ISREG(st.st_mode));
	FAILS(open("/tmp/link", O_NOFOLLOW), ELOOP);
	FAILS(open("/tmp/link/", O_RDONLY), ENOTDIR);
	FAILS(open("/tmp/link", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);

	/* One that leads nowhere: what is made is made there. */
	CHECK_EQ(symlink("/tmp/missing", "/tmp/dangling"), 0);
	FAILS(open("/tmp/dangling", O_RDONLY), ENOENT);
	FAILS(open("/tmp/dangling", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
	make("/tmp/dangling", "made");
	CHECK(holds("/tmp/missing", "made"));
	CHECK_EQ(unlink("/tmp/missing"), 0);

	/* Round in circles, and too many of them. */
	CHECK_EQ(symlink("/tmp/ring2", "/tmp/ring1"), 0);
	CHECK_EQ(symlink("/tmp/ring1", "/tmp/ring2"), 0);
	FAILS(open("/tmp/ring1", O_RDONLY), ELOOP);
	CHECK_EQ(lstat("/tmp/ring1", &st), 0);
	CHECK_EQ(symlink("target", "/tmp/s0"), 0);
	for (int i = 1; i <= 40; i++) {
		snprintf(name, sizeof(name), "s%d", i - 1);
		snprintf(text, sizeof(text), "/tmp/s%d", i);
		CHECK_EQ(symlink(name, text), 0);
	}
	CHECK_EQ(access("/tmp/s39", F_OK), 0);
	FAILS(access("/tmp/s40", F_OK), ELOOP);
	for (int i = 0; i <= 40; i++) {
		snprintf(text, sizeof(text), "/tmp/s%d", i);
		CHECK_EQ(unlink(text), 0);
	}

	/* To a directory, in the middle of a path and at its end. */
	CHECK_EQ(mkdir("/tmp/dir", 0755), 0);
	CHECK_EQ(symlink("dir", "/tmp/way"), 0);
	make("/tmp/way/f", "f");
	CHECK(holds("/tmp/dir/f", "f"));
	CHECK_EQ(lstat("/tmp/way/", &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	FAILS(rmdir("/tmp/way"), ENOTDIR);
	FAILS(rmdir("/tmp/way/"), ENOTDIR);
	FAILS(unlink("/tmp/way/"), ENOTDIR);
	CHECK_EQ(access("/tmp/way/../dir/f", F_OK), 0);
	CHECK_EQ(unlink("/tmp/way/f"), 0);
	CHECK_EQ(rmdir("/tmp/dir"), 0);
	CHECK_EQ(unlink("/tmp/way") | unlink("/tmp/ring1") | unlink("/tmp/ring2"), 0);
	CHECK_EQ(unlink("/tmp/dangling") | unlink("/tmp/link") | unlink("/tmp/target"), 0);
}

TEST(hard_links)
{
	struct stat a, b;

	make("/tmp/h1", "one");
	CHECK_EQ(link("/tmp/h1", "/tmp/h2"), 0);
	FAILS(link("/tmp/h1", "/tmp/h2"), EEXIST);
	FAILS(link("/tmp/none", "/tmp/h3"), ENOENT);
	FAILS(link("/tmp", "/tmp/h3"), EPERM);
	FAILS(link("/tmp/h1", "/proc/h"), EXDEV);
	FAILS(link("/proc/cpuinfo", "/tmp/cpuinfo"), EXDEV);
	CHECK_EQ(stat("/tmp/h1", &a) | stat("/tmp/h2", &b), 0);
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_nlink, 2);
	CHECK_EQ(rename("/tmp/h1", "/tmp/h2"), 0); /* the same file: nothing happens */
	CHECK_EQ(access("/tmp/h1", F_OK), 0);
	CHECK_EQ(unlink("/tmp/h1"), 0);
	CHECK(holds("/tmp/h2", "one"));
	CHECK_EQ(stat("/tmp/h2", &b), 0);
	CHECK_EQ(b.st_nlink, 1);
	CHECK_EQ(unlink("/tmp/h2"), 0);
}

TEST(renaming)
{
	make("/tmp/n1", "one");
	make("/tmp/n2", "two");
	CHECK_EQ(rename("/tmp/n1", "/tmp/n2"), 0);
	FAILS(access("/tmp/n1", F_OK), ENOENT);
	CHECK(holds("/tmp/n2", "one"));
	FAILS(rename("/tmp/n1", "/tmp/n2"), ENOENT);
	CHECK_EQ(mkdir("/tmp/d1", 0755) | mkdir("/tmp/d2", 0755) | mkdir("/tmp/d1/in", 0755), 0);
	FAILS(rename("/tmp/d1", "/tmp/d1/in/deep"), EINVAL);
	FAILS(rename("/tmp/d1", "/tmp/d1/in"), EINVAL);
	FAILS(rename("/tmp/d1/in", "/tmp/d1"), ENOTEMPTY);
	FAILS(rename("/tmp/d1", "/tmp/n2"), ENOTDIR);
	FAILS(rename("/tmp/n2", "/tmp/d1"), EISDIR);
	FAILS(rename("/tmp/n2", "/tmp/n3/"), ENOTDIR);
	FAILS(rename("/tmp/d1/.", "/tmp/d3"), EBUSY);
	FAILS(rename("/tmp/n2", "/proc/n2"), EXDEV);
	FAILS(rename("/proc/self", "/proc/other"), EPERM);
	CHECK_EQ(rename("/tmp/d2", "/tmp/d1/moved/"), 0);
	FAILS(rename("/tmp/d1/moved", "/tmp/d1"), ENOTEMPTY);
	CHECK_EQ(rename("/tmp/d1/moved", "/tmp/d1/in"), 0); /* over an empty one */
	CHECK_EQ(access("/tmp/d1/in/../../n2", F_OK), 0);
	CHECK_EQ(rmdir("/tmp/d1/in"), 0);

	make("/tmp/n3", "three");
	FAILS(syscall(SYS_renameat2, AT_FDCWD, "/tmp/n2", AT_FDCWD, "/tmp/n3", 1), EEXIST);
	CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "/tmp/n2", AT_FDCWD, "/tmp/n3", 2), 0);
	CHECK(holds("/tmp/n2", "three"));
	CHECK(holds("/tmp/n3", "one"));
	CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "/tmp/n2", AT_FDCWD, "/tmp/d1", 2), 0);
	CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "/tmp/n3", AT_FDCWD, "/tmp/n2/x", 1), 0);
	FAILS(syscall(SYS_renameat2, AT_FDCWD, "/tmp/n2", AT_FDCWD, "/tmp/n2/x", 2), EINVAL);
	FAILS(syscall(SYS_renameat2, AT_FDCWD, "/tmp/n2", AT_FDCWD, "/tmp/none", 2), ENOENT);
	CHECK(holds("/tmp/d1", "three"));
	CHECK_EQ(unlink("/tmp/n2/x") | rmdir("/tmp/n2") | unlink("/tmp/d1"), 0);
}

TEST(what_was_removed_lives_while_it_is_open)
{
	char bytes[8], path[64], target[64];
	struct stat st;
	int fd, other;

	make("/tmp/gone", "still");
	fd = open("/tmp/gone", O_RDWR);
	CHECK_EQ(unlink("/tmp/gone"), 0);
	CHECK_EQ(pread(fd, bytes, 8, 0), 5);
	CHECK_EQ(write(fd, "STILL HERE", 10), 10);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_size, 10);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY);
	CHECK(other >= 0 && other != fd);
	CHECK_EQ(read(other, bytes, 5), 5);
	CHECK_EQ(memcmp(bytes, "STILL", 5), 0);
	FAILS(readlink("/proc/self/fd/999", target, sizeof(target)), ENOENT);
	snprintf(path, sizeof(path), "/dev/fd/%d", other);
	CHECK_EQ(readlink(path, target, sizeof(target)), 19);
	CHECK_EQ(memcmp(target, "/tmp/gone (deleted)", 19), 0);
	close(fd);
	close(other);

	/* Replaced by another one. */
	make("/tmp/old", "old");
	make("/tmp/new", "new");
	fd = open("/tmp/old", O_RDONLY);
	CHECK_EQ(rename("/tmp/new", "/tmp/old"), 0);
	CHECK_EQ(read(fd, bytes, 3), 3);
	CHECK_EQ(memcmp(bytes, "old", 3), 0);
	close(fd);
	CHECK_EQ(unlink("/tmp/old"), 0);
}

TEST(a_file_without_a_name)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	char path[64];
	struct stat st;

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "named", 5), 5);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/named", AT_SYMLINK_FOLLOW), 0);
	close(fd);
	CHECK(holds("/tmp/named", "named"));
	CHECK_EQ(unlink("/tmp/named"), 0);
	FAILS(open("/tmp", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	FAILS(open("/etc/passwd", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
}

TEST(a_path_alone)
{
	int fd = open("/etc/passwd", O_PATH), link;
	char byte;
	struct stat st;

	FAILS(read(fd, &byte, 1), EBADF);
	FAILS(lseek(fd, 0, SEEK_SET), EBADF);
	FAILS(syscall(SYS_fchmod, fd, 0600), EBADF);
	FAILS(ftruncate(fd, 0), EBADF);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK(fcntl(fd, F_GETFL) & O_PATH);
	close(fd);
	CHECK_EQ(symlink("nowhere", "/tmp/l"), 0);
	link = open("/tmp/l", O_PATH | O_NOFOLLOW);
	CHECK(link >= 0);
	CHECK_EQ(readlinkat(link, "", (char[16]){ 0 }, 16), 7);
	CHECK_EQ(fstat(link, &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	close(link);
	CHECK_EQ(unlink("/tmp/l"), 0);
}

TEST(sizes_and_holes)
{
	static char page[4096], read_back[4096];
	int fd = open("/tmp/sparse", O_CREAT | O_RDWR, 0600);
	struct stat st;

	memset(page, 'x', sizeof(page));
	CHECK_EQ(pwrite(fd, "end", 3, 5ll << 30), 3);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, (5ll << 30) + 3);
	CHECK_EQ(st.st_blocks, 8);
	CHECK_EQ(pread(fd, read_back, 4096, 1 << 20), 4096);
	CHECK(read_back[0] == 0 && memcmp(read_back, read_back + 1, 4095) == 0);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 5ll << 30);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
	CHECK_EQ(lseek(fd, 5ll << 30, SEEK_HOLE), (5ll << 30) + 3);
	CHECK_EQ(lseek(fd, 10, SEEK_HOLE), 10);
	FAILS(lseek(fd, 6ll << 30, SEEK_DATA), ENXIO);
	CHECK_EQ(pwrite(fd, page, 4096, 8192), 4096);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 8192);
	CHECK_EQ(lseek(fd, 8192, SEEK_HOLE), 12288);
	CHECK_EQ(lseek(fd, 12288, SEEK_DATA), 5ll << 30);
	CHECK_EQ(ftruncate(fd, 8195), 0);
	CHECK_EQ(ftruncate(fd, 20000), 0);
	CHECK_EQ(pread(fd, read_back, 10, 8190), 10);
	CHECK_EQ(memcmp(read_back, "\0\0xxx\0\0\0\0\0", 10), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_blocks, 8);
	CHECK_EQ(ftruncate(fd, 0), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_blocks, 0);
	FAILS(ftruncate(fd, -1), EINVAL);
	FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
	FAILS(lseek(fd, 0, 17), EINVAL);
	FAILS(pwrite(fd, page, 1, INT64_MAX), EFBIG);
	FAILS(pread(fd, page, 1, -1), EINVAL);
	CHECK_EQ(pwrite(fd, page, 10, INT64_MAX - 4), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_END), INT64_MAX);
	FAILS(lseek(fd, 1, SEEK_END), EOVERFLOW);
	close(fd);
	CHECK_EQ(truncate("/tmp/sparse", 7), 0);
	CHECK_EQ(stat("/tmp/sparse", &st), 0);
	CHECK_EQ(st.st_size, 7);
	FAILS(truncate("/tmp", 0), EISDIR);
	FAILS(truncate("/tmp/none", 0), ENOENT);
	CHECK_EQ(unlink("/tmp/sparse"), 0);
}

TEST(fallocate_makes_and_takes_room)
{
	static char bytes[16384];
	int fd = open("/tmp/room", O_CREAT | O_RDWR, 0600);
	struct stat st;

	CHECK_EQ(fallocate(fd, 0, 0, 10000), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 10000);
	CHECK_EQ(st.st_blocks, 24);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 10000, 10000), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 10000);
	CHECK_EQ(st.st_blocks, 40);
	memset(bytes, 'y', sizeof(bytes));
	CHECK_EQ(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 8192), 0);
	CHECK_EQ(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	CHECK(bytes[99] == 'y' && bytes[100] == 0 && bytes[8291] == 0 && bytes[8292] == 'y');
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_blocks, 32);
	FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	FAILS(fallocate(fd, 8, 0, 10), EOPNOTSUPP);
	FAILS(fallocate(fd, 0, -1, 10), EINVAL);
	FAILS(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_EQ(posix_fallocate(fd, 0, 1), 0);
	close(fd);
	fd = open("/tmp/room", O_RDONLY);
	FAILS(fallocate(fd, 0, 0, 10), EBADF);
	FAILS(ftruncate(fd, 0), EINVAL);
	close(fd);
	CHECK_EQ(unlink("/tmp/room"), 0);
}

TEST(appending)
{
	int fd = open("/tmp/log", O_CREAT | O_APPEND | O_RDWR, 0600), other;
	struct iovec iov = { "z", 1 };

	CHECK_EQ(write(fd, "abc", 3), 3);
	other = open("/tmp/log", O_RDWR);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(write(fd, "def", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK_EQ(pwrite(fd, "g", 1, 0), 1);
	CHECK(holds("/tmp/log", "abcdefg"));
	CHECK_EQ(fcntl(other, F_SETFL, O_APPEND), 0);
	CHECK_EQ(write(other, "h", 1), 1);
	CHECK_EQ(fcntl(other, F_SETFL, 0), 0);
	CHECK_EQ(syscall(SYS_pwritev2, other, &iov, 1, 0l, 0l, 0x10 /* RWF_APPEND */), 1);
	CHECK(holds("/tmp/log", "abcdefghz"));
	FAILS(syscall(SYS_pwritev2, other, &iov, 1, 0l, 0l, 0x100), EOPNOTSUPP);
	close(fd);
	close(other);
	CHECK_EQ(unlink("/tmp/log"), 0);
}

TEST(attributes)
{
	struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
	struct utimbuf old = { 11, 22 };
	struct stat st;
	int fd;

	CHECK_EQ(umask(027), 022);
	make("/tmp/attr", "");
	CHECK_EQ(umask(022), 027);
	CHECK_EQ(stat("/tmp/attr", &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0640);
	CHECK_EQ(chmod("/tmp/attr", 04755), 0);
	CHECK_EQ(chown("/tmp/attr", 7, 8), 0);
	CHECK_EQ(chown("/tmp/attr", -1, 9), 0);
	CHECK_EQ(utimensat(AT_FDCWD, "/tmp/attr", times, 0), 0);
	CHECK_EQ(stat("/tmp/attr", &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 04755);
	CHECK_EQ(st.st_uid, 7);
	CHECK_EQ(st.st_gid, 9);
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK_EQ(st.st_atim.tv_nsec, 5);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_nsec = UTIME_NOW;
	fd = open("/tmp/attr", O_RDONLY);
	CHECK_EQ(futimens(fd, times), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK(st.st_mtim.tv_sec > 1600000000);
	times[0].tv_nsec = -4;
	FAILS(futimens(fd, times), EINVAL);
	CHECK_EQ(utime("/tmp/attr", &old), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_mtim.tv_sec, 22);
	CHECK_EQ(fchmod(fd, 0400), 0);
	CHECK_EQ(fchown(fd, 1, 1), 0);
	close(fd);
	CHECK_EQ(access("/tmp/attr", R_OK | W_OK), 0);
	FAILS(access("/tmp/attr", X_OK), EACCES);
	FAILS(access("/tmp/attr", 64), EINVAL);
	FAILS(access("/tmp/attr/", F_OK), ENOTDIR);
	FAILS(chmod("/proc/cpuinfo", 0666), EPERM);
	fd = open("/tmp/attr", O_WRONLY);
	CHECK_EQ(write(fd, "new", 3), 3);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK(st.st_mtim.tv_sec > 1600000000);
	close(fd);
	CHECK_EQ(unlink("/tmp/attr"), 0);
}

struct linux_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, spare;
	uint64_t ino, size, rest[27];
};

TEST(statx_and_statfs)
{
	struct linux_statx stx;
	struct statfs fs;
	struct statvfs vfs;
	struct stat st;

	CHECK_EQ(stat("/etc/passwd", &st), 0);
	CHECK_EQ(syscall(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0x7ff, &stx), 0);
	CHECK_EQ(stx.ino, st.st_ino);
	CHECK_EQ(stx.size, st.st_size);
	CHECK_EQ(stx.mode, st.st_mode);
	CHECK(stx.mask & 0x800);
	FAILS(syscall(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0x80000000u, &stx), EINVAL);
	CHECK_EQ(statfs("/tmp", &fs), 0);
	CHECK_EQ(fs.f_type, 0x01021994);
	CHECK(fs.f_bavail > 0 && fs.f_bavail < fs.f_blocks);
	CHECK_EQ(fs.f_namelen, 255);
	CHECK_EQ(statfs("/proc", &fs), 0);
	CHECK_EQ(fs.f_type, 0x9fa0);
	CHECK_EQ(statvfs("/tmp", &vfs), 0);
	FAILS(statfs("/none", &fs), ENOENT);
}

static int count_entries(const char *path, bool *dots)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	*dots = false;
	CHECK(dir != NULL);
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		*dots |= strcmp(entry->d_name, "..") == 0;
		count++;
	}
	closedir(dir);
	return count;
}

TEST(reading_directories)
{
	enum { COUNT = 10000 };
	static bool seen[COUNT];
	char path[300];
	struct dirent *entry;
	long place = 0;
	bool dots;
	DIR *dir;
	int n = 0;

	CHECK_EQ(mkdir("/tmp/many", 0755), 0);
	CHECK_EQ(count_entries("/tmp/many", &dots), 2);
	CHECK(dots);
	for (int i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "/tmp/many/%d", i);
		CHECK_EQ(close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600)), 0);
	}
	CHECK_EQ(count_entries("/tmp/many", &dots), COUNT + 2);

	/* While it is read, what was read goes and others come: the rest is seen once. */
	dir = opendir("/tmp/many");
	while ((entry = readdir(dir))) {
		int i = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || entry->d_name[0] == 'n')
			continue;
		CHECK_EQ(entry->d_type, DT_REG);
		CHECK(i >= 0 && i < COUNT && !seen[i]);
		seen[i] = true;
		n++;
		snprintf(path, sizeof(path), "/tmp/many/%d", i);
		CHECK_EQ(unlink(path), 0);
		if (i % 3 == 0) {
			snprintf(path, sizeof(path), "/tmp/many/n%d", i);
			CHECK_EQ(mkdir(path, 0700), 0);
		}
	}
	CHECK_EQ(n, COUNT);
	rewinddir(dir);
	for (n = 0; (entry = readdir(dir)); n++) {
		if (n == 100)
			place = telldir(dir);
		if (entry->d_name[0] == 'n') {
			snprintf(path, sizeof(path), "/tmp/many/%s", entry->d_name);
			CHECK_EQ(entry->d_type, DT_DIR);
			CHECK_EQ(rmdir(path), 0);
		}
	}
	CHECK_EQ(n, (COUNT + 2) / 3 + 2);
	seekdir(dir, place);
	CHECK(readdir(dir) == NULL);
	closedir(dir);
	CHECK_EQ(count_entries("/tmp/many", &dots), 2);
	CHECK_EQ(rmdir("/tmp/many"), 0);

	FAILS(syscall(SYS_getdents64, open("/", O_RDONLY), path, 8), EINVAL);
	FAILS(syscall(SYS_getdents64, 1, path, sizeof(path)), ENOTDIR);
	for (int fd = 3; fd < 20; fd++)
		close(fd);
}

TEST(deep_paths)
{
	char path[PATH_MAX] = "/tmp";
	int depth = 0;

	while (strlen(path) + 4 < sizeof(path)) {
		strcat(path, "/dd");
		if (mkdir(path, 0755) != 0)
			break;
		depth++;
	}
	CHECK(depth > 1300);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_EQ(chdir(path), 0);
	CHECK_EQ(mkdir("one", 0755), 0);
	CHECK_EQ(access("one/..", F_OK), 0);
	CHECK_EQ(chdir("one"), 0);
	FAILS(syscall(SYS_getcwd, path, sizeof(path)), ENAMETOOLONG);
	CHECK_EQ(chdir("/tmp"), 0);
	strcat(path, "");
	strcpy(path, "/tmp");
	for (int i = 0; i < depth; i++)
		strcat(path, "/dd");
	CHECK_EQ(chdir(path), 0);
	CHECK_EQ(rmdir("one"), 0);
	CHECK_EQ(chdir("/"), 0);
	for (; depth; depth--) {
		CHECK_EQ(rmdir(path), 0);
		*strrchr(path, '/') = 0;
	}
}

TEST(memory_that_is_out_is_no_space)
{
	static char block[1 << 20];
	struct statfs before, full, after = { 0 };
	int fd = open("/tmp/full", O_CREAT | O_WRONLY, 0600), extra, n = 0;
	char path[32];

	CHECK_EQ(statfs("/tmp", &before), 0);
	errno = 0;
	while (write(fd, block, sizeof(block)) > 0)
		;
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(statfs("/tmp", &full), 0);
	CHECK(full.f_bavail < 100);
	errno = 0;
	for (extra = 0; extra >= 0 && n < 1000; n++) {
		snprintf(path, sizeof(path), "/tmp/extra%d", n);
		extra = open(path, O_CREAT | O_WRONLY, 0600);
		close(extra);
	}
	CHECK_EQ(extra, -1);
	CHECK_EQ(access("/etc/passwd", F_OK), 0);
	while (n-- > 0) {
		snprintf(path, sizeof(path), "/tmp/extra%d", n);
		unlink(path);
	}
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(unlink("/tmp/full"), 0);
	/* It comes back when every core has passed a safe point. */
	for (int i = 0; i < 1000; i++) {
		usleep(1000);
		statfs("/tmp", &after);
		if (after.f_bavail + 500 > before.f_bavail)
			break;
	}
	CHECK(after.f_bavail + 500 > before.f_bavail);

	/* What was just given up can be used again at once. */
	fd = open("/tmp/full", O_CREAT | O_WRONLY, 0600);
	for (size_t i = 0; i < before.f_bavail / 256 * 2; i++) {
		CHECK(write(fd, block, sizeof(block)) > 0); /* may be short */
		if (i % 16 == 15)
			CHECK_EQ(ftruncate(fd, 0) | lseek(fd, 0, SEEK_SET), 0);
	}
	close(fd);
	CHECK_EQ(unlink("/tmp/full"), 0);
}

TEST(what_is_refused)
{
	CHECK_EQ(syscall(SYS_mount, "a", "/tmp", "tmpfs", 0, 0), -1);
	CHECK_EQ(errno, EPERM);
	FAILS(syscall(SYS_chroot, "/tmp"), EPERM);
	FAILS(syscall(SYS_getxattr, "/tmp", "user.a", NULL, 0), EOPNOTSUPP);
	FAILS(syscall(SYS_getxattr, "/none", "user.a", NULL, 0), ENOENT);
	FAILS(syscall(SYS_fsetxattr, 99, "user.a", "", 0, 0), EBADF);
	FAILS(open("/proc/new", O_CREAT | O_WRONLY, 0600), ENOENT);
	FAILS(open("/sys/new", O_CREAT | O_WRONLY, 0600), EACCES);
	FAILS(unlink("/proc/cpuinfo"), EPERM);
	FAILS(open("/proc/cpuinfo", O_WRONLY), EACCES);
	FAILS(fsync(99), EBADF);
	sync();
}
