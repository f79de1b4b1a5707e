#include "posix/elf/program.h"

#include "posix/elf/load.h"
#include "posix/elf/script.h"
#include "posix/file/file.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/process/start_block.h"

#include "arch/arch.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "sched/thread.h"
#include "smp/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* As shells report them. */
#define EXIT_NOT_FOUND 127
#define EXIT_CANNOT_RUN 126

/* Scripts that are read by scripts that are ...: as many as Linux follows. */
#define SCRIPT_DEPTH 4
#define MAX_ARGUMENTS 80 /* the command line's 64, and two for each script */

/* Where position-independent programs begin: far above fixed ones, below brk()'s default place. */
#define PROGRAM_BASE 0x1000000000ul
#define PROGRAM_RANDOM_PAGES (1ul << 25)
#define HEAP_RANDOM_PAGES (1ul << 13)

static void refuse(const char *path, int status, const char *reason) __attribute__((noreturn));
static void refuse(const char *path, int status, const char *reason)
{
	kprintf("lavra: %s %s\n", path, reason);
	machine_exit(status);
}

static uint64_t random_pages(uint64_t npages)
{
	return addresses_are_random ? arch_random() % npages * PAGE_SIZE : 0;
}

/* ---- files ---- */

struct opened {
	const char *path;
	struct file *file; /* in no descriptor */
	struct elf_file_reader reader;
};

static void open_program(struct opened *opened, const char *path)
{
	struct walk walk;
	char reason[48];
	int error = walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk);

	if (error == -ENOENT || error == -ENOTDIR)
		refuse(path, EXIT_NOT_FOUND, "does not exist: there is no program to run");
	if (!error && (walk.file || !inode_is(walk.inode, S_IFREG)))
		refuse(path, EXIT_CANNOT_RUN, "is not a regular file");
	if (!error && !inode_reference(walk.inode))
		error = -ENOENT;
	if (!error)
		error = open_inode(walk.inode, walk.number, O_RDONLY, &opened->file);
	if (error) {
		ksnprintf(reason, sizeof(reason), "cannot be opened (error %d)", -error);
		refuse(path, EXIT_CANNOT_RUN, reason);
	}
	opened->path = path;
	elf_file_reader_init(&opened->reader, opened->file, (uint64_t)inode_size(walk.inode));
}

static void parse(struct opened *opened, struct elf_program *program)
{
	if (!elf_parse(&opened->reader.reader, program))
		refuse(opened->path, EXIT_CANNOT_RUN, program->reason);
	if (program->wants_executable_stack)
		kprintf("lavra: %s asks for an executable stack and does not get one\n",
			opened->path);
}

static void load(struct opened *opened, const struct elf_program *program, vaddr_t wish,
		 struct elf_image *image)
{
	long error = elf_load(opened->reader.file, program, wish, image);
	char reason[64];

	if (error == -ENOMEM)
		refuse(opened->path, EXIT_CANNOT_RUN, "does not fit into memory");
	if (error == -EACCES && arch_isolation())
		refuse(opened->path, EXIT_CANNOT_RUN,
		       "is refused by the isolation by protection keys");
	if (error) {
		ksnprintf(reason, sizeof(reason), "cannot be loaded (error %ld)", -error);
		refuse(opened->path, EXIT_CANNOT_RUN, reason);
	}
	file_unreference(opened->file);
}

/* ---- arguments ---- */

static char *arguments[MAX_ARGUMENTS + 1];
static int narguments;

static void take_command_line(const char *path)
{
	for (int i = 1; i < boot_argc; i++)
		arguments[i] = boot_argv[i];
	arguments[0] = (char *)path;
	narguments = boot_argc;
}

static void put_first(char *argument)
{
	memmove(arguments + 1, arguments, (size_t)narguments++ * sizeof(*arguments));
	arguments[0] = argument;
}

/* Follow the first lines of scripts to the program that reads them. argv[0] is that program, then
 * its argument in the line, then the script's path in place of the script's argv[0]. */
static void open_behind_scripts(struct opened *opened, const char *path)
{
	static char lines[SCRIPT_DEPTH][SCRIPT_LINE_BYTES];
	unsigned depth = 0;

	for (;;) {
		struct elf_reader *reader = &opened->reader.reader;
		char *interpreter, *argument;
		const char *reason;
		char *line = lines[depth];
		size_t length;

		open_program(opened, path);
		length = min(reader->size, (uint64_t)SCRIPT_LINE_BYTES);
		if (reader->read(reader, 0, line, length) != 0)
			refuse(path, EXIT_CANNOT_RUN, "cannot be read");
		switch (script_parse(line, length, &interpreter, &argument, &reason)) {
		case NOT_A_SCRIPT:
			return;
		case BAD_SCRIPT:
			refuse(path, EXIT_CANNOT_RUN, reason);
		case SCRIPT:
			break;
		}
		if (++depth == SCRIPT_DEPTH)
			refuse(path, EXIT_CANNOT_RUN,
			       "is a script for a script, too many times over");
		arguments[0] = (char *)path;
		if (argument)
			put_first(argument);
		put_first(interpreter);
		file_unreference(opened->file);
		path = interpreter;
	}
}

/* ---- the start ---- */

static vaddr_t start_address; /* of the dynamic linker, or of the program */

static void run_program(void *block)
{
	const char *name = strrchr(arguments[0], '/');

	name = name ? name + 1 : arguments[0];
	memset(current->name, 0, sizeof(current->name));
	memcpy(current->name, name, strnlen(name, sizeof(current->name) - 1));
	arch_enter_application(start_address, 0, block);
}

static void enable_on_core(void *unused)
{
	arch_enable_syscall_instruction();
}

static void make_thread(const struct start_program *start)
{
	void *stack_end = start_stack_create();
	unsigned long *block = stack_end ? start_block_build(stack_end, start) : NULL;

	if (!block)
		refuse(start->path, EXIT_CANNOT_RUN, "has no room for its stack and arguments");
	core_call_all(enable_on_core, NULL);
	thread_use_syscall_stacks();
	if (!thread_create_main(run_program, block, block))
		refuse(start->path, EXIT_CANNOT_RUN, "has no memory for its first thread");
}

void program_start(const char *path)
{
	static struct elf_program program, linker;
	static struct elf_image image, linker_image;
	struct opened opened;
	struct start_program start;

	console_files_open();
	/* As Linux's first process has them. */
	start_environment_default("HOME=/");
	start_environment_default(
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	take_command_line(path);
	open_behind_scripts(&opened, path);
	parse(&opened, &program);
	load(&opened, &program, PROGRAM_BASE + random_pages(PROGRAM_RANDOM_PAGES), &image);
	start_address = image.entry;
	if (program.interpreter[0]) {
		/* The dynamic linker; it loads the rest itself. */
		open_program(&opened, program.interpreter);
		parse(&opened, &linker);
		if (linker.fixed)
			refuse(opened.path, EXIT_CANNOT_RUN,
			       "is named as interpreter and is not position-independent");
		load(&opened, &linker, 0, &linker_image);
		start_address = linker_image.entry;
	}
	brk_set(image.end + random_pages(HEAP_RANDOM_PAGES));
	start = (struct start_program){
		.path = path,
		.argc = narguments,
		.argv = arguments,
		.headers = image.headers,
		.header_size = ELF_HEADER_SIZE,
		.nheaders = program.nheaders,
		.base = linker_image.bias,
		.entry = image.entry,
		.vdso = arch_vdso,
	};
	make_thread(&start);
}
