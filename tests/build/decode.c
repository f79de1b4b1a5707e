/*
 * Compares our decoder with a disassembler: reads what `objdump -d -w` prints, and says where the lengths differ
 * and how many instructions there were.
 */
#include "arch/x86_64/instruction.h"

#include <stdio.h>
#include <string.h>

#define LONGEST 15

/* The bytes of a line "ADDRESS:\tBYTES\tINSTRUCTION". */
static size_t take_bytes(const char *line, uint8_t *bytes)
{
	const char *at = strchr(line, '\t');
	unsigned value;
	size_t count = 0;

	while (at && count < LONGEST && sscanf(at + 1, "%2x", &value) == 1 && at[3] == ' ') {
		bytes[count++] = (uint8_t)value;
		at += 3;
		if (at[1] == ' ' || at[1] == '\t')
			break;
	}
	return count;
}

int main(void)
{
	unsigned long count = 0, different = 0;
	char line[1024];

	while (fgets(line, sizeof(line), stdin)) {
		struct instruction instruction = { 0 };
		uint8_t bytes[LONGEST];
		size_t size = take_bytes(line, bytes);

		if (!size || strstr(line, "(bad)") || strstr(line, ".byte"))
			continue;
		count++;
		if (instruction_decode(bytes, size, &instruction) && instruction.length == size)
			continue;
		if (different++ < 20)
			printf("%u bytes, not %zu: %s", instruction.length, size, line);
	}
	printf("%lu instructions, %lu differ\n", count, different);
	return different || !count;
}
