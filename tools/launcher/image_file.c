#include "tools/launcher/image_file.h"

#include <string.h>

#define NOTE_BUILD 1 /* of "Lavra": tools/gcc/lavra-link */

/* `length` bytes at `offset`, NULL if they are not all in the file. */
static const unsigned char *part(const struct image_file *file, uint64_t offset, uint64_t length)
{
	if (offset > file->size || length > file->size - offset)
		return NULL;
	return file->bytes + offset;
}

/* A string that ends in the file, within `room`; NULL if it does not. */
static const char *string(const struct image_file *file, uint64_t offset, uint64_t room)
{
	if (offset >= file->size)
		return NULL;
	if (room > file->size - offset)
		room = file->size - offset;
	return memchr(file->bytes + offset, 0, room) ? (const char *)file->bytes + offset : NULL;
}

static const char *read_header(const struct image_file *file, Elf64_Ehdr *header)
{
	const unsigned char *found = part(file, 0, sizeof(*header));

	if (!found)
		return "is too short to be an ELF file";
	memcpy(header, found, sizeof(*header));
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return "is no ELF file, so no image";
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return "is not for x86-64";
	if (header->e_type != ET_EXEC)
		return "is no image: it is not linked to one place";
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum ||
	    header->e_phnum > IMAGE_MAX_SEGMENTS)
		return "is damaged: it has no program headers, or more than 64";
	if (header->e_shnum && header->e_shentsize != sizeof(Elf64_Shdr))
		return "is damaged: its section headers have another size";
	if (header->e_shnum > IMAGE_MAX_SECTIONS)
		return "has more than 512 sections: is it an image?";
	return NULL;
}

static void read_notes(struct image_file *file, const Elf64_Phdr *segment)
{
	uint64_t offset = segment->p_offset, left = segment->p_filesz;

	while (left >= sizeof(Elf64_Nhdr)) {
		const unsigned char *found = part(file, offset, sizeof(Elf64_Nhdr));
		uint64_t name_size, length;
		Elf64_Nhdr note;

		if (!found)
			return;
		memcpy(&note, found, sizeof(note));
		name_size = (note.n_namesz + 3ul) & ~3ul;
		length = sizeof(note) + name_size + ((note.n_descsz + 3ul) & ~3ul);
		found = part(file, offset, length);
		if (length > left || !found)
			return;
		if (note.n_type == NOTE_BUILD && note.n_namesz == sizeof("Lavra") &&
		    !memcmp(found + sizeof(note), "Lavra", sizeof("Lavra"))) {
			file->build = (const char *)found + sizeof(note) + name_size;
			file->build_size = note.n_descsz;
		}
		offset += length;
		left -= length;
	}
}

static const char *read_sections(struct image_file *file, const Elf64_Ehdr *header)
{
	const unsigned char *found =
	    part(file, header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr));
	Elf64_Shdr table, names;

	if (!header->e_shnum)
		return NULL;
	if (!found)
		return "is damaged: its section headers are cut off";
	if (header->e_shstrndx >= header->e_shnum)
		return "is damaged: its sections have no names";
	memcpy(&names, found + header->e_shstrndx * sizeof(names), sizeof(names));
	for (unsigned i = 0; i < header->e_shnum; i++) {
		struct image_section *section = &file->sections[file->nsections];

		memcpy(&table, found + i * sizeof(table), sizeof(table));
		if (table.sh_type == SHT_NULL)
			continue;
		if (table.sh_name >= names.sh_size || names.sh_offset > file->size ||
		    (table.sh_type != SHT_NOBITS && !part(file, table.sh_offset, table.sh_size)))
			return "is damaged: a section is not in it";
		section->name =
		    string(file, names.sh_offset + table.sh_name, names.sh_size - table.sh_name);
		if (!section->name)
			return "is damaged: the name of a section does not end";
		section->address = table.sh_addr;
		section->size = table.sh_size;
		section->offset = table.sh_offset;
		section->flags = table.sh_flags;
		section->type = table.sh_type;
		file->nsections++;
		if (table.sh_type == SHT_SYMTAB && table.sh_link < header->e_shnum &&
		    table.sh_entsize == sizeof(Elf64_Sym)) {
			file->symbols = part(file, table.sh_offset, table.sh_size);
			file->nsymbols = table.sh_size / sizeof(Elf64_Sym);
			memcpy(&table, found + table.sh_link * sizeof(table), sizeof(table));
			file->names = table.sh_offset;
			file->names_size = table.sh_size;
		}
	}
	return NULL;
}

const char *image_file_parse(struct image_file *file, const unsigned char *bytes, size_t size)
{
	const unsigned char *found;
	Elf64_Ehdr header;
	const char *wrong;

	*file = (struct image_file){ .bytes = bytes, .size = size };
	wrong = read_header(file, &header);
	if (wrong)
		return wrong;
	found = part(file, header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr));
	if (!found)
		return "is damaged: its program headers are cut off";
	file->nsegments = header.e_phnum;
	memcpy(file->segments, found, header.e_phnum * sizeof(Elf64_Phdr));
	for (unsigned i = 0; i < file->nsegments; i++) {
		const Elf64_Phdr *segment = &file->segments[i];

		if (!part(file, segment->p_offset, segment->p_filesz))
			return "is damaged: a segment is not in it";
		if (segment->p_type == PT_NOTE)
			read_notes(file, segment);
	}
	return read_sections(file, &header);
}

bool image_file_symbol(const struct image_file *file, size_t number, struct image_symbol *symbol)
{
	Elf64_Sym entry;

	if (number >= file->nsymbols)
		return false;
	memcpy(&entry, file->symbols + number * sizeof(entry), sizeof(entry));
	if (entry.st_shndx == SHN_UNDEF || entry.st_name >= file->names_size ||
	    file->names > file->size)
		return false;
	symbol->name = string(file, file->names + entry.st_name, file->names_size - entry.st_name);
	symbol->address = entry.st_value;
	symbol->size = entry.st_size;
	symbol->type = ELF64_ST_TYPE(entry.st_info);
	return symbol->name && *symbol->name;
}

const struct image_section *image_file_section(const struct image_file *file, const char *name)
{
	for (unsigned i = 0; i < file->nsections; i++)
		if (!strcmp(file->sections[i].name, name))
			return &file->sections[i];
	return NULL;
}

/* arch/x86_64/symbols.h: the number of entries, a size, entries of an offset and a name, the names. */
const char *image_file_function(const struct image_file *file, size_t number)
{
	const struct image_section *section = image_file_section(file, ".symbols");
	uint64_t names, name;
	uint32_t nentries, value;

	if (!section || section->type == SHT_NOBITS || section->size < 8)
		return NULL;
	memcpy(&nentries, file->bytes + section->offset, sizeof(nentries));
	names = 8 + (uint64_t)nentries * 8;
	if (names > section->size || number >= nentries)
		return NULL;
	memcpy(&value, file->bytes + section->offset + 8 + number * 8 + 4, sizeof(value));
	name = names + value;
	if (name >= section->size)
		return NULL;
	return string(file, section->offset + name, section->size - name);
}

bool image_file_same(const struct image_file *one, const struct image_file *other)
{
	if (one->nsegments != other->nsegments)
		return false;
	for (unsigned i = 0; i < one->nsegments; i++) {
		const Elf64_Phdr *a = &one->segments[i], *b = &other->segments[i];
		/* The first one has the file's own headers, which strip changes. */
		uint64_t skip =
		    a->p_offset ? 0 : sizeof(Elf64_Ehdr) + one->nsegments * sizeof(Elf64_Phdr);

		if (a->p_type != b->p_type || a->p_vaddr != b->p_vaddr ||
		    a->p_filesz != b->p_filesz)
			return false;
		if (a->p_type == PT_LOAD && a->p_filesz > skip &&
		    (a->p_offset != b->p_offset ||
		     memcmp(one->bytes + a->p_offset + skip, other->bytes + b->p_offset + skip,
			    a->p_filesz - skip) != 0))
			return false;
	}
	return true;
}
