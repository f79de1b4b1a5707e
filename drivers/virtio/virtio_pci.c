/*
 * Virtio over PCI; VIRTIO 1.2, 4.1. Modern interface only: transitional devices have it too.
 */
#include "drivers/mmio.h"
#include "drivers/pci.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtqueue.h"
#include "drivers/dma.h"
#include "lavra/console.h"

#include <errno.h>

#define VIRTIO_VENDOR 0x1af4
#define MODERN_DEVICE_ID 0x1040 /* + type; 4.1.2 */
#define TRANSITIONAL_FIRST 0x1000
#define TRANSITIONAL_LAST 0x103f

/* The vendor capability that says where a structure lies; 4.1.4. */
#define CAPABILITY_TYPE 3
#define CAPABILITY_BAR 4
#define CAPABILITY_OFFSET 8
#define CAPABILITY_LENGTH 12
#define CAPABILITY_NOTIFY_MULTIPLIER 16

enum structure { COMMON = 1, NOTIFY = 2, DEVICE = 4, NSTRUCTURES = 5 };

/* The common configuration; 4.1.4.3. */
#define DEVICE_FEATURE_SELECT 0
#define DEVICE_FEATURE 4
#define DRIVER_FEATURE_SELECT 8
#define DRIVER_FEATURE 12
#define CONFIG_VECTOR 16
#define DEVICE_STATUS 20
#define CONFIG_GENERATION 21
#define QUEUE_SELECT 22
#define QUEUE_SIZE 24
#define QUEUE_VECTOR 26
#define QUEUE_ENABLE 28
#define QUEUE_NOTIFY_OFFSET 30
#define QUEUE_DESCRIPTORS 32
#define QUEUE_AVAILABLE 40
#define QUEUE_USED 48
#define COMMON_LENGTH 56

/* The configuration changes between two looks at most when the host's user changes something. */
#define GENERATION_TRIES 100

struct virtio_pci {
	struct virtio_device device;
	struct pci_function function;
	struct pci_msix msix;
	volatile uint8_t *structures[NSTRUCTURES];
	uint32_t lengths[NSTRUCTURES];
	uint32_t notify_multiplier;
	/* By queue; the last one is that of a control queue, which comes behind all that the device has. */
	volatile uint8_t *doorbells[2 * MAX_CORES + 1];
	unsigned control_index;
};

/* Lavra drives one virtio device. */
static struct virtio_pci the_device;

static volatile uint8_t *common_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_pci, device)->structures[COMMON];
}

static uint8_t pci_status(struct virtio_device *device)
{
	return mmio_read8(common_of(device) + DEVICE_STATUS);
}

static void pci_set_status(struct virtio_device *device, uint8_t status)
{
	mmio_write8(common_of(device) + DEVICE_STATUS, status);
}

static uint64_t pci_features(struct virtio_device *device)
{
	volatile uint8_t *common = common_of(device);
	uint64_t features;

	mmio_write32(common + DEVICE_FEATURE_SELECT, 0);
	features = mmio_read32(common + DEVICE_FEATURE);
	mmio_write32(common + DEVICE_FEATURE_SELECT, 1);
	return features | (uint64_t)mmio_read32(common + DEVICE_FEATURE) << 32;
}

static void pci_set_features(struct virtio_device *device, uint64_t features)
{
	volatile uint8_t *common = common_of(device);

	mmio_write32(common + DRIVER_FEATURE_SELECT, 0);
	mmio_write32(common + DRIVER_FEATURE, (uint32_t)features);
	mmio_write32(common + DRIVER_FEATURE_SELECT, 1);
	mmio_write32(common + DRIVER_FEATURE, (uint32_t)(features >> 32));
}

static int pci_read_config(struct virtio_device *device, unsigned offset, void *bytes, unsigned len)
{
	struct virtio_pci *pci = container_of(device, struct virtio_pci, device);
	volatile uint8_t *config = pci->structures[DEVICE];
	uint8_t *to = bytes;

	if (offset + len > pci->lengths[DEVICE])
		return -EIO;
	for (unsigned tries = 0; tries < GENERATION_TRIES; tries++) { /* 4.1.4.3.1 */
		uint8_t generation = mmio_read8(common_of(device) + CONFIG_GENERATION);

		for (unsigned i = 0; i < len; i++)
			to[i] = mmio_read8(config + offset + i);
		if (mmio_read8(common_of(device) + CONFIG_GENERATION) == generation)
			return 0;
	}
	return -EIO;
}

static unsigned pci_queue_max_size(struct virtio_device *device, unsigned index)
{
	volatile uint8_t *common = common_of(device);

	mmio_write16(common + QUEUE_SELECT, (uint16_t)index);
	return mmio_read16(common + QUEUE_SIZE);
}

static int pci_queue_enable(struct virtio_device *device, struct virtqueue *vq, unsigned vector)
{
	struct virtio_pci *pci = container_of(device, struct virtio_pci, device);
	volatile uint8_t *common = common_of(device);
	uint64_t doorbell;

	mmio_write16(common + QUEUE_SELECT, vq->index);
	mmio_write16(common + QUEUE_SIZE, vq->size);
	doorbell = (uint64_t)mmio_read16(common + QUEUE_NOTIFY_OFFSET) * pci->notify_multiplier;
	if (doorbell + 2 > pci->lengths[NOTIFY])
		return -EIO;
	if (vq->index >= 2 * MAX_CORES)
		pci->control_index = vq->index;
	pci->doorbells[min(vq->index, 2 * MAX_CORES)] = pci->structures[NOTIFY] + doorbell;
	mmio_write16(common + QUEUE_VECTOR, (uint16_t)vector);
	if (mmio_read16(common + QUEUE_VECTOR) != vector) /* 4.1.5.1.2.1 */
		return -ENOSPC;
	mmio_write64(common + QUEUE_DESCRIPTORS, dma_address(vq->descriptors));
	mmio_write64(common + QUEUE_AVAILABLE, dma_address(vq->available));
	mmio_write64(common + QUEUE_USED, dma_address(vq->used));
	mmio_write16(common + QUEUE_ENABLE, 1);
	return 0;
}

static void pci_notify(struct virtio_device *device, unsigned index)
{
	struct virtio_pci *pci = container_of(device, struct virtio_pci, device);
	volatile uint8_t *doorbell = pci->doorbells[min(index, 2 * MAX_CORES)];

	if (likely(doorbell && (index < 2 * MAX_CORES || index == pci->control_index)))
		mmio_write16(doorbell, (uint16_t)index); /* 4.1.5.2 */
}

static void pci_set_vector(struct virtio_device *device, unsigned vector,
			   const struct msi_message *message)
{
	pci_msix_set(&container_of(device, struct virtio_pci, device)->msix, vector, message);
}

static const struct virtio_transport pci_transport = {
	.status = pci_status,
	.set_status = pci_set_status,
	.features = pci_features,
	.set_features = pci_set_features,
	.read_config = pci_read_config,
	.queue_max_size = pci_queue_max_size,
	.queue_enable = pci_queue_enable,
	.notify = pci_notify,
	.set_vector = pci_set_vector,
};

static bool is_of_type(const struct pci_function *function, void *argument)
{
	struct virtio_pci *pci = argument;
	/* The type looked for was left here by virtio_pci_open(). */
	unsigned type = pci->function.device_id;

	if (function->vendor_id != VIRTIO_VENDOR)
		return false;
	if (function->device_id != MODERN_DEVICE_ID + type &&
	    !(function->device_id >= TRANSITIONAL_FIRST &&
	      function->device_id <= TRANSITIONAL_LAST && function->subsystem_id == type))
		return false;
	pci->function = *function;
	return true;
}

/* Map the structures that the capabilities name: the first usable of each type (4.1.4.1). */
static int map_structures(struct virtio_pci *pci)
{
	const struct pci_function *function = &pci->function;
	unsigned offset = 0;

	for (unsigned i = 0; i < PCI_MAX_CAPABILITIES; i++) {
		offset = pci_find_capability(function, PCI_CAPABILITY_VENDOR, offset);
		if (offset == 0)
			break;

		unsigned type = pci_read8(function, offset + CAPABILITY_TYPE);
		uint32_t length = pci_read32(function, offset + CAPABILITY_LENGTH);

		if ((type != COMMON && type != NOTIFY && type != DEVICE) || pci->structures[type])
			continue;
		if (type == COMMON && length < COMMON_LENGTH)
			continue;
		pci->structures[type] =
		    pci_map_bar(function, pci_read8(function, offset + CAPABILITY_BAR),
				pci_read32(function, offset + CAPABILITY_OFFSET), length);
		pci->lengths[type] = pci->structures[type] ? length : 0;
		if (type == NOTIFY)
			pci->notify_multiplier =
			    pci_read32(function, offset + CAPABILITY_NOTIFY_MULTIPLIER);
	}
	if (pci->structures[COMMON] && pci->structures[NOTIFY] && pci->structures[DEVICE])
		return 0;
	kprintf("virtio-pci: %02x:%02x.%x: no usable modern interface (%s%s%s missing)\n",
		function->bus, function->device, function->function,
		pci->structures[COMMON] ? "" : " common", pci->structures[NOTIFY] ? "" : " notify",
		pci->structures[DEVICE] ? "" : " device");
	return -ENOTSUP;
}

struct virtio_device *virtio_pci_open(unsigned type, int *error)
{
	struct virtio_pci *pci = &the_device;

	*pci = (struct virtio_pci){ .function.device_id = (uint16_t)type };
	if (!pci_enumerate(is_of_type, pci)) {
		*error = -ENODEV;
		return NULL;
	}
	*error = pci_assign(&pci->function);
	if (*error == 0)
		*error = map_structures(pci);
	if (*error)
		return NULL;
	pci_enable(&pci->function);
	if (pci_msix_enable(&pci->function, &pci->msix) == 0)
		pci->device.nvectors = pci->msix.nvectors;
	mmio_write16(pci->structures[COMMON] + CONFIG_VECTOR, VIRTIO_NO_VECTOR);
	pci->device.transport = &pci_transport;
	return &pci->device;
}
