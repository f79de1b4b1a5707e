/*
 * What is in the file system: for the system tests, which hold it against what they packed.
 *
 *   files list DIRECTORY...   a line for everything below
 *   files memory              free memory in KiB
 *   files addresses           where a mapping, the stack and the heap are
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int failed;

static void complain(const char *path)
{
	printf("failed %s: %s\n", path, strerror(errno));
	failed = 1;
}

/* FNV-1a, 64 bits. */
static unsigned long hash_of(const char *path)
{
	static unsigned char buffer[65536];
	unsigned long hash = 0xcbf29ce484222325;
	int fd = open(path, O_RDONLY);
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buffer[i]) * 0x100000001b3;
	if (n < 0)
		complain(path);
	close(fd);
	return hash;
}

static void list(const char *path)
{
	char below[4096];
	struct stat st;
	struct dirent *entry;
	ssize_t length;
	DIR *directory;

	if (lstat(path, &st) < 0) {
		complain(path);
		return;
	}
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		printf("directory %o %s\n", st.st_mode & 07777, path);
		directory = opendir(path);
		if (!directory) {
			complain(path);
			return;
		}
		while ((entry = readdir(directory))) {
			if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
				continue;
			snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
			list(below);
		}
		closedir(directory);
		break;
	case S_IFREG:
		printf("file %o %s %ld %016lx %lu %ld\n", st.st_mode & 07777, path,
		       (long)st.st_size, hash_of(path), (unsigned long)st.st_nlink,
		       (long)st.st_mtime);
		break;
	case S_IFLNK:
		length = readlink(path, below, sizeof(below));
		printf("link %s %.*s\n", path, (int)length, below);
		break;
	default:
		printf("node %o %s %u %u\n", st.st_mode, path, major(st.st_rdev),
		       minor(st.st_rdev));
	}
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "memory")) {
		struct sysinfo info;

		sysinfo(&info);
		printf("free %lu total %lu\n", info.freeram * info.mem_unit / 1024,
		       info.totalram * info.mem_unit / 1024);
		return 0;
	}
	if (argc >= 2 && !strcmp(argv[1], "addresses")) {
		printf("addresses %p %p %p\n",
		       mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		       (void *)&argc, sbrk(0));
		return 0;
	}
	for (int i = 2; i < argc; i++)
		list(argv[i]);
	return failed;
}
