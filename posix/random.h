/*
 * Random numbers: a ChaCha20 generator on every core, seeded by the processor's.
 *
 * Each output block gives the generator its next key first ("fast key erasure"), so what was
 * handed out cannot be computed from what memory holds later. Nothing is shared between cores.
 */
#pragma once

#include "lavra/types.h"

/* Any core, kernel context. Returns how many; fewer only if some of the buffer is the application's, and is
 * not there. */
size_t random_bytes(void *buffer, size_t length);

/* The ChaCha20 block function (RFC 8439, 2.3): 16 words of state to 64 bytes. */
void chacha20_block(const uint32_t state[16], uint8_t out[64]);
