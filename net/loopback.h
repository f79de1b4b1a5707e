/*
 * Loopback: what this machine sends to itself, over 127.0.0.0/8 or its own address.
 *
 * A packet is copied once and steered like one from the wire, so that client and server may be
 * on different cores. For the sender's own core it waits until lwIP has returned.
 */
#pragma once

#include "lavra/types.h"

#include "lwip/err.h"

struct pbuf;

/* Queue a copy of an IP packet. ERR_MEM when memory or the queue is full. */
err_t loopback_send(struct pbuf *pbuf);
/* Process what waits. Returns whether there was any. */
bool loopback_poll(void);
bool loopback_has_work(void);
