/*
 * Archives that real cpio and tar make of a tree of files, and damaged ones.
 *
 * links: posix/fs/archive.c posix/fs/archive_cpio.c posix/fs/archive_tar.c tests/host/fake_fs.c
 * links: tests/host/host_object.c
 */
#include "posix/fs/archive.h"
#include "tests/host/fake_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

static char tree[] = "/tmp/lavra-archive-XXXXXX";
static char tree_files[64]; /* what is packed; archives lie beside it */

/* ---- a tree of files ---- */

static void put_file(const char *name, size_t length, unsigned mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unsigned state = (unsigned)length;
	char *bytes = malloc(length + 1);

	assert_true(fd >= 0);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
	assert_int_equal(write(fd, bytes, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	free(bytes);
	close(fd);
}

static int make_tree(void **state)
{
	char deep[128];

	assert_non_null(mkdtemp(tree));
	snprintf(tree_files, sizeof(tree_files), "%s/files", tree);
	assert_int_equal(mkdir(tree_files, 0755), 0);
	assert_int_equal(chdir(tree_files), 0);
	put_file("empty", 0, 0644);
	put_file("one", 1, 0400);
	put_file("block", 512, 0644);
	put_file("large", 30001, 04755);
	put_file("in pieces", (2 << 20) + 77, 0644);
	assert_int_equal(mkdir("bare", 0700), 0);
	assert_int_equal(mkdir("etc", 0755), 0);
	put_file("etc/conf", 77, 0640);
	assert_int_equal(link("etc/conf", "etc/conf.again"), 0);
	assert_int_equal(link("etc/conf", "third"), 0);
	assert_int_equal(symlink("etc/conf", "soft"), 0);
	assert_int_equal(symlink("/nowhere/at/all", "dangling"), 0);
	assert_int_equal(mkfifo("pipe", 0600), 0);
	memset(deep, 'd', 90);
	deep[90] = 0;
	for (int i = 0; i < 4; i++) { /* longer than any header's fields */
		assert_int_equal(mkdir(deep, 0755), 0);
		assert_int_equal(chdir(deep), 0);
	}
	put_file("deep file", 5, 0644);
	assert_int_equal(symlink("../../../../etc/../etc/conf", "deep link"), 0);
	return chdir(tree_files);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static int remove_tree(void **state)
{
	return chdir("/") || nftw(tree, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- comparing ---- */

static size_t ncompared;

static void compare_contents(const char *path, const struct fake_node *node)
{
	char *bytes = malloc(node->length + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, node->length + 1), node->length);
	assert_memory_equal(bytes, node->bytes, node->length);
	free(bytes);
	close(fd);
}

static int compare_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	const struct fake_node *node;
	char target[256] = "";

	if (strcmp(path, ".") == 0)
		return 0;
	ncompared++;
	node = fake_fs_find(path + 1); /* "./x" is "/x" */
	if (!node) {
		print_error("%s is missing\n", path);
		return 1;
	}
	assert_int_equal(node->mode & S_IFMT, st->st_mode & S_IFMT);
	if (S_ISLNK(st->st_mode)) {
		assert_true(readlink(path, target, sizeof(target)) > 0);
		assert_string_equal(node->bytes, target);
		return 0;
	}
	assert_int_equal(node->mode, st->st_mode);
	if (st->st_nlink == 1 || S_ISDIR(st->st_mode)) { /* a link in tar has none */
		assert_int_equal(node->user, st->st_uid);
		assert_int_equal(node->modified_ns / 1000000000, st->st_mtime);
	}
	if (S_ISREG(st->st_mode))
		compare_contents(path, node);
	return 0;
}

static void compare_tree(void)
{
	ncompared = 0;
	assert_int_equal(nftw(".", compare_one, 16, FTW_PHYS), 0);
	assert_int_equal(ncompared, fake_fs_count());
	assert_int_equal(fake_fs_find("/etc/conf")->inode, fake_fs_find("/third")->inode);
	assert_int_equal(fake_fs_find("/etc/conf")->inode, fake_fs_find("/etc/conf.again")->inode);
}

/* ---- packing ---- */

struct archive {
	char *bytes;
	size_t length;
};

/* What the command, run in the tree, writes to its standard output. */
static struct archive pack(const char *command)
{
	struct archive archive = { 0 };
	FILE *stream = popen(command, "re");
	size_t n;

	assert_non_null(stream);
	do {
		archive.bytes = realloc(archive.bytes, archive.length + 65536);
		n = fread(archive.bytes + archive.length, 1, 65536, stream);
		archive.length += n;
	} while (n);
	assert_int_equal(pclose(stream), 0);
	assert_true(archive.length > 0);
	return archive;
}

static struct archive_error error;

/* In memory of exactly its size, so that the sanitizer sees reading beyond. */
static int unpack(const char *bytes, size_t length)
{
	char *exact = malloc(length ? length : 1);
	int result;

	memcpy(exact, bytes, length);
	error = (struct archive_error){ 0 };
	result = archive_unpack(exact, length, &error, NULL, NULL);
	free(exact);
	return result;
}

static void packs_and_unpacks(const char *command)
{
	struct archive archive = pack(command);

	fake_fs_clear();
	if (unpack(archive.bytes, archive.length))
		fail_msg("%s: byte %zu: %s", command, error.offset, error.text);
	compare_tree();
	fake_fs_clear();
	free(archive.bytes);
}

#define CPIO "find . | LC_ALL=C sort | cpio --quiet -o -H newc"
#define CRC "find . | LC_ALL=C sort | cpio --quiet -o -H crc"
#define TAR(format) "tar --format=" format " --numeric-owner -cf - ."

static void what_cpio_makes(void **state)
{
	packs_and_unpacks(CPIO);
	packs_and_unpacks(CRC);
	packs_and_unpacks("find . | sort -r | cpio --quiet -o -H newc");
}

static void what_tar_makes(void **state)
{
	packs_and_unpacks(TAR("gnu"));
	packs_and_unpacks(TAR("posix"));
	packs_and_unpacks(TAR("posix") " --pax-option=globexthdr.name=x,comment:=hello");
	packs_and_unpacks(TAR("gnu") " --label=NAME");
	packs_and_unpacks(TAR("gnu") " --blocking-factor=1");
}

static void what_older_tars_make(void **state)
{
	static const char *const formats[] = { "ustar", "v7" };

	for (unsigned i = 0; i < 2; i++) {
		char command[256];
		struct archive archive;

		snprintf(command, sizeof(command),
			 "tar --exclude='ddd*' --exclude=pipe --format=%s --numeric-owner -cf - .",
			 formats[i]);
		archive = pack(command);
		fake_fs_clear();
		assert_int_equal(unpack(archive.bytes, archive.length), 0);
		assert_non_null(fake_fs_find("/etc/conf"));
		assert_int_equal(fake_fs_find("/large")->length, 30001);
		assert_int_equal(fake_fs_find("/bare")->mode, S_IFDIR | 0700);
		assert_string_equal(fake_fs_find("/soft")->bytes, "etc/conf");
		fake_fs_clear();
		free(archive.bytes);
	}
}

static void archives_follow_each_other(void **state)
{
	struct archive first = pack("echo one | cpio --quiet -o -H newc");
	struct archive second = pack("tar --format=gnu -cf - etc");
	struct archive third = pack("echo large | cpio --quiet -o -H newc");
	size_t length = first.length + 4096 + second.length + third.length;
	char *all = calloc(1, length);

	memcpy(all, first.bytes, first.length);
	memcpy(all + first.length + 4096, second.bytes, second.length);
	memcpy(all + first.length + 4096 + second.length, third.bytes, third.length);
	fake_fs_clear();
	assert_int_equal(unpack(all, length), 0);
	assert_non_null(fake_fs_find("/one"));
	assert_non_null(fake_fs_find("/etc/conf"));
	assert_non_null(fake_fs_find("/large"));
	/* An error names the place in the whole. */
	memcpy(all + first.length + 4096 + second.length, "X", 1);
	assert_int_equal(unpack(all, length), -EINVAL);
	assert_int_equal(error.offset, first.length + 4096 + second.length);
	fake_fs_clear();
	free(all);
	free(first.bytes);
	free(second.bytes);
	free(third.bytes);
}

static void nothing_is_no_error(void **state)
{
	static const char zeros[1024];

	assert_int_equal(unpack("", 0), 0);
	assert_int_equal(unpack(zeros, sizeof(zeros)), 0);
	assert_int_equal(fake_fs_count(), 0);
}

/* ---- what is wrong ---- */

static void refuses(const char *command, const char *why)
{
	struct archive archive = pack(command);

	assert_int_equal(unpack(archive.bytes, archive.length), -EINVAL);
	if (!strstr(error.text, why))
		fail_msg("'%s' is not said for %s, but '%s'", why, command, error.text);
	fake_fs_clear();
	free(archive.bytes);
}

static void other_formats_are_named(void **state)
{
	refuses(CPIO " | gzip", "gunzip");
	refuses("printf BZh91AY", "bunzip2");
	refuses("printf '\\375\\067zXZ'", "unxz");
	refuses("printf '\\050\\265\\057\\375aaaa'", "unzstd");
	refuses("find . | cpio --quiet -o -H odc", "cpio -H newc");
	refuses("find . | cpio --quiet -o -H bin 2>/dev/null", "cpio -H newc");
	refuses("echo hello", "neither");
	refuses("printf '\\177ELF'", "lavra run");
}

static void names_stay_below_the_root(void **state)
{
	struct archive archive;

	refuses("tar -P --format=gnu -cf - ../files/one", "upwards");
	archive = pack("tar -P --format=gnu -cf - $PWD/one");
	assert_int_equal(unpack(archive.bytes, archive.length), 0);
	assert_int_equal(fake_fs_count(), 1);
	fake_fs_clear();
	free(archive.bytes);
}

/* Cut anywhere it is refused. */
static void every_cut_is_noticed(void **state)
{
	static const char *const commands[] = { "find etc soft one | cpio --quiet -o -H newc",
						"tar --format=posix -cf - etc soft one",
						"tar --format=gnu -cf - ddd*" };

	for (unsigned i = 0; i < 3; i++) {
		struct archive archive = pack(commands[i]);
		size_t end = archive.length;

		while (end && !archive.bytes[end - 1])
			end--;
		for (size_t length = 1; length < end; length++) {
			if (unpack(archive.bytes, length) != -EINVAL)
				fail_msg("%s, cut after %zu bytes, is accepted", commands[i],
					 length);
			assert_true(error.offset <= length && *error.text);
		}
		fake_fs_clear();
		free(archive.bytes);
	}
}

static void damage_is_noticed(void **state)
{
	struct archive crc = pack("echo large | cpio --quiet -o -H crc");
	struct archive tar = pack("tar --format=gnu -cf - empty one");

	crc.bytes[5000] ^= 1;
	assert_int_equal(unpack(crc.bytes, crc.length), -EINVAL);
	assert_non_null(strstr(error.text, "checksum of /large"));
	tar.bytes[512 + 3] ^= 1; /* in the second header's name */
	assert_int_equal(unpack(tar.bytes, tar.length), -EINVAL);
	assert_int_equal(error.offset, 512);
	assert_non_null(strstr(error.text, "checksum of a tar header"));
	fake_fs_clear();
	free(crc.bytes);
	free(tar.bytes);
}

/* Memory that runs out at each call in turn is reported and leaks nothing. */
static void every_failure_is_passed_on(void **state)
{
	static const char *const commands[] = { CPIO, TAR("posix") };

	for (unsigned i = 0; i < 2; i++) {
		struct archive archive = pack(commands[i]);
		size_t calls = 0;

		for (;; calls++) {
			int result;

			fake_fs_clear();
			fake_fs_fail_after(calls);
			result = unpack(archive.bytes, archive.length);
			if (!result)
				break;
			assert_int_equal(result, -ENOSPC);
			assert_non_null(strstr(error.text, "does not fit into memory"));
		}
		assert_true(calls > 15);
		fake_fs_clear();
		free(archive.bytes);
	}
}

static size_t told;

static void note_consumed(size_t offset, void *argument)
{
	char *bytes = argument;

	assert_true(offset >= told);
	memset(bytes + told, 0xff, offset - told); /* it is not needed any more */
	told = offset;
}

static void what_is_consumed_is_not_read_again(void **state)
{
	static const char *const commands[] = { CPIO, TAR("posix") };

	for (unsigned i = 0; i < 2; i++) {
		struct archive archive = pack(commands[i]);

		told = 0;
		assert_int_equal(archive_unpack(archive.bytes, archive.length, &error,
						note_consumed, archive.bytes),
				 0);
		assert_true(told > archive.length / 2);
		compare_tree();
		fake_fs_clear();
		free(archive.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cpio_makes),
		cmocka_unit_test(what_tar_makes),
		cmocka_unit_test(what_older_tars_make),
		cmocka_unit_test(archives_follow_each_other),
		cmocka_unit_test(nothing_is_no_error),
		cmocka_unit_test(other_formats_are_named),
		cmocka_unit_test(names_stay_below_the_root),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(damage_is_noticed),
		cmocka_unit_test(every_failure_is_passed_on),
		cmocka_unit_test(what_is_consumed_is_not_read_again),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
