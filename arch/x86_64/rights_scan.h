/*
 * Finding the instructions that change PKRU in code that somebody brings, at any alignment (isolation.h).
 *
 *	WRPKRU		0F 01 EF
 *	XRSTOR		0F AE, and an operand in memory with 5 in its middle field
 *	XRSTORS		0F C7, likewise with 3
 *
 * (SDM volume 2. Prefixes come before the 0F and change nothing here; XCR0 has no APX, so REX2 is invalid.)
 *
 * What is found is one of two things. An instruction that the program really has, as glibc's dynamic
 * linker has XRSTOR: its second byte becomes RIGHTS_TRAP, which makes it UD0, an instruction that is
 * invalid for ever and that no compiler emits, and the rest of it stays, to be emulated
 * (rights_emulate.h). Or it is by chance a part of others: then changing it would break the program,
 * and it cannot be made executable.
 *
 * Nothing of the kernel is needed: tools and tests use it too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIGHTS_BYTES 3 /* of the shortest and of the longest, as far as it is looked at */
#define RIGHTS_TRAP 0xff
/* As much code before one is looked at, to tell what it is. */
#define RIGHTS_CONTEXT 64

/* Where the next one begins at or behind `from`; `size` if there is none that ends before `size`. */
size_t rights_find(const uint8_t *code, size_t size, size_t from);

/* Its name, of one that was found. */
const char *rights_name(const uint8_t *found);

/* Is the one at `at` an instruction of the program's that can be emulated? It is if decoding from nearly
 * everywhere before meets its first byte, and if its operands in registers are set nearby; half of
 * everywhere will do if one of them is set just before. */
bool rights_is_instruction(const uint8_t *code, size_t size, size_t at);
