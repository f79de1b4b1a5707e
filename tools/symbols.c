/*
 * The symbol table of an image, for the backtraces of a panic.
 *
 * Reads `nm --numeric-sort --print-size` of the linked image and prints an assembly file: an array of
 * { offset from the image's base, offset of the name }, sorted by address, then the names.
 * The image is linked once with an empty table and again with this one; the table lies
 * behind everything else, so that the addresses in it stay true.
 *
 *   nm -nS IMAGE | symbols BASE-SYMBOL > table.S      (no BASE-SYMBOL: an empty table)
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void head(void)
{
	puts("\t.section .symbols, \"a\"\n"
	     "\t.balign 8\n"
	     "\t.global symbol_table_start, symbol_table_end, symbol_names\n"
	     "symbol_table_start:");
}

struct symbol {
	unsigned long address;
	char *name;
	bool sized; /* a function; labels of assembly and of the linker script have no size */
};

static struct symbol *symbols;
static size_t nsymbols, room;

static void fail(const char *what)
{
	fprintf(stderr, "symbols: %s\n", what);
	exit(1);
}

static void add(unsigned long address, const char *name, bool sized)
{
	struct symbol *last = nsymbols ? &symbols[nsymbols - 1] : NULL;

	/* Of several names at one address the first is kept, but a function goes before a label. */
	if (last && last->address == address) {
		if (last->sized || !sized)
			return;
		free(last->name);
		nsymbols--;
	}
	if (nsymbols == room) {
		room = room ? room * 2 : 4096;
		symbols = realloc(symbols, room * sizeof(*symbols));
		if (!symbols)
			fail("out of memory");
	}
	symbols[nsymbols].address = address;
	symbols[nsymbols].sized = sized;
	symbols[nsymbols].name = strdup(name);
	if (!symbols[nsymbols++].name)
		fail("out of memory");
}

int main(int argc, char **argv)
{
	char line[4096], name[4096], size[17], type;
	unsigned long address, base = 0;
	bool sized;
	size_t offset = 0;

	head();
	if (argc > 1) {
		while (fgets(line, sizeof(line), stdin)) {
			/* ADDRESS SIZE TYPE NAME; some have no size, and undefined ones no address. A
			 * type can look like a digit, so the length tells. */
			sized = sscanf(line, "%lx %16s %c %4095s", &address, size, &type, name) ==
				    4 &&
				strlen(size) == 16;
			if (!sized && sscanf(line, "%lx %c %4095s", &address, &type, name) != 3)
				continue;
			if (!strcmp(name, argv[1]))
				base = address;
			if (strchr("tTwWiV", type) && name[0] != '.' && address != 0)
				add(address, name, sized);
		}
		if (!base)
			fail("the base symbol is not in the list");
	}
	for (size_t i = 0; i < nsymbols; i++) {
		if (symbols[i].address < base)
			continue;
		if (symbols[i].address - base > 0xffffffff)
			fail("an address is more than 4 GiB from the base");
		printf("\t.long 0x%lx, %zu\n", symbols[i].address - base, offset);
		offset += strlen(symbols[i].name) + 1;
	}
	puts("symbol_table_end:\nsymbol_names:");
	for (size_t i = 0; i < nsymbols; i++)
		if (symbols[i].address >= base)
			printf("\t.asciz \"%s\"\n", symbols[i].name);
	puts("\t.byte 0\n\t.section .note.GNU-stack, \"\", @progbits");
	if (fflush(stdout) || ferror(stdout))
		fail(strerror(errno));
	return 0;
}
