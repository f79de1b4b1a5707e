/*
 * How long an instruction is, and which: enough of x86-64's encoding to step through code (SDM volume 2,
 * chapter 2 and appendix A). Nothing of the machine or the kernel is needed: tools and tests use it too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct instruction {
	uint8_t length; /* of all of it, 1 to 15 */
	uint8_t rex; /* the prefix, or 0 */
	uint8_t map; /* 0: one byte; 1: 0F; 2: 0F 38; 3: 0F 3A; others by EVEX alone */
	uint8_t opcode;
	uint8_t modrm; /* with has_modrm */
	uint8_t modrm_offset, displacement_size;
	bool has_modrm, vector; /* VEX or EVEX */
};

/* Decode what begins at `code`, of which there are `size` bytes. False if it is cut off, or none. */
bool instruction_decode(const uint8_t *code, size_t size, struct instruction *instruction);

/* Is it one for an operating system, that a program for ring 3 does not hold? Not those that ring 3 may
 * execute. */
bool instruction_is_privileged(const struct instruction *instruction);

static inline unsigned modrm_mod(uint8_t modrm)
{
	return modrm >> 6;
}

static inline unsigned modrm_reg(uint8_t modrm)
{
	return modrm >> 3 & 7;
}

static inline unsigned modrm_rm(uint8_t modrm)
{
	return modrm & 7;
}
