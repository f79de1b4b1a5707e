#include "arch/x86_64/topology.h"

/* Levels of leaves 0xb and 0x1f: SDM volume 2, CPUID. */
#define LEVEL_NONE 0
#define LEVEL_THREAD 1
#define MAX_LEVELS 8

static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;

	while (bits < 31 && 1u << bits < count)
		bits++;
	return bits;
}

/* Leaf 0x1f or 0xb: one subleaf a level, each with the shift to the next. */
static bool read_extended(struct cpuid (*read)(uint32_t, uint32_t), uint32_t leaf,
			  struct topology_fields *fields)
{
	*fields = (struct topology_fields){ 0 };
	for (unsigned i = 0; i < MAX_LEVELS; i++) {
		struct cpuid level = read(leaf, i);
		unsigned type = level.ecx >> 8 & 0xff;
		unsigned shift = level.eax & 31;

		if (type == LEVEL_NONE || level.ebx == 0)
			return i > 0;
		if (type == LEVEL_THREAD)
			fields->thread_bits = shift;
		if (shift < fields->package_shift) /* levels only grow */
			return false;
		fields->package_shift = shift;
	}
	return true;
}

/* AMD64 manual volume 3, Fn8000_0008 and Fn8000_001E. */
static bool read_amd(struct cpuid (*read)(uint32_t, uint32_t), struct topology_fields *fields)
{
	struct cpuid vendor = read(0, 0);
	uint32_t last = read(0x80000000, 0).eax, sizes;

	if (vendor.ebx != 0x68747541 || last < 0x80000008 || last >= 0x80010000) /* "Auth" */
		return false;
	sizes = read(0x80000008, 0).ecx;
	fields->package_shift = sizes >> 12 & 15;
	if (fields->package_shift == 0)
		fields->package_shift = bits_for((sizes & 0xff) + 1);
	fields->thread_bits = 0;
	if (last >= 0x8000001e && (read(0x80000001, 0).ecx >> 22 & 1)) /* topology extensions */
		fields->thread_bits = bits_for((read(0x8000001e, 0).ebx >> 8 & 0xff) + 1);
	if (fields->thread_bits > fields->package_shift)
		fields->thread_bits = fields->package_shift;
	return true;
}

/* Leaf 1: threads of a package; leaf 4: cores of it. */
static void read_legacy(struct cpuid (*read)(uint32_t, uint32_t), struct topology_fields *fields)
{
	struct cpuid one = read(1, 0);
	unsigned threads = one.edx >> 28 & 1 ? one.ebx >> 16 & 0xff : 1;
	unsigned core_bits = 0;

	fields->package_shift = bits_for(threads);
	if (read(0, 0).eax >= 4)
		core_bits = bits_for((read(4, 0).eax >> 26) + 1);
	fields->thread_bits = core_bits < fields->package_shift ? fields->package_shift - core_bits
								: 0;
}

struct topology_fields topology_read(struct cpuid (*read)(uint32_t leaf, uint32_t subleaf))
{
	struct topology_fields fields;
	uint32_t last = read(0, 0).eax;

	if (last >= 0x1f && read_extended(read, 0x1f, &fields))
		return fields;
	if (last >= 0xb && read_extended(read, 0xb, &fields))
		return fields;
	if (!read_amd(read, &fields))
		read_legacy(read, &fields);
	return fields;
}

static uint32_t package_of(uint32_t apic_id, struct topology_fields fields)
{
	return apic_id >> fields.package_shift;
}

static uint32_t physical_of(uint32_t apic_id, struct topology_fields fields)
{
	return apic_id >> fields.thread_bits; /* with the package, so unique in the machine */
}

void topology_number(struct core *list, unsigned count, struct topology_fields fields)
{
	uint16_t packages = 0;

	for (unsigned i = 0; i < count; i++) {
		struct core *core = &list[i];
		uint32_t id = core->apic_id;
		uint16_t physicals = 0;
		bool package_known = false, physical_known = false;

		core->thread = 0;
		for (unsigned j = 0; j < i; j++) {
			const struct core *other = &list[j];

			if (package_of(other->apic_id, fields) != package_of(id, fields))
				continue;
			core->package = other->package;
			package_known = true;
			if (other->physical >= physicals)
				physicals = (uint16_t)(other->physical + 1);
			if (physical_of(other->apic_id, fields) != physical_of(id, fields))
				continue;
			core->physical = other->physical;
			physical_known = true;
			core->thread++;
		}
		if (!package_known)
			core->package = packages++;
		if (!physical_known)
			core->physical = physicals;
	}
}
