/*
 * ELF files made by hand, and a reader of bytes in memory, for the tests of posix/elf.
 */
#pragma once

#include "posix/elf/elf_file.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

struct bytes_reader {
	struct elf_reader reader;
	const uint8_t *bytes;
};

/* Outside [0, size) the parser must never ask. */
static inline long read_bytes(struct elf_reader *reader, uint64_t offset, void *to, size_t length)
{
	struct bytes_reader *self = container_of(reader, struct bytes_reader, reader);

	if (offset > reader->size || length > reader->size - offset)
		abort();
	memcpy(to, self->bytes + offset, length);
	return 0;
}

static inline bool parse_bytes(const void *bytes, size_t size, struct elf_program *program)
{
	struct bytes_reader reader = { { read_bytes, size }, bytes };

	return elf_parse(&reader.reader, program);
}

#define ELF_BYTES 0x3000
#define ELF_HEADERS 5

/* A program of two segments, text and data with zeros behind it, and an interpreter. */
struct elf_bytes {
	Elf64_Ehdr header;
	Elf64_Phdr headers[ELF_HEADERS];
	char interpreter[32];
	uint8_t rest[ELF_BYTES - sizeof(Elf64_Ehdr) - ELF_HEADERS * sizeof(Elf64_Phdr) - 32];
};
_Static_assert(sizeof(struct elf_bytes) == ELF_BYTES, "no gaps");

enum { HEADER_TEXT, HEADER_DATA, HEADER_INTERPRETER, HEADER_STACK, HEADER_TLS };

static inline void elf_bytes_make(struct elf_bytes *elf, unsigned type, uint64_t base)
{
	memset(elf, 0, sizeof(*elf));
	memcpy(elf->header.e_ident, ELFMAG, SELFMAG);
	elf->header.e_ident[EI_CLASS] = ELFCLASS64;
	elf->header.e_ident[EI_DATA] = ELFDATA2LSB;
	elf->header.e_ident[EI_VERSION] = EV_CURRENT;
	elf->header.e_type = (Elf64_Half)type;
	elf->header.e_machine = EM_X86_64;
	elf->header.e_version = EV_CURRENT;
	elf->header.e_entry = base + 0x800;
	elf->header.e_phoff = offsetof(struct elf_bytes, headers);
	elf->header.e_ehsize = sizeof(Elf64_Ehdr);
	elf->header.e_phentsize = sizeof(Elf64_Phdr);
	elf->header.e_phnum = ELF_HEADERS;
	elf->headers[HEADER_TEXT] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_vaddr = base,
		.p_filesz = 0x1234,
		.p_memsz = 0x1234,
		.p_align = 0x1000,
	};
	elf->headers[HEADER_DATA] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W,
		.p_offset = 0x2010,
		.p_vaddr = base + 0x5010,
		.p_filesz = 0x100,
		.p_memsz = 0x4000,
		.p_align = 0x1000,
	};
	strcpy(elf->interpreter, "/lib/ld.so");
	elf->headers[HEADER_INTERPRETER] = (Elf64_Phdr){
		.p_type = PT_INTERP,
		.p_flags = PF_R,
		.p_offset = offsetof(struct elf_bytes, interpreter),
		.p_filesz = sizeof("/lib/ld.so"),
	};
	elf->headers[HEADER_STACK] = (Elf64_Phdr){
		.p_type = PT_GNU_STACK,
		.p_flags = PF_R | PF_W,
	};
	elf->headers[HEADER_TLS] = (Elf64_Phdr){ .p_type = PT_TLS };
}
