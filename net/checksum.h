/*
 * The Internet checksum (RFC 1071).
 */
#pragma once

#include "lavra/types.h"

/* The one's complement sum, not complemented, of `len` bytes. Any core, any context. */
uint16_t internet_checksum(const void *data, int len);

/* Bring a 64-bit one's complement sum to 16 bits. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	return (uint16_t)sum;
}
