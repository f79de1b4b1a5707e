/*
 * The network's own stack canary; the kernel's it cannot read. The names are the kernel's (net/domain.mk).
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "net/domain/services.h"

uintptr_t __stack_chk_guard READ_MOSTLY;
void __stack_chk_fail(void) __attribute__((noreturn));

void __stack_chk_fail(void)
{
	panic("a function of the network has overwritten its stack");
}

void network_canary_init(void)
{
	__stack_chk_guard = (uintptr_t)arch_random() & ~0xfful;
}
