#include "arch/x86_64/isolation.h"

#include "arch/arch.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/syscall_instruction.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/user_access.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "lavra/counters.h"

#include <string.h>

#ifndef ISOLATION_NONE
bool isolation_on VISIBLE;
#endif

/* Has the link looked for instructions that change rights where none may be (tools/gcc/lavra-link)? */
extern const uint8_t image_is_checked __attribute__((weak));

CORE_LOCAL uint8_t domain = DOMAIN_KERNEL;

_Static_assert(offsetof(struct counters, pkru_switches) == COUNTER_PKRU_SWITCHES, "isolation.h");
#ifndef ISOLATION_NONE
_Static_assert(offsetof(struct counters, system_calls) == COUNTER_SYSTEM_CALLS, "isolation.h");
#endif

#define EXIT_BAD_OPTION 2

static bool value_is(const char *value, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(value, name, length) == 0;
}

/* Page tables are made before the options are parsed, so the word is looked for. */
static const char *option_value(const char *line, size_t *length)
{
	static const char name[] = "isolation=";
	const char *value = NULL;

	while (*line) {
		size_t word = strcspn(line, " \t\n\r");

		if (word == 2 && memcmp(line, "--", 2) == 0)
			break;
		if (word >= sizeof(name) - 1 && memcmp(line, name, sizeof(name) - 1) == 0) {
			value = line + sizeof(name) - 1;
			*length = word - (sizeof(name) - 1);
		}
		line += word;
		line += strspn(line, " \t\n\r");
	}
	return value;
}

static void refuse(const char *why)
{
	kprintf("lavra: isolation=require, but %s\n", why);
	machine_exit(EXIT_BAD_OPTION);
}

void isolation_decide(const char *command_line)
{
	size_t length = 0;
	const char *value = option_value(command_line, &length);
	bool required = value && value_is(value, length, "require");

#ifdef ISOLATION_NONE
	if (required)
		refuse("the image was built with ISOLATION=none");
#else
	if (value && value_is(value, length, "off"))
		return;
	if (&image_is_checked && !image_is_checked) {
		if (required)
			refuse("the image was linked with LAVRA_ISOLATION=off");
		return;
	}
	isolation_on = cpu_features.protection_keys;
	if (!isolation_on && required)
		refuse("this processor has no protection keys (CPUID 7, ECX bit 3)");
#endif
}

/* The word has had its effect; here it is checked. */
static const char *parse_isolation(const char *value)
{
	if (strcmp(value, "on") == 0 || strcmp(value, "off") == 0 || strcmp(value, "require") == 0)
		return NULL;
	return "it is on, off or require";
}
BOOT_OPTION(isolation,
	    "isolation=on | off | require: keep application and kernel apart by protection keys "
	    "(on where the processor has them)",
	    parse_isolation);

const char *isolation_key_owner(unsigned key)
{
	switch (key) {
	case KEY_KERNEL:
		return "the kernel";
	case KEY_NETWORK:
	case KEY_PACKETS:
		return "the network";
	default:
		return "the application";
	}
}

unsigned arch_last_key(void)
{
	return cpu_features.protection_keys ? KEY_LAST : 0;
}

/* Those that the current thread's call came with. */
static uint32_t *call_rights(void)
{
	return &arch_call_frame(syscall_stack)->rights;
}

void arch_set_key_rights(unsigned key, unsigned denied)
{
	uint32_t rights = isolation_on ? *call_rights() : rights_read();

	rights &= ~(uint32_t)RIGHTS_DENIED(key);
	rights |= (uint32_t)denied << (2 * key);
	if (!isolation_on) {
		rights_write(rights);
		return;
	}
	*call_rights() = rights;
	/* Relaxed: whose call copies with this thread's rights has seen this thread's key. */
	if (!__atomic_load_n(&user_keys.used, __ATOMIC_RELAXED))
		__atomic_store_n(&user_keys.used, true, __ATOMIC_RELAXED);
}

uint32_t arch_call_rights(void)
{
	if (!isolation_on)
		return rights_read();
	/* Kernel threads have no such stack. */
	return syscall_stack ? *call_rights() | RIGHTS_SYSTEM : RIGHTS_LENT_ALL;
}

uint32_t arch_lend_rights(uint32_t rights)
{
	uint32_t before;

	if (!cpu_features.protection_keys)
		return 0;
	if (isolation_on) {
		before = user_rights_lent;
		user_rights_lent = rights;
		return before;
	}
	before = rights_read();
	if (before != rights)
		rights_write(rights);
	return before;
}

uint32_t arch_begin_handler(void)
{
	uint32_t before = rights_read();

	if (cpu_features.protection_keys && before != RIGHTS_INITIAL)
		rights_write(RIGHTS_INITIAL);
	return before;
}

void arch_end_handler(uint32_t rights)
{
	if (cpu_features.protection_keys && rights_read() != rights)
		rights_write(rights);
}

uint32_t rights_read(void)
{
	uint32_t rights;

	if (!cpu_features.protection_keys)
		return 0;
	__asm__ volatile("rdpkru" : "=a"(rights) : "c"(0) : "edx");
	return rights;
}
