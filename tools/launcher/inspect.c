/*
 * lavra inspect: what is in an image.
 */
#include "tools/launcher/complaint.h"
#include "tools/launcher/image_file.h"
#include "tools/launcher/lavra.h"
#include "tools/launcher/libraries.h"
#include "tools/launcher/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: lavra inspect IMAGE [--json]\n"
    "\n"
    "Show how an image was built, where it lies in memory and whose pages those are, its size by folder\n"
    "and library, its largest symbols, and the system calls that it has, with what is missing of them\n"
    "(docs/posix.md).\n"
    "\n"
    "Names come from IMAGE, or, as it is usually stripped, from IMAGE.elf beside it; sizes by folder\n"
    "from IMAGE.sizes. make writes both; an image of lavra-gcc has its own symbols unless it is linked\n"
    "with -s, and no sizes by folder.\n"
    "\n"
    "  --json               the same for programs\n"
    "  --help               this text\n";

struct inspected {
	const char *path;
	unsigned char *bytes, *named_bytes;
	struct image_file file, named;
	bool has_names;
	char *names_from; /* NULL: nowhere */
	const char *remark; /* why there are no names; NULL: there are */
};

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "";
}

static long long integer(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* `path` with an ending. */
static char *beside(const char *path, const char *ending)
{
	char *result;

	if (asprintf(&result, "%s%s", path, ending) < 0)
		abort();
	return result;
}

/* The symbols of the image, or those of the file beside it if that is the same image. */
static void find_names(struct inspected *image)
{
	size_t size;

	if (image->file.nsymbols) {
		image->named = image->file;
		image->names_from = strdup(image->path);
		return;
	}
	image->names_from = beside(image->path, ".elf");
	if (access(image->names_from, R_OK) < 0)
		image->remark = "it is stripped, and there is no IMAGE.elf beside it";
	else if (read_whole_file(image->names_from, &image->named_bytes, &size))
		image->remark = "it is stripped, and IMAGE.elf beside it cannot be read";
	else if (image_file_parse(&image->named, image->named_bytes, size))
		image->remark = "it is stripped, and IMAGE.elf beside it is no image";
	else if (!image_file_same(&image->file, &image->named))
		image->remark = "it is stripped, and IMAGE.elf beside it is of another build";
	else if (!image->named.nsymbols)
		image->remark = "it is stripped, and so is IMAGE.elf beside it";
	if (image->remark) {
		free(image->names_from);
		image->names_from = NULL;
	}
}

/* What tools/size-by-folder has written beside the image: "bytes SIZE", a line of headings, rows. null without
 * it, or if it is another image's. */
static json_t *read_sizes(const struct inspected *image)
{
	char *path = beside(image->path, ".sizes"), *line = NULL;
	FILE *file = fopen(path, "re");
	json_t *rows = NULL;
	size_t room = 0;
	unsigned long size;

	free(path);
	if (!file)
		return json_null();
	if (fscanf(file, "bytes %lu\n", &size) == 1 && size == image->file.size &&
	    getline(&line, &room, file) > 0)
		rows = json_array();
	while (rows && getline(&line, &room, file) > 0) {
		unsigned long bytes[5];
		int end = 0;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%lu %lu %lu %lu %lu %n", &bytes[0], &bytes[1], &bytes[2],
			   &bytes[3], &bytes[4], &end) < 5 ||
		    !end)
			continue;
		json_array_append_new(
		    rows, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "folder", line + end, "all",
				    (json_int_t)bytes[0], "text", (json_int_t)bytes[1], "rodata",
				    (json_int_t)bytes[2], "data", (json_int_t)bytes[3], "bss",
				    (json_int_t)bytes[4]));
	}
	free(line);
	fclose(file);
	return rows ? rows : json_null();
}

/* ---- as text ---- */

static void print_build(const json_t *build)
{
	const char *name;
	const json_t *value;
	size_t i;

	puts("\nbuilt with");
	if (json_object_size(build) == 1)
		puts("  (it does not say: it is older than the note that does)");
	json_object_foreach((json_t *)build, name, value) {
		const json_t *line;

		if (json_is_string(value))
			printf("  %-12s %s\n", name, json_string_value(value));
		json_array_foreach(value, i, line)
			printf("  %-12s %s\n", i ? "" : name, json_string_value(line));
	}
}

static void print_memory(const json_t *segments, const json_t *domains, const char *isolation)
{
	const json_t *row;
	size_t i;

	puts("\nmemory map\n  address             physical    in file  in memory  rights");
	json_array_foreach(segments, i, row)
		printf("  %-18s  %-8s %10lld %10lld  %s\n", text(row, "address"),
		       text(row, "physical"), integer(row, "file"), integer(row, "memory"),
		       text(row, "flags"));
	printf(
	    "\nwritable pages, by protection domain%s\n  address                 bytes  domain\n",
	    *isolation && strcmp(isolation, "on")
		? " (which protects nothing here: the image has no isolation)"
		: "");
	json_array_foreach(domains, i, row)
		printf("  %-18s %10lld  %-12s %s\n", text(row, "address"), integer(row, "bytes"),
		       text(row, "domain"), text(row, "what"));
}

static void print_sizes(const json_t *folders)
{
	const json_t *row;
	size_t i;

	puts("\nsize by folder and library");
	if (!json_is_array(folders)) {
		puts("  not known: there is no IMAGE.sizes of this build beside it");
		return;
	}
	puts("        all      text    rodata      data       bss");
	json_array_foreach(folders, i, row)
		printf("  %9lld %9lld %9lld %9lld %9lld  %s\n", integer(row, "all"),
		       integer(row, "text"), integer(row, "rodata"), integer(row, "data"),
		       integer(row, "bss"), text(row, "folder"));
}

static void print_symbols(const json_t *symbols, const char *remark)
{
	const json_t *row;
	size_t i;

	puts("\nlargest symbols");
	if (remark)
		printf("  not known: %s\n", remark);
	json_array_foreach(symbols, i, row)
		printf("  %9lld  %-8s  %s\n", integer(row, "bytes"), text(row, "kind"),
		       text(row, "name"));
}

#define WIDTH 96

/* Words in lines, `indent` blanks before all but the first; `column` is where that begins. */
static void print_wrapped(const char *words, int column, int indent)
{
	for (const char *word = words; *word;) {
		int length = (int)strcspn(word, " ");

		if (column + 1 + length > WIDTH) {
			printf("\n%*s", indent - 1, "");
			column = indent - 1;
		}
		column += printf(" %.*s", length, word);
		word += length + (word[length] == ' ');
	}
	putchar('\n');
}

/* Those that are as Linux has them: nothing is to be said of them. */
static void print_complete(const json_t *calls)
{
	size_t size, i;
	const json_t *row;
	char *names = NULL;
	FILE *stream = open_memstream(&names, &size);

	if (!stream)
		abort();
	json_array_foreach(calls, i, row)
		if (!strcmp(text(row, "status"), "complete"))
			fprintf(stream, "%s ", text(row, "name"));
	fclose(stream);
	if (*names) {
		printf("  complete:");
		print_wrapped(names, 11, 4);
	}
	free(names);
}

static void print_calls(const json_t *calls)
{
	const json_t *row;
	size_t i;

	printf("\nsystem calls: ");
	if (!json_is_array(calls)) {
		puts("all, by their numbers (a kernel without isolation has no list)");
		return;
	}
	printf("%zu that the program or a library of it can make by name\n",
	       json_array_size(calls));
	print_complete(calls);
	json_array_foreach(calls, i, row) {
		if (!strcmp(text(row, "status"), "complete"))
			continue;
		print_wrapped(text(row, "note"),
			      printf("  %s, %s:", text(row, "name"), text(row, "status")), 4);
	}
}

static void print_report(const struct inspected *image, const json_t *report)
{
	const json_t *build = json_object_get(report, "build");

	printf("%s: %lld bytes", image->path, integer(report, "bytes"));
	if (image->names_from)
		printf(", names from %s", image->names_from);
	putchar('\n');
	print_build(build);
	print_memory(json_object_get(report, "memory_map"), json_object_get(report, "domains"),
		     text(build, "isolation"));
	print_sizes(json_object_get(report, "folders"));
	print_symbols(json_object_get(report, "largest_symbols"), image->remark);
	print_calls(json_object_get(report, "system_calls"));
}

static void inspect(const char *path, bool json)
{
	static struct inspected image; /* two files' sections are much for a stack */
	const char *wrong;
	json_t *report;
	size_t size;

	image.path = path;
	wrong = read_whole_file(path, &image.bytes, &size);
	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	wrong = image_file_parse(&image.file, image.bytes, size);
	if (wrong)
		refuse(EXIT_CANNOT, "%s %s", path, wrong);
	if (!image_file_section(&image.file, ".core_window"))
		refuse(EXIT_CANNOT,
		       "%s is no image of Lavra: it has no core window (make image, or "
		       "lavra-gcc, makes one)",
		       path);
	find_names(&image);
	report = report_of(&image.file, image.names_from ? &image.named : NULL);
	json_object_set_new(report, "image", json_string(path));
	json_object_set_new(report, "names_from",
			    image.names_from ? json_string(image.names_from) : json_null());
	json_object_set_new(report, "folders", read_sizes(&image));
	if (json) {
		json_dumpf(report, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
		putchar('\n');
	} else {
		print_report(&image, report);
	}
	json_decref(report);
	free(image.names_from);
	free(image.named_bytes);
	free(image.bytes);
}

int inspect_command(int argc, char **argv)
{
	const char *path = NULL;
	bool json = false;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(usage, stdout);
			return 0;
		}
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (argv[i][0] == '-')
			refuse(EXIT_USAGE,
			       "unknown option '%s' ('lavra inspect --help' lists them)", argv[i]);
		else if (path)
			refuse(EXIT_USAGE, "one image at a time: '%s' and '%s'", path, argv[i]);
		else
			path = argv[i];
	}
	if (!path)
		refuse(EXIT_USAGE, "which image? ('lavra inspect --help' tells more)");
	inspect(path, json);
	return 0;
}
