/*
 * The Internet checksum (RFC 1071) where the device does not compute it.
 */
#include "net/checksum.h"

#include <string.h>

/* Sums in host order, as RFC 1071 section 2 (B) allows; 64-bit words with end-around carry. */
uint16_t internet_checksum(const void *data, int len)
{
	const uint8_t *bytes = data;
	uint64_t sum = 0;

	for (; len >= 8; bytes += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		sum += word;
		sum += sum < word;
	}
	if (len > 0) {
		uint64_t word = 0;

		memcpy(&word, bytes, (size_t)len);
		sum += word;
		sum += sum < word;
	}
	return checksum_fold(sum);
}
