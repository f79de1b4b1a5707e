/*
 * The stack block; the model is in the header.
 */
#include "posix/process/start_block.h"

#include "posix/fs/pseudo.h"
#include "posix/random.h"
#include "posix/signal/signal.h"

#include "arch/arch.h"
#include "arch/x86_64/user_access.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/area.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_BYTES (8ul << 20) /* as Linux */
#define BLOCK_BYTES_MAX (STACK_BYTES / 4) /* as Linux: arguments and environment */
#define STACK_BASE 0x14000000000ul /* far below where mmap() begins, far above heaps */
#define STACK_RANDOM_PAGES (1ul << 22)
#define USER 1000 /* as posix/process/identity.c answers */
#define MAX_ENVIRONMENT 32

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

void start_environment_default(const char *text)
{
	size_t name_length = (size_t)(strchr(text, '=') + 1 - text);

	for (unsigned i = 0; i < nenvironment; i++)
		if (strncmp(environment[i], text, name_length) == 0)
			return;
	if (nenvironment < MAX_ENVIRONMENT)
		environment[nenvironment++] = (char *)text;
}

void *start_stack_create(void)
{
	uint64_t random = arch_random() % STACK_RANDOM_PAGES * PAGE_SIZE;
	long base = area_map(addresses_are_random ? STACK_BASE + random : 0,
			     STACK_BYTES + PAGE_SIZE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE);

	/* The lowest page stays unmapped: the guard. */
	if (base < 0 || area_protect(base + PAGE_SIZE, STACK_BYTES, PROT_READ | PROT_WRITE) != 0)
		return NULL;
	return (void *)(base + PAGE_SIZE + STACK_BYTES);
}

struct builder {
	char *strings; /* grow downwards from the stack's end */
	unsigned long *word; /* the next word of the block */
	bool failed; /* the stack's memory is not there */
};

static void put_at(struct builder *builder, void *place, const void *bytes, size_t length)
{
	builder->failed |= !user_copy(place, bytes, length);
}

static char *put_bytes(struct builder *builder, const void *bytes, size_t length)
{
	builder->strings -= length;
	put_at(builder, builder->strings, bytes, length);
	return builder->strings;
}

static char *put_string(struct builder *builder, const char *string)
{
	return put_bytes(builder, string, strlen(string) + 1);
}

static void put_word(struct builder *builder, unsigned long value)
{
	put_at(builder, builder->word++, &value, sizeof(value));
}

/* A list of pointers to strings, which lie one behind the other in the list's order, as on Linux:
 * programs that change their title rely on it. */
struct list_of_strings {
	unsigned count;
	char *const *from;
	size_t size; /* of all strings */
	char *place;
};

static struct list_of_strings measure(unsigned count, char *const *from)
{
	struct list_of_strings list = { .count = count, .from = from };

	for (unsigned i = 0; i < count; i++)
		list.size += strlen(from[i]) + 1;
	return list;
}

static void put_list(struct builder *builder, const struct list_of_strings *list)
{
	char *place = list->place;

	for (unsigned i = 0; i < list->count; i++) {
		size_t size = strlen(list->from[i]) + 1;

		put_at(builder, place, list->from[i], size);
		put_word(builder, (unsigned long)place);
		place += size;
	}
	put_word(builder, 0);
}

struct auxiliary {
	unsigned long type, value;
};

#define AUXILIARY_VALUES 21

unsigned long *start_block_build(void *stack_end, const struct start_program *program)
{
	struct list_of_strings arguments = measure((unsigned)program->argc, program->argv);
	struct list_of_strings variables = measure(nenvironment, environment);
	size_t nwords = 1 + (arguments.count + 1) + (variables.count + 1) + 2 * AUXILIARY_VALUES;
	struct builder builder = { .strings = stack_end };
	const char *path, *random, *platform;
	unsigned long *block;
	uint64_t bytes[2];

	if (arguments.size + variables.size + nwords * sizeof(*block) > BLOCK_BYTES_MAX)
		return NULL;
	/* From the end downwards. */
	path = put_string(&builder, program->path);
	variables.place = builder.strings -= variables.size;
	arguments.place = builder.strings -= arguments.size;
	platform = put_string(&builder, ARCH_PLATFORM);
	random_bytes(bytes, sizeof(bytes));
	random = put_bytes(&builder, bytes, sizeof(bytes));
	const struct auxiliary auxiliary[AUXILIARY_VALUES] = {
		{ program->vdso ? AT_SYSINFO_EHDR : AT_IGNORE, (unsigned long)program->vdso },
		{ AT_PHDR, program->headers },
		{ AT_PHENT, program->header_size },
		{ AT_PHNUM, program->nheaders },
		{ AT_PAGESZ, PAGE_SIZE },
		{ AT_BASE, program->base },
		{ AT_FLAGS, 0 },
		{ AT_ENTRY, program->entry },
		{ AT_UID, USER },
		{ AT_EUID, USER },
		{ AT_GID, USER },
		{ AT_EGID, USER },
		{ AT_SECURE, 0 },
		{ AT_CLKTCK, 100 },
		{ AT_HWCAP, arch_hardware_capabilities() },
		{ AT_HWCAP2, 0 },
		{ AT_MINSIGSTKSZ, signal_frame_size() },
		{ AT_PLATFORM, (unsigned long)platform },
		{ AT_RANDOM, (unsigned long)random },
		{ AT_EXECFN, (unsigned long)path },
		{ AT_NULL, 0 },
	};

	block = (void *)align_down((vaddr_t)builder.strings - nwords * sizeof(*block), 16);
	builder.word = block;
	put_word(&builder, arguments.count);
	put_list(&builder, &arguments);
	put_list(&builder, &variables);
	put_at(&builder, builder.word, auxiliary, sizeof(auxiliary));
	assert(builder.word + 2 * AUXILIARY_VALUES == block + nwords);
	if (builder.failed)
		return NULL;
	proc_set_executable(program->path);
	proc_set_arguments(arguments.place, arguments.size);
	proc_set_environment(variables.place, variables.size);
	proc_set_auxiliary_vector(builder.word, sizeof(auxiliary));
	return block;
}
