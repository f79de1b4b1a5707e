/*
 * The control queue: commands to the device, one at a time, waited for; VIRTIO 1.2, 5.1.6.5.
 */
#include "drivers/virtio/net_queues.h"

#include "arch/arch.h"
#include "drivers/dma.h"
#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>

#define CLASS_MQ 4
#define MQ_VQ_PAIRS_SET 0 /* 5.1.6.5.5 */
#define ACK_OK 0
#define ACK_NONE 0xff /* what the device never writes */

#define ANSWER_TIMEOUT_NS (1 * NS_PER_S)

struct command { /* each part gets a descriptor of its own: not every device takes them as one */
	uint8_t class, command;
	uint16_t pairs;
	uint8_t ack;
};

static int wait_for_answer(struct virtqueue *vq, uint32_t id)
{
	uint64_t deadline = clock_ns() + ANSWER_TIMEOUT_NS;
	uint32_t used_id, len;

	while (virtqueue_waiting(vq) == 0) {
		if (clock_ns() > deadline) {
			kprintf("virtio-net: the control queue does not answer\n");
			return -EIO;
		}
		arch_pause();
	}
	virtqueue_peek(vq, &used_id, &len);
	if (virtqueue_waiting(vq) != 1 || used_id != id) {
		virtqueue_stop(vq, "names a buffer that it does not have", used_id, vq->size);
		return -EIO;
	}
	vq->next_used++;
	return 0;
}

int control_set_queue_pairs(struct virtio_device *device, struct virtqueue *vq, unsigned pairs)
{
	struct command *command;
	uint32_t ids[3];
	int error;

	if (vq->size < array_size(ids))
		return -EIO;
	command = object_alloc_zeroed(sizeof(*command));
	if (command == NULL)
		return -ENOMEM;
	command->class = CLASS_MQ;
	command->command = MQ_VQ_PAIRS_SET;
	command->pairs = (uint16_t)pairs;
	command->ack = ACK_NONE;

	for (unsigned i = 0; i < array_size(ids); i++)
		ids[i] = virtqueue_get_id(vq);
	vq->descriptors[ids[0]] = (struct virtqueue_descriptor){ .address = dma_address(command),
								 .len = 2,
								 .flags = DESCRIPTOR_NEXT,
								 .next = (uint16_t)ids[1] };
	vq->descriptors[ids[1]] =
	    (struct virtqueue_descriptor){ .address = dma_address(&command->pairs),
					   .len = 2,
					   .flags = DESCRIPTOR_NEXT,
					   .next = (uint16_t)ids[2] };
	vq->descriptors[ids[2]] = (struct virtqueue_descriptor){
		.address = dma_address(&command->ack), .len = 1, .flags = DESCRIPTOR_DEVICE_WRITES
	};
	virtqueue_push(vq, ids[0]);
	if (virtqueue_publish(vq))
		virtqueue_notify(vq);
	error = wait_for_answer(vq, ids[0]);
	if (error)
		return error; /* the device may still write the answer: the command stays */
	for (unsigned i = array_size(ids); i-- > 0;)
		virtqueue_put_id(vq, ids[i]);
	if (__atomic_load_n(&command->ack, __ATOMIC_RELAXED) != ACK_OK) {
		kprintf("virtio-net: the device refuses %u queue pairs\n", pairs);
		error = -EPROTO;
	}
	object_free(command);
	return error;
}
