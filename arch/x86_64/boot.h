/*
 * From boot.S to lavra_main().
 */
#pragma once

#include "lavra/types.h"

/* boot.S calls it: on the boot stack, boot tables, nothing else set up. */
void boot_main(paddr_t start_info) __attribute__((noreturn));
