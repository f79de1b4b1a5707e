/*
 * What a TCP socket tells of its connection: TCP_INFO, as far as lwIP knows; the rest is 0.
 */
#include "net/interface.h"
#include "net/path_mtu.h"
#include "net/socket_state.h"

#include "lwip/priv/tcp_priv.h"

#include <netinet/tcp.h>
#include <string.h>

#define US_PER_TICK (TCP_SLOW_INTERVAL * 1000u)
#define MSS_UNKNOWN 536 /* what Linux tells before a connection is made */

/* Linux's numbers of the states, by lwIP's. */
static const uint8_t linux_states[] = {
	[CLOSED] = TCP_CLOSE,	      [LISTEN] = TCP_LISTEN,	       [SYN_SENT] = TCP_SYN_SENT,
	[SYN_RCVD] = TCP_SYN_RECV,    [ESTABLISHED] = TCP_ESTABLISHED, [FIN_WAIT_1] = TCP_FIN_WAIT1,
	[FIN_WAIT_2] = TCP_FIN_WAIT2, [CLOSE_WAIT] = TCP_CLOSE_WAIT,   [CLOSING] = TCP_CLOSING,
	[LAST_ACK] = TCP_LAST_ACK,    [TIME_WAIT] = TCP_TIME_WAIT,
};

int tcp_socket_segment(const struct socket *socket)
{
	if (socket->tcp.pcb && socket->tcp.state == TCP_SOCKET_CONNECTED)
		return socket->tcp.pcb->mss;
	return socket->options.maximum_segment ? socket->options.maximum_segment : MSS_UNKNOWN;
}

void tcp_socket_info(const struct socket *socket, struct tcp_info *info)
{
	const struct tcp_pcb *pcb = socket->tcp.pcb;

	memset(info, 0, sizeof(*info));
	info->tcpi_state = socket->tcp.state == TCP_SOCKET_LISTENING ? TCP_LISTEN
			   : pcb				     ? linux_states[pcb->state]
								     : TCP_CLOSE;
	if (!pcb)
		return;
	info->tcpi_ca_state = pcb->flags & TF_INFR ? TCP_CA_Recovery
			      : pcb->nrtx	   ? TCP_CA_Loss
						   : TCP_CA_Open;
	info->tcpi_retransmits = pcb->nrtx;
	info->tcpi_probes = pcb->persist_probe;
	info->tcpi_backoff = pcb->nrtx;
	if (pcb->flags & TF_WND_SCALE) {
		info->tcpi_options |= TCPI_OPT_WSCALE;
		info->tcpi_snd_wscale = pcb->snd_scale & 15;
		info->tcpi_rcv_wscale = pcb->rcv_scale & 15;
	}
	if (pcb->flags & TF_SACK)
		info->tcpi_options |= TCPI_OPT_SACK;
	info->tcpi_rto = (uint32_t)max((int)pcb->rto, 0) * US_PER_TICK;
	info->tcpi_ato = TCP_FAST_INTERVAL * 1000u;
	info->tcpi_snd_mss = pcb->mss;
	info->tcpi_rcv_mss = pcb->mss;
	info->tcpi_advmss = TCP_MSS;
	info->tcpi_unacked = (pcb->snd_nxt - pcb->lastack + pcb->mss - 1u) / pcb->mss;
	/* lwIP counts in slow ticks, eighths and quarters of them (Jacobson's estimator). */
	info->tcpi_rtt = (uint32_t)max((int)pcb->sa, 0) * US_PER_TICK / 8;
	info->tcpi_rttvar = (uint32_t)max((int)pcb->sv, 0) * US_PER_TICK / 4;
	info->tcpi_snd_ssthresh = pcb->ssthresh / pcb->mss;
	info->tcpi_snd_cwnd = pcb->cwnd / pcb->mss;
	info->tcpi_rcv_space = pcb->rcv_wnd;
	info->tcpi_reordering = 3;
#ifndef LAVRA_HOST_TEST /* another C library's structure may be shorter */
	info->tcpi_notsent_bytes = pcb->snd_lbb - pcb->snd_nxt;
	info->tcpi_snd_wnd = pcb->snd_wnd;
#endif
	info->tcpi_pmtu = address_is_loopback(&socket->peer_address) ? LOOPBACK_MTU
			  : address_is_ip4(&socket->peer_address)    ? ethernet_interface.mtu
								  : path_mtu(&socket->peer_address);
}
