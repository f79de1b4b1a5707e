/*
 * What is emulated of WRPKRU and XRSTOR: where the operand is, and where components lie in an area.
 *
 * links: arch/x86_64/rights_operand.c arch/x86_64/instruction.c
 */
#include "arch/x86_64/instruction.h"
#include "arch/x86_64/rights_operand.h"
#include "arch/x86_64/trap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct trap_frame frame = {
	.rax = 0x1000,
	.rcx = 0x2000,
	.rdx = 0x3000,
	.rbx = 0x4000,
	.rsp = 0x5000,
	.rbp = 0x6000,
	.rsi = 0x7000,
	.rdi = 0x8000,
	.r8 = 0x9000,
	.r9 = 0xa000,
	.r10 = 0xb000,
	.r11 = 0xc000,
	.r12 = 0xd000,
	.r13 = 0xe000,
	.r14 = 0xf000,
	.r15 = 0x10000,
	.rip = 0x400000,
};

static vaddr_t operand(const char *bytes, size_t size)
{
	struct instruction instruction;

	assert_true(instruction_decode((const uint8_t *)bytes, size, &instruction));
	assert_int_equal(instruction.length, size);
	return rights_operand(&frame, &instruction, (const uint8_t *)bytes);
}
#define OPERAND(bytes) operand(bytes, sizeof(bytes) - 1)

/* Each as an assembler makes it of xrstor or xrstor64. */
static void the_operand_is_where_the_instruction_says(void **state)
{
	assert_int_equal(OPERAND("\x0f\xff\x28"), 0x1000); /* (%rax) */
	assert_int_equal(OPERAND("\x0f\xff\x2f"), 0x8000); /* (%rdi) */
	assert_int_equal(OPERAND("\x48\x0f\xff\x2e"), 0x7000); /* 64 (%rsi) */
	assert_int_equal(OPERAND("\x41\x0f\xff\x2f"), 0x10000); /* (%r15) */
	assert_int_equal(OPERAND("\x0f\xff\x6c\x24\x40"), 0x5040); /* 0x40(%rsp) */
	assert_int_equal(OPERAND("\x41\x0f\xff\x6c\x24\xf8"), 0xcff8); /* -8(%r12) */
	assert_int_equal(OPERAND("\x0f\xff\x6d\x00"), 0x6000); /* (%rbp) */
	assert_int_equal(OPERAND("\x41\x0f\xff\x6d\x00"), 0xe000); /* (%r13) */
	assert_int_equal(OPERAND("\x0f\xff\xa9\x00\x01\x00\x80"), 0x2100 - 0x80000000l);
	assert_int_equal(OPERAND("\x0f\xff\x2d\x10\x00\x00\x00"), 0x400017); /* 16(%rip) */
	assert_int_equal(OPERAND("\x0f\xff\x2c\xd8"), 0x1000 + 8 * 0x4000); /* (%rax,%rbx,8) */
	assert_int_equal(OPERAND("\x43\x0f\xff\x2c\xa3"), 0xc000 + 4 * 0xd000); /* (%r11,%r12,4) */
	assert_int_equal(OPERAND("\x0f\xff\x2c\x8d\x04\x00\x00\x00"), 4 + 4 * 0x2000);
	assert_int_equal(OPERAND("\x0f\xff\x2c\x25\x00\x10\x00\x00"), 0x1000); /* 0x1000 */
	assert_int_equal(OPERAND("\x0f\xff\x6c\x4d\x01"), 0x6001 + 2 * 0x2000); /* 1(%rbp,%rcx,2) */
}

/* Of a processor with AVX-512 and keys, and one that is aligned in the compacted format. */
static const struct component components[COMPONENTS] = {
	[2] = { 256, 576, false },   [5] = { 64, 1088, false }, [6] = { 512, 1152, false },
	[7] = { 1024, 1664, false }, [9] = { 8, 2688, false },	[18] = { 8192, 2816, true },
};
#define COMPACTED(bits) (1ul << 63 | (bits))

static void components_lie_where_the_processor_puts_them(void **state)
{
	assert_int_equal(rights_component_offset(components, 0, 9), 2688);
	assert_int_equal(rights_component_offset(components, COMPACTED(0x204), 2), 576);
	assert_int_equal(rights_component_offset(components, COMPACTED(0x204), 9), 576 + 256);
	assert_int_equal(rights_component_offset(components, COMPACTED(0x200), 9), 576);
	assert_int_equal(rights_component_offset(components, COMPACTED(0x2e7), 9),
			 576 + 256 + 64 + 512 + 1024);
	assert_int_equal(rights_component_offset(components, COMPACTED(0x40200), 18), 640);
	assert_int_equal(rights_component_offset(components, COMPACTED(0x40000), 18), 576);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_operand_is_where_the_instruction_says),
		cmocka_unit_test(components_lie_where_the_processor_puts_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
