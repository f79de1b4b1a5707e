/*
 * Packets that one core receives and others release, at the same time.
 *
 * links: drivers/virtio/virtio.c drivers/virtio/virtqueue.c drivers/virtio/virtio_net.c
 * links: drivers/virtio/receive.c drivers/virtio/transmit.c drivers/virtio/control.c
 * links: tests/host/virtio_device_model.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lavra/counters.h"
#include "smp/core.h"
#include "tests/host/virtio_device_model.h"

#include <pthread.h>
#include <sched.h>

#define NFRAMES 20000u
#define NRELEASERS 3u

/* From the receiving core to the others; the mutex stands for the mailbox. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct packet *passed[1024];
static unsigned npassed;
static bool finished;

static void *release_packets(void *argument)
{
	this_core = *(core_id_t *)argument;
	for (;;) {
		struct packet *packet = NULL;
		bool end;

		pthread_mutex_lock(&lock);
		if (npassed > 0)
			packet = passed[--npassed];
		end = finished;
		pthread_mutex_unlock(&lock);
		if (packet) {
			packet->stack_private[0] =
			    this_core; /* the last word before it goes home */
			packet_release(packet);
		} else if (end) {
			return NULL;
		} else {
			sched_yield();
		}
	}
}

static void packets_come_home_while_others_arrive(void **state)
{
	static const uint8_t frame[5000];
	static core_id_t releasers[NRELEASERS] = { 1, 2, 3 };
	pthread_t threads[NRELEASERS];
	struct packet *packets[32];
	unsigned received = 0, sent = 0;

	model_reset();
	ncores = 1;
	assert_int_equal(virtio_net_init(&this_core, 1), 0);
	for (unsigned i = 0; i < NRELEASERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, release_packets, &releasers[i]),
				 0);
	while (received < NFRAMES) {
		unsigned n, limit;

		if (sent < NFRAMES && sent - received < 64)
			sent += model_receive(0, frame, sent % 5 ? 60 : 5000, 0);
		/* As many as can be passed on: nothing is dropped, so that every frame counts. */
		pthread_mutex_lock(&lock);
		limit = npassed > 128 ? 0 : 32;
		pthread_mutex_unlock(&lock);
		if (limit == 0) {
			sched_yield();
			continue;
		}
		n = virtio_net_receive(0, packets, limit);
		received += n;
		pthread_mutex_lock(&lock);
		for (unsigned i = 0; i < n; i++)
			passed[npassed++] = packets[i];
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_lock(&lock);
	finished = true;
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < NRELEASERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counters.rx_drops + counters.rx_errors, 0);
	/* All are home: a stack that holds as many as it may still loses none. */
	for (unsigned i = 0; i < 500; i++) {
		assert_true(model_receive(0, frame, 60, 0));
		assert_int_equal(virtio_net_receive(0, packets, 32), 1);
	}
	assert_int_equal(counters.rx_drops, 0);
	model_free_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_come_home_while_others_arrive),
	};

	return cmocka_run_group_tests_name("virtio-net threads", tests, NULL, NULL);
}
