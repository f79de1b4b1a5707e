/*
 * A device that says anything at all: the bytes of the input decide which field of which ring,
 * header, descriptor or index it writes, with what, and what the driver does in between. Whatever
 * it says, the driver stays inside its memory, gives every packet out once and every `done` once.
 *
 * links: drivers/virtio/virtio.c drivers/virtio/virtqueue.c drivers/virtio/virtio_net.c
 * links: drivers/virtio/receive.c drivers/virtio/transmit.c drivers/virtio/control.c
 * links: tests/host/virtio_device_model.c
 */
#include "lavra/counters.h"
#include "smp/core.h"
#include "tests/host/virtio_device_model.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HELD 1024
#define FRAME_ROOM 1934 /* no part can be longer: what a receive buffer holds */

static const uint8_t *input;
static size_t input_left;

static uint8_t next_byte(void)
{
	if (input_left == 0)
		return 0;
	input_left--;
	return *input++;
}

static uint32_t next_word(void)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < 4; i++)
		word = word << 8 | next_byte();
	return word;
}

/* Mostly values near what is true, some of any size. */
static uint32_t next_value(uint32_t near)
{
	switch (next_byte() % 4) {
	case 0:
		return near;
	case 1:
		return near + (uint32_t)(int8_t)next_byte();
	case 2:
		return next_byte();
	default:
		return next_word();
	}
}

static struct packet *held[MAX_HELD];
static unsigned nheld;
static uint8_t pending[256]; /* by number of a transmission: `done` is still to come */
static uint8_t next_transmission;

static void on_done(void *argument)
{
	uint8_t *p = argument;

	if (*p != 1)
		abort(); /* twice, or never sent */
	*p = 0;
}

static void check(int condition)
{
	if (!condition)
		abort();
}

static void receive(void)
{
	struct packet *packets[32];
	unsigned n = virtio_net_receive(0, packets, 1 + next_byte() % 32);

	for (unsigned i = 0; i < n; i++) {
		uint32_t total = 0;

		for (struct packet *part = packets[i]; part; part = part->next) {
			volatile uint8_t sum = 0;

			check(part->len <= FRAME_ROOM && part->home_queue == 0);
			for (uint32_t j = 0; j < part->len; j++)
				sum = sum + part->data[j];
			total += part->len;
			for (unsigned j = 0; j < nheld; j++)
				for (struct packet *h = held[j]; h; h = h->next)
					check(h != part);
		}
		check(total == packets[i]->total_len);
		memset(packets[i]->stack_private, 0x77, sizeof(packets[i]->stack_private));
		if (nheld < MAX_HELD)
			held[nheld++] = packets[i];
		else
			packet_release(packets[i]);
	}
}

static void send(void)
{
	static uint8_t bytes[4096];
	struct tx_segment segments[4];
	unsigned n = 1 + next_byte() % 4;
	uint8_t *flag = &pending[next_transmission];

	if (*flag)
		return; /* still under way */
	for (unsigned i = 0; i < n; i++)
		segments[i] = (struct tx_segment){ bytes + next_byte(), next_byte() * 3u };
	*flag = 1;
	if (virtio_net_send(0, segments, n, NULL, on_done, flag) == 0)
		next_transmission++;
	else
		*flag = 0;
}

static void release_some(unsigned core)
{
	this_core = core;
	for (unsigned n = next_byte() % 64; n > 0 && nheld > 0; n--)
		packet_release(held[--nheld]);
	this_core = 0;
}

static void lie(struct model_queue *queue, unsigned size)
{
	uint16_t index = queue->used->index;
	uint16_t id = queue->available->ring[queue->next_available % size];

	switch (next_byte() % 8) {
	case 0: /* an entry that may be true */
		queue->next_available++;
		model_complete(queue, next_value(id), next_value(100));
		break;
	case 1: /* an older entry changes */
		queue->used->ring[next_byte() % size] =
		    (struct virtqueue_used_element){ next_value(id), next_value(100) };
		break;
	case 2:
		queue->used->index = (uint16_t)next_value(index);
		break;
	case 3:
		queue->used->flags = (uint16_t)next_word();
		break;
	case 4: /* the event index behind the ring */
		*(uint16_t *)&queue->used->ring[size] = (uint16_t)next_value(index);
		break;
	case 5: /* it writes where it should only read */
		queue->descriptors[next_byte() % size] =
		    (struct virtqueue_descriptor){ .address = next_word(),
						   .len = next_word(),
						   .flags = next_byte(),
						   .next = next_byte() };
		break;
	case 6:
		queue->available->ring[next_byte() % size] = (uint16_t)next_value(id);
		break;
	default:
		queue->available->index = (uint16_t)next_value(index);
		break;
	}
}

/* The header's num_buffers of a buffer that the device holds. */
static void lie_in_header(void)
{
	struct model_queue *queue = model_receive_queue(0);
	uint32_t id = next_byte() % queue->size;
	const struct virtqueue_descriptor *d = &queue->descriptors[id];
	struct net_header header = { .flags = next_byte(), .num_buffers = (uint16_t)next_value(1) };

	if (d->len == FRAME_ROOM && d->address > UINT32_MAX) /* not one we scribbled over */
		memcpy((void *)d->address, &header, sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t frame[4096];

	input = data;
	input_left = size;
	nheld = 0;
	next_transmission = 0;
	memset(pending, 0, sizeof(pending));
	model_reset();
	ncores = 1;
	model.max_queue_size = 16;
	model.memory_pages = 512; /* 64 packets: the stack can hold them all */
	if (next_byte() & 1)
		model.features &= ~VIRTIO_F_EVENT_IDX;
	check(virtio_net_init((const core_id_t[]){ 0, 1, 2, 3 }, ncores) == 0);

	bool honest =
	    true; /* from the first lie on, the model's own rings cannot be trusted either */

	while (input_left > 0) {
		switch (next_byte() % 10) {
		case 0:
			if (honest)
				model_receive(0, frame, 14 + next_byte() * 16u, next_byte());
			break;
		case 1:
			receive();
			break;
		case 2:
			send();
			break;
		case 3:
			virtio_net_kick(0);
			break;
		case 4:
			virtio_net_reclaim(0);
			break;
		case 5:
			release_some(next_byte() % 2);
			break;
		case 6:
			virtio_net_enable_interrupt(0);
			virtio_net_disable_interrupt(0);
			break;
		case 7:
			honest = false;
			lie(model_receive_queue(0), model_receive_queue(0)->size);
			break;
		case 8:
			honest = false;
			lie(model_transmit_queue(0), model_transmit_queue(0)->size);
			break;
		default:
			if (honest)
				lie_in_header();
			break;
		}
	}
	release_some(0);
	model_free_all();
	return 0;
}
