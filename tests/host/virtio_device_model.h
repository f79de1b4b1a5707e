/*
 * A network device of our own making, for tests: it implements the transport
 * (drivers/virtio/virtio.h) and works when it is told to, so that a test decides what happens when,
 * and what is a lie.
 */
#pragma once

#include "drivers/virtio/net_queues.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtqueue.h"

#define MODEL_MAX_QUEUES 9

struct model_queue {
	bool enabled;
	unsigned size;
	unsigned vector;
	struct virtqueue_descriptor *descriptors;
	struct virtqueue_available *available;
	struct virtqueue_used *used;
	uint16_t next_available; /* taken before this one */
	unsigned notifications;
};

struct model {
	struct virtio_device device;
	/* What it offers: set before virtio_net_init(). */
	uint64_t features;
	unsigned max_queue_size;
	uint16_t max_pairs;
	uint16_t mtu;
	unsigned nvectors;
	bool absent, refuses_features, never_resets, refuses_pairs, ignores_control,
	    refuses_vectors;
	uint64_t cores_without_interrupts;
	/* What the driver did. */
	uint8_t status;
	uint8_t statuses[16]; /* every one written, in order */
	unsigned nstatuses;
	uint64_t accepted;
	unsigned pairs; /* set through the control queue */
	struct model_queue queues[MODEL_MAX_QUEUES];
	uint32_t directed[MODEL_MAX_QUEUES]; /* what a vector raises; 0: it is masked */
	/* Memory: what is allocated, and which allocation from now on fails (0: none). */
	unsigned allocations;
	unsigned failing_allocation;
	size_t memory_pages; /* what frame_total() says */
};
extern struct model model;

/* A device with every feature, 2 pairs, 4 vectors, rings of 256; two cores; nothing allocated. */
void model_reset(void);
/* After a test: free what the driver, which lives for ever, has allocated. */
void model_free_all(void);

/* The device receives a frame: it goes into as many buffers as it takes. False: none left. */
bool model_receive(unsigned pair, const void *frame, size_t len, uint8_t flags);
/* Take the oldest frame of a transmit queue, header first, into `bytes` (large enough). 0: none. */
size_t model_transmit(unsigned pair, uint8_t *bytes, unsigned *ndescriptors);
/* As above, but the frame is not given back yet; *id says which it is. */
size_t model_take(unsigned pair, uint8_t *bytes, unsigned *ndescriptors, uint16_t *id);
void model_complete(struct model_queue *queue, uint32_t id, uint32_t len);
/* Ask for a notification at the next available buffer, as a device does before it sleeps. */
void model_want_notification(struct model_queue *queue);
/* Would the device interrupt for what it used since `old`? */
bool model_would_interrupt(const struct model_queue *queue, uint16_t old);
struct model_queue *model_receive_queue(unsigned pair);
struct model_queue *model_transmit_queue(unsigned pair);
