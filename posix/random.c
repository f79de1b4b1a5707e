/*
 * Random numbers; the model is in the header.
 */
#include "posix/random.h"

#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "arch/arch.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define KEY_BYTES 32u
#define POOL_BYTES (8u * 64) /* eight blocks at a time; the first bytes are the next key */
#define RESEED_BYTES (1u << 20)

struct generator {
	uint32_t key[KEY_BYTES / 4];
	uint8_t pool[POOL_BYTES];
	unsigned used; /* of the pool */
	uint64_t produced; /* since the last seed; 0: never seeded */
};

static CORE_LOCAL struct generator generator;

static uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

/* RFC 8439, 2.1 */
static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b, *d = rotate(*d ^ *a, 16);
	*c += *d, *b = rotate(*b ^ *c, 12);
	*a += *b, *d = rotate(*d ^ *a, 8);
	*c += *d, *b = rotate(*b ^ *c, 7);
}

void chacha20_block(const uint32_t state[16], uint8_t out[64])
{
	uint32_t x[16];

	memcpy(x, state, sizeof(x));
	for (int i = 0; i < 10; i++) {
		quarter_round(&x[0], &x[4], &x[8], &x[12]);
		quarter_round(&x[1], &x[5], &x[9], &x[13]);
		quarter_round(&x[2], &x[6], &x[10], &x[14]);
		quarter_round(&x[3], &x[7], &x[11], &x[15]);
		quarter_round(&x[0], &x[5], &x[10], &x[15]);
		quarter_round(&x[1], &x[6], &x[11], &x[12]);
		quarter_round(&x[2], &x[7], &x[8], &x[13]);
		quarter_round(&x[3], &x[4], &x[9], &x[14]);
	}
	for (int i = 0; i < 16; i++)
		x[i] += state[i];
	memcpy(out, x, sizeof(x)); /* little-endian, as the machine */
}

static void refill(struct generator *g)
{
	/* "expand 32-byte k"; the block counter and the nonce start at 0 with each key. */
	uint32_t state[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

	if (g->produced == 0 || g->produced >= RESEED_BYTES) {
		for (unsigned i = 0; i < KEY_BYTES / 4; i += 2) {
			uint64_t seed = arch_random();

			g->key[i] ^= seed;
			g->key[i + 1] ^= seed >> 32;
		}
		g->produced = 0;
	}
	memcpy(state + 4, g->key, KEY_BYTES);
	for (unsigned i = 0; i < POOL_BYTES / 64; i++) {
		state[12] = i;
		chacha20_block(state, g->pool + i * 64);
	}
	memcpy(g->key, g->pool, KEY_BYTES);
	memset(g->pool, 0, KEY_BYTES);
	g->used = KEY_BYTES;
	g->produced += POOL_BYTES;
}

size_t random_bytes(void *buffer, size_t length)
{
	struct generator *g =
	    &generator; /* the kernel is not preempted: the same core throughout */
	size_t done = 0;

	while (done < length) {
		size_t part, copied;

		if (g->produced == 0 || g->used == POOL_BYTES)
			refill(g);
		part = min(length - done, (size_t)(POOL_BYTES - g->used));
		copied = user_copy_some((char *)buffer + done, g->pool + g->used, part);
		memset(g->pool + g->used, 0, part);
		g->used += part;
		done += copied;
		if (unlikely(copied < part))
			break;
	}
	return done;
}

/* Never blocks: the processor's generator needs no time to collect. */
SYSCALL(getrandom)(void *buffer, size_t length, unsigned flags)
{
	size_t done;

	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM))
		return -EINVAL;
	length = min(length, 0x7ffff000ul); /* as much as any Linux call moves */
	if (user_range_is_bad(buffer, length))
		return -EFAULT;
	done = random_bytes(buffer, length);
	return done || !length ? (long)done : -EFAULT;
}
