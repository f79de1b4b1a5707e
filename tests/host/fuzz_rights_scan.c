/*
 * Any bytes as code: nothing outside is read, all that is there is found, and what was made a trap is no
 * such instruction any more.
 *
 * links: arch/x86_64/rights_scan.c arch/x86_64/instruction.c
 */
#include "arch/x86_64/instruction.h"
#include "arch/x86_64/rights_scan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *code = malloc(size + !size); /* so that AddressSanitizer knows its ends */
	struct instruction instruction;

	memcpy(code, data, size);
	for (size_t at = 0; at < size; at++)
		if (instruction_decode(code + at, size - at, &instruction)) {
			if (!instruction.length || instruction.length > size - at ||
			    instruction.modrm_offset >= instruction.length)
				abort();
			instruction_is_privileged(&instruction);
		}
	for (size_t at = 0; (at = rights_find(code, size, at)) < size; at++) {
		rights_is_instruction(code, size, at);
		code[at + 1] = RIGHTS_TRAP;
	}
	if (rights_find(code, size, 0) != size)
		abort();
	free(code);
	return 0;
}
