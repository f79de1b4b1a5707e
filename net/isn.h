/*
 * Initial sequence numbers: a keyed hash of the connection plus a clock (RFC 6528), so that
 * nobody outside can guess one, and a reopened connection starts above its predecessor.
 */
#pragma once

#include "lavra/types.h"

/* Choose the key. Boot core, once, before any core uses it. */
void isn_init(void);

/* Addresses in network order, ports in host order. Any core. */
uint32_t initial_sequence_number(uint32_t local_address, uint16_t local_port,
				 uint32_t remote_address, uint16_t remote_port);

uint32_t initial_sequence_number6(const uint32_t local_address[4], uint16_t local_port,
				  const uint32_t remote_address[4], uint16_t remote_port);

/* SipHash-2-4 (Aumasson, Bernstein 2012) of `len` bytes. */
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);
