/* The kernel touches memory of the application with the rights of the thread whose call it is. */
#include "tests/guest/test.h"

#include "arch/arch.h"
#include "arch/x86_64/isolation.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/user_access.h"
#include "mm/area.h"
#include "sched/thread.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define KEY 3
#define DENY_ACCESS 1u
#define DENY_WRITE 2u
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define BYTES (64 * PAGE_SIZE)

static char *map_with_key(size_t size)
{
	long address = area_map(0, size, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);

	CHECK(address > 0);
	CHECK_EQ(area_protect_key((vaddr_t)address, size, READ_WRITE, KEY), 0);
	return (char *)address;
}

/* What the functions do to a page that may be read, and written. */
static void check_access(char *page, bool read, bool write)
{
	char buffer[32] = "text";
	uint32_t word = 0;
	size_t length = 99;

	CHECK_EQ(user_copy(buffer, page, sizeof(buffer)), read);
	CHECK_EQ(user_copy_16(buffer, page), read);
	CHECK_EQ(user_copy_8(buffer, page), read);
	CHECK_EQ(user_copy_4(buffer, page), read);
	CHECK_EQ(user_copy_2(buffer, page), read);
	CHECK_EQ(user_find_zero(page, 10, &length), read);
	CHECK_EQ(length, read ? 0 : 99);
	CHECK_EQ(user_copy(page, buffer, sizeof(buffer)), write);
	CHECK_EQ(user_copy_16(page, buffer), write);
	CHECK_EQ(user_copy_8(page, buffer), write);
	CHECK_EQ(user_copy_4(page, buffer), write);
	CHECK_EQ(user_copy_2(page, buffer), write);
	CHECK_EQ(user_store_12(page, 0, 0), write);
	CHECK_EQ(user_compare_exchange((uint32_t *)page, 0, 0, &word), write ? 0 : -1);
	CHECK_EQ(user_clear(page, PAGE_SIZE), write);
	if (arch_isolation())
		CHECK_EQ(rights_read(), RIGHTS_ALL);
}

KERNEL_TEST(memory_is_touched_with_the_callers_rights)
{
	uint32_t all;
	char *page;

	if (!arch_last_key())
		SKIP("this processor has no protection keys");
	page = map_with_key(PAGE_SIZE);
	arch_set_key_rights(KEY, 0);
	all = arch_call_rights();
	check_access(page, true, true);
	arch_set_key_rights(KEY, DENY_WRITE);
	check_access(page, true, false);
	arch_set_key_rights(KEY, DENY_ACCESS);
	check_access(page, false, false);
	/* On behalf of another thread. */
	all = arch_lend_rights(all);
	check_access(page, true, true);
	arch_lend_rights(all);
	check_access(page, false, false);
	CHECK_EQ(area_unmap((vaddr_t)page, PAGE_SIZE), 0);
}

/* Interrupts, and faults that bring pages in, find fewer rights than the kernel's and leave them so. */
KERNEL_TEST(a_copy_keeps_its_rights_over_interrupts)
{
	uint64_t end = clock_ns() + 300 * NS_PER_MS;
	unsigned wrong = 0;

	if (!arch_last_key())
		SKIP("this processor has no protection keys");
	while (clock_ns() < end && !wrong) {
		long plain = area_map(0, BYTES, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
		char *closed = map_with_key(BYTES);

		arch_set_key_rights(KEY, DENY_WRITE);
		for (int i = 0; i < 4; i++) {
			wrong += !user_copy((char *)plain, closed, BYTES);
			wrong += user_copy(closed, (char *)plain, BYTES);
			wrong += user_clear(closed + BYTES - 1, 1);
			wrong += !user_clear((char *)plain, BYTES);
			wrong += arch_isolation() && rights_read() != RIGHTS_ALL;
		}
		CHECK_EQ(area_unmap((vaddr_t)closed, BYTES), 0);
		CHECK_EQ(area_unmap((vaddr_t)plain, BYTES), 0);
	}
	CHECK_EQ(wrong, 0);
	arch_set_key_rights(KEY, DENY_ACCESS);
}

KERNEL_TEST(reports_name_the_thread_of_a_kernel_stack)
{
	vaddr_t top = (vaddr_t)current->kernel_stack;
	const char *name = "";
	int tid = 0;

	if (!top)
		SKIP("without isolation threads have none");
	CHECK(panic_name_stack(top - 8, &tid, &name));
	CHECK_EQ(tid, current->tid);
	CHECK_EQ(strcmp(name, current->name), 0);
	CHECK(panic_name_stack((vaddr_t)&name, &tid, &name));
	CHECK_EQ(tid, current->tid);
	CHECK(!panic_name_stack(DIRECT_MAP, &tid, &name));
}
