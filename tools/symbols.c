/*
 * The last step of an image: its symbol table, for the backtraces of a panic.
 *
 *   symbols LINKED IMAGE
 *
 * The linker leaves an empty table (arch/x86_64/symbols.h) as the last segment. This fills it with the
 * functions of the file's own symbol table and writes the result: the segment grows, nothing else
 * that is loaded moves. What is not loaded (debug information, section headers) goes behind it,
 * so that gdb, nm and strip can read the result as they could the file before.
 *
 * On standard output: what a disassembler is to look at, as lines "KIND START END NAME", each a function:
 *
 *	call		of the application (behind `library_text_end`), where the bytes of a system-call
 *			instruction occur (tools/check-no-syscall). They may be part of another instruction.
 *	privileged	of the application, with instructions that look like an operating system's
 *	rights ADDRESS	where, anywhere in the code, bytes that would change protection keys are
 *
 * The last two (tools/check-rights) in an image with isolation alone, which is one with gates.
 */
#include "arch/x86_64/instruction.h"
#include "arch/x86_64/rights_scan.h"
#include "arch/x86_64/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ul
#define LARGE_PAGE 0x200000ul
_Static_assert(offsetof(struct symbol_table, size) == 4, "boot.S reads the size");

#define SECTION_ALIGNMENT 64 /* as much as any section without an address wants */

struct image {
	const char *path;
	unsigned char *bytes;
	size_t size;
	Elf64_Ehdr *header;
	Elf64_Phdr *segments;
	Elf64_Shdr *sections, *table; /* .symbols */
	const Elf64_Sym *symbols; /* the file's own; NULL if it has none */
	size_t nsymbols;
	const char *names, *section_names;
};

/* A function, or a label of assembly or of the linker script: those have no size. */
struct function {
	uint64_t address, size;
	const char *name;
};

static __attribute__((noreturn)) void fail(const char *path, const char *what)
{
	fprintf(stderr, "symbols: %s: %s\n", path, what);
	exit(1);
}

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		fail("memory", strerror(ENOMEM));
	return memory;
}

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* ---- reading ---- */

static void read_all(struct image *image)
{
	int fd = open(image->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t done = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail(image->path, strerror(errno));
	image->size = (size_t)st.st_size;
	image->bytes = allocate(image->size + 1);
	while (done < image->size) {
		ssize_t n = read(fd, image->bytes + done, image->size - done);

		if (n <= 0)
			fail(image->path, n < 0 ? strerror(errno) : "it is cut off");
		done += (size_t)n;
	}
	close(fd);
}

static void *part(const struct image *image, uint64_t offset, uint64_t size)
{
	if (offset > image->size || size > image->size - offset)
		fail(image->path, "it is damaged");
	return image->bytes + offset;
}

/* The names that start in a string table end in it. */
static const char *string_table(const struct image *image, const Elf64_Shdr *section)
{
	const char *strings = part(image, section->sh_offset, section->sh_size);

	if (!section->sh_size || strings[section->sh_size - 1])
		fail(image->path, "a table of names is damaged");
	return strings;
}

static void parse(struct image *image)
{
	Elf64_Ehdr *header = image->header = part(image, 0, sizeof(*header));

	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64 ||
	    header->e_type != ET_EXEC)
		fail(image->path, "not a linked 64-bit ELF file");
	image->segments = part(image, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr));
	image->sections = part(image, header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr));
	if (header->e_shstrndx >= header->e_shnum)
		fail(image->path, "it has no section names");
	image->section_names = string_table(image, &image->sections[header->e_shstrndx]);
	for (unsigned i = 0; i < header->e_shnum; i++) {
		Elf64_Shdr *section = &image->sections[i];

		if (!strcmp(image->section_names + section->sh_name, ".symbols"))
			image->table = section;
		if (section->sh_type != SHT_SYMTAB || section->sh_link >= header->e_shnum)
			continue;
		image->symbols = part(image, section->sh_offset, section->sh_size);
		image->nsymbols = section->sh_size / sizeof(Elf64_Sym);
		image->names = string_table(image, &image->sections[section->sh_link]);
	}
	if (!image->table)
		fail(image->path, "it has no section .symbols: not linked by image.ld");
	for (unsigned i = 0; i < header->e_shnum; i++) {
		const Elf64_Shdr *section = &image->sections[i];

		if (section->sh_flags & SHF_ALLOC && section->sh_addr > image->table->sh_addr) {
			fprintf(stderr, "symbols: section %s lies behind .symbols\n",
				image->section_names + section->sh_name);
			exit(1);
		}
	}
}

/* The value of a symbol that image.ld defines; 0 in a file that was stripped. */
static uint64_t value_of(const struct image *image, const char *name)
{
	for (size_t i = 0; i < image->nsymbols; i++)
		if (!strcmp(image->names + image->symbols[i].st_name, name))
			return image->symbols[i].st_value;
	return 0;
}

/* ---- functions ---- */

static bool is_code(const struct image *image, const Elf64_Sym *symbol)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);
	const char *name = image->names + symbol->st_name;

	return (type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC) &&
	       symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < image->header->e_shnum &&
	       image->sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR && *name && *name != '.';
}

/* By address. Of several names at one address a function goes before a label, and then the order is
 * that of the alphabet, so that the same input always gives the same image. */
static int compare(const void *left, const void *right)
{
	const struct function *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (!a->size != !b->size)
		return a->size ? -1 : 1;
	return strcmp(a->name, b->name);
}

static struct function *list_functions(const struct image *image, size_t *count)
{
	struct function *functions = allocate((image->nsymbols + 1) * sizeof(*functions));
	size_t found = 0, kept = 0;

	for (size_t i = 0; i < image->nsymbols; i++) {
		const Elf64_Sym *symbol = &image->symbols[i];

		if (is_code(image, symbol))
			functions[found++] = (struct function){
				.address = symbol->st_value,
				.size = symbol->st_size,
				.name = image->names + symbol->st_name,
			};
	}
	qsort(functions, found, sizeof(*functions), compare);
	for (size_t i = 0; i < found; i++)
		if (!kept || functions[kept - 1].address != functions[i].address)
			functions[kept++] = functions[i];
	*count = kept;
	return functions;
}

/* syscall, sysenter, int $0x80 */
static bool has_system_call(const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++)
		if ((bytes[i] == 0x0f && (bytes[i + 1] == 0x05 || bytes[i + 1] == 0x34)) ||
		    (bytes[i] == 0xcd && bytes[i + 1] == 0x80))
			return true;
	return false;
}

/* The code from `start` to `end`, as far as the file has it; NULL if none. */
static const unsigned char *code_at(const struct image *image, uint64_t start, uint64_t *end)
{
	for (unsigned i = 0; i < image->header->e_phnum; i++) {
		const Elf64_Phdr *segment = &image->segments[i];
		uint64_t segment_end = segment->p_vaddr + segment->p_filesz;

		if (segment->p_type != PT_LOAD || start < segment->p_vaddr || start >= segment_end)
			continue;
		*end = *end < segment_end ? *end : segment_end;
		return part(image, segment->p_offset + (start - segment->p_vaddr), *end - start);
	}
	return NULL;
}

/* By stepping through it, as the linker laid out functions and not data. */
static bool has_privileged(const unsigned char *bytes, size_t size)
{
	struct instruction instruction;

	for (size_t at = 0; at < size; at += instruction.length) {
		if (!instruction_decode(bytes + at, size - at, &instruction))
			instruction.length = 1;
		else if (instruction_is_privileged(&instruction))
			return true;
	}
	return false;
}

/* An image with isolation has gates, and their list of targets (image.ld). */
static bool has_gates(const struct image *image)
{
	for (unsigned i = 0; i < image->header->e_shnum; i++)
		if (!strcmp(image->section_names + image->sections[i].sh_name, "gate_targets"))
			return image->sections[i].sh_size;
	return false;
}

static void print_suspect(const char *kind, const struct function *function, uint64_t end)
{
	printf("%s 0x%lx 0x%lx %s\n", kind, function->address, end, function->name);
}

static void print_suspects(const struct image *image, const struct function *functions,
			   size_t count)
{
	uint64_t from = value_of(image, "library_text_end"), to = value_of(image, "text_end");
	bool isolation = has_gates(image);

	for (size_t i = 0; i < count; i++) {
		uint64_t start = functions[i].address;
		uint64_t end = i + 1 < count ? functions[i + 1].address : to;
		const unsigned char *code;

		if (start < from || start >= to)
			continue;
		code = code_at(image, start, &end);
		if (!code)
			continue;
		if (has_system_call(code, end - start))
			print_suspect("call", &functions[i], end);
		if (isolation && has_privileged(code, end - start))
			print_suspect("privileged", &functions[i], end);
	}
}

/* The function that `address` lies in, or behind; what lies before the first has no name. */
static struct function function_at(const struct function *functions, size_t count, uint64_t address,
				   uint64_t *end)
{
	struct function found = { .address = address, .name = "?" };

	for (size_t i = 0; i < count; i++) {
		if (functions[i].address > address) {
			*end = *end < functions[i].address ? *end : functions[i].address;
			break;
		}
		found = functions[i];
	}
	/* One that is cut off there is shown as a whole. */
	*end = *end > address + RIGHTS_BYTES ? *end : address + RIGHTS_BYTES;
	return found;
}

static void print_rights(const struct image *image, const struct function *functions, size_t count)
{
	for (unsigned i = 0; has_gates(image) && i < image->header->e_phnum; i++) {
		const Elf64_Phdr *segment = &image->segments[i];
		size_t size = segment->p_filesz;
		const unsigned char *code;

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
			continue;
		code = part(image, segment->p_offset, size);
		for (size_t at = 0; (at = rights_find(code, size, at)) < size; at++) {
			uint64_t address = segment->p_vaddr + at, end = segment->p_vaddr + size;
			struct function function = function_at(functions, count, address, &end);

			printf("rights 0x%lx 0x%lx 0x%lx %s\n", address, function.address, end,
			       function.name);
		}
	}
}

/* ---- the table ---- */

static struct symbol_table *make_table(const struct image *image, const struct function *functions,
				       size_t count, size_t *size)
{
	uint64_t start = value_of(image, "image_start"), offset = value_of(image, "IMAGE_OFFSET");
	struct symbol_table *table;
	size_t bytes = sizeof(*table) + count * sizeof(table->entries[0]);
	char *names;

	for (size_t i = 0; i < count; i++)
		bytes += strlen(functions[i].name) + 1;
	bytes += 1; /* an empty table has a name too, the empty one */
	table = allocate(bytes);
	table->nentries = (uint32_t)count;
	table->size = (uint32_t)round_up(bytes, PAGE);
	names = (char *)&table->entries[count];
	for (size_t i = 0, at = 0; i < count; i++) {
		size_t length = strlen(functions[i].name) + 1;

		if (functions[i].address < start || functions[i].address - offset > UINT32_MAX)
			fail(functions[i].name, "a function outside of the image");
		table->entries[i].offset = (uint32_t)(functions[i].address - offset);
		table->entries[i].name = (uint32_t)at;
		memcpy(names + at, functions[i].name, length);
		at += length;
	}
	if (start && (image->table->sh_addr + table->size - start) / LARGE_PAGE + 1 >
			 value_of(image, "boot_image_tables_size") / PAGE)
		fail(image->path, "its symbol table is larger than 2 MiB");
	*size = bytes;
	return table;
}

/* ---- writing ---- */

static void write_all(int fd, const char *path, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)bytes + done, size - done);

		if (n < 0)
			fail(path, strerror(errno));
		done += (size_t)n;
	}
}

static void write_image(struct image *image, const char *path, const void *table, size_t size,
			size_t memory_size)
{
	static const char padding[SECTION_ALIGNMENT];
	size_t table_offset = image->table->sh_offset, old_size = image->table->sh_size;
	size_t rest = table_offset + old_size;
	size_t grown = round_up(size > old_size ? size - old_size : 0, SECTION_ALIGNMENT);
	bool found = false;
	struct stat st;
	int fd;

	for (unsigned i = 0; i < image->header->e_phnum; i++) {
		Elf64_Phdr *segment = &image->segments[i];

		if (segment->p_type == PT_LOAD && segment->p_vaddr == image->table->sh_addr) {
			segment->p_filesz = size;
			segment->p_memsz = memory_size;
			found = true;
		}
	}
	if (!found)
		fail(image->path, "no segment begins with .symbols");
	for (unsigned i = 0; i < image->header->e_shnum; i++)
		if (image->sections[i].sh_offset >= rest)
			image->sections[i].sh_offset += grown;
	image->table->sh_size = size;
	if (image->header->e_shoff >= rest)
		image->header->e_shoff += grown;

	/* Not into a file that somebody may have open, or that has another name. */
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && unlink(path) < 0)
		fail(path, strerror(errno));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0777);
	if (fd < 0)
		fail(path, strerror(errno));
	write_all(fd, path, image->bytes, table_offset);
	write_all(fd, path, table, size);
	write_all(fd, path, padding, old_size + grown - size);
	write_all(fd, path, image->bytes + rest, image->size - rest);
	if (close(fd) < 0)
		fail(path, strerror(errno));
}

int main(int argc, char **argv)
{
	struct image image = { .path = argc == 3 ? argv[1] : "" };
	struct function *functions;
	struct symbol_table *table;
	size_t count, size;

	if (argc != 3) {
		fprintf(stderr, "usage: symbols LINKED IMAGE\n");
		return 2;
	}
	read_all(&image);
	parse(&image);
	functions = list_functions(&image, &count);
	table = make_table(&image, functions, count, &size);
	write_image(&image, argv[2], table, size, table->size);
	print_suspects(&image, functions, count);
	print_rights(&image, functions, count);
	if (fflush(stdout) || ferror(stdout))
		fail("standard output", strerror(errno));
	return 0;
}
