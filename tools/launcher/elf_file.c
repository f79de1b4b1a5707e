#include "tools/launcher/elf_file.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

/* xen/include/public/elfnote.h: the PVH entry point. */
#define NOTE_PHYS32_ENTRY 18

struct bytes {
	const unsigned char *start;
	size_t size;
};

/* `length` bytes at `offset`, NULL if they are not all in the file. */
static const void *part(const struct bytes *bytes, uint64_t offset, uint64_t length)
{
	if (offset > bytes->size || length > bytes->size - offset)
		return NULL;
	return bytes->start + offset;
}

/* A string of which the end is in the file, within `room`. */
static const char *string(const struct bytes *bytes, uint64_t offset, uint64_t room)
{
	const char *text;

	if (offset >= bytes->size)
		return NULL;
	if (room > bytes->size - offset)
		room = bytes->size - offset;
	text = (const char *)bytes->start + offset;
	return memchr(text, 0, room) ? text : NULL;
}

static const char *check_header(const Elf64_Ehdr *header)
{
	static char complaint[80];

	if (!memcmp(header->e_ident, "#!", 2))
		return "is a script: run the program that interprets it, with the script in --files";
	if (memcmp(header->e_ident, ELFMAG, SELFMAG))
		return "is no ELF file, so neither an image nor a program";
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return "is a 32-bit program; only 64-bit ones can run";
	if (header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64) {
		snprintf(complaint, sizeof(complaint),
			 "is for another processor (ELF machine %u), not x86-64",
			 header->e_machine);
		return complaint;
	}
	if (header->e_type == ET_REL)
		return "is an object file: link it first";
	if (header->e_type == ET_CORE)
		return "is a core dump";
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return "is no program (of an unknown ELF type)";
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum)
		return "is damaged: no program headers";
	return NULL;
}

static void read_notes(const struct bytes *bytes, const Elf64_Phdr *segment, struct elf_file *file)
{
	uint64_t offset = segment->p_offset, left = segment->p_filesz;

	while (left >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		const void *found = part(bytes, offset, sizeof(note));
		uint64_t length;

		if (!found)
			return;
		memcpy(&note, found, sizeof(note));
		length =
		    sizeof(note) + ((note.n_namesz + 3ul) & ~3ul) + ((note.n_descsz + 3ul) & ~3ul);
		found = part(bytes, offset + sizeof(note), 4);
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 && found &&
		    !memcmp(found, "Xen", 4))
			file->is_image = true;
		if (length > left)
			return;
		offset += length;
		left -= length;
	}
}

/* Where in the file the program's address `address` lies, UINT64_MAX if nowhere. */
static uint64_t file_offset(const Elf64_Phdr *segments, unsigned nsegments, uint64_t address)
{
	for (unsigned i = 0; i < nsegments; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
		    address - segment->p_vaddr < segment->p_filesz)
			return segment->p_offset + (address - segment->p_vaddr);
	}
	return UINT64_MAX;
}

struct dynamic {
	uint64_t strings, strings_size; /* an address */
	uint64_t rpath, runpath; /* offsets in the strings; UINT64_MAX: none */
	unsigned nneeded;
	uint64_t needed[ELF_MAX_NEEDED];
};

static const char *read_entries(const struct bytes *bytes, const Elf64_Phdr *segment,
				struct dynamic *dynamic)
{
	for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= segment->p_filesz;
	     at += sizeof(Elf64_Dyn)) {
		const void *found = part(bytes, segment->p_offset + at, sizeof(Elf64_Dyn));
		Elf64_Dyn entry;

		if (!found)
			return "is damaged: its dynamic section is cut off";
		memcpy(&entry, found, sizeof(entry));
		switch (entry.d_tag) {
		case DT_NULL:
			return NULL;
		case DT_STRTAB:
			dynamic->strings = entry.d_un.d_ptr;
			break;
		case DT_STRSZ:
			dynamic->strings_size = entry.d_un.d_val;
			break;
		case DT_RPATH:
			dynamic->rpath = entry.d_un.d_val;
			break;
		case DT_RUNPATH:
			dynamic->runpath = entry.d_un.d_val;
			break;
		case DT_NEEDED:
			if (dynamic->nneeded == ELF_MAX_NEEDED)
				return "needs more than 256 libraries";
			dynamic->needed[dynamic->nneeded++] = entry.d_un.d_val;
			break;
		}
	}
	return NULL;
}

static const char *read_dynamic(const struct bytes *bytes, const Elf64_Phdr *segments,
				unsigned nsegments, const Elf64_Phdr *segment,
				struct elf_file *file)
{
	static const char damaged[] = "is damaged: its dynamic strings are not in the file";
	struct dynamic dynamic = { .rpath = UINT64_MAX, .runpath = UINT64_MAX };
	const char *wrong = read_entries(bytes, segment, &dynamic);
	uint64_t strings;

	if (wrong)
		return wrong;
	strings = file_offset(segments, nsegments, dynamic.strings);
	for (unsigned i = 0; i < dynamic.nneeded + 2; i++) {
		uint64_t offset = i < dynamic.nneeded	 ? dynamic.needed[i]
				  : i == dynamic.nneeded ? dynamic.rpath
							 : dynamic.runpath;
		const char *text;

		if (i >= dynamic.nneeded && offset == UINT64_MAX)
			continue;
		if (strings > bytes->size || offset >= dynamic.strings_size ||
		    offset > bytes->size - strings)
			return damaged;
		text = string(bytes, strings + offset, dynamic.strings_size - offset);
		if (!text)
			return damaged;
		if (i < dynamic.nneeded)
			file->needed[file->nneeded++] = text;
		else if (i == dynamic.nneeded)
			file->rpath = text;
		else
			file->runpath = text;
	}
	return NULL;
}

const char *elf_file_parse(const unsigned char *bytes_start, size_t size, struct elf_file *file)
{
	const struct bytes bytes = { bytes_start, size };
	const void *found;
	Elf64_Ehdr header = { 0 };
	Elf64_Phdr segments[64];
	const char *wrong;

	memset(file, 0, sizeof(*file));
	memcpy(&header, bytes_start, size < sizeof(header) ? size : sizeof(header));
	wrong = check_header(&header);
	if (wrong)
		return wrong;
	if (size < sizeof(header))
		return "is damaged: it is cut off";
	file->has_entry = header.e_entry;
	if (header.e_phnum > 64)
		return "is damaged: too many program headers";
	found = part(&bytes, header.e_phoff, header.e_phnum * sizeof(segments[0]));
	if (!found)
		return "is damaged: it is cut off";
	memcpy(segments, found, header.e_phnum * sizeof(segments[0]));
	for (unsigned i = 0; i < header.e_phnum && !wrong; i++) {
		const Elf64_Phdr *segment = &segments[i];
		uint64_t end = segment->p_paddr + segment->p_memsz;

		if (segment->p_type == PT_LOAD) {
			if (!part(&bytes, segment->p_offset, segment->p_filesz) ||
			    end < segment->p_paddr)
				return "is damaged: it is cut off";
			if (end > file->memory_end)
				file->memory_end = end;
		} else if (segment->p_type == PT_NOTE) {
			read_notes(&bytes, segment, file);
		} else if (segment->p_type == PT_INTERP) {
			file->interpreter = string(&bytes, segment->p_offset, segment->p_filesz);
			if (!file->interpreter)
				return "is damaged: its interpreter's name does not end";
		} else if (segment->p_type == PT_DYNAMIC) {
			/* One, as the loaders take one. */
			file->nneeded = 0;
			wrong = read_dynamic(&bytes, segments, header.e_phnum, segment, file);
		}
	}
	return wrong;
}
