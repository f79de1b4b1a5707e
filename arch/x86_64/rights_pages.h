/* Instructions of programs that were made traps (arch_code_check() in arch/arch.h). */
#pragma once

#include "lavra/types.h"

/* As many at a time; a program for Linux has 3, of its C library. */
#define RIGHTS_SITES 256

/* Was the instruction whose 0F is at this address one of them? Any context. */
bool rights_is_site(vaddr_t address);
