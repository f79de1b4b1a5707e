/*
 * Internet addresses of both families in one form: an IPv6 address, and an IPv4 address a.b.c.d as
 * ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), which is also how a dual-stack socket shows it. "Any" is :: or
 * ::ffff:0.0.0.0. Network byte order.
 */
#pragma once

#include "lavra/types.h"

struct address {
	union {
		uint8_t bytes[16];
		uint32_t words[4];
		uint64_t halves[2];
	};
};

#define ADDRESS_MAPPED 0xffff0000u /* third word of an IPv4 address */

static inline struct address address_of_ip4(uint32_t ip4)
{
	return (struct address){ .words = { 0, 0, ADDRESS_MAPPED, ip4 } };
}

static inline bool address_is_ip4(const struct address *address)
{
	return address->halves[0] == 0 && address->words[2] == ADDRESS_MAPPED;
}

static inline uint32_t address_ip4(const struct address *address)
{
	return address->words[3];
}

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

/* :: alone. */
static inline bool address_is_any6(const struct address *address)
{
	return (address->halves[0] | address->halves[1]) == 0;
}

/* Any of its family. */
static inline bool address_is_any(const struct address *address)
{
	return address->halves[0] == 0 && address->words[3] == 0 &&
	       (address->words[2] == 0 || address->words[2] == ADDRESS_MAPPED);
}

/* ::1 or 127.0.0.0/8. */
static inline bool address_is_loopback(const struct address *address)
{
	if (address_is_ip4(address))
		return address->bytes[12] == 127;
	return address->halves[0] == 0 && address->words[2] == 0 &&
	       address->words[3] == __builtin_bswap32(1);
}

static inline bool address_is_link_local(const struct address *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

static inline bool address_is_multicast(const struct address *address)
{
	if (address_is_ip4(address))
		return (address->bytes[12] & 0xf0) == 0xe0;
	return address->bytes[0] == 0xff;
}

/* Are the first `bits` bits the same? */
static inline bool address_prefix_equal(const struct address *a, const struct address *b,
					unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (__builtin_memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

#define ADDRESS_TEXT_MAX 46 /* INET6_ADDRSTRLEN */

/* Read an address as text; *text is moved behind it. */
bool address_parse(const char **text, struct address *address);
/* Write it as RFC 5952 has it. Returns its length. */
unsigned address_print(const struct address *address, char text[ADDRESS_TEXT_MAX]);
