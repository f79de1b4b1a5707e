/*
 * The loopback queue of a core.
 */
#include "net/loopback.h"

#include "lavra/counters.h"
#include "net/interface.h"
#include "net/packet_pbuf.h"

/* Packets that wait: two full windows, say. */
#define QUEUE_MAX 256
/* Processed in one pass, so that two ends of one core cannot keep it from its other work. */
#define BATCH 64

static CORE_LOCAL struct packet *first, **last;
static CORE_LOCAL unsigned queued;

err_t loopback_send(struct pbuf *pbuf)
{
	struct packet *packet;

	if (queued >= QUEUE_MAX) {
		counters.tx_drops++;
		return ERR_BUF;
	}
	packet = packet_alloc(pbuf->tot_len);
	if (!packet) {
		counters.tx_drops++;
		return ERR_MEM;
	}
	pbuf_copy_partial(pbuf, packet->data, pbuf->tot_len, 0);
	packet->checksum_valid = true;
	if (!first)
		last = &first;
	*last = packet;
	last = &packet->next;
	queued++;
	return ERR_OK;
}

bool loopback_poll(void)
{
	unsigned left = BATCH;

	if (!first)
		return false;
	while (first && left--) {
		struct packet *packet = first;

		first = packet->next;
		packet->next = NULL;
		queued--;
		/* Steers it: to another core where it belongs there. */
		interface_receive(packet);
	}
	return true;
}

bool loopback_has_work(void)
{
	return first != NULL;
}
