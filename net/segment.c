/*
 * What lwIP 2.1.3 does not check of a segment. Its assertions are panics here, so nothing that comes
 * from outside may lead to one.
 */
#include "net/segment.h"

#include "lavra/types.h"
#include "net/flow.h"
#include "net/interface6.h"
#include "net/lwip_address.h"
#include "net/path_mtu.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip6.h"

/* Peers that claim to take less get this much (Linux: tcp_min_snd_mss 48): data in segments of a
 * few bytes would cost us a multiple of what it costs them to ask for it. */
#define SIZE_MIN 64
/* Below twice this a peer's window does not make the segments smaller; it opens yet. */
#define SIZE_FOR_WINDOW_MIN 536

static err_t challenge(struct tcp_pcb *pcb)
{
	tcp_send_empty_ack(pcb);
	return ERR_VAL;
}

/*
 * A segment that reaches the edge of our window, or finds it closed. lwIP trims what comes in order
 * to the window, but not what it keeps for later; and a FIN that it merges with a segment around it
 * moves to that one's end. So what comes early has to leave room for a FIN, and what comes in order
 * and fills the window does not find anything to merge with.
 */
static __attribute__((noinline)) err_t admit_at_edge(struct tcp_pcb *pcb,
						     const struct tcp_hdr *header, uint32_t len)
{
	if (len == 0 && !(TCPH_FLAGS(header) & TCP_FIN)) {
		/* Nothing is inside a closed window, so lwIP would answer every acknowledgement;
		 * two machines of this kind would not stop any more. */
		if (pcb->rcv_wnd == 0 && header->seqno == pcb->rcv_nxt) {
			struct flow *flow = pcb->ext_args[0].data;

			flow->window_lent = true;
			pcb->rcv_wnd = 1;
		}
		return ERR_OK;
	}
	if (TCP_SEQ_GT(header->seqno, pcb->rcv_nxt))
		return challenge(pcb);
	if (pcb->ooseq)
		tcp_free_ooseq(pcb);
	return ERR_OK;
}

/* What is not simply a segment with an acknowledgement. */
static __attribute__((noinline)) err_t admit_flags(const struct tcp_pcb *pcb, unsigned flags)
{
	if (!(flags & (TCP_SYN | TCP_RST)))
		return ERR_VAL;
	/* We do not open from both sides: no SYN+ACK belongs to a connection in SYN_RCVD. */
	return (flags & TCP_SYN) && (flags & TCP_ACK) && pcb->state == SYN_RCVD ? ERR_VAL : ERR_OK;
}

err_t segment_admit(struct tcp_pcb *pcb, struct tcp_hdr *header, uint32_t options_len, uint32_t len)
{
	unsigned flags = TCPH_FLAGS(header);

	/* From SYN_RCVD to LAST_ACK. */
	if (unlikely((unsigned)pcb->state - SYN_RCVD >= TIME_WAIT - SYN_RCVD))
		return ERR_OK;
	if (unlikely((flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK))
		return admit_flags(pcb, flags);
	/* Options are agreed upon by SYNs only; lwIP obeys a maximum segment size at any time, and
	 * asserts when what is queued is larger. */
	if (unlikely(options_len != 0))
		*(uint8_t *)(header + 1) = LWIP_TCP_OPT_EOL;
	if (unlikely(pcb->persist_backoff) && header->ackno == pcb->snd_nxt + 1 && pcb->unsent)
		pcb->snd_nxt++; /* the byte of a probe */
	/* RFC 5961, 5.2: acknowledged is what is under way, or was within a window's time. */
	if (unlikely(pcb->snd_nxt - header->ackno >
		     pcb->snd_nxt - pcb->lastack + pcb->snd_wnd_max) &&
	    pcb->state != SYN_RCVD)
		return challenge(pcb);
	if (unlikely((int32_t)(pcb->rcv_nxt + pcb->rcv_wnd - header->seqno - len) < 1))
		return admit_at_edge(pcb, header, len);
	return ERR_OK;
}

void segment_settle_size(struct tcp_pcb *pcb)
{
	uint32_t for_window = max((uint32_t)pcb->snd_wnd_max / 2, SIZE_FOR_WINDOW_MIN);

	/* Known from other connections; the interface's MTU lwIP has looked at. */
	if (IP_IS_V6_VAL(pcb->remote_ip)) {
		struct address remote = address_of_lwip(&pcb->remote_ip);

		if (!interface_is_local6(&remote))
			pcb->mss =
			    min(pcb->mss, (uint16_t)(path_mtu(&remote) - IP6_HLEN - TCP_HLEN));
	}
	pcb->mss = (uint16_t)max(min((uint32_t)pcb->mss, for_window), SIZE_MIN);
	/* tcp_write() makes segments of at most half the largest window, and asserts that those
	 * which wait are not larger; with this it is always the same size. */
	pcb->snd_wnd_max = max(pcb->snd_wnd_max, (tcpwnd_size_t)(2 * pcb->mss));
}

void segment_done(struct flow *flow, struct tcp_pcb *pcb)
{
	if (unlikely(flow->window_lent)) {
		flow->window_lent = false;
		pcb->rcv_wnd--;
	}
	/* With all acknowledged that waited for the window there is nothing to probe it with. lwIP
	 * stops its timer at the next send only, and asserts before. */
	if (unlikely(pcb->persist_backoff) && !pcb->unsent)
		pcb->persist_backoff = 0;
}

void segment_take_back_probe(struct tcp_pcb *pcb)
{
	if (likely(!pcb->persist_backoff) || pcb->snd_wnd != 0 || pcb->unacked || !pcb->unsent)
		return;
	if (lwip_ntohl(pcb->unsent->tcphdr->seqno) == pcb->lastack &&
	    pcb->snd_nxt == pcb->lastack + 1)
		pcb->snd_nxt = pcb->lastack;
}
