/*
 * For the kernel's cases that try something in the network's domain.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Off where there could be is a failure, not a reason to skip. */
#define NEEDS_ISOLATION                                                                            \
	do {                                                                                       \
		if (!arch_last_key())                                                              \
			SKIP("this processor has no protection keys");                             \
		CHECK(arch_isolation());                                                           \
		if (!arch_isolation())                                                             \
			return;                                                                    \
	} while (0)

/* What runs in the network's domain: without a canary, since the kernel's is not to be read there. */
#define IN_NETWORK __attribute__((no_stack_protector, noinline))

typedef long (*network_try)(uintptr_t address, uint8_t byte);

/* Call it in the network's domain of this core, as the gates do it (tools/make-network-gates). */
long in_network(uintptr_t address, uint8_t byte, const network_try *try);
/* Is it refused? Then the network has failed, once, and is there again. */
bool is_refused(const network_try *try, uintptr_t address, uint8_t byte);
/* Let the network, which is down, begin anew. */
void begin_anew(void);
