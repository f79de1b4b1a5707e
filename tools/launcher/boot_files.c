#include "tools/launcher/boot_files.h"

#include "tools/launcher/complaint.h"

#include "tools/launcher/libraries.h"
#include "tools/launcher/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM_PATH "/init" /* in the image: what apps/linux runs */

/* The image that runs programs, in the build folder or where it was installed; or NULL. */
static char *find_linux_image(const char *launcher)
{
	static const char *const places[] = { "apps/linux/linux", "../apps/linux/linux",
					      "../lib/lavra/linux" };
	int folder = (int)(strrchr(launcher, '/') - launcher);
	char *path;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (asprintf(&path, "%.*s/%s", folder, launcher, places[i]) < 0)
			abort();
		if (!access(path, R_OK))
			return path;
		free(path);
	}
	return NULL;
}

static const char *pack_libraries(struct pack *pack, const struct libraries *libraries)
{
	const char *wrong = NULL;

	/* The program comes last: over a file of its name that the folder has. */
	for (unsigned i = libraries->count; i-- > 0 && !wrong;) {
		const struct library *library = libraries->list[i];

		if (library->host_path)
			wrong =
			    pack_file(pack, library->path + 1, 0755, library->bytes, library->size);
	}
	return wrong;
}

/* `program` NULL: only files. */
static const char *pack_all(struct boot_files *files, const struct options *options,
			    const struct libraries *program)
{
	struct pack pack;
	const char *wrong = pack_open(&pack);

	if (!wrong && options->initrd)
		wrong = pack_archive(&pack, options->initrd);
	if (!wrong && options->files)
		wrong = pack_folder(&pack, options->files);
	if (!wrong && program)
		wrong = pack_libraries(&pack, program);
	if (!wrong)
		wrong = pack_finish(&pack);
	if (!wrong) {
		files->fd = pack.fd;
		files->size = pack.size;
		pack.fd = -1;
		snprintf(files->fd_path, sizeof(files->fd_path), "/dev/fd/%d", files->fd);
		files->initrd = files->fd_path;
	}
	pack_close(&pack);
	return wrong;
}

static const char *use_initrd(struct boot_files *files, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || access(path, R_OK) < 0)
		return complain("--initrd %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain("--initrd %s is no file", path);
	files->initrd = path;
	files->size = (uint64_t)st.st_size;
	return NULL;
}

/* Takes over `bytes`. */
static const char *prepare_program(struct boot_files *files, const struct options *options,
				   const struct elf_file *elf, unsigned char *bytes, size_t size)
{
	char *path = realpath(options->image, NULL);
	struct libraries libraries = { 0 };
	const char *wrong = NULL;

	if (!elf->has_entry && !elf->interpreter)
		wrong = complain("%s is a library, no program", options->image);
	else if (!path)
		wrong = complain("%s: %s", options->image, strerror(errno));
	else if (access(path, X_OK) < 0)
		wrong = complain("%s is not executable (chmod +x)", options->image);
	if (wrong) {
		free(bytes);
	} else {
		wrong = libraries_find(&libraries, options->files, PROGRAM_PATH, bytes, size, path);
		if (!wrong)
			wrong = pack_all(files, options, &libraries);
		libraries_free(&libraries);
	}
	free(path);
	return wrong;
}

/* Takes over `bytes`, those of `path`. */
static const char *prepare_image(struct boot_files *files, const struct options *options,
				 const struct elf_file *elf, unsigned char *bytes)
{
	free(bytes);
	files->image_end = elf->memory_end;
	files->image = strdup(options->image);
	if (!files->image)
		abort();
	if (options->files)
		return pack_all(files, options, NULL);
	return options->initrd ? use_initrd(files, options->initrd) : NULL;
}

static const char *load_linux_image(struct boot_files *files, const char *launcher)
{
	struct elf_file elf;
	unsigned char *bytes;
	const char *wrong;
	size_t size;

	files->image = find_linux_image(launcher);
	if (!files->image)
		return complain("the image that runs programs is not beside %s: make image "
				"APP=linux builds it",
				launcher);
	wrong = read_whole_file(files->image, &bytes, &size);
	if (wrong)
		return wrong;
	wrong = elf_file_parse(bytes, size, &elf);
	free(bytes);
	if (wrong || !elf.is_image)
		return complain("%s %s", files->image, wrong ? wrong : "is no image");
	files->image_end = elf.memory_end;
	return NULL;
}

static const char *prepare(struct boot_files *files, const struct options *options,
			   const char *launcher)
{
	struct elf_file elf;
	unsigned char *bytes;
	const char *wrong;
	size_t size;

	*files = (struct boot_files){ .fd = -1 };
	/* What a command would look like can be asked before the image is built. */
	if (options->dry_run && access(options->image, F_OK) < 0 && errno == ENOENT) {
		files->image = strdup(options->image);
		files->initrd = options->initrd;
		return NULL;
	}
	wrong = read_whole_file(options->image, &bytes, &size);
	if (wrong)
		return wrong;
	wrong = elf_file_parse(bytes, size, &elf);
	if (wrong) {
		free(bytes);
		return complain("%s %s", options->image, wrong);
	}
	if (elf.is_image)
		return prepare_image(files, options, &elf, bytes);
	wrong = prepare_program(files, options, &elf, bytes, size);
	return wrong ? wrong : load_linux_image(files, launcher);
}

/* Beside the files: the kernel's own, packets, what the file system keeps back. Not exact. */
#define KERNEL_BYTES (8ul << 20)

static unsigned long mebibytes(uint64_t bytes)
{
	return (unsigned long)((bytes + (1ul << 20) - 1) >> 20);
}

/* QEMU would say it less clearly, or not at all. */
static const char *fit(const struct boot_files *files, unsigned long memory_mib)
{
	uint64_t memory = (uint64_t)memory_mib << 20, needed;

	/* QEMU drops what is outside of memory, and the guest is silent. */
	if (files->image_end > memory)
		return complain("%s reaches up to %lu KiB, more than %lu MiB of memory: give it "
				"more (--memory, or make run MEM=)",
				files->image, (unsigned long)(files->image_end >> 10), memory_mib);
	if (!files->initrd)
		return NULL;
	/* What is unpacked is freed meanwhile; packets take a sixteenth of the memory, and the file
	 * system leaves some for the program. */
	needed = files->image_end + KERNEL_BYTES + files->size;
	needed += needed / 8;
	if (needed > memory)
		return complain("the files take %lu MiB and do not fit into %lu MiB of memory: "
				"give it at least --memory %lu",
				mebibytes(files->size), memory_mib, mebibytes(needed));
	return NULL;
}

const char *boot_files_prepare(struct boot_files *files, const struct options *options,
			       const char *launcher)
{
	const char *wrong = prepare(files, options, launcher);

	return wrong ? wrong : fit(files, options->memory_mib);
}

void boot_files_free(struct boot_files *files)
{
	free(files->image);
	if (files->fd >= 0)
		close(files->fd);
}
