/*
 * Packets as pbufs, and packets of our own making.
 */
#include "net/packet_pbuf.h"

#include "lavra/counters.h"
#include "mm/object.h"
#include "net/pressure.h"

/* What is shorter is rarely kept: acknowledgements, which make memory free. */
#define SHORT_PACKET 256u

CORE_LOCAL unsigned packets_held;
CORE_LOCAL unsigned packets_held_max;

struct packet *packet_alloc(uint32_t len)
{
	struct packet *packet = object_alloc(sizeof(*packet) + len);

	if (!packet)
		return NULL;
	memset(packet, 0, sizeof(*packet));
	packet->data = (uint8_t *)(packet + 1);
	packet->len = packet->total_len = len;
	packet_state(packet)->allocated = true;
	return packet;
}

struct packet *packet_copy(const struct packet *packet)
{
	struct packet *copy = packet_alloc(packet->total_len);
	uint32_t at = 0;

	if (!copy)
		return NULL;
	for (const struct packet *part = packet; part && at < copy->len; part = part->next) {
		uint32_t len = min(part->len, copy->len - at);

		memcpy(copy->data + at, part->data, len);
		at += len;
	}
	copy->checksum_valid = packet->checksum_valid;
	packet_state(copy)->tried = ((const struct packet_state *)packet->stack_private)->tried;
	packet_state(copy)->from_wire =
	    ((const struct packet_state *)packet->stack_private)->from_wire;
	return copy;
}

void packet_free(struct packet *packet)
{
	if (packet_state(packet)->allocated)
		object_free(packet);
	else
		packet_release(packet);
}

/* lwIP is done with one part. */
static void part_freed(struct pbuf *pbuf)
{
	struct packet_state *state = container_of(pbuf, struct packet_state, pbuf.pbuf);
	struct packet *packet =
	    (struct packet *)((char *)state - offsetof(struct packet, stack_private));

	packets_held--;
	packet_free(packet);
}

/* As pbuf_alloced_custom() does for a PBUF_REF. */
static inline struct pbuf *part_to_pbuf(struct packet *packet, uint8_t *data, uint32_t len)
{
	struct pbuf_custom *custom = &packet_state(packet)->pbuf;
	struct pbuf *pbuf = &custom->pbuf;

	custom->custom_free_function = part_freed;
	pbuf->next = NULL;
	pbuf->payload = data;
	pbuf->tot_len = pbuf->len = (u16_t)len;
	pbuf->type_internal = (u8_t)PBUF_REF;
	pbuf->flags = PBUF_FLAG_IS_CUSTOM;
	pbuf->ref = 1;
	pbuf->if_idx = 0;
	packets_held++;
	return pbuf;
}

static struct pbuf *copy_to_pbuf(struct packet *packet, uint32_t offset, uint32_t len)
{
	struct pbuf *pbuf = NULL;
	uint32_t at = 0;

	if (len <= SHORT_PACKET || pressure_allows(len))
		pbuf = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
	if (!pbuf) {
		counters.rx_drops++;
		packet_free(packet);
		return NULL;
	}
	for (struct packet *part = packet; part && at < len; part = part->next) {
		if (offset < part->len) {
			uint32_t here = min(part->len - offset, len - at);

			memcpy((uint8_t *)pbuf->payload + at, part->data + offset, here);
			at += here;
			offset = 0;
		} else {
			offset -= part->len;
		}
	}
	packet_free(packet);
	return pbuf;
}

/* Parts are freed one by one, in any order, so they let go of each other. */
static struct pbuf *chain_to_pbuf(struct packet *packet, uint32_t offset, uint32_t len)
{
	struct pbuf *first = NULL, **link = &first;
	struct packet *next;

	for (; packet; packet = next) {
		uint32_t here;

		next = packet->next;
		packet->next = NULL;
		here = offset < packet->len ? min(packet->len - offset, len) : 0;
		if (here == 0) { /* skipped, or padding behind the IP packet */
			offset -= min(offset, packet->len);
			packet_free(packet);
			continue;
		}
		*link = part_to_pbuf(packet, packet->data + offset, here);
		(*link)->tot_len = (u16_t)len; /* of this and what follows */
		link = &(*link)->next;
		len -= here;
		offset = 0;
	}
	return first;
}

struct pbuf *packet_to_pbuf(struct packet *packet, uint32_t offset, uint32_t len)
{
	if (unlikely(packets_held >= packets_held_max))
		return copy_to_pbuf(packet, offset, len);
	if (unlikely(packet->next != NULL))
		return chain_to_pbuf(packet, offset, len);
	return part_to_pbuf(packet, packet->data + offset, len);
}
