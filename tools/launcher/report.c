#include "tools/launcher/report.h"

#include "tools/launcher/syscall_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NLARGEST 20

static json_t *hexadecimal(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%lx", value);
	return json_string(text);
}

/* The file's bytes may be anything; JSON's strings are UTF-8. */
static json_t *text_of(const char *text, size_t length)
{
	json_t *string = json_stringn(text, length);
	char *copy;

	if (string)
		return string;
	copy = strndup(text, length);
	if (!copy)
		abort();
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

static json_t *number(uint64_t value)
{
	/* No image has more than that; JSON's integers have a sign. */
	return json_integer((json_int_t)(value & INT64_MAX));
}

/* ---- how it was built ---- */

static json_t *build_of(const struct image_file *file)
{
	json_t *build = json_object();
	const struct image_section *comment = image_file_section(file, ".comment");
	const struct image_section *gates = image_file_section(file, "gate_targets");
	const char *at = file->build, *end = at + file->build_size;
	bool has_gates = gates && gates->size;

	while (file->build_size && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		const char *equals = memchr(at, '=', (size_t)(stop - at));

		if (equals) {
			char *name = strndup(at, (size_t)(equals - at));

			json_object_set_new(build, name,
					    text_of(equals + 1, (size_t)(stop - equals - 1)));
			free(name);
		}
		at = stop + 1;
	}
	/* A kernel with protection keys has gates. Without it does not matter what the link has checked. */
	json_object_set_new(build, "kernel",
			    json_string(has_gates ? "ISOLATION=mpk" : "ISOLATION=none"));
	if (!has_gates)
		json_object_set_new(build, "isolation", json_string("none"));
	if (comment && comment->type != SHT_NOBITS) {
		json_t *compilers = json_array();
		const char *text = (const char *)file->bytes + comment->offset;

		for (uint64_t i = 0; i < comment->size;) {
			size_t length = strnlen(text + i, comment->size - i);

			if (length)
				json_array_append_new(compilers, text_of(text + i, length));
			i += length + 1;
		}
		json_object_set_new(build, "compilers", compilers);
	}
	return build;
}

/* ---- where it lies ---- */

static json_t *segments_of(const struct image_file *file)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < file->nsegments; i++) {
		const Elf64_Phdr *segment = &file->segments[i];
		char flags[4] = { segment->p_flags & PF_R ? 'r' : '-',
				  segment->p_flags & PF_W ? 'w' : '-',
				  segment->p_flags & PF_X ? 'x' : '-', 0 };

		if (segment->p_type == PT_LOAD)
			json_array_append_new(list,
					      json_pack("{s:o, s:o, s:o, s:o, s:s}", "address",
							hexadecimal(segment->p_vaddr), "physical",
							hexadecimal(segment->p_paddr), "file",
							number(segment->p_filesz), "memory",
							number(segment->p_memsz), "flags", flags));
	}
	return list;
}

/* arch/x86_64/image.ld: whose pages the writable sections are. */
static const struct {
	const char *section, *domain, *what;
} domains[] = {
	{ ".data", "application", "data" },
	{ ".application_bss", "application", "zeroed data" },
	{ ".kernel_data", "kernel", "data" },
	{ ".bss", "kernel", "zeroed data" },
	{ ".boot_tables", "kernel", "page tables" },
	{ ".window_template", "kernel", "first contents of the core window" },
	{ ".network_data", "network", "data" },
	{ ".visible", "kernel", "data that all may read" },
};

/* The same of the core window, of which each core has a copy: from one label to the next. */
static const struct {
	const char *from, *to, *domain, *what;
} windows[] = {
	{ "core_window_start", "core_window_open", "kernel", "core window that all may read" },
	{ "core_window_open", "core_window_closed", "all", "core window that all may write" },
	{ "core_window_closed", "core_window_network", "kernel", "core window" },
	{ "core_window_network", "core_window_end", "network", "core window" },
};

static bool find_label(const struct image_file *named, const char *name, uint64_t *address)
{
	struct image_symbol symbol;

	for (size_t i = 0; named && i < named->nsymbols; i++)
		if (image_file_symbol(named, i, &symbol) && !strcmp(symbol.name, name)) {
			*address = symbol.address;
			return true;
		}
	return false;
}

static json_t *domain_row(const char *domain, const char *what, uint64_t address, uint64_t size)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "domain", domain, "what", what, "address",
			 hexadecimal(address), "bytes", number(size));
}

static json_t *domains_of(const struct image_file *file, const struct image_file *named)
{
	json_t *list = json_array();
	const struct image_section *window = image_file_section(file, ".core_window");
	bool split = false;

	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		const struct image_section *section = image_file_section(file, domains[i].section);

		if (section)
			json_array_append_new(list, domain_row(domains[i].domain, domains[i].what,
							       section->address, section->size));
	}
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		uint64_t from, to;

		if (!find_label(named, windows[i].from, &from) ||
		    !find_label(named, windows[i].to, &to) || to < from)
			continue;
		split = true;
		json_array_append_new(list, domain_row(windows[i].domain, windows[i].what, from,
						       to - from));
	}
	if (window && !split)
		json_array_append_new(list, domain_row("kernel, network",
						       "core window (its parts: see the .elf)",
						       window->address, window->size));
	return list;
}

/* ---- what is in it ---- */

static int by_size(const void *a, const void *b)
{
	const struct image_symbol *one = a, *other = b;

	if (one->size != other->size)
		return one->size < other->size ? 1 : -1;
	return strcmp(one->name, other->name);
}

static json_t *largest_of(const struct image_file *named)
{
	struct image_symbol *symbols;
	json_t *list;
	size_t count = 0;

	if (!named)
		return json_null();
	symbols = calloc(named->nsymbols + 1, sizeof(*symbols));
	if (!symbols)
		abort();
	for (size_t i = 0; i < named->nsymbols; i++)
		if (image_file_symbol(named, i, &symbols[count]) &&
		    (symbols[count].type == STT_FUNC || symbols[count].type == STT_OBJECT))
			count++;
	qsort(symbols, count, sizeof(*symbols), by_size);
	list = json_array();
	for (size_t i = 0; i < count && i < NLARGEST; i++)
		json_array_append_new(list,
				      json_pack("{s:o, s:o, s:o, s:s}", "name",
						text_of(symbols[i].name, strlen(symbols[i].name)),
						"bytes", number(symbols[i].size), "address",
						hexadecimal(symbols[i].address), "kind",
						symbols[i].type == STT_FUNC ? "function" : "data"));
	free(symbols);
	return list;
}

/* The call whose gate this is; NULL if it is none (tools/make-gates). */
static const char *gate_of(const char *symbol)
{
	if (!strncmp(symbol, "called_sys_", 11))
		return symbol + 11;
	return strncmp(symbol, "gate_sys_", 9) ? NULL : symbol + 9;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the calls with gates in it: those that the program, or its libraries, can make. */
static const char **calls_of(const struct image_file *file, const struct image_file *named,
			     size_t *count)
{
	size_t room = 64, found = 0;
	const char **names = calloc(room, sizeof(*names));
	struct image_symbol symbol;

	for (size_t i = 0;; i++) {
		const char *name = named ? NULL : image_file_function(file, i);
		const char *call;

		if (named ? i >= named->nsymbols : !name)
			break;
		if (named)
			name = image_file_symbol(named, i, &symbol) ? symbol.name : "";
		call = gate_of(name);
		if (!call)
			continue;
		if (found == room) {
			room *= 2;
			names = reallocarray(names, room, sizeof(*names));
		}
		if (!names)
			abort();
		names[found++] = call;
	}
	qsort(names, found, sizeof(*names), by_name);
	*count = found;
	return names;
}

/* null for a kernel without gates: it has all calls, by their numbers. */
static json_t *system_calls_of(const struct image_file *file, const struct image_file *named)
{
	size_t count;
	const char **names = calls_of(file, named, &count);
	json_t *list = count ? json_array() : json_null();

	for (size_t i = 0; i < count; i++) {
		const struct syscall_entry *entry = syscall_find(names[i]);

		if (i && !strcmp(names[i], names[i - 1]))
			continue;
		json_array_append_new(list, json_pack("{s:o, s:s, s:s}", "name",
						      text_of(names[i], strlen(names[i])), "status",
						      entry ? syscall_status_name(entry->status)
							    : "unknown",
						      "note", entry ? entry->note : ""));
	}
	free(names);
	return list;
}

json_t *report_of(const struct image_file *file, const struct image_file *named)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "bytes", number(file->size), "build",
			 build_of(file), "memory_map", segments_of(file), "domains",
			 domains_of(file, named), "largest_symbols", largest_of(named),
			 "system_calls", system_calls_of(file, named));
}
