/*
 * What the launcher packs is what the image unpacks; and it finds what a dynamic program needs.
 *
 * links: tools/launcher/complaint.c tools/launcher/pack.c tools/launcher/elf_file.c tools/launcher/libraries.c
 * links: tools/launcher/boot_files.c posix/fs/archive.c posix/fs/archive_cpio.c
 * links: posix/fs/archive_tar.c tests/host/fake_fs.c tests/host/host_object.c
 */
#include "posix/fs/archive.h"
#include "tests/host/fake_fs.h"
#include "tools/launcher/boot_files.h"
#include "tools/launcher/libraries.h"
#include "tools/launcher/pack.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/lavra-launcher-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static int begin(void **state)
{
	strcpy(strrchr(top, '-'), "-XXXXXX");
	return mkdtemp(top) ? chdir(top) : -1;
}

static int end(void **state)
{
	fake_fs_clear();
	return chdir("/") || nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const void *bytes, size_t size, unsigned mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void unpack(int fd, size_t size)
{
	char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	struct archive_error error;

	assert_true(bytes != MAP_FAILED);
	fake_fs_clear();
	if (archive_unpack(bytes, size, &error, NULL, NULL))
		fail_msg("byte %zu: %s", error.offset, error.text);
	munmap(bytes, size);
}

/* ---- packing ---- */

static void a_folder_is_packed_whole(void **state)
{
	struct sockaddr_un address = { AF_UNIX, "files/socket" };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char large[200001];
	struct pack pack;

	memset(large, 'L', sizeof(large));
	mkdir("files", 0755);
	mkdir("files/empty", 0700);
	mkdir("files/sub", 0711);
	put("files/sub/large", large, sizeof(large), 04755);
	put("files/nothing", "", 0, 0600);
	assert_int_equal(link("files/sub/large", "files/again"), 0);
	assert_int_equal(symlink("sub/large", "files/link"), 0);
	assert_int_equal(mkfifo("files/pipe", 0600), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	close(listener);
	put("files/name with blanks", "x", 1, 0644);

	assert_null(pack_open(&pack));
	assert_null(pack_folder(&pack, "files"));
	assert_null(pack_file(&pack, "usr/bin/it", 0755, "program", 7));
	assert_null(pack_finish(&pack));
	unpack(pack.fd, pack.size);
	pack_close(&pack);

	assert_int_equal(fake_fs_count(), 9);
	assert_int_equal(fake_fs_find("/empty")->mode, S_IFDIR | 0700);
	assert_int_equal(fake_fs_find("/sub/large")->mode, S_IFREG | 04755);
	assert_int_equal(fake_fs_find("/sub/large")->length, sizeof(large));
	assert_memory_equal(fake_fs_find("/again")->bytes, large, sizeof(large));
	assert_int_equal(fake_fs_find("/again")->inode, fake_fs_find("/sub/large")->inode);
	assert_string_equal(fake_fs_find("/link")->bytes, "sub/large");
	assert_int_equal(fake_fs_find("/pipe")->mode, S_IFIFO | 0600);
	assert_int_equal(fake_fs_find("/nothing")->length, 0);
	assert_string_equal(fake_fs_find("/name with blanks")->bytes, "x");
	assert_string_equal(fake_fs_find("/usr/bin/it")->bytes, "program");
	assert_null(fake_fs_find("/socket"));
}

static void what_cannot_be_packed_is_named(void **state)
{
	struct pack pack;
	const char *wrong;

	mkdir("files", 0755);
	put("files/huge", "", 0, 0644);
	assert_int_equal(truncate("files/huge", 1l << 32), 0);
	assert_null(pack_open(&pack));
	wrong = pack_folder(&pack, "files");
	assert_non_null(strstr(wrong, "huge: files of 4 GiB"));
	assert_non_null(strstr(pack_folder(&pack, "nowhere"), "--files nowhere: No such file"));
	assert_non_null(strstr(pack_archive(&pack, "files"), "files is no file"));
	pack_close(&pack);
}

/* ---- programs ---- */

struct program {
	Elf64_Ehdr header;
	Elf64_Phdr segments[4];
	Elf64_Dyn dynamic[12];
	char strings[512];
};

static const struct program empty_program = {
	.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		    .e_type = ET_DYN,
		    .e_machine = EM_X86_64,
		    .e_version = EV_CURRENT,
		    .e_entry = 0x1000,
		    .e_phoff = offsetof(struct program, segments),
		    .e_phentsize = sizeof(Elf64_Phdr),
		    .e_phnum = 4 },
	.segments = { { .p_type = PT_LOAD,
			.p_vaddr = 0x10000,
			.p_paddr = 0x10000,
			.p_filesz = sizeof(struct program),
			.p_memsz = sizeof(struct program) },
		      { .p_type = PT_DYNAMIC,
			.p_offset = offsetof(struct program, dynamic),
			.p_filesz = 12 * sizeof(Elf64_Dyn) } },
};

/* `words`: "i:INTERPRETER", "n:NEEDED", "r:RPATH", "R:RUNPATH". */
static struct program make_program(const char *const *words)
{
	struct program program = empty_program;
	size_t used = 1, n = 0;

	for (; *words; words++) {
		const char *text = *words + 2;
		char kind = **words;

		if (kind == 'i')
			program.segments[2] = (Elf64_Phdr){
				.p_type = PT_INTERP,
				.p_offset = offsetof(struct program, strings) + used,
				.p_filesz = strlen(text) + 1,
			};
		else
			program.dynamic[n++] = (Elf64_Dyn){ kind == 'n'	  ? DT_NEEDED
							    : kind == 'r' ? DT_RPATH
									  : DT_RUNPATH,
							    { used } };
		strcpy(program.strings + used, text);
		used += strlen(text) + 1;
	}
	program.dynamic[n++] =
	    (Elf64_Dyn){ DT_STRTAB, { 0x10000 + offsetof(struct program, strings) } };
	program.dynamic[n++] = (Elf64_Dyn){ DT_STRSZ, { sizeof(program.strings) } };
	return program;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void put_program(const char *path, const char *const *words)
{
	struct program program = make_program(words);

	put(path, &program, sizeof(program), 0755);
}

static struct libraries libraries;

/* What is wrong with it, or NULL. */
static const char *find(const char *folder, const char *path)
{
	unsigned char *bytes;
	size_t size;
	char *whole = realpath(path, NULL);
	const char *wrong = read_whole_file(path, &bytes, &size);

	if (!wrong)
		wrong = libraries_find(&libraries, folder, "/init", bytes, size, whole);
	free(whole);
	return wrong;
}

static const struct library *found(const char *path)
{
	for (unsigned i = 0; i < libraries.count; i++)
		if (!strcmp(libraries.list[i]->path, path))
			return libraries.list[i];
	fail_msg("%s is not among what was found", path);
	return NULL;
}

static void the_folder_comes_first(void **state)
{
	mkdir("root", 0755);
	mkdir("root/lib", 0755);
	mkdir("root/lib64", 0755);
	mkdir("root/opt", 0755);
	put_program("program", WORDS("i:/lib64/ld-test.so", "n:liba.so", "r:/opt"));
	put_program("root/lib64/ld-test.so", WORDS("n:ld-test.so"));
	put_program("root/opt/liba.so", WORDS("n:libb.so", "n:libc.so.6"));
	/* The one that needs liba.so has the RPATH, so it serves for libb.so as well. */
	put_program("root/opt/libb.so.1", WORDS("n:liba.so"));
	assert_int_equal(symlink("/opt/libb.so.1", "root/opt/libb.so"), 0); /* of the root's */
	put_program("root/lib/libc.so.6", WORDS("n:ld-test.so"));
	assert_null(find("root", "program"));
	assert_int_equal(libraries.count, 5);
	found("/lib64/ld-test.so");
	found("/opt/liba.so");
	found("/opt/libb.so");
	assert_null(found("/lib/libc.so.6")->host_path);
	assert_non_null(found("/init")->host_path);
	libraries_free(&libraries);
}

static void origin_is_where_the_owner_is(void **state)
{
	mkdir("bin", 0755);
	mkdir("lib", 0755);
	mkdir("lib/more", 0755);
	put_program("bin/program", WORDS("n:liba.so", "R:/nowhere::$ORIGIN/../lib"));
	put_program("lib/liba.so", WORDS("n:libb.so", "R:${ORIGIN}/more"));
	put_program("lib/more/libb.so", WORDS("n:liba.so"));
	assert_null(find(NULL, "bin/program"));
	assert_int_equal(libraries.count, 3);
	/* The program will be in the root. */
	assert_non_null(strstr(found("/lib/liba.so")->host_path, "bin/../lib/liba.so"));
	found("/lib/more/libb.so");
	libraries_free(&libraries);
	/* A RUNPATH is for what needs it itself only. */
	put_program("lib/liba.so", WORDS("n:liblavra-more.so"));
	put_program("lib/liblavra-more.so", WORDS("n:liba.so"));
	assert_non_null(strstr(find(NULL, "bin/program"), "liblavra-more.so, which "));
	libraries_free(&libraries);
}

static void libraries_for_other_processors_are_passed_by(void **state)
{
	struct program other = make_program(WORDS("n:libx.so"));

	other.header.e_machine = EM_AARCH64;
	mkdir("a", 0755);
	mkdir("b", 0755);
	put("a/liba.so", &other, sizeof(other), 0755);
	put("b/liba.so", "INPUT(text)", 11, 0644);
	put_program("program", WORDS("n:liba.so", "r:$ORIGIN/a:$ORIGIN/b"));
	assert_non_null(strstr(find(NULL, "program"), "liba.so, which"));
	libraries_free(&libraries);
	put_program("b/liba.so", WORDS("R:/x"));
	assert_null(find(NULL, "program"));
	found("/b/liba.so");
	libraries_free(&libraries);
}

static void musl_has_its_parts_inside(void **state)
{
	mkdir("root", 0755);
	mkdir("root/lib", 0755);
	put_program("root/lib/ld-musl-x86_64.so.1", WORDS("R:/x"));
	put_program("program", WORDS("i:/lib/ld-musl-x86_64.so.1", "n:libc.so",
				     "n:libc.musl-x86_64.so.1", "n:libpthread.so"));
	assert_null(find("root", "program"));
	assert_int_equal(libraries.count, 2);
	libraries_free(&libraries);
}

static void this_machines_own_programs(void **state)
{
	if (access("/bin/ls", X_OK))
		skip();
	assert_null(find(NULL, "/bin/ls"));
	assert_true(libraries.count == 1 || libraries.list[0]->elf.interpreter);
	for (unsigned i = 0; i < libraries.list[0]->elf.nneeded; i++)
		assert_true(libraries.count > 1 + i);
	libraries_free(&libraries);
}

/* ---- what is no program ---- */

static void refused(const char *path, const char *because)
{
	const struct options options = { .image = path, .memory_mib = 64 };
	struct boot_files files;
	const char *wrong = boot_files_prepare(&files, &options, "/nowhere/lavra");

	boot_files_free(&files);
	if (!wrong || !strstr(wrong, because) || !strstr(wrong, path))
		fail_msg("%s: '%s' does not say '%s'", path, wrong ? wrong : "(accepted)", because);
}

static void what_is_no_program_is_refused_in_words(void **state)
{
	struct program program = make_program(WORDS("n:liba.so"));

	mkdir("folder", 0755);
	put("script", "#!/bin/sh\n", 10, 0755);
	put("text", "hello", 5, 0755);
	put("nothing", "", 0, 0755);
	put("short", &program, 40, 0755);
	put("cut", &program, sizeof(program) - 1, 0755);
	put_program("closed", WORDS("R:/x"));
	assert_int_equal(chmod("closed", 0644), 0);
	refused("missing", "No such file");
	refused("folder", "is no file");
	refused("script", "is a script");
	refused("text", "no ELF file");
	refused("nothing", "no ELF file");
	refused("short", "is damaged");
	refused("cut", "cut off");
	refused("closed", "chmod +x");
	program.header.e_ident[EI_CLASS] = ELFCLASS32;
	put("other", &program, sizeof(program), 0755);
	refused("other", "32-bit");
	program.header.e_ident[EI_CLASS] = ELFCLASS64;
	program.header.e_machine = EM_AARCH64;
	put("other", &program, sizeof(program), 0755);
	refused("other", "another processor (ELF machine 183)");
	program.header.e_machine = EM_X86_64;
	program.header.e_type = ET_REL;
	put("other", &program, sizeof(program), 0755);
	refused("other", "object file");
	program.header.e_type = ET_DYN;
	program.header.e_entry = 0;
	put("other", &program, sizeof(program), 0755);
	refused("other", "is a library");
	program.header.e_entry = 0x1000;
	program.dynamic[0].d_un.d_val = 1 << 30;
	put("other", &program, sizeof(program), 0755);
	refused("other", "is damaged");
}

/* ---- together ---- */

static void put_image(const char *path)
{
	struct {
		struct program program;
		Elf64_Nhdr note;
		char name[4];
		uint64_t entry;
	} image = { .program = empty_program, .note = { 4, 8, 18 }, .name = "Xen" };

	image.program.segments[0].p_paddr = 1 << 20;
	image.program.segments[0].p_memsz = 3 << 20;
	image.program.segments[3] =
	    (Elf64_Phdr){ .p_type = PT_NOTE,
			  .p_offset = sizeof(struct program),
			  .p_filesz = sizeof(image) - sizeof(struct program) };
	put(path, &image, sizeof(image), 0755);
}

static void does_not_fit(struct options options, const char *launcher, unsigned long memory_mib,
			 const char *because)
{
	struct boot_files files;
	const char *wrong;

	options.memory_mib = memory_mib;
	wrong = boot_files_prepare(&files, &options, launcher);
	boot_files_free(&files);
	if (!wrong || !strstr(wrong, because))
		fail_msg("%lu MiB: '%s' does not say '%s'", memory_mib,
			 wrong ? wrong : "(accepted)", because);
}

static void a_program_comes_with_the_image_that_runs_it(void **state)
{
	char launcher[64];
	struct options options = { .image = "program", .files = "root", .memory_mib = 64 };
	struct boot_files files;
	const char *wrong;

	mkdir("root", 0755);
	mkdir("root/etc", 0755);
	mkdir("bin", 0755);
	mkdir("lib", 0755);
	mkdir("lib/lavra", 0755);
	put("root/etc/conf", "conf", 4, 0644);
	put("root/init", "other", 5, 0644);
	put_program("liba.so", WORDS("R:/x"));
	put_program("program", WORDS("n:liba.so", "R:$ORIGIN"));
	put_image("lib/lavra/linux");
	snprintf(launcher, sizeof(launcher), "%s/bin/lavra", top);
	wrong = boot_files_prepare(&files, &options, launcher);
	if (wrong)
		fail_msg("%s", wrong);
	assert_non_null(strstr(files.image, "/bin/../lib/lavra/linux"));
	assert_int_equal(files.image_end, 4 << 20);
	unpack(files.fd, files.size);
	assert_string_equal(fake_fs_find("/etc/conf")->bytes, "conf");
	assert_int_equal(fake_fs_find("/init")->length, sizeof(struct program));
	assert_int_equal(fake_fs_find("/init")->mode, S_IFREG | 0755);
	assert_non_null(fake_fs_find("/liba.so"));
	boot_files_free(&files);
	does_not_fit(options, launcher, 3, "4096 KiB");
	does_not_fit(options, launcher, 5, "--memory");
	/* And where it is not: */
	wrong = boot_files_prepare(&files, &options, "/nowhere/lavra");
	assert_non_null(strstr(wrong, "APP=linux"));
	boot_files_free(&files);
}

static void an_archive_and_a_folder_go_together(void **state)
{
	struct options options = {
		.image = "image", .initrd = "archive", .files = "root", .memory_mib = 64
	};
	struct boot_files files;

	mkdir("root", 0755);
	mkdir("root/etc", 0755);
	put("root/etc/conf", "new", 3, 0644);
	put("root/odd", "12345", 5, 0644);
	put_image("image");
	assert_int_equal(system("mkdir etc; printf older >etc/conf; printf x >y;"
				" tar -cf archive etc/conf y"),
			 0);
	assert_null(boot_files_prepare(&files, &options, "/nowhere/lavra"));
	unpack(files.fd, files.size);
	assert_string_equal(fake_fs_find("/etc/conf")->bytes, "new");
	assert_string_equal(fake_fs_find("/y")->bytes, "x");
	assert_string_equal(fake_fs_find("/odd")->bytes, "12345");
	boot_files_free(&files);
	/* Alone it is taken as it is. */
	options.files = NULL;
	assert_null(boot_files_prepare(&files, &options, "/nowhere/lavra"));
	assert_string_equal(files.initrd, "archive");
	assert_int_equal(files.size, 10240);
	boot_files_free(&files);
	options.initrd = "missing";
	assert_non_null(strstr(boot_files_prepare(&files, &options, "/nowhere/lavra"),
			       "--initrd missing: No such file"));
	boot_files_free(&files);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_folder_is_packed_whole),
		TEST(what_cannot_be_packed_is_named),
		TEST(the_folder_comes_first),
		TEST(origin_is_where_the_owner_is),
		TEST(libraries_for_other_processors_are_passed_by),
		TEST(musl_has_its_parts_inside),
		TEST(this_machines_own_programs),
		TEST(what_is_no_program_is_refused_in_words),
		TEST(a_program_comes_with_the_image_that_runs_it),
		TEST(an_archive_and_a_folder_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
