/*
 * Services of the kernel for the network that have no other name.
 */
#pragma once

#include "lavra/types.h"

#define NETWORK_TEXT_MAX 256

/* As frame_alloc() and frame_free(): with isolation the pages are the network's meanwhile. Returning them wants
 * interrupts on. */
paddr_t obtain_frames(unsigned order);
void return_frames(paddr_t frame, unsigned order);

/* Print `text`, of NETWORK_TEXT_MAX bytes with a zero among them; or print it and end the image. */
void say(const char *text);
void die(const char *text);
/* Set the network's stack canary. Before all else; its caller must not have one. (canary.c) */
void network_canary_init(void);
/* Have the device look at its queue of this index. */
void ring_doorbell(unsigned index);
