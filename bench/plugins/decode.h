/*
 * What the plugins want to know of an instruction, from its bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct decoded {
	bool lock, repeat;
	const uint8_t *opcode;
	size_t left; /* bytes from there on */
};

/* Intel SDM volume 2, 2.1: prefixes before the opcode. */
static inline struct decoded decode(const uint8_t *bytes, size_t size)
{
	struct decoded d = { .opcode = bytes, .left = size };

	for (; d.left > 1; d.opcode++, d.left--) {
		switch (*d.opcode) {
		case 0xf0:
			d.lock = true;
			continue;
		case 0xf2:
		case 0xf3:
			d.repeat = true;
			continue;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64 ... 0x67:
			continue;
		}
		break;
	}
	if (d.left > 1 && (*d.opcode & 0xf0) == 0x40) { /* REX */
		d.opcode++;
		d.left--;
	}
	return d;
}

/* A string instruction with a repeat prefix: QEMU executes it as a block an element. */
static inline bool is_repeated(const struct decoded *d)
{
	uint8_t opcode = *d->opcode;

	return d->repeat &&
	       ((opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf));
}

/* A read, a change and a write in one. XCHG with memory locks without a prefix. */
static inline bool is_atomic(const struct decoded *d)
{
	return d->lock || (d->left > 1 && (d->opcode[0] & 0xfe) == 0x86 && d->opcode[1] < 0xc0);
}

static inline bool is_wrpkru(const struct decoded *d)
{
	return d->left == 3 && memcmp(d->opcode, "\x0f\x01\xef", 3) == 0;
}
