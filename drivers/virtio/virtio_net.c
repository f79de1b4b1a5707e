/*
 * Bringing the network device up; its queues are in receive.c and transmit.c.
 */
#include "drivers/virtio/virtio_net.h"

#include "drivers/virtio/net_queues.h"
#include "drivers/virtio/virtio.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "sched/thread.h"
#include "smp/core.h"

#include <errno.h>
#include <string.h>

/* Offsets in the device's configuration; VIRTIO 1.2, 5.1.4. */
#define CONFIG_MAC 0
#define CONFIG_MAX_PAIRS 8
#define CONFIG_MTU 10

#define MAX_PAIRS_ALLOWED 0x8000 /* 5.1.4.1 */
#define DEFAULT_MTU 1500
#define MIN_MTU 576 /* what every IPv4 host takes; RFC 791, 3.2 */
#define MAX_MTU 9000 /* jumbo frames, in several buffers */

/* Receive packets take at most this share of memory, and this many a queue. */
#define MEMORY_SHARE 16
#define MAX_PACKETS 2048u
#define PACKETS_PER_PAGE 2u
#define MIN_PACKETS 32u

/* How machines without PCI (Firecracker) announce devices. Known, so that they boot. */
static bool mmio_announced;
static const char *note_mmio(const char *value)
{
	mmio_announced = true;
	return NULL;
}
/* BOOT_OPTION() cannot spell a name with a dot; the alignment is as there. */
static const struct boot_option mmio_option
    __attribute__((used, section("boot_options"), aligned(__alignof__(struct boot_option)))) = {
	    .name = "virtio_mmio.device",
	    .help = "virtio_mmio.device=SIZE@ADDRESS:IRQ: accepted, but not used: only PCI is",
	    .parse = note_mmio
    };

/* The network looks at them, too. */
static VISIBLE unsigned pairs;
static VISIBLE unsigned mtu;
static VISIBLE unsigned receive_buffers; /* of each pair */
static VISIBLE bool offloads_tx_checksum, offloads_rx_checksum;
static VISIBLE uint8_t mac[6];

static READ_MOSTLY struct virtio_device *network_device;

/* A vector on each core that has had a queue, for all that it has; `address` is 0 without one. */
static struct msi_message vectors[MAX_CORES];

void virtio_net_notify(unsigned queue)
{
	/* The network names it, also where there is no device. */
	if (queue < 2 * pairs)
		virtio_notify(network_device, queue);
}

unsigned virtio_net_queue_pairs(void)
{
	return pairs;
}

const uint8_t *virtio_net_mac(void)
{
	return mac;
}

unsigned virtio_net_receive_buffers(void)
{
	return receive_buffers;
}

unsigned virtio_net_mtu(void)
{
	return mtu;
}

bool virtio_net_offloads_tx_checksum(void)
{
	return offloads_tx_checksum;
}

bool virtio_net_offloads_rx_checksum(void)
{
	return offloads_rx_checksum;
}

/* Queue pairs are only asked for where there are cores for them, and a way to ask. */
static uint64_t wanted_features(uint64_t offered)
{
	uint64_t wanted = VIRTIO_F_EVENT_IDX | VIRTIO_F_ORDER_PLATFORM | NET_F_CSUM |
			  NET_F_GUEST_CSUM | NET_F_MTU | NET_F_MAC | NET_F_MRG_RXBUF;

	if (ncores > 1 && (offered & NET_F_CTRL_VQ))
		wanted |= NET_F_CTRL_VQ | NET_F_MQ;
	return wanted;
}

static int read_mac(struct virtio_device *device)
{
	uint64_t random;

	if (device->features & NET_F_MAC)
		return device->transport->read_config(device, CONFIG_MAC, mac, sizeof(mac));
	random = arch_random();
	memcpy(mac, &random, sizeof(mac));
	mac[0] = (uint8_t)((mac[0] & ~1u) | 2u); /* not multicast, locally administered; IEEE 802 */
	return 0;
}

static int read_mtu(struct virtio_device *device)
{
	unsigned most = device->features & NET_F_MRG_RXBUF ? MAX_MTU : DEFAULT_MTU;
	uint16_t value;
	int error;

	mtu = DEFAULT_MTU;
	if (!(device->features & NET_F_MTU))
		return 0;
	error = device->transport->read_config(device, CONFIG_MTU, &value, sizeof(value));
	if (error)
		return error;
	mtu = min(max((unsigned)value, MIN_MTU), most);
	if (mtu != value)
		kprintf("virtio-net: the device's mtu of %u is taken as %u\n", value, mtu);
	return 0;
}

/* How many pairs the device has; 1 if it cannot have several. */
static int read_max_pairs(struct virtio_device *device, unsigned *max_pairs)
{
	uint16_t value;
	int error;

	*max_pairs = 1;
	if (!(device->features & NET_F_MQ))
		return 0;
	error = device->transport->read_config(device, CONFIG_MAX_PAIRS, &value, sizeof(value));
	if (error)
		return error;
	if (value < 1 || value > MAX_PAIRS_ALLOWED) {
		kprintf("virtio-net: the device claims %u queue pairs\n", value);
		return -EIO;
	}
	*max_pairs = value;
	return 0;
}

/* A pair for each owner, as far as the device has pairs and vectors: a queue without a vector keeps
 * its core from sleeping, so rather fewer queues, from which frames are handed on. */
static unsigned choose_pairs(struct virtio_device *device, const core_id_t *owners, unsigned count,
			     unsigned max_pairs)
{
	unsigned n = min(count, max_pairs);

	if (device->nvectors == 0) {
		kprintf("virtio-net: no MSI-X: core %u polls and never sleeps\n", owners[0]);
		return 1;
	}
	if (device->nvectors < n) {
		kprintf("virtio-net: %u interrupt vectors for %u queue pairs: using %u pairs\n",
			device->nvectors, n, device->nvectors);
		n = device->nvectors;
	}
	return n;
}

/* Of the receive queues of this core. */
static void receive_interrupt(void *unused)
{
	poll_wanted = true;
}

int virtio_net_prepare_interrupt(core_id_t core)
{
	return vectors[core].address ? 0
				     : irq_allocate(core, receive_interrupt, NULL, &vectors[core]);
}

void virtio_net_direct_interrupt(unsigned queue, core_id_t core)
{
	if (!network_device->nvectors)
		return;
	network_device->transport->set_vector(network_device, queue, &vectors[core]);
	__atomic_store_n(&receive_interrupts[queue], true, __ATOMIC_RELAXED);
}

/* A pair's entry in the device's table of vectors: masked while its core cannot have interrupts, so that it can be
 * directed when the pair moves. */
static unsigned choose_vector(struct virtio_device *device, unsigned pair, core_id_t owner)
{
	receive_interrupts[pair] = false;
	if (device->nvectors == 0)
		return VIRTIO_NO_VECTOR;
	if (virtio_net_prepare_interrupt(owner) == 0)
		virtio_net_direct_interrupt(pair, owner);
	else
		kprintf("virtio-net: core %u has no interrupt vector left: it polls\n", owner);
	return pair;
}

/* Receive queue i has index 2i, transmit queue i 2i + 1, the control queue comes behind all that
 * the device has, used or not; VIRTIO 1.2, 5.1.2. *begun counts those that may hold memory. */
static int create_queues(struct virtio_device *device, const core_id_t *owners, unsigned n,
			 unsigned *begun)
{
	unsigned npackets = frame_total() / MEMORY_SHARE * PACKETS_PER_PAGE / n;

	npackets = max(min(npackets, MAX_PACKETS), MIN_PACKETS);
	receive_buffers = npackets;
	for (unsigned i = 0; i < n; i++) {
		int error;

		++*begun;
		error = receive_queue_create(i, owners[i], device, 2 * i, npackets,
					     choose_vector(device, i, owners[i]));
		if (error == 0) {
			++*begun;
			error = transmit_queue_create(i, device, 2 * i + 1, npackets / 2);
		}
		if (error) {
			kprintf("virtio-net: queue pair %u cannot be set up (error %d)\n", i,
				-error);
			return error;
		}
	}
	return 0;
}

static int start(struct virtio_device *device, struct virtqueue *control, unsigned n,
		 unsigned max_pairs)
{
	int error;

	if (n > 1) {
		error = virtqueue_create(control, device, 2 * max_pairs, "control", 64,
					 VIRTIO_NO_VECTOR);
		if (error) {
			kprintf("virtio-net: no control queue (error %d)\n", -error);
			return error;
		}
	}
	error = virtio_start(device);
	if (error)
		return error;
	pairs = n; /* from here on their doorbells may ring */
	for (unsigned i = 0; i < n; i++)
		receive_queue_start(i);
	if (n > 1)
		error = control_set_queue_pairs(device, control, n);
	if (error == -EPROTO) { /* the device goes on with the first pair, and so do we */
		pairs = 1;
		error = 0;
	}
	if (error)
		pairs = 0;
	return error;
}

/* If the device does not even reset it may still write: then its queues' memory is lost. */
static void give_up(struct virtio_device *device, struct virtqueue *control, unsigned begun)
{
	if (virtio_give_up(device) != 0) {
		kprintf("virtio-net: the device does not reset; its memory stays reserved\n");
		return;
	}
	for (unsigned i = 0; i < begun; i++) {
		if (i % 2 == 0)
			receive_queue_destroy(i / 2);
		else
			transmit_queue_destroy(i / 2);
	}
	virtqueue_destroy(control);
}

int virtio_net_init(const core_id_t *owners, unsigned count)
{
	struct virtqueue control = { 0 }; /* used once; its memory stays, the device knows it */
	struct virtio_device *device;
	unsigned max_pairs, n = 0, begun = 0;
	int error;

	device = virtio_pci_open(VIRTIO_TYPE_NETWORK, &error);
	if (device == NULL) {
		if (error == -ENODEV)
			kprintf("virtio-net: no device on PCI%s\n",
				mmio_announced ? " (virtio-mmio is not supported)" : "");
		return error;
	}
	error = virtio_negotiate(device, wanted_features(device->transport->features(device)));
	if (error == 0)
		error = read_mac(device);
	if (error == 0)
		error = read_mtu(device);
	if (error == 0)
		error = read_max_pairs(device, &max_pairs);
	if (error == 0) {
		n = choose_pairs(device, owners, count, max_pairs);
		network_device = device;
		error = create_queues(device, owners, n, &begun);
	}
	if (error == 0)
		error = start(device, &control, n, max_pairs);
	if (error) {
		give_up(device, &control, begun);
		kprintf("virtio-net: the device cannot be used (error %d)\n", -error);
		return error;
	}
	offloads_tx_checksum = device->features & NET_F_CSUM;
	offloads_rx_checksum = device->features & NET_F_GUEST_CSUM;
	kprintf("virtio-net: %pM, %u queue pair%s, mtu %u, %s\n", mac, pairs, pairs == 1 ? "" : "s",
		mtu, offloads_tx_checksum ? "checksum offload" : "no checksum offload");
	return 0;
}
