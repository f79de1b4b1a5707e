/*
 * ELF files, good ones and files with every kind of lie, and the first lines of scripts.
 *
 * links: posix/elf/elf_file.c posix/elf/script.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "posix/elf/script.h"
#include "tests/host/elf_bytes.h"

static struct elf_bytes elf;
static struct elf_program program;

static bool parse(void)
{
	return parse_bytes(&elf, sizeof(elf), &program);
}

static void assert_refused(const char *words)
{
	if (parse())
		fail_msg("accepted; expected: %s", words);
	if (!strstr(program.reason, words))
		fail_msg("the reason is '%s'; expected: %s", program.reason, words);
	elf_bytes_make(&elf, ET_DYN, 0);
}

static int setup(void **state)
{
	elf_bytes_make(&elf, ET_DYN, 0);
	return 0;
}

static void a_position_independent_program(void **state)
{
	assert_true(parse());
	assert_false(program.fixed);
	assert_int_equal(program.nsegments, 2);
	assert_int_equal(program.start, 0);
	assert_int_equal(program.end, 0xa000);
	assert_int_equal(program.alignment, 0x1000);
	assert_int_equal(program.entry, 0x800);
	assert_int_equal(program.headers, sizeof(Elf64_Ehdr));
	assert_int_equal(program.nheaders, ELF_HEADERS);
	assert_string_equal(program.interpreter, "/lib/ld.so");
	assert_int_equal(program.segments[0].protection, PAGE_READ | PAGE_EXECUTE);
	assert_int_equal(program.segments[1].protection, PAGE_READ | PAGE_WRITE);
	assert_int_equal(program.segments[1].file_size, 0x100);
	assert_int_equal(program.segments[1].memory_size, 0x4000);
	assert_false(program.wants_executable_stack);
}

static void a_program_at_fixed_addresses(void **state)
{
	elf_bytes_make(&elf, ET_EXEC, 0x400000);
	elf.headers[HEADER_INTERPRETER].p_type = PT_NULL;
	elf.headers[HEADER_STACK].p_flags |= PF_X;
	assert_true(parse());
	assert_true(program.fixed);
	assert_int_equal(program.start, 0x400000);
	assert_int_equal(program.headers, 0x400000 + sizeof(Elf64_Ehdr));
	assert_string_equal(program.interpreter, "");
	assert_true(program.wants_executable_stack);
}

static void the_largest_alignment_counts(void **state)
{
	elf.headers[HEADER_DATA].p_align = 0x200000;
	assert_true(parse());
	assert_int_equal(program.alignment, 0x200000);
}

static void headers_that_are_not_mapped(void **state)
{
	elf.headers[HEADER_TEXT].p_offset = 0x1000;
	elf.headers[HEADER_TEXT].p_filesz = 0x900;
	assert_true(parse());
	assert_int_equal(program.headers, 0);
	assert_int_equal(program.nheaders, 0);
}

static void no_elf_file(void **state)
{
	assert_false(parse_bytes("", 0, &program));
	assert_non_null(strstr(program.reason, "is not an ELF file"));
	assert_false(parse_bytes(&elf, sizeof(Elf64_Ehdr) - 1, &program));
	elf.header.e_ident[1] = 'e';
	assert_refused("is not an ELF file");
}

static void the_wrong_machine(void **state)
{
	elf.header.e_ident[EI_CLASS] = ELFCLASS32;
	assert_refused("32-bit");
	elf.header.e_ident[EI_CLASS] = 7;
	assert_refused("class 7");
	elf.header.e_machine = EM_AARCH64;
	assert_refused("another processor (ELF machine 183");
	elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_refused("another processor");
	elf.header.e_ident[EI_VERSION] = 0;
	assert_refused("version");
	elf.header.e_version = 2;
	assert_refused("version");
}

static void no_program(void **state)
{
	elf.header.e_type = ET_REL;
	assert_refused("object file");
	elf.header.e_type = ET_CORE;
	assert_refused("core dump");
	elf.header.e_type = 77;
	assert_refused("ELF type 77");
	elf.headers[HEADER_TEXT].p_type = elf.headers[HEADER_DATA].p_type = PT_NULL;
	assert_refused("no segment");
}

static void bad_tables_of_headers(void **state)
{
	elf.header.e_phentsize = 32;
	assert_refused("program headers of 32 bytes");
	elf.header.e_phnum = 0;
	assert_refused("0 program headers");
	elf.header.e_phnum = PN_XNUM;
	assert_refused("65535 program headers");
	elf.header.e_phoff = sizeof(elf) + 1;
	assert_refused("beyond its end");
	elf.header.e_phoff = UINT64_MAX - 100;
	assert_refused("beyond its end");
	elf.header.e_phoff = sizeof(elf) - sizeof(Elf64_Phdr) - 1;
	memcpy((char *)&elf + elf.header.e_phoff, &elf.headers[HEADER_TEXT], sizeof(Elf64_Phdr));
	assert_refused("is truncated");
}

static void writable_text(void **state)
{
	elf.headers[HEADER_TEXT].p_flags |= PF_W;
	assert_refused("segment 0 writable and executable");
	elf.headers[HEADER_DATA].p_flags |= PF_X;
	assert_refused("segment 1 writable and executable");
}

static void segments_beyond_the_file(void **state)
{
	elf.headers[HEADER_DATA].p_filesz = sizeof(elf);
	elf.headers[HEADER_DATA].p_memsz = sizeof(elf);
	assert_refused("is truncated: segment 1");
	elf.headers[HEADER_DATA].p_offset = UINT64_MAX & ~0xfefull;
	assert_refused("is truncated: segment 1");
	elf.headers[HEADER_DATA].p_filesz = UINT64_MAX;
	elf.headers[HEADER_DATA].p_memsz = UINT64_MAX;
	assert_refused("is truncated: segment 1");
	elf.headers[HEADER_DATA].p_filesz = 0x5000;
	assert_refused("more bytes in segment 1 than room");
}

static void segments_beyond_memory(void **state)
{
	elf.headers[HEADER_DATA].p_memsz = UINT64_MAX;
	assert_refused("beyond what there is");
	elf.headers[HEADER_DATA].p_vaddr = UINT64_MAX & ~0xfefull;
	assert_refused("beyond what there is");
	elf.headers[HEADER_DATA].p_vaddr = USER_END - 0xff0;
	assert_refused("beyond what there is");
	elf_bytes_make(&elf, ET_EXEC, USER_START - 0x1000);
	assert_refused("the lowest address possible");
	elf_bytes_make(&elf, ET_EXEC, 0);
	assert_refused("the lowest address possible");
}

static void segments_that_share_pages(void **state)
{
	elf.headers[HEADER_DATA].p_vaddr = 0x1010;
	assert_refused("segment 1 below or on the same page");
	elf.headers[HEADER_TEXT].p_vaddr = 0x10000;
	elf.header.e_entry = 0x10800;
	assert_refused("segment 1 below");
}

static void bad_alignments(void **state)
{
	elf.headers[HEADER_DATA].p_offset++;
	assert_refused("segment 1 not aligned to pages");
	elf.headers[HEADER_DATA].p_align = 0x3000;
	assert_refused("power of two");
	elf.headers[HEADER_DATA].p_align = 1ull << 63;
	assert_refused("alignment");
}

static void an_entry_without_code(void **state)
{
	elf.header.e_entry = 0x5010;
	assert_refused("starts at 0x5010, where it has no code");
	elf.header.e_entry = 0x1234;
	assert_refused("no code");
	elf.header.e_entry = UINT64_MAX;
	assert_refused("no code");
}

static void bad_interpreters(void **state)
{
	elf.headers[HEADER_INTERPRETER].p_filesz = 1;
	assert_refused("an interpreter with 1 bytes");
	elf.headers[HEADER_INTERPRETER].p_filesz = ELF_INTERPRETER_BYTES + 1;
	assert_refused("an interpreter with");
	elf.headers[HEADER_INTERPRETER].p_offset = UINT64_MAX - 1;
	assert_refused("is truncated");
	elf.headers[HEADER_INTERPRETER].p_filesz--;
	assert_refused("no absolute path"); /* not terminated */
	elf.interpreter[3] = 0;
	assert_refused("no absolute path");
	elf.interpreter[0] = 'l';
	assert_refused("no absolute path");
	elf.headers[HEADER_TLS] = elf.headers[HEADER_INTERPRETER];
	assert_refused("two interpreters");
}

static void too_many_segments(void **state)
{
	static uint8_t file[0x1000 + (ELF_SEGMENTS_MAX + 1) * sizeof(Elf64_Phdr)];
	Elf64_Phdr header = elf.headers[HEADER_DATA];

	memcpy(file, &elf, 0x1000);
	((Elf64_Ehdr *)file)->e_phoff = 0x1000;
	((Elf64_Ehdr *)file)->e_phnum = ELF_SEGMENTS_MAX + 1;
	header.p_offset = 0x10;
	for (unsigned i = 0; i <= ELF_SEGMENTS_MAX; i++, header.p_vaddr += 0x10000)
		memcpy(file + 0x1000 + i * sizeof(header), &header, sizeof(header));
	assert_false(parse_bytes(file, sizeof(file), &program));
	assert_non_null(strstr(program.reason, "more than 32 segments"));
}

/* ---- scripts ---- */

static char line[SCRIPT_LINE_BYTES];
static char *interpreter, *argument;
static const char *reason;

static enum script_kind script(const char *text)
{
	size_t length = strlen(text);

	memset(line, 'x', sizeof(line));
	length = length < sizeof(line) ? length : sizeof(line);
	memcpy(line, text, length);
	return script_parse(line, length, &interpreter, &argument, &reason);
}

static void first_lines_of_scripts(void **state)
{
	assert_int_equal(script("#!/bin/sh\necho\n"), SCRIPT);
	assert_string_equal(interpreter, "/bin/sh");
	assert_null(argument);
	assert_int_equal(script("#! \t/bin/env  python3 -u \nx"), SCRIPT);
	assert_string_equal(interpreter, "/bin/env");
	assert_string_equal(argument, "python3 -u");
	assert_int_equal(script("#!/x"), SCRIPT); /* no end of the line */
	assert_string_equal(interpreter, "/x");
	assert_int_equal(script("\177ELF"), NOT_A_SCRIPT);
	assert_int_equal(script("#"), NOT_A_SCRIPT);
	assert_int_equal(script(""), NOT_A_SCRIPT);
}

static void first_lines_that_name_nothing(void **state)
{
	char long_line[2 * SCRIPT_LINE_BYTES];

	assert_int_equal(script("#!"), BAD_SCRIPT);
	assert_int_equal(script("#!  \n/bin/sh"), BAD_SCRIPT);
	assert_int_equal(script("#!sh\n"), BAD_SCRIPT);
	memset(long_line, '/', sizeof(long_line));
	memcpy(long_line, "#!", 2);
	long_line[sizeof(long_line) - 1] = 0;
	assert_int_equal(script(long_line), BAD_SCRIPT);
	assert_non_null(strstr(reason, "more than 255 bytes"));
	/* The longest that there may be. */
	long_line[SCRIPT_LINE_BYTES - 1] = '\n';
	assert_int_equal(script(long_line), SCRIPT);
	assert_int_equal(strlen(interpreter), SCRIPT_LINE_BYTES - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_position_independent_program, setup),
		cmocka_unit_test_setup(a_program_at_fixed_addresses, setup),
		cmocka_unit_test_setup(the_largest_alignment_counts, setup),
		cmocka_unit_test_setup(headers_that_are_not_mapped, setup),
		cmocka_unit_test_setup(no_elf_file, setup),
		cmocka_unit_test_setup(the_wrong_machine, setup),
		cmocka_unit_test_setup(no_program, setup),
		cmocka_unit_test_setup(bad_tables_of_headers, setup),
		cmocka_unit_test_setup(writable_text, setup),
		cmocka_unit_test_setup(segments_beyond_the_file, setup),
		cmocka_unit_test_setup(segments_beyond_memory, setup),
		cmocka_unit_test_setup(segments_that_share_pages, setup),
		cmocka_unit_test_setup(bad_alignments, setup),
		cmocka_unit_test_setup(an_entry_without_code, setup),
		cmocka_unit_test_setup(bad_interpreters, setup),
		cmocka_unit_test_setup(too_many_segments, setup),
		cmocka_unit_test(first_lines_of_scripts),
		cmocka_unit_test(first_lines_that_name_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
