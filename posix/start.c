/*
 * The start of the application.
 *
 * Its stack holds what Linux puts there: argc, argv, the environment and the auxiliary vector, in
 * one block of words, with the strings above it. The C library reads all of it.
 */
#include "posix/start.h"

#include "posix/pseudo_file.h"
#include "posix/random.h"

#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/area.h"
#include "sched/thread.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_BYTES (8ul << 20) /* as Linux; pages appear when they are touched */
#define USER 1000 /* as posix/identity.c answers */
#define MAX_ENVIRONMENT 32
#define EXECUTABLE "/app"

/* Of the application and the C library: posix/ is linked against them last. */
int main(int argc, char **argv, char **envp);
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*unused)(void));
__attribute__((weak)) void _init(void);
__attribute__((weak)) void _fini(void);

/* The ELF header of the image, which the linker script keeps in its first page. */
extern const char image_start[];

static char *environment[MAX_ENVIRONMENT];
static unsigned nenvironment;

static const char *parse_environment(const char *value)
{
	if (!strchr(value, '=') || *value == '=')
		return "must be NAME=VALUE";
	if (nenvironment == MAX_ENVIRONMENT)
		return "more than 32 of them";
	environment[nenvironment++] = (char *)value;
	return NULL;
}
BOOT_OPTION(env, "env=NAME=VALUE: put into the application's environment; may be repeated",
	    parse_environment);

/* ---- the block ---- */

struct builder {
	char *strings; /* grow downwards from the stack's end */
	unsigned long *word; /* the next word of the block */
};

static char *put_bytes(struct builder *builder, const void *bytes, size_t length)
{
	builder->strings -= length;
	memcpy(builder->strings, bytes, length);
	return builder->strings;
}

static void put_word(struct builder *builder, unsigned long value)
{
	*builder->word++ = value;
}

static void put_auxiliary(struct builder *builder, unsigned long type, unsigned long value)
{
	put_word(builder, type);
	put_word(builder, value);
}

static void put_auxiliary_vector(struct builder *builder, const char *random,
				 const char *executable)
{
	const Elf64_Ehdr *header = (const void *)image_start;

	put_auxiliary(builder, AT_PHDR, (unsigned long)image_start + header->e_phoff);
	put_auxiliary(builder, AT_PHENT, header->e_phentsize);
	put_auxiliary(builder, AT_PHNUM, header->e_phnum);
	put_auxiliary(builder, AT_PAGESZ, PAGE_SIZE);
	put_auxiliary(builder, AT_BASE, 0);
	put_auxiliary(builder, AT_FLAGS, 0);
	put_auxiliary(builder, AT_ENTRY, (unsigned long)main);
	put_auxiliary(builder, AT_UID, USER);
	put_auxiliary(builder, AT_EUID, USER);
	put_auxiliary(builder, AT_GID, USER);
	put_auxiliary(builder, AT_EGID, USER);
	put_auxiliary(builder, AT_SECURE, 0);
	put_auxiliary(builder, AT_CLKTCK, 100);
	put_auxiliary(builder, AT_HWCAP, 0);
	put_auxiliary(builder, AT_RANDOM, (unsigned long)random);
	put_auxiliary(builder, AT_EXECFN, (unsigned long)executable);
	put_auxiliary(builder, AT_NULL, 0);
}

#define AUXILIARY_WORDS (2 * 17)

/* Returns where the block starts: argc. The stack goes on beneath it. */
static unsigned long *build(void *stack_end)
{
	struct builder builder = { .strings = stack_end };
	char *arguments[boot_argc], *variables[MAX_ENVIRONMENT];
	size_t nwords = 1 + (boot_argc + 1) + (nenvironment + 1) + AUXILIARY_WORDS;
	const char *random, *executable;
	unsigned long *block;
	uint64_t bytes[2];

	random_bytes(bytes, sizeof(bytes));
	random = put_bytes(&builder, bytes, sizeof(bytes));
	executable = put_bytes(&builder, EXECUTABLE, sizeof(EXECUTABLE));
	for (int i = 0; i < boot_argc; i++)
		arguments[i] = put_bytes(&builder, boot_argv[i], strlen(boot_argv[i]) + 1);
	for (unsigned i = 0; i < nenvironment; i++)
		variables[i] = put_bytes(&builder, environment[i], strlen(environment[i]) + 1);

	block = (void *)align_down((vaddr_t)builder.strings - nwords * sizeof(*block), 16);
	builder.word = block;
	put_word(&builder, boot_argc);
	for (int i = 0; i < boot_argc; i++)
		put_word(&builder, (unsigned long)arguments[i]);
	put_word(&builder, 0);
	for (unsigned i = 0; i < nenvironment; i++)
		put_word(&builder, (unsigned long)variables[i]);
	put_word(&builder, 0);
	put_auxiliary_vector(&builder, random, executable);
	assert(builder.word == block + nwords);
	return block;
}

/* ---- the thread ---- */

/* What crt1 does. Does not return: main's result goes to exit(). */
static void run_application(void *argument)
{
	unsigned long *block = argument;

	__libc_start_main(main, block[0], (char **)(block + 1), _init, _fini, NULL);
	panic("__libc_start_main returned");
}

void start_application(void)
{
	long base = area_map(0, STACK_BYTES + PAGE_SIZE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE);
	unsigned long *block;

	/* The lowest page stays unmapped: the guard. */
	if (base < 0 || area_protect(base + PAGE_SIZE, STACK_BYTES, PROT_READ | PROT_WRITE) != 0)
		panic("no memory for the application's stack");
	console_files_open();
	block = build((void *)(base + PAGE_SIZE + STACK_BYTES));
	if (!thread_create_main(run_application, block, block))
		panic("no memory for the application's first thread");
}
