/*
 * The mistakes of the network in the image of test_stack.py: it runs what a datagram to port 9 says, with a
 * number of 16 digits behind it (net/interface.c calls this).
 */
#include "arch/arch.h"
#include "lavra/types.h"

#include <string.h>

#define DISCARD_PORT 9

void network_mistake(const uint8_t *ip, uint32_t len);

static uint64_t number(const uint8_t *digits)
{
	uint64_t value = 0;

	for (int i = 0; i < 16; i++)
		value = value << 4 |
			(uint64_t)(digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
	return value;
}

static __attribute__((noinline)) unsigned overflow(volatile uint8_t *above, unsigned depth)
{
	volatile uint8_t frame[256];

	frame[0] = *above;
	return depth ? overflow(frame, depth - 1) + frame[0] : 0;
}

void network_mistake(const uint8_t *ip, uint32_t len)
{
	const uint8_t *udp = ip + 20, *text = udp + 8;

	if (len < 28 + 6 + 16 || ip[0] != 0x45 || udp[2] != 0 || udp[3] != DISCARD_PORT)
		return;
	if (memcmp(text, "write ", 6) == 0)
		*(volatile uint64_t *)number(text + 6) = ~0ull;
	else if (memcmp(text, "reads ", 6) == 0)
		(void)*(volatile uint64_t *)number(text + 6);
	else if (memcmp(text, "calls ", 6) == 0)
		((void (*)(void))number(text + 6))();
	else if (memcmp(text, "stack ", 6) == 0)
		overflow((volatile uint8_t *)text, 1000);
	else if (memcmp(text, "trap_ ", 6) == 0)
		__asm__ volatile("ud2");
}
