#include "posix/elf/elf_file.h"

#include "arch/arch.h"
#include "lavra/console.h"

#include <elf.h>
#include <string.h>

#define HEADERS_MAX 128

_Static_assert(sizeof(Elf64_Phdr) == ELF_HEADER_SIZE, "gABI");

/* As is, with its numbers. Returns false, for the caller to return. */
static bool refuse(struct elf_program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool refuse(struct elf_program *program, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	kvsnprintf(program->reason, sizeof(program->reason), format, args);
	va_end(args);
	return false;
}

static bool read_at(struct elf_reader *reader, struct elf_program *program, uint64_t offset,
		    void *to, size_t length)
{
	long error;

	if (offset > reader->size || length > reader->size - offset)
		return refuse(program, "is truncated: %zu bytes at %lu lie beyond its end at %lu",
			      length, (unsigned long)offset, (unsigned long)reader->size);
	error = reader->read(reader, offset, to, length);
	if (error)
		return refuse(program, "cannot be read (error %ld)", -error);
	return true;
}

/* ---- the header ---- */

static bool check_identity(const Elf64_Ehdr *header, struct elf_program *program)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return refuse(program, "is not an ELF file");
	if (header->e_ident[EI_CLASS] == ELFCLASS32)
		return refuse(program, "is a 32-bit program; only 64-bit ones run here");
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return refuse(program, "has ELF class %u, which does not exist",
			      header->e_ident[EI_CLASS]);
	if (header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != ARCH_ELF_MACHINE)
		return refuse(program, "is for another processor (ELF machine %u, not %u: %s)",
			      header->e_machine, ARCH_ELF_MACHINE, ARCH_PLATFORM);
	if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return refuse(program, "has an unknown ELF version");
	return true;
}

static bool check_header(const Elf64_Ehdr *header, struct elf_program *program)
{
	if (!check_identity(header, program))
		return false;
	switch (header->e_type) {
	case ET_EXEC:
	case ET_DYN:
		break;
	case ET_REL:
		return refuse(program, "is an object file, not a program");
	case ET_CORE:
		return refuse(program, "is a core dump, not a program");
	default:
		return refuse(program, "has ELF type %u: not a program", header->e_type);
	}
	if (header->e_phentsize != ELF_HEADER_SIZE)
		return refuse(program, "has program headers of %u bytes instead of %u",
			      header->e_phentsize, ELF_HEADER_SIZE);
	if (header->e_phnum == 0 || header->e_phnum > HEADERS_MAX)
		return refuse(program, "has %u program headers; 1 to %u are possible",
			      header->e_phnum, HEADERS_MAX);
	return true;
}

/* ---- segments ---- */

static unsigned protection_of(const Elf64_Phdr *header)
{
	return (header->p_flags & PF_R ? PAGE_READ : 0) |
	       (header->p_flags & PF_W ? PAGE_WRITE : 0) |
	       (header->p_flags & PF_X ? PAGE_EXECUTE : 0);
}

static bool check_segment(const Elf64_Phdr *header, uint64_t file_size, unsigned number,
			  struct elf_program *program)
{
	uint64_t address = header->p_vaddr;

	if (header->p_flags & PF_W && header->p_flags & PF_X)
		return refuse(program, "wants segment %u writable and executable at once: refused",
			      number);
	if (header->p_filesz > header->p_memsz)
		return refuse(program, "has more bytes in segment %u than room in memory", number);
	if (header->p_offset > file_size || header->p_filesz > file_size - header->p_offset)
		return refuse(program, "is truncated: segment %u ends beyond the end of the file",
			      number);
	/* Also keeps every sum below from overflowing. */
	if (address >= USER_END || header->p_memsz > USER_END - address)
		return refuse(program, "wants segment %u at 0x%lx, beyond what there is", number,
			      (unsigned long)address);
	if (address % PAGE_SIZE != header->p_offset % PAGE_SIZE)
		return refuse(program, "has segment %u not aligned to pages", number);
	if (header->p_align & (header->p_align - 1))
		return refuse(program, "has segment %u aligned to no power of two", number);
	return true;
}

static bool add_segment(const Elf64_Phdr *header, uint64_t file_size, unsigned number,
			struct elf_program *program)
{
	uint64_t first_page = align_down((uint64_t)header->p_vaddr, PAGE_SIZE);
	struct elf_segment *segment;

	if (header->p_memsz == 0)
		return true;
	if (!check_segment(header, file_size, number, program))
		return false;
	if (program->nsegments == ELF_SEGMENTS_MAX)
		return refuse(program, "has more than %u segments", ELF_SEGMENTS_MAX);
	if (program->nsegments == 0)
		program->start = first_page;
	else if (first_page < program->end)
		return refuse(program, "has segment %u below or on the same page as the one before",
			      number);
	program->end = align_up((uint64_t)header->p_vaddr + header->p_memsz, PAGE_SIZE);
	program->alignment = max(program->alignment, (uint64_t)header->p_align);
	segment = &program->segments[program->nsegments++];
	*segment = (struct elf_segment){
		.address = header->p_vaddr,
		.offset = header->p_offset,
		.file_size = header->p_filesz,
		.memory_size = header->p_memsz,
		.protection = protection_of(header),
	};
	return true;
}

/* Does a segment hold all of these bytes, from the file? */
static const struct elf_segment *holder(const struct elf_program *program, uint64_t address,
					uint64_t length)
{
	for (unsigned i = 0; i < program->nsegments; i++) {
		const struct elf_segment *segment = &program->segments[i];

		if (address >= segment->address && length <= segment->file_size &&
		    address - segment->address <= segment->file_size - length)
			return segment;
	}
	return NULL;
}

/* ---- the other headers ---- */

static bool read_interpreter(struct elf_reader *reader, const Elf64_Phdr *header,
			     struct elf_program *program)
{
	size_t size = header->p_filesz;

	if (program->interpreter[0])
		return refuse(program, "names two interpreters");
	if (size < 2 || size > ELF_INTERPRETER_BYTES)
		return refuse(program, "names an interpreter with %lu bytes; 2 to %u are possible",
			      (unsigned long)header->p_filesz, ELF_INTERPRETER_BYTES);
	if (!read_at(reader, program, header->p_offset, program->interpreter, size))
		return false;
	if (strnlen(program->interpreter, size) != size - 1 || program->interpreter[0] != '/')
		return refuse(program, "names an interpreter that is no absolute path");
	return true;
}

static bool take_header(struct elf_reader *reader, const Elf64_Phdr *header, unsigned number,
			struct elf_program *program)
{
	switch (header->p_type) {
	case PT_LOAD:
		return add_segment(header, reader->size, number, program);
	case PT_INTERP:
		return read_interpreter(reader, header, program);
	case PT_GNU_STACK:
		program->wants_executable_stack = header->p_flags & PF_X;
		return true;
	default: /* the C library's business, or nobody's */
		return true;
	}
}

/* The program headers as the program will see them: where the file's place of them is mapped. */
static void find_headers(const Elf64_Ehdr *header, struct elf_program *program)
{
	uint64_t size = (uint64_t)header->e_phnum * sizeof(Elf64_Phdr);

	for (unsigned i = 0; i < program->nsegments; i++) {
		const struct elf_segment *segment = &program->segments[i];

		if (header->e_phoff >= segment->offset && size <= segment->file_size &&
		    header->e_phoff - segment->offset <= segment->file_size - size) {
			program->headers = segment->address + (header->e_phoff - segment->offset);
			program->nheaders = header->e_phnum;
			return;
		}
	}
}

static bool check_program(const Elf64_Ehdr *header, struct elf_program *program)
{
	const struct elf_segment *text;

	if (program->nsegments == 0)
		return refuse(program, "has no segment to load");
	if (program->fixed && program->start < USER_START)
		return refuse(program, "wants to be at 0x%lx; the lowest address possible is 0x%lx",
			      (unsigned long)program->start, USER_START);
	if (program->alignment > USER_END / 4)
		return refuse(program, "wants an alignment of 0x%lx, beyond what there is",
			      (unsigned long)program->alignment);
	text = holder(program, header->e_entry, 1);
	if (!text || !(text->protection & PAGE_EXECUTE))
		return refuse(program, "starts at 0x%lx, where it has no code",
			      (unsigned long)header->e_entry);
	return true;
}

bool elf_parse(struct elf_reader *reader, struct elf_program *program)
{
	Elf64_Ehdr header;

	memset(program, 0, sizeof(*program));
	program->alignment = PAGE_SIZE;
	if (reader->size < sizeof(header))
		return refuse(program, "is not an ELF file: it has %lu bytes",
			      (unsigned long)reader->size);
	if (!read_at(reader, program, 0, &header, sizeof(header)) ||
	    !check_header(&header, program))
		return false;
	program->fixed = header.e_type == ET_EXEC;
	program->entry = header.e_entry;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		uint64_t place = (uint64_t)i * sizeof(Elf64_Phdr);
		Elf64_Phdr each;

		if (header.e_phoff > reader->size)
			return refuse(program, "has its program headers beyond its end");
		if (!read_at(reader, program, header.e_phoff + place, &each, sizeof(each)) ||
		    !take_header(reader, &each, i, program))
			return false;
	}
	find_headers(&header, program);
	return check_program(&header, program);
}
