/*
 * Putting IPv6 packets together.
 */
#include "net/reassembly.h"

#include "arch/arch.h"
#include "lavra/counters.h"
#include "lavra/list.h"
#include "mm/object.h"
#include "net/pressure.h"

#include "lwip/prot/ip6.h"

#include <string.h>

#define TIMEOUT_NS (60 * NS_PER_S) /* RFC 8200, 4.5 */
#define PACKETS_MAX 16
#define PIECES_MAX 64 /* 64 KiB over a path of 1,280 bytes takes 54 */
#define BYTES_MAX (256u << 10) /* of all that wait */

struct piece {
	struct piece *next; /* by offset */
	uint32_t start, end;
	uint8_t data[];
};

struct partial {
	struct list link; /* oldest first */
	uint8_t header[IP6_HLEN]; /* of the first piece that came; the addresses matter */
	uint32_t identification;
	uint64_t expires_ns;
	struct piece *pieces;
	unsigned npieces;
	uint32_t received;
	uint32_t total; /* 0: the last piece has not come */
	uint8_t protocol; /* as the first piece says */
};

static CORE_LOCAL struct list partials;
static CORE_LOCAL unsigned npartials;
static CORE_LOCAL uint32_t bytes_waiting;

static void forget(struct partial *partial)
{
	while (partial->pieces) {
		struct piece *piece = partial->pieces;

		partial->pieces = piece->next;
		object_free(piece);
	}
	bytes_waiting -= partial->received;
	list_remove(&partial->link);
	npartials--;
	object_free(partial);
}

static struct partial *find(const uint8_t *ip, uint32_t identification)
{
	if (npartials == 0)
		return NULL;
	list_for_each(link, &partials) {
		struct partial *partial = list_entry(link, struct partial, link);

		if (partial->identification == identification &&
		    memcmp(partial->header + 8, ip + 8, 32) == 0)
			return partial;
	}
	return NULL;
}

static struct partial *create(const uint8_t *ip, uint32_t identification)
{
	struct partial *partial = object_alloc_zeroed(sizeof(*partial));

	if (!partial)
		return NULL;
	if (npartials == 0)
		list_init(&partials);
	else if (npartials == PACKETS_MAX)
		forget(list_first(&partials, struct partial, link));
	memcpy(partial->header, ip, IP6_HLEN);
	partial->identification = identification;
	partial->expires_ns = clock_ns() + TIMEOUT_NS;
	list_init(&partial->link);
	list_push_back(&partials, &partial->link);
	npartials++;
	return partial;
}

/* Bytes `from` on of a packet, which may be in parts. */
static void copy_out(const struct packet *packet, uint32_t from, void *to, uint32_t len)
{
	for (; packet && len; packet = packet->next) {
		uint32_t here = 0;

		if (from < packet->len) {
			here = min(packet->len - from, len);
			memcpy(to, packet->data + from, here);
			to = (uint8_t *)to + here;
			len -= here;
			from = 0;
		} else {
			from -= packet->len;
		}
	}
}

enum insertion { INSERTED, REPEATED, REFUSED };

static enum insertion insert(struct partial *partial, const struct packet *packet,
			     uint32_t data_offset, uint32_t start, uint32_t end)
{
	struct piece **link = &partial->pieces, *piece;

	while (*link && (*link)->start < start)
		link = &(*link)->next;
	piece = *link;
	if (piece && piece->start == start && piece->end == end)
		return REPEATED;
	if (piece && piece->start < end)
		return REFUSED;
	for (piece = partial->pieces; piece && piece != *link; piece = piece->next)
		if (piece->end > start)
			return REFUSED;
	if (partial->npieces == PIECES_MAX || bytes_waiting + (end - start) > BYTES_MAX ||
	    !pressure_allows(end - start))
		return REFUSED;
	piece = object_alloc(sizeof(*piece) + (end - start));
	if (!piece)
		return REFUSED;
	piece->start = start;
	piece->end = end;
	copy_out(packet, data_offset, piece->data, end - start);
	piece->next = *link;
	*link = piece;
	partial->npieces++;
	partial->received += end - start;
	bytes_waiting += end - start;
	return INSERTED;
}

static struct packet *finish(struct partial *partial)
{
	struct packet *whole = packet_alloc(IP6_HLEN + partial->total);
	uint16_t len = __builtin_bswap16((uint16_t)partial->total);

	if (whole) {
		memcpy(whole->data, partial->header, IP6_HLEN);
		memcpy(whole->data + 4, &len, 2);
		whole->data[6] = partial->protocol;
		for (const struct piece *piece = partial->pieces; piece; piece = piece->next)
			memcpy(whole->data + IP6_HLEN + piece->start, piece->data,
			       piece->end - piece->start);
	} else {
		counters.rx_drops++;
	}
	forget(partial);
	return whole;
}

struct packet *reassembly_add(struct packet *packet, const struct frame *frame)
{
	const uint8_t *ip = packet->data + frame->ip_offset, *fragment;
	uint32_t identification, start, end, len, data_offset;
	struct partial *partial;
	bool more;

	fragment = ip + frame->transport_offset;
	data_offset = frame->ip_offset + frame->transport_offset + 8u;
	len = frame->ip_len - frame->transport_offset - 8u;
	start = __builtin_bswap16(load16(fragment + 2));
	more = start & IP6_FRAG_MORE_FLAG;
	start &= IP6_FRAG_OFFSET_MASK;
	end = start + len;
	identification = load32(fragment + 4);
	if (len == 0 || (more && len % 8) || end > UINT16_MAX - IP6_HLEN)
		goto bad;
	partial = find(ip, identification);
	if (!partial)
		partial = create(ip, identification);
	if (!partial)
		goto bad;
	/* Beyond the end, or a second end. */
	if (partial->total && (end > partial->total || (!more && end != partial->total))) {
		forget(partial);
		goto bad;
	}
	switch (insert(partial, packet, data_offset, start, end)) {
	case REPEATED:
		packet_free(packet);
		return NULL;
	case REFUSED:
		forget(partial);
		goto bad;
	case INSERTED:
		break;
	}
	if (start == 0)
		partial->protocol = fragment[0];
	if (!more) {
		partial->total = end;
		for (const struct piece *piece = partial->pieces; piece; piece = piece->next)
			if (piece->end > end) {
				forget(partial);
				goto bad;
			}
	}
	packet_free(packet);
	return partial->total && partial->received == partial->total ? finish(partial) : NULL;
bad:
	counters.rx_errors++;
	packet_free(packet);
	return NULL;
}

void reassembly_expire(void)
{
	uint64_t now_ns = clock_ns();

	while (npartials) {
		struct partial *oldest = list_first(&partials, struct partial, link);

		if (oldest->expires_ns > now_ns)
			break;
		forget(oldest);
	}
}

bool reassembly_has_work(void)
{
	return npartials != 0;
}
