/*
 * PCI configuration space that tells the truth, and some that does not.
 *
 * links: drivers/pci.c drivers/pci_window.c drivers/virtio/virtio_pci.c posix/boot_option.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/pci_config.h"
#include "drivers/pci.h"
#include "drivers/pci_window.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtqueue.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "mm/kva.h"
#include "tests/host/console_capture.h"

#include <errno.h>

/* ---- a machine of a few functions ---- */

struct function {
	unsigned bus, device, function;
	uint32_t words[64];
	uint32_t bar_mask[6]; /* which bits of a BAR can be written */
};

static struct function functions[8];
static unsigned nfunctions, naccesses;

static struct function *find(unsigned bus, unsigned device, unsigned function)
{
	for (unsigned i = 0; i < nfunctions; i++)
		if (functions[i].bus == bus && functions[i].device == device &&
		    functions[i].function == function)
			return &functions[i];
	return NULL;
}

uint32_t arch_pci_config_read(uint8_t bus, unsigned device, unsigned function, unsigned offset)
{
	struct function *f = find(bus, device, function);

	naccesses++;
	assert_int_equal(offset % 4, 0);
	assert_in_range(offset, 0, 252);
	return f ? f->words[offset / 4] : 0xffffffff;
}

void arch_pci_config_write(uint8_t bus, unsigned device, unsigned function, unsigned offset,
			   uint32_t value)
{
	struct function *f = find(bus, device, function);
	unsigned word = offset / 4;

	assert_non_null(f);
	if (word >= 4 && word < 10) {
		uint32_t mask = f->bar_mask[word - 4];

		value = (value & mask) | (f->words[word] & ~mask);
	}
	if (word == 1)
		value = (value & 0xffff) | (f->words[1] & 0xffff0000);
	f->words[word] = value;
}

bool arch_pci_config_memory(paddr_t *base, uint8_t *first_bus, uint8_t *last_bus)
{
	return false;
}

/* One BAR of 16 KiB at 0xfe000000 is backed by memory. */
#define BAR_ADDRESS 0xfe000000ul
#define BAR_SIZE 0x4000ul
static uint8_t bar_memory[BAR_SIZE] __attribute__((aligned(4096)));

/* Configuration space of bus 0 in memory, where only the boot option says that it is. */
#define CONFIG_ADDRESS 0xb0000000ul
static uint8_t config_memory[1 << 20] __attribute__((aligned(4096)));

volatile void *kva_map_device(paddr_t physical, size_t size)
{
	if (physical == CONFIG_ADDRESS) {
		assert_int_equal(size, sizeof(config_memory));
		return config_memory;
	}
	assert_in_range(physical, BAR_ADDRESS, BAR_ADDRESS + BAR_SIZE);
	assert_in_range(physical + size, BAR_ADDRESS, BAR_ADDRESS + BAR_SIZE);
	return bar_memory + (physical - BAR_ADDRESS);
}

static struct function *add(unsigned bus, unsigned device, unsigned function, uint32_t id)
{
	struct function *f = &functions[nfunctions++];

	memset(f, 0, sizeof(*f));
	*f = (struct function){ .bus = bus, .device = device, .function = function };
	f->words[0] = id;
	return f;
}

static void add_bridge(unsigned bus, unsigned device, unsigned secondary)
{
	struct function *f = add(bus, device, 0, 0x12345678);

	f->words[3] = 0x00010000;
	f->words[6] = secondary << 8;
}

static void write_byte(struct function *f, unsigned offset, uint8_t value)
{
	((uint8_t *)f->words)[offset] = value;
}

static void add_virtio_capability(struct function *f, unsigned at, unsigned next, unsigned type,
				  unsigned bar, uint32_t offset, uint32_t length)
{
	write_byte(f, at, PCI_CAPABILITY_VENDOR);
	write_byte(f, at + 1, (uint8_t)next);
	write_byte(f, at + 2, 20);
	write_byte(f, at + 3, (uint8_t)type);
	write_byte(f, at + 4, (uint8_t)bar);
	f->words[at / 4 + 2] = offset;
	f->words[at / 4 + 3] = length;
	f->words[at / 4 + 4] = 4;
}

/* As QEMU's: one 64-bit BAR 4; its list of capabilities runs downwards. */
static struct function *add_network(unsigned bus, unsigned device)
{
	struct function *f = add(bus, device, 0, 0x10411af4);

	f->words[1] = 0x00100000; /* status: there are capabilities */
	f->words[8] = BAR_ADDRESS | 0xc;
	f->bar_mask[4] = (uint32_t) ~(BAR_SIZE - 1);
	f->bar_mask[5] = 0xffffffff;
	f->words[13] = 0x98;
	write_byte(f, 0x98, PCI_CAPABILITY_MSIX);
	write_byte(f, 0x99, 0x70);
	write_byte(f, 0x9a, 4); /* 5 vectors */
	f->words[0x9c / 4] = 0x3000 | 4; /* BAR 4, offset 0x3000 */
	add_virtio_capability(f, 0x70, 0x58, 2, 4, 0x2000, 0x1000);
	add_virtio_capability(f, 0x58, 0x40, 4, 4, 0x1000, 0x0100);
	add_virtio_capability(f, 0x40, 0x00, 1, 4, 0x0000, 0x0100);
	return f;
}

static int setup(void **state)
{
	nfunctions = 0;
	naccesses = 0;
	memset(bar_memory, 0, sizeof(bar_memory));
	add(0, 0, 0, 0x29c08086);
	assert_int_equal(boot_with("pci=0"), 0);
	return 0;
}

static bool count(const struct pci_function *function, void *argument)
{
	++*(unsigned *)argument;
	return false;
}

/* ---- cases ---- */

static void finds_functions_behind_bridges(void **state)
{
	unsigned n = 0;

	add_bridge(0, 3, 5);
	add_bridge(5, 0, 6);
	add(6, 31, 0, 0x1);
	find(0, 0, 0)->words[3] = 0x00800000; /* several functions */
	add(0, 0, 7, 0x2);
	assert_false(pci_enumerate(count, &n));
	assert_int_equal(n, 5);
}

static void bridges_in_a_circle_end(void **state)
{
	unsigned n = 0;

	add_bridge(0, 3, 5);
	add_bridge(5, 0, 5);
	add_bridge(5, 1, 0);
	assert_false(pci_enumerate(count, &n));
	assert_int_equal(n, 4);
	assert_in_range(naccesses, 0, 400);
}

static void capabilities_in_a_circle_end(void **state)
{
	struct function *f = add_network(0, 2);
	struct pci_function function = { .device = 2 };

	write_byte(f, 0x41, 0x98);
	assert_int_equal(pci_find_capability(&function, PCI_CAPABILITY_MSIX, 0), 0x98);
	assert_int_equal(pci_find_capability(&function, 0x42, 0), 0);
}

static void sizes_bars_and_puts_them_back(void **state)
{
	struct function *f = add_network(0, 2);
	struct pci_function function = { .device = 2 };
	paddr_t address;
	uint64_t size;

	assert_true(pci_bar(&function, 4, &address, &size));
	assert_int_equal(address, BAR_ADDRESS);
	assert_int_equal(size, BAR_SIZE);
	assert_int_equal(f->words[8], BAR_ADDRESS | 0xc);
	assert_false(pci_bar(&function, 0, &address, &size)); /* absent */
	assert_false(pci_bar(&function, 6, &address, &size));
	f->words[9] = 0;
	f->words[8] = 0xc; /* never assigned */
	assert_false(pci_bar(&function, 4, &address, &size));
	f->words[8] = 0xc001; /* ports */
	assert_false(pci_bar(&function, 4, &address, &size));
}

static void maps_only_what_lies_in_the_bar(void **state)
{
	struct pci_function function = { .device = 2 };

	add_network(0, 2);
	assert_ptr_equal(pci_map_bar(&function, 4, 0x1004, 8), bar_memory + 0x1004);
	assert_null(pci_map_bar(&function, 4, 0, BAR_SIZE + 1));
	assert_null(pci_map_bar(&function, 4, BAR_SIZE, 1));
	assert_null(pci_map_bar(&function, 4, ~0ull, 2));
	assert_null(pci_map_bar(&function, 4, 16, ~0ull));
	assert_null(pci_map_bar(&function, 4, 16, 0));
	assert_null(pci_map_bar(&function, 7, 0, 16));
}

static void opens_a_virtio_device(void **state)
{
	struct virtio_device *device;
	struct msi_message message = { .address = 0xfee01000, .data = 0x41 };
	int error;

	add_network(0, 2);
	device = virtio_pci_open(VIRTIO_TYPE_NETWORK, &error);
	assert_non_null(device);
	assert_int_equal(device->nvectors, 5);
	assert_int_equal(find(0, 2, 0)->words[1] & 0xffff, 0x406);
	assert_int_equal(find(0, 2, 0)->words[0x98 / 4] >> 16, 0x8004);
	device->transport->set_vector(device, 1, &message);
	assert_memory_equal(bar_memory + 0x3010, "\0\x10\xe0\xfe\0\0\0\0\x41\0\0\0\0\0\0\0", 16);
	assert_int_equal(bar_memory[0x300c], 1); /* vector 0 stays masked */
}

static void misses_a_device_of_another_type(void **state)
{
	int error = 0;

	add(0, 2, 0, 0x10421af4);
	assert_null(virtio_pci_open(VIRTIO_TYPE_NETWORK, &error));
	assert_int_equal(error, -ENODEV);
}

static void refuses_structures_outside_their_bar(void **state)
{
	struct function *f = add_network(0, 2);
	int error = 0;

	add_virtio_capability(f, 0x40, 0x00, 1, 4, 0x3fff, 0x0100);
	assert_null(virtio_pci_open(VIRTIO_TYPE_NETWORK, &error));
	assert_int_equal(error, -ENOTSUP);
}

static void refuses_a_doorbell_outside_its_structure(void **state)
{
	struct virtqueue vq = { .index = 0, .size = 256 };
	struct virtio_device *device;
	int error;

	add_network(0, 2);
	device = virtio_pci_open(VIRTIO_TYPE_NETWORK, &error);
	bar_memory[30] = 0xff; /* queue_notify_off */
	bar_memory[31] = 0x03;
	assert_int_equal(device->transport->queue_enable(device, &vq, 0), 0);
	bar_memory[31] = 0x04;
	assert_int_equal(device->transport->queue_enable(device, &vq, 0), -EIO);
}

static void a_table_outside_its_bar_is_no_table(void **state)
{
	struct function *f = add_network(0, 2);
	struct pci_function function = { .device = 2 };
	struct pci_msix msix;

	f->words[0x9c / 4] = 0x3ff8 | 4;
	assert_int_equal(pci_msix_enable(&function, &msix), -EIO);
	f->words[0x9c / 4] = 7;
	assert_int_equal(pci_msix_enable(&function, &msix), -EIO);
	f->words[1] = 0;
	assert_int_equal(pci_msix_enable(&function, &msix), -ENOENT);
}

/* ---- what firmware left out ---- */

/* As where firmware sets nothing up: ports in BAR 0, 4 KiB in BAR 1, and the 64-bit BAR 4. */
static struct function *add_unassigned_network(unsigned bus, unsigned device)
{
	struct function *f = add_network(bus, device);

	f->words[4] = 1;
	f->bar_mask[0] = 0xffffffe0;
	f->words[5] = 0;
	f->bar_mask[1] = 0xfffff000;
	f->words[8] = 0xc;
	return f;
}

static void assigns_what_is_unassigned(void **state)
{
	struct function *f = add_unassigned_network(0, 2);
	struct pci_function function = { .device = 2 };
	paddr_t address;
	uint64_t size;

	assert_int_equal(boot_with("pci=0,0xfdfff000,1M"), 0);
	f->words[1] |= 2;
	assert_int_equal(pci_assign(&function), 0);
	assert_int_equal(f->words[4], 1);
	assert_int_equal(f->words[5], 0xfdfff000);
	assert_int_equal(f->words[8], 0xfe00000c);
	assert_int_equal(f->words[9], 0);
	assert_int_equal(f->words[1] & 2, 0); /* pci_enable() turns it on again */
	assert_true(pci_bar(&function, 4, &address, &size));
	assert_int_equal(address, 0xfe000000);
	assert_int_equal(size, BAR_SIZE);

	/* Nothing is left to do. */
	f->words[1] |= 2;
	assert_int_equal(pci_assign(&function), 0);
	assert_int_equal(f->words[5], 0xfdfff000);
	assert_int_equal(f->words[1] & 2, 2);
}

static void a_device_works_once_assigned(void **state)
{
	int error;

	add_unassigned_network(0, 2);
	assert_int_equal(boot_with("pci=0,0xfdfff000,1M"), 0);
	assert_non_null(virtio_pci_open(VIRTIO_TYPE_NETWORK, &error));
	assert_int_equal(find(0, 2, 0)->words[1] & 0xffff, 0x406);
}

static void leaves_alone_what_is_assigned(void **state)
{
	struct function *f = add_network(0, 2);
	struct pci_function function = { .device = 2 };

	assert_int_equal(pci_assign(&function), 0);
	assert_int_equal(f->words[8], BAR_ADDRESS | 0xc);
}

/* Its 4 KiB are had, its 16 KiB are not: it must not be enabled. */
static void an_exhausted_window_is_said(void **state)
{
	struct function *f = add_unassigned_network(0, 2);
	int error = 0;

	assert_int_equal(boot_with("pci=0,0xfdfff000,16K"), 0);
	assert_null(virtio_pci_open(VIRTIO_TYPE_NETWORK, &error));
	assert_int_equal(error, -ENOSPC);
	assert_non_null(strstr(output, "00:02.0: firmware gave BAR 4 no address"));
	assert_int_equal(f->words[1] & 2, 0);
	assert_int_equal(f->words[8], 0xc);
}

static void no_window_is_said(void **state)
{
	int error = 0;

	add_unassigned_network(0, 2);
	assert_null(virtio_pci_open(VIRTIO_TYPE_NETWORK, &error));
	assert_int_equal(error, -ENOSPC);
	assert_non_null(strstr(output, "firmware gave BAR 1 no address; pci="));
}

static void a_bridge_is_not_changed(void **state)
{
	struct pci_function behind = { .bus = 5, .device = 2 }, bridge = { .device = 3 };

	assert_int_equal(boot_with("pci=0,0xfe000000,1M"), 0);
	add_bridge(0, 3, 5);
	add_unassigned_network(5, 2);
	assert_int_equal(pci_assign(&behind), -ENOSPC);
	assert_non_null(strstr(output, "behind a bridge"));
	assert_int_equal(find(5, 2, 0)->words[8], 0xc);
	assert_int_equal(pci_assign(&bridge), -EIO);
	assert_int_equal(find(0, 3, 0)->words[6], 5 << 8);
}

static void a_window_is_cut_into_aligned_pieces(void **state)
{
	assert_int_equal(boot_with("pci=0,0xc0001000,65532K"), 0); /* to 0xc4000000 */
	assert_int_equal(pci_window_take(0), 0);
	assert_int_equal(pci_window_take(16), 0xc0001000);
	assert_int_equal(pci_window_take(16), 0xc0002000);
	assert_int_equal(pci_window_take(1 << 20), 0xc0100000);
	assert_int_equal(pci_window_take(64 << 20), 0);
	assert_int_equal(pci_window_take(1ull << 63), 0);
	assert_int_equal(pci_window_take(32 << 20), 0xc2000000);
	assert_int_equal(pci_window_take(16), 0);
	/* To the last byte below 4 GiB. */
	assert_int_equal(boot_with("pci=0,4294963200,4K"), 0);
	assert_int_equal(pci_window_take(4096), 0xfffff000);
	assert_int_equal(pci_window_take(4096), 0);
	assert_int_equal(boot_with("pci=0"), 0);
	assert_int_equal(pci_window_take(4096), 0);
}

static void finds_configuration_space_where_told(void **state)
{
	unsigned n = 0;

	memset(config_memory, 0xff, sizeof(config_memory));
	memcpy(config_memory + (3 << 15), "\xf4\x1a\x41\x10", 4); /* device 3 */
	memset(config_memory + (3 << 15) + 4, 0, 60);
	assert_int_equal(boot_with("pci=0xB0000000"), 0);
	assert_false(pci_enumerate(count, &n));
	assert_int_equal(n, 1);
	assert_int_equal(naccesses, 0);
	/* And is back at the ports without. */
	assert_int_equal(boot_with("pci=0"), 0);
	assert_false(pci_enumerate(count, &n));
	assert_int_equal(n, 2);
	assert_in_range(naccesses, 1, 400);
	assert_string_equal(output, "");
}

static void a_machine_without_functions_is_said(void **state)
{
	unsigned n = 0;

	nfunctions = 0;
	assert_false(pci_enumerate(count, &n));
	assert_int_equal(n, 0);
	assert_non_null(strstr(output, "pci= tells"));
}

static void refuses_nonsense(void **state)
{
	static const struct {
		const char *line, *because;
	} cases[] = {
		{ "pci", "needs a value" },
		{ "pci=", "must be ECAM" },
		{ "pci=0x", "must be ECAM" },
		{ "pci=0xg0000000", "must be ECAM" },
		{ "pci=e0000000", "must be ECAM" },
		{ "pci=-1", "must be ECAM" },
		{ "pci=0x1e000000000000000", "must be ECAM" },
		{ "pci=000000000000000000000000000000", "must be ECAM" },
		{ "pci=0xe0000000,", "must be ECAM" },
		{ "pci=0xe0000000,0xc0000000", "must be ECAM" },
		{ "pci=0xe0000000,0xc0000000,", "must be ECAM" },
		{ "pci=0xe0000000,0xc0000000,1M,", "must be ECAM" },
		{ "pci=0xe0000000,0xc0000000 1M", "must be ECAM" },
		{ "pci=0xe1000000", "multiple of 256M" },
		{ "pci=4G", "multiple of 256M" },
		{ "pci=0xfffffffff0000000", "multiple of 256M" },
		{ "pci=0xe0000000,0,1M", "multiples of 4K" },
		{ "pci=0xe0000000,0xc0000000,0", "multiples of 4K" },
		{ "pci=0xe0000000,0xc0000800,1M", "multiples of 4K" },
		{ "pci=0xe0000000,0xc0000000,1", "multiples of 4K" },
		{ "pci=0xe0000000,4G,1M", "below 4G" },
		{ "pci=0xe0000000,0xf0000000,257M", "below 4G" },
		{ "pci=0xe0000000,0xf0000000,0xfffffffffffff000", "below 4G" },
		{ "pci=0xe0000000,0xd0000000,260M", "configuration space" },
		{ "pci=0xe0000000,0xe0000000,4K", "configuration space" },
		{ "pci=0xe0000000,0xeffff000,4K", "configuration space" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (boot_with(cases[i].line) != 2)
			fail_msg("'%s' is accepted", cases[i].line);
		if (!strstr(output, cases[i].because))
			fail_msg("'%s' gives '%s'", cases[i].line, output);
		assert_int_equal(pci_window_config(), 0); /* nothing of it is taken */
		assert_int_equal(pci_window_take(4096), 0);
	}
	assert_int_equal(boot_with("pci=0xe0000000,0xd0000000,256M"), 0);
	assert_int_equal(boot_with("pci=0xe0000000,0xf0000000,4K"), 0);
}

#define RUN(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN(finds_functions_behind_bridges),
		RUN(bridges_in_a_circle_end),
		RUN(capabilities_in_a_circle_end),
		RUN(sizes_bars_and_puts_them_back),
		RUN(maps_only_what_lies_in_the_bar),
		RUN(opens_a_virtio_device),
		RUN(misses_a_device_of_another_type),
		RUN(refuses_structures_outside_their_bar),
		RUN(refuses_a_doorbell_outside_its_structure),
		RUN(a_table_outside_its_bar_is_no_table),
		RUN(assigns_what_is_unassigned),
		RUN(a_device_works_once_assigned),
		RUN(leaves_alone_what_is_assigned),
		RUN(an_exhausted_window_is_said),
		RUN(no_window_is_said),
		RUN(a_bridge_is_not_changed),
		RUN(a_window_is_cut_into_aligned_pieces),
		RUN(finds_configuration_space_where_told),
		RUN(a_machine_without_functions_is_said),
		RUN(refuses_nonsense),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
