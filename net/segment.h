/*
 * Received TCP segments, between finding their connection and lwIP's processing: what a peer that
 * keeps to no rules could do to lwIP, or one who only guesses to the stream of others, ends here.
 */
#pragma once

#include "lwip/tcp.h"

struct flow;
struct tcp_hdr;

/* LWIP_HOOK_TCP_INPACKET_PCB: ERR_OK, or the segment is dropped. The header is in host order, all
 * of it in one piece (net/frame.c); `len` bytes of data follow. */
err_t segment_admit(struct tcp_pcb *pcb, struct tcp_hdr *header, uint32_t options_len,
		    uint32_t len);

/* A connection is established: the size of its segments is settled. */
void segment_settle_size(struct tcp_pcb *pcb);

/* After lwIP had the segment. */
void segment_done(struct flow *flow, struct tcp_pcb *pcb);

/* After lwIP's slow timer, for each connection that it looked at. A probe of a closed window, one byte
 * of what waits, leaves the sequence numbers behind that byte: every acknowledgement that follows
 * would lie outside the closed window, and be dropped by the peer together with the window that it
 * tells. If the peer waits for that, both wait for ever. So the byte counts as not sent, until it
 * is acknowledged. */
void segment_take_back_probe(struct tcp_pcb *pcb);
