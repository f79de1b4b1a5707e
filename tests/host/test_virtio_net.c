/*
 * The network driver against a simulated device, an honest and a lying one.
 *
 * links: drivers/virtio/virtio.c drivers/virtio/virtqueue.c drivers/virtio/virtio_net.c
 * links: drivers/virtio/receive.c drivers/virtio/transmit.c drivers/virtio/control.c
 * links: tests/host/virtio_device_model.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lavra/console.h"
#include "lavra/counters.h"
#include "smp/core.h"
#include "tests/host/virtio_device_model.h"

#include <errno.h>

static uint8_t frame[16384];
static struct packet *packets[64];

/* Queue i is core i's. */
static int bring_up(void)
{
	static const core_id_t owners[] = { 0, 1, 2, 3 };

	return virtio_net_init(owners, ncores);
}

static int setup(void **state)
{
	model_reset();
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	return 0;
}

static int start(void **state)
{
	setup(state);
	return bring_up();
}

static int finish(void **state)
{
	model_free_all();
	return 0;
}

static struct packet *receive_one(unsigned queue)
{
	assert_int_equal(virtio_net_receive(queue, packets, array_size(packets)), 1);
	return packets[0];
}

/* ---- setup ---- */

static void starts_in_the_order_of_the_standard(void **state)
{
	const uint8_t expected[] = { 0, 1, 1 | 2, 1 | 2 | 8, 1 | 2 | 8 | 4 };

	assert_int_equal(bring_up(), 0);
	assert_int_equal(model.nstatuses, sizeof(expected));
	assert_memory_equal(model.statuses, expected, sizeof(expected));
	assert_int_equal(model.accepted, model.features);
	assert_int_equal(virtio_net_queue_pairs(), 2);
	assert_int_equal(model.pairs, 2);
	assert_int_equal(model.queues[0].vector, 0);
	assert_int_equal(model.queues[2].vector, 1);
	assert_int_equal(model.queues[1].vector, VIRTIO_NO_VECTOR);
	assert_int_equal(virtio_net_mtu(), 1500);
	assert_true(virtio_net_offloads_tx_checksum());
	assert_memory_equal(virtio_net_mac(), "\x52\x54\x00\x01\x02\x03", 6);
}

/* The control queue comes behind all pairs of the device, not behind those in use. */
static void finds_the_control_queue_behind_unused_pairs(void **state)
{
	model.max_pairs = 4;
	assert_int_equal(bring_up(), 0);
	assert_true(model.queues[8].enabled);
	assert_false(model.queues[4].enabled);
	assert_int_equal(model.pairs, 2);
}

static void one_core_needs_no_control_queue(void **state)
{
	ncores = 1;
	assert_int_equal(bring_up(), 0);
	assert_int_equal(virtio_net_queue_pairs(), 1);
	assert_int_equal(model.accepted & (NET_F_MQ | NET_F_CTRL_VQ), 0);
	assert_false(model.queues[4].enabled);
}

static void fewer_vectors_mean_fewer_pairs(void **state)
{
	model.nvectors = 1;
	assert_int_equal(bring_up(), 0);
	assert_int_equal(virtio_net_queue_pairs(), 1);
}

static void without_vectors_the_core_never_sleeps(void **state)
{
	model.nvectors = 0;
	assert_int_equal(bring_up(), 0);
	assert_int_equal(model.queues[0].vector, VIRTIO_NO_VECTOR);
	assert_false(virtio_net_enable_interrupt(0));
}

static void a_refused_pair_count_leaves_one_pair(void **state)
{
	model.refuses_pairs = true;
	assert_int_equal(bring_up(), 0);
	assert_int_equal(virtio_net_queue_pairs(), 1);
}

static void no_device_is_an_answer(void **state)
{
	model.absent = true;
	assert_int_equal(bring_up(), -ENODEV);
}

static void fails_with(int error)
{
	assert_int_equal(bring_up(), error);
	assert_true(model.status & VIRTIO_STATUS_FAILED);
	assert_int_equal(model.statuses[model.nstatuses - 2], 0);
	assert_int_equal(model.allocations, 0);
}

static void refuses_a_legacy_device(void **state)
{
	model.features &= ~VIRTIO_F_VERSION_1;
	fails_with(-ENOTSUP);
}

static void respects_that_its_features_are_refused(void **state)
{
	model.refuses_features = true;
	fails_with(-ENOTSUP);
}

static void refuses_absurd_pair_counts(void **state)
{
	model.max_pairs = 0;
	fails_with(-EIO);
	model.max_pairs = 0x8001;
	fails_with(-EIO);
}

static void refuses_a_queue_without_a_vector(void **state)
{
	model.refuses_vectors = true;
	fails_with(-ENOSPC);
}

static void refuses_tiny_rings(void **state)
{
	model.max_queue_size = 2;
	fails_with(-EIO);
}

static void gives_up_on_a_silent_control_queue(void **state)
{
	model.ignores_control = true;
	assert_int_equal(bring_up(), -EIO);
	assert_true(model.status & VIRTIO_STATUS_FAILED);
	assert_int_equal(model.allocations, 1); /* the command that may still be answered */
}

/* A device that cannot be stopped may still write: then nothing is freed. */
static void keeps_the_memory_of_a_device_that_does_not_reset(void **state)
{
	model.never_resets = true;
	model.status = 0x55;
	assert_int_equal(bring_up(), -EIO);
}

static void bears_every_failing_allocation(void **state)
{
	unsigned failed = 0;

	for (unsigned n = 1;; n++) {
		model_reset();
		model.failing_allocation = n;
		if (bring_up() == 0)
			break;
		failed++;
		assert_int_equal(model.allocations, 0);
	}
	assert_in_range(failed, 20, 4000);
}

static void small_memory_means_small_rings(void **state)
{
	model.memory_pages = 2048; /* 8 MiB: 64 packets a pair at most */
	assert_int_equal(bring_up(), 0);
	assert_int_equal(model.queues[0].size, 64);
	assert_int_equal(model.queues[1].size, 64);
}

/* ---- receiving ---- */

static void receives_a_frame_in_place(void **state)
{
	struct packet *packet;

	assert_false(virtio_net_has_received(0));
	assert_true(model_receive(0, frame, 1514, NET_HEADER_DATA_VALID));
	assert_true(virtio_net_has_received(0));
	packet = receive_one(0);
	assert_int_equal(packet->len, 1514);
	assert_int_equal(packet->total_len, 1514);
	assert_null(packet->next);
	assert_int_equal(packet->home_queue, 0);
	assert_true(packet->checksum_valid);
	assert_memory_equal(packet->data, frame, 1514);
	assert_int_equal((uintptr_t)(packet->data + 14) % 4, 0);
	packet_release(packet);
	assert_int_equal(counters.rx_packets, 1);
	assert_int_equal(counters.rx_bytes, 1514);
	assert_false(virtio_net_has_received(0));
}

static void checksums_are_valid_only_if_the_device_says_so(void **state)
{
	model_receive(0, frame, 60, 0);
	assert_false(receive_one(0)->checksum_valid);
	model_receive(0, frame, 60, NET_HEADER_NEEDS_CSUM);
	assert_true(receive_one(0)->checksum_valid);
}

static void receives_for_ever(void **state)
{
	unsigned received = 0;

	for (unsigned i = 0; i < 200000; i++) {
		size_t len = 60 + i % 1455;

		assert_true(model_receive(0, frame + i % 512, len, 0));
		if (i % 7 == 0) {
			unsigned n = virtio_net_receive(0, packets, array_size(packets));

			for (unsigned j = 0; j < n; j++) {
				len = 60 + received % 1455;
				assert_int_equal(packets[j]->len, len);
				assert_memory_equal(packets[j]->data, frame + received % 512, len);
				received++;
				packet_release(packets[j]);
			}
		}
	}
	assert_in_range(received, 199990, 200000);
	assert_int_equal(counters.rx_drops + counters.rx_errors, 0);
}

static void puts_large_frames_together(void **state)
{
	size_t len = 0;

	assert_true(model_receive(0, frame, 8000, 0));
	assert_true(model_receive(0, frame, 60, 0));
	assert_int_equal(virtio_net_receive(0, packets, array_size(packets)), 2);
	assert_int_equal(packets[0]->total_len, 8000);
	for (struct packet *part = packets[0]; part; part = part->next) {
		assert_memory_equal(part->data, frame + len, part->len);
		len += part->len;
	}
	assert_int_equal(len, 8000);
	assert_int_equal(packets[1]->total_len, 60);
	packet_release(packets[0]);
	packet_release(packets[1]);
	assert_int_equal(counters.rx_bytes, 8060);
}

/* A device without mergeable buffers need not write num_buffers. */
static void ignores_the_part_count_of_devices_without_parts(void **state)
{
	model.features &= ~NET_F_MRG_RXBUF;
	assert_int_equal(bring_up(), 0);
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(model_receive(0, frame, 100, 0));
		assert_true(model_receive(0, frame, 200, 0));
		assert_int_equal(virtio_net_receive(0, packets, array_size(packets)), 2);
		assert_int_equal(packets[1]->total_len, 200);
		packet_release(packets[0]);
		packet_release(packets[1]);
	}
	assert_int_equal(counters.rx_errors, 0);
}

static void takes_no_more_than_asked(void **state)
{
	for (unsigned i = 0; i < 10; i++)
		model_receive(0, frame, 100 + i, 0);
	assert_int_equal(virtio_net_receive(0, packets, 4), 4);
	assert_int_equal(packets[3]->len, 103);
	assert_int_equal(virtio_net_receive(0, packets, 64), 6);
	assert_int_equal(packets[0]->len, 104);
}

/* A stack that keeps everything loses frames, not the queue. */
static void drops_when_all_packets_are_held(void **state)
{
	static struct packet *held[4096];
	unsigned nheld = 0, n;

	for (unsigned i = 0; i < 3000; i++) {
		model_receive(0, frame, 60, 0);
		n = virtio_net_receive(0, packets, array_size(packets));
		for (unsigned j = 0; j < n; j++)
			held[nheld++] = packets[j];
	}
	assert_in_range(nheld, 512, 1024);
	assert_true(counters.rx_drops > 0);
	assert_int_equal(nheld + counters.rx_drops, 3000);
	for (unsigned i = 0; i < nheld; i++)
		packet_release(held[i]);
	for (unsigned i = 0; i < 3000; i++) {
		assert_true(model_receive(0, frame, 60, 0));
		packet_release(receive_one(0));
	}
	assert_int_equal(counters.rx_errors, 0);
}

static void packets_come_home_from_other_cores(void **state)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct packet *packet;

		assert_true(model_receive(1, frame, i % 3 ? 60 : 5000, 0));
		this_core = 1;
		packet = receive_one(1);
		assert_int_equal(packet->home_queue, 1);
		this_core = 0;
		packet_release(packet);
	}
	assert_int_equal(counters.rx_drops, 0);
}

static void counts_runts(void **state)
{
	assert_true(model_receive(0, frame, 13, 0));
	assert_true(model_receive(0, frame, 14, 0));
	assert_int_equal(receive_one(0)->len, 14);
	assert_int_equal(counters.rx_errors, 1);
}

/* After a lie: this queue is silent, its memory whole, the other one goes on. */
static void assert_receive_stopped(void)
{
	assert_int_equal(virtio_net_receive(0, packets, array_size(packets)), 0);
	assert_true(counters.rx_errors > 0);
	assert_false(virtio_net_has_received(0));
	assert_true(virtio_net_enable_interrupt(0));
	virtio_net_disable_interrupt(0);
	assert_int_equal(virtio_net_receive(0, packets, array_size(packets)), 0);
	this_core = 1;
	assert_true(model_receive(1, frame, 60, 0));
	packet_release(receive_one(1));
	assert_false(virtio_net_has_received(1));
}

static void stops_on_an_id_out_of_range(void **state)
{
	model_complete(model_receive_queue(0), 256, 100);
	assert_receive_stopped();
}

static void stops_on_a_huge_id(void **state)
{
	model_complete(model_receive_queue(0), 0xffffffff, 100);
	assert_receive_stopped();
}

static void stops_on_a_buffer_used_twice(void **state)
{
	uint16_t id = model_receive_queue(0)->available->ring[0];

	assert_true(model_receive(0, frame, 60, 0));
	model_complete(model_receive_queue(0), id, 100);
	assert_int_equal(receive_one(0)->len, 60);
	assert_receive_stopped();
}

static void stops_on_a_length_beyond_the_buffer(void **state)
{
	struct model_queue *queue = model_receive_queue(0);

	model_complete(queue, queue->available->ring[0], queue->descriptors[0].len + 1);
	assert_receive_stopped();
}

static void stops_on_a_leap_of_the_index(void **state)
{
	model_receive_queue(0)->used->index += 257;
	assert_receive_stopped();
}

static void stops_on_an_index_that_goes_back(void **state)
{
	model_receive_queue(0)->used->index--;
	assert_receive_stopped();
}

static void stops_on_parts_that_are_not_there(void **state)
{
	uint16_t id = model_receive_queue(0)->available->ring[0];
	struct net_header *header;

	assert_true(model_receive(0, frame, 60, 0));
	header = (struct net_header *)model_receive_queue(0)->descriptors[id].address;
	header->num_buffers = 2;
	assert_receive_stopped();
}

static void stops_on_a_frame_of_no_parts(void **state)
{
	uint16_t id = model_receive_queue(0)->available->ring[0];
	struct net_header *header;

	assert_true(model_receive(0, frame, 60, 0));
	header = (struct net_header *)model_receive_queue(0)->descriptors[id].address;
	header->num_buffers = 0;
	assert_receive_stopped();
}

/* ---- interrupts and notifications ---- */

static void interrupts_only_while_enabled(void **state)
{
	struct model_queue *queue = model_receive_queue(0);

	assert_true(model_receive(0, frame, 60, 0));
	assert_false(model_would_interrupt(queue, 0));
	assert_false(virtio_net_enable_interrupt(0)); /* one waits */
	assert_true(model_receive(0, frame, 60, 0));
	assert_false(model_would_interrupt(queue, 1));
	virtio_net_receive(0, packets, array_size(packets));
	assert_true(virtio_net_enable_interrupt(0));
	assert_true(model_receive(0, frame, 60, 0));
	assert_true(model_would_interrupt(queue, 2));
	virtio_net_disable_interrupt(0);
	assert_true(model_receive(0, frame, 60, 0));
	assert_false(model_would_interrupt(queue, 3));
}

static void interrupts_only_while_enabled_without_event_index(void **state)
{
	model.features &= ~VIRTIO_F_EVENT_IDX;
	assert_int_equal(bring_up(), 0);
	interrupts_only_while_enabled(state);
}

static void rings_the_doorbell_only_if_asked(void **state)
{
	struct tx_segment segment = { frame, 60 };
	struct model_queue *queue = model_transmit_queue(0);
	uint8_t bytes[2048];
	unsigned n;

	virtio_net_kick(0);
	assert_int_equal(queue->notifications, 0); /* nothing to say */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(virtio_net_send(0, &segment, 1, NULL, NULL, NULL), 0);
	assert_int_equal(model_transmit(0, bytes, &n), 0); /* not shown yet */
	virtio_net_kick(0);
	assert_int_equal(queue->notifications, 1);
	virtio_net_send(0, &segment, 1, NULL, NULL, NULL);
	virtio_net_kick(0);
	assert_int_equal(queue->notifications, 1); /* the device is still at it */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(model_transmit(0, bytes, &n), 72);
	model_want_notification(queue);
	virtio_net_send(0, &segment, 1, NULL, NULL, NULL);
	virtio_net_kick(0);
	assert_int_equal(queue->notifications, 2);
	assert_int_equal(counters.tx_kicks, 2);
}

static void respects_the_no_notify_flag_without_event_index(void **state)
{
	struct tx_segment segment = { frame, 60 };

	model.features &= ~VIRTIO_F_EVENT_IDX;
	assert_int_equal(bring_up(), 0);
	model_transmit_queue(0)->used->flags = USED_NO_NOTIFY;
	virtio_net_send(0, &segment, 1, NULL, NULL, NULL);
	virtio_net_kick(0);
	assert_int_equal(counters.tx_kicks, 0);
	model_transmit_queue(0)->used->flags = 0;
	virtio_net_send(0, &segment, 1, NULL, NULL, NULL);
	virtio_net_kick(0);
	assert_int_equal(counters.tx_kicks, 1);
}

/* ---- sending ---- */

static unsigned ndone;
static void count_done(void *argument)
{
	assert_ptr_equal(argument, &ndone);
	ndone++;
}

static void copies_short_frames(void **state)
{
	uint8_t bytes[2048], copy[500];
	unsigned n;

	for (unsigned len = 14; len <= 500; len++) {
		/* Exact-sized memory: the sanitizer sees a byte read too far. */
		uint8_t *first = malloc(10), *second = malloc(len - 10);
		struct tx_segment segments[] = { { first, 10 }, { second, len - 10 } };

		memcpy(first, frame, 10);
		memcpy(second, frame + 10, len - 10);
		memcpy(copy, frame, len);
		ndone = 0;
		assert_int_equal(virtio_net_send(0, segments, 2, NULL, count_done, &ndone), 0);
		assert_int_equal(ndone, 1);
		free(first);
		free(second);
		virtio_net_kick(0);
		assert_int_equal(model_transmit(0, bytes, &n), 12 + len);
		assert_int_equal(n, 1);
		assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
		assert_memory_equal(bytes + 12, copy, len);
	}
	assert_int_equal(counters.tx_packets, 487);
}

static void sends_long_frames_in_place(void **state)
{
	struct tx_segment segments[] = { { frame, 66 }, { frame + 66, 700 }, { frame + 766, 748 } };
	uint8_t bytes[2048];
	unsigned n;

	ndone = 0;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(virtio_net_send(0, segments, 3, NULL, count_done, &ndone), 0);
		assert_int_equal(ndone, i);
		virtio_net_kick(0);
		virtio_net_reclaim(0);
		assert_int_equal(ndone, i); /* the device has not read it */
		assert_int_equal(model_transmit(0, bytes, &n), 12 + 1514);
		assert_int_equal(n, 3); /* header and first segment are one */
		assert_memory_equal(bytes + 12, frame, 1514);
		virtio_net_reclaim(0);
		assert_int_equal(ndone, i + 1);
	}
	segments[0].len = 200; /* too long to be copied: a descriptor of its own */
	segments[1] = (struct tx_segment){ frame + 200, 566 };
	assert_int_equal(virtio_net_send(0, segments, 3, NULL, NULL, NULL), 0);
	virtio_net_kick(0);
	assert_int_equal(model_transmit(0, bytes, &n), 12 + 1514);
	assert_int_equal(n, 4);
	assert_memory_equal(bytes + 12, frame, 1514);
}

static void asks_the_device_for_the_checksum(void **state)
{
	struct tx_segment segments[] = { { frame, 54 }, { frame + 54, 6 } };
	struct tx_offload offload = { true, 34, 16 };
	struct net_header header;
	uint8_t bytes[2048];
	unsigned n;

	for (unsigned i = 0; i < 2; i++) {
		segments[1].len = i ? 1000 : 6; /* chained, copied */
		assert_int_equal(virtio_net_send(0, segments, 2, &offload, NULL, NULL), 0);
		virtio_net_kick(0);
		model_transmit(0, bytes, &n);
		memcpy(&header, bytes, sizeof(header));
		assert_int_equal(header.flags, NET_HEADER_NEEDS_CSUM);
		assert_int_equal(header.csum_start, 34);
		assert_int_equal(header.csum_offset, 16);
		assert_int_equal(header.gso_type, 0);
	}
	offload.needs_checksum = false;
	virtio_net_send(0, segments, 2, &offload, NULL, NULL);
	virtio_net_kick(0);
	model_transmit(0, bytes, &n);
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
}

static void a_full_ring_is_an_error_not_a_wait(void **state)
{
	struct tx_segment segments[] = { { frame, 66 }, { frame + 66, 1000 } };
	uint8_t bytes[2048];
	unsigned n;

	ndone = 0;
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(virtio_net_send(0, segments, 2, NULL, count_done, &ndone), 0);
	assert_int_equal(virtio_net_send(0, segments, 1, NULL, count_done, &ndone), -ENOBUFS);
	assert_int_equal(virtio_net_send(0, segments, 2, NULL, count_done, &ndone), -ENOBUFS);
	assert_int_equal(ndone, 0);
	assert_int_equal(counters.tx_drops, 2);
	virtio_net_kick(0);
	assert_int_equal(model_transmit(0, bytes, &n), 12 + 1066);
	/* Reclaimed by the way. */
	assert_int_equal(virtio_net_send(0, segments, 2, NULL, count_done, &ndone), 0);
	assert_int_equal(ndone, 1);
	virtio_net_kick(0);
	while (model_transmit(0, bytes, &n))
		;
	virtio_net_reclaim(0);
	assert_int_equal(ndone, 129);
}

static void refuses_frames_that_are_too_long_or_short(void **state)
{
	struct tx_segment segments[40] = { { frame, 1515 } };

	assert_int_equal(virtio_net_send(0, segments, 1, NULL, NULL, NULL), -EMSGSIZE);
	segments[0].len = 13;
	assert_int_equal(virtio_net_send(0, segments, 1, NULL, NULL, NULL), -EMSGSIZE);
	for (unsigned i = 0; i < 40; i++)
		segments[i] = (struct tx_segment){ frame, 30 };
	assert_int_equal(virtio_net_send(0, segments, 40, NULL, NULL, NULL), -EMSGSIZE);
}

static void assert_transmit_stopped(void)
{
	struct tx_segment segment = { frame, 60 };
	uint8_t bytes[2048];
	unsigned n;

	virtio_net_reclaim(0);
	assert_int_equal(virtio_net_send(0, &segment, 1, NULL, NULL, NULL), -EIO);
	virtio_net_kick(0);
	virtio_net_reclaim(0);
	assert_int_equal(counters.rx_errors, 1);
	assert_int_equal(virtio_net_send(1, &segment, 1, NULL, NULL, NULL), 0);
	virtio_net_kick(1);
	assert_int_equal(model_transmit(1, bytes, &n), 72);
}

static void stops_on_completions_of_nothing(void **state)
{
	model_complete(model_transmit_queue(0), 0, 0);
	assert_transmit_stopped();
}

static void stops_on_a_completion_out_of_range(void **state)
{
	struct tx_segment segment = { frame, 60 };

	virtio_net_send(0, &segment, 1, NULL, NULL, NULL);
	virtio_net_kick(0);
	model_complete(model_transmit_queue(0), 0x10000, 0);
	assert_transmit_stopped();
}

/* `done` must not run twice, and not for a descriptor inside a chain. */
static void stops_on_a_frame_completed_twice(void **state)
{
	struct tx_segment segments[] = { { frame, 66 }, { frame + 66, 1000 } };
	uint8_t bytes[2048];
	unsigned n;
	uint16_t id;

	ndone = 0;
	for (unsigned i = 0; i < 4; i++)
		virtio_net_send(0, segments, 2, NULL, count_done, &ndone);
	virtio_net_kick(0);
	model_take(0, bytes, &n, &id);
	model_complete(model_transmit_queue(0), id, 0);
	model_complete(model_transmit_queue(0), id, 0);
	assert_transmit_stopped();
	assert_int_equal(ndone, 1);
}

static void stops_on_a_completion_inside_a_chain(void **state)
{
	struct tx_segment segments[] = { { frame, 66 }, { frame + 66, 1000 } };
	uint8_t bytes[2048];
	unsigned n;
	uint16_t id;

	ndone = 0;
	virtio_net_send(0, segments, 2, NULL, count_done, &ndone);
	virtio_net_kick(0);
	model_take(0, bytes, &n, &id);
	model_complete(model_transmit_queue(0), model_transmit_queue(0)->descriptors[id].next, 0);
	assert_transmit_stopped();
	assert_int_equal(ndone, 0);
}

/* The device may scribble over descriptors: we never read them back. */
static void does_not_follow_descriptors(void **state)
{
	struct tx_segment segments[] = { { frame, 66 }, { frame + 66, 700 }, { frame + 766, 700 } };
	uint8_t bytes[2048];
	unsigned n;
	uint16_t id;

	ndone = 0;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(virtio_net_send(0, segments, 3, NULL, count_done, &ndone), 0);
		virtio_net_kick(0);
		model_take(0, bytes, &n, &id);
		memset(model_transmit_queue(0)->descriptors, 0xff, 256 * 16);
		memset(model_transmit_queue(0)->available->ring, 0xff, 256 * 2);
		model_complete(model_transmit_queue(0), id, 0);
		virtio_net_reclaim(0);
	}
	assert_int_equal(ndone, 1000);
	assert_int_equal(counters.rx_errors, 0);
}

#define SETUP(test) cmocka_unit_test_setup_teardown(test, setup, finish)
#define RUN(test) cmocka_unit_test_setup_teardown(test, start, finish)

/* A pair goes to another core while the first one holds a packet of it. */
static void a_queue_changes_its_owner(void **state)
{
	struct packet *held, *other;
	unsigned before;

	assert_int_equal(model_receive(0, frame, 100, 0), 1);
	held = receive_one(0);
	assert_int_equal(held->holder, 0);
	assert_true(virtio_net_leave(0));
	this_core = 1;
	virtio_net_direct_interrupt(0, 1);
	virtio_net_take_over(0);
	assert_int_equal(model_receive(0, frame, 200, 0), 1);
	other = receive_one(0);
	assert_int_equal(other->holder, 1);
	assert_ptr_not_equal(other, held);
	packet_release(other);
	/* What the former owner has forgotten comes back, and what it has not got does not. */
	this_core = 0;
	virtio_net_restart(0);
	assert_int_equal(held->holder, PACKET_NOBODY);
	assert_int_equal(other->holder, 1);
	virtio_net_restart(0);
	this_core = 1;
	before = model.allocations;
	for (unsigned i = 0; i < 5000; i++) {
		assert_int_equal(model_receive(0, frame, 100, 0), 1);
		packet_release(receive_one(0));
	}
	assert_int_equal(held->holder, 1);
	assert_int_equal(model.allocations, before);
	this_core = 0;
}

/* The driver remembers cores that have vectors, so these are others than those of all tests. */
static void a_queue_gets_interrupts_on_a_core_that_can_have_them(void **state)
{
	static const core_id_t owners[] = { 5, 6 };

	model.cores_without_interrupts = 1ull << 5;
	assert_int_equal(virtio_net_init(owners, 2), 0);
	assert_int_equal(model.queues[0].vector, 0);
	assert_int_equal(model.directed[0], 0);
	assert_int_equal(model.directed[1], 0x46);
	this_core = 5;
	assert_false(virtio_net_enable_interrupt(0));
	assert_true(virtio_net_leave(0));
	/* It comes back without having been directed anywhere. */
	virtio_net_take_over(0);
	assert_false(virtio_net_enable_interrupt(0));
	assert_true(virtio_net_leave(0));
	assert_int_equal(virtio_net_prepare_interrupt(6), 0);
	virtio_net_direct_interrupt(0, 6);
	this_core = 6;
	virtio_net_take_over(0);
	assert_int_equal(model.directed[0], 0x46);
	assert_true(virtio_net_enable_interrupt(0));
	this_core = 0;
}

static void done_once(void *argument)
{
	++*(unsigned *)argument;
}

static void a_queue_stays_until_the_device_has_read(void **state)
{
	struct tx_segment segment = { frame, 1400 };
	unsigned done = 0, ndescriptors;
	uint8_t bytes[2048];

	assert_int_equal(virtio_net_send(0, &segment, 1, NULL, done_once, &done), 0);
	assert_false(virtio_net_leave(0));
	assert_int_equal(done, 0);
	assert_true(model_transmit(0, bytes, &ndescriptors));
	assert_true(virtio_net_leave(0));
	assert_int_equal(done, 1);
	virtio_net_take_over(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SETUP(starts_in_the_order_of_the_standard),
		SETUP(finds_the_control_queue_behind_unused_pairs),
		SETUP(one_core_needs_no_control_queue),
		SETUP(fewer_vectors_mean_fewer_pairs),
		SETUP(without_vectors_the_core_never_sleeps),
		SETUP(a_refused_pair_count_leaves_one_pair),
		SETUP(no_device_is_an_answer),
		SETUP(refuses_a_legacy_device),
		SETUP(respects_that_its_features_are_refused),
		SETUP(refuses_absurd_pair_counts),
		SETUP(refuses_a_queue_without_a_vector),
		SETUP(refuses_tiny_rings),
		SETUP(gives_up_on_a_silent_control_queue),
		SETUP(keeps_the_memory_of_a_device_that_does_not_reset),
		SETUP(bears_every_failing_allocation),
		SETUP(small_memory_means_small_rings),
		RUN(receives_a_frame_in_place),
		RUN(checksums_are_valid_only_if_the_device_says_so),
		RUN(receives_for_ever),
		RUN(puts_large_frames_together),
		SETUP(ignores_the_part_count_of_devices_without_parts),
		RUN(takes_no_more_than_asked),
		RUN(drops_when_all_packets_are_held),
		RUN(packets_come_home_from_other_cores),
		RUN(counts_runts),
		RUN(stops_on_an_id_out_of_range),
		RUN(stops_on_a_huge_id),
		RUN(stops_on_a_buffer_used_twice),
		RUN(stops_on_a_length_beyond_the_buffer),
		RUN(stops_on_a_leap_of_the_index),
		RUN(stops_on_an_index_that_goes_back),
		RUN(stops_on_parts_that_are_not_there),
		RUN(stops_on_a_frame_of_no_parts),
		RUN(interrupts_only_while_enabled),
		SETUP(interrupts_only_while_enabled_without_event_index),
		RUN(rings_the_doorbell_only_if_asked),
		SETUP(respects_the_no_notify_flag_without_event_index),
		RUN(copies_short_frames),
		RUN(sends_long_frames_in_place),
		RUN(asks_the_device_for_the_checksum),
		RUN(a_full_ring_is_an_error_not_a_wait),
		RUN(refuses_frames_that_are_too_long_or_short),
		RUN(stops_on_completions_of_nothing),
		RUN(stops_on_a_completion_out_of_range),
		RUN(stops_on_a_frame_completed_twice),
		RUN(stops_on_a_completion_inside_a_chain),
		RUN(does_not_follow_descriptors),
		RUN(a_queue_changes_its_owner),
		SETUP(a_queue_gets_interrupts_on_a_core_that_can_have_them),
		RUN(a_queue_stays_until_the_device_has_read),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
