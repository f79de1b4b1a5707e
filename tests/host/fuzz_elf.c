/*
 * Any file: the parsers look at nothing outside it, and what they accept can be mapped as it is.
 *
 * links: posix/elf/elf_file.c posix/elf/script.c
 */
#include "arch/arch.h"
#include "posix/elf/script.h"
#include "tests/host/elf_bytes.h"

#include <stdlib.h>

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void check_program(const struct elf_program *program, size_t size)
{
	uint64_t end = 0;
	bool entry_found = false;

	check(program->nsegments >= 1 && program->nsegments <= ELF_SEGMENTS_MAX);
	for (unsigned i = 0; i < program->nsegments; i++) {
		const struct elf_segment *s = &program->segments[i];

		check(s->file_size <= s->memory_size && s->memory_size);
		check(s->offset <= size && s->file_size <= size - s->offset);
		check(s->address < USER_END && s->memory_size <= USER_END - s->address);
		check(s->address % PAGE_SIZE == s->offset % PAGE_SIZE);
		check(align_down(s->address, PAGE_SIZE) >= end);
		check(!(s->protection & PAGE_WRITE && s->protection & PAGE_EXECUTE));
		end = align_up(s->address + s->memory_size, PAGE_SIZE);
		entry_found |= program->entry >= s->address && s->protection & PAGE_EXECUTE &&
			       program->entry - s->address < s->file_size;
	}
	check(entry_found);
	check(program->end == end);
	check(program->start == align_down(program->segments[0].address, PAGE_SIZE));
	check(!program->fixed || program->start >= USER_START);
	check(program->alignment >= PAGE_SIZE && !(program->alignment & (program->alignment - 1)));
	check(program->alignment <= USER_END);
	check(strnlen(program->interpreter, ELF_INTERPRETER_BYTES) < ELF_INTERPRETER_BYTES);
	check(!program->interpreter[0] || program->interpreter[0] == '/');
}

static void try_script(const uint8_t *data, size_t size)
{
	size_t length = size < SCRIPT_LINE_BYTES ? size : SCRIPT_LINE_BYTES;
	char *line = malloc(SCRIPT_LINE_BYTES), *interpreter, *argument;
	const char *reason;

	memcpy(line, data, length);
	if (script_parse(line, length, &interpreter, &argument, &reason) == SCRIPT) {
		check(interpreter[0] == '/' && strlen(interpreter) < SCRIPT_LINE_BYTES);
		check(!argument || (argument[0] && strlen(argument) < SCRIPT_LINE_BYTES));
	}
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* its ends are watched */
	struct elf_program program;

	memcpy(copy, data, size);
	if (parse_bytes(copy, size, &program))
		check_program(&program, size);
	else
		check(program.reason[0] &&
		      strnlen(program.reason, sizeof(program.reason)) < sizeof(program.reason));
	free(copy);
	try_script(data, size);
	return 0;
}
