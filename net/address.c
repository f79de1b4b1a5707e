/*
 * Addresses as text (RFC 4291, 2.2; RFC 5952).
 */
#include "net/address.h"

#include "lavra/console.h"

#include <string.h>

/* A dotted quad. */
static bool parse_ip4(const char **text, uint8_t bytes[4])
{
	const char *at = *text;

	for (int i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;

		if (i && *at++ != '.')
			return false;
		for (; *at >= '0' && *at <= '9' && digits < 3; digits++)
			value = value * 10 + (unsigned)(*at++ - '0');
		if (!digits || value > 255)
			return false;
		bytes[i] = (uint8_t)value;
	}
	*text = at;
	return true;
}

static int hexadecimal(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

static bool parse_ip6(const char **text, struct address *address)
{
	const char *at = *text;
	unsigned count = 0; /* bytes so far */
	int gap = -1; /* where "::" is */

	memset(address, 0, sizeof(*address));
	if (at[0] == ':' && at[1] != ':')
		return false;
	while (count < 16) {
		const char *group = at;
		unsigned value = 0, digits = 0;

		if (at[0] == ':' && at[1] == ':') {
			if (gap >= 0)
				return false;
			gap = (int)count;
			at += 2;
			if (hexadecimal(*at) < 0)
				break;
			continue;
		}
		for (; digits < 4 && hexadecimal(*at) >= 0; digits++)
			value = value << 4 | (unsigned)hexadecimal(*at++);
		if (!digits)
			return false;
		if (*at == '.') {
			if (count > 12 || !parse_ip4(&group, address->bytes + count))
				return false;
			at = group;
			count += 4;
			break;
		}
		address->bytes[count++] = (uint8_t)(value >> 8);
		address->bytes[count++] = (uint8_t)value;
		if (at[0] != ':')
			break;
		if (at[1] != ':') {
			at++;
			if (hexadecimal(*at) < 0)
				return false;
		}
	}
	if (gap < 0 ? count != 16 : count == 16)
		return false;
	if (gap >= 0) {
		memmove(address->bytes + 16 - (count - (unsigned)gap), address->bytes + gap,
			count - (unsigned)gap);
		memset(address->bytes + gap, 0, 16 - count);
	}
	*text = at;
	return true;
}

bool address_parse(const char **text, struct address *address)
{
	uint8_t bytes[4];
	const char *at = *text;

	while (hexadecimal(*at) >= 0)
		at++;
	if (*at == ':')
		return parse_ip6(text, address);
	if (!parse_ip4(text, bytes))
		return false;
	*address = (struct address){ .words = { 0, 0, ADDRESS_MAPPED, 0 } };
	memcpy(address->bytes + 12, bytes, 4);
	return true;
}

static unsigned group_of(const struct address *address, unsigned index)
{
	return (unsigned)address->bytes[2 * index] << 8 | address->bytes[2 * index + 1];
}

unsigned address_print(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	unsigned gap = 8, gap_len = 1, len = 0;

	if (address_is_ip4(address))
		return (unsigned)ksnprintf(text, ADDRESS_TEXT_MAX, "%u.%u.%u.%u",
					   address->bytes[12], address->bytes[13],
					   address->bytes[14], address->bytes[15]);
	/* The first of the longest rows of two or more zeros is left out. */
	for (unsigned i = 0; i < 8; i++) {
		unsigned zeros = 0;

		while (i + zeros < 8 && group_of(address, i + zeros) == 0)
			zeros++;
		if (zeros > gap_len) {
			gap = i;
			gap_len = zeros;
		}
	}
	for (unsigned i = 0; i < 8; i++) {
		if (i == gap) {
			text[len++] = ':';
			i += gap_len - 1;
			if (i == 7)
				text[len++] = ':';
			continue;
		}
		len += (unsigned)ksnprintf(text + len, ADDRESS_TEXT_MAX - len, i ? ":%x" : "%x",
					   group_of(address, i));
	}
	text[len] = '\0';
	return len;
}
