#include "tools/launcher/monitor_reader.h"

#include "tools/launcher/clock.h"
#include "tools/launcher/complaint.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A core writes for less than a microsecond, but may be stopped meanwhile by its host. */
#define ATTEMPTS_AT_ONCE 100
#define PAUSES 100
#define PAUSE_MS 1

const char monitor_not_begun[] = "the image has not begun to tell what it does";

const char *monitor_read_at(int fd, uint64_t offset, void *to, size_t size)
{
	ssize_t got = pread(fd, to, size, (off_t)offset);

	if (got < 0)
		return complain("the monitor's file cannot be read: %s", strerror(errno));
	if ((size_t)got < size)
		return complain("the monitor's file ends at byte %zd behind %lu, where %zu are due",
				got, offset, size);
	return NULL;
}

/* Do `count` entries of `size` bytes lie in `total`? */
static bool region_fits(const struct monitor_region *region, uint64_t size, uint64_t total)
{
	return region->count > 0 && region->offset % 64 == 0 &&
	       region->offset >= sizeof(struct monitor_header) && region->stride >= size &&
	       region->stride <= total && region->offset <= total &&
	       region->count <= (total - region->offset) / region->stride;
}

static const struct monitor_region *find_region(const struct monitor_header *header, uint32_t kind)
{
	for (unsigned i = 0; i < header->nregions; i++)
		if (header->regions[i].kind == kind)
			return &header->regions[i];
	return NULL;
}

static const char *check_header(const struct monitor_header *header, uint64_t file_size)
{
	if (header->magic == 0)
		return monitor_not_begun;
	if (header->magic != MONITOR_MAGIC)
		return complain("this is not a monitor's file: it begins with %#lx", header->magic);
	if (header->version != MONITOR_VERSION)
		return complain(
		    "the monitor's file has version %u; this program reads version %u: use "
		    "the 'lavra' that was built with the image",
		    header->version, MONITOR_VERSION);
	if (header->nregions > MONITOR_REGIONS_MAX)
		return complain("the monitor's file says it has %u regions; %u are possible",
				header->nregions, MONITOR_REGIONS_MAX);
	if (header->size > file_size)
		return complain("the monitor's file says it uses %lu bytes, and has %lu",
				header->size, file_size);
	return NULL;
}

static bool name_is_good(const char name[MONITOR_NAME_SIZE])
{
	size_t length = strnlen(name, MONITOR_NAME_SIZE);

	return length > 0 && length < MONITOR_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static const char *read_names(struct monitor_reader *reader, const struct monitor_region *region)
{
	const char *wrong;

	for (unsigned i = 0; i < region->count; i++) {
		char *name = reader->names[i];

		wrong = monitor_read_at(reader->fd, region->offset + i * region->stride, name,
					MONITOR_NAME_SIZE);
		if (wrong)
			return wrong;
		if (!name_is_good(name))
			return complain("the monitor's file names counter %u with other than a-z, "
					"0-9 and _",
					i);
	}
	reader->ncounters = region->count;
	return NULL;
}

const char *monitor_open(struct monitor_reader *reader, int fd)
{
	const struct monitor_region *names, *cores;
	struct monitor_header *header = &reader->header;
	struct stat status;
	const char *wrong;

	*reader = (struct monitor_reader){ .fd = fd, .pauses = PAUSES };
	if (fstat(fd, &status) != 0)
		return complain("the monitor's file: %s", strerror(errno));
	wrong = monitor_read_at(fd, 0, header, sizeof(*header));
	if (!wrong)
		wrong = check_header(header, (uint64_t)status.st_size);
	if (wrong)
		return wrong;
	names = find_region(header, MONITOR_REGION_NAMES);
	cores = find_region(header, MONITOR_REGION_CORES);
	if (!names || names->count > MONITOR_COUNTERS_MAX ||
	    !region_fits(names, sizeof(struct monitor_name), header->size))
		return complain("the monitor's file has no table of names that lies within it");
	if (!cores || cores->count > MONITOR_CORES_MAX ||
	    !region_fits(cores,
			 offsetof(struct monitor_block, values) + names->count * sizeof(uint64_t),
			 header->size))
		return complain("the monitor's file has no cores' blocks that lie within it");
	reader->ncores = cores->count;
	reader->blocks_offset = cores->offset;
	reader->blocks_stride = cores->stride;
	return read_names(reader, names);
}

struct block {
	uint64_t words[sizeof(struct monitor_block) / sizeof(uint64_t) + MONITOR_COUNTERS_MAX];
};

static const char *read_core(const struct monitor_reader *reader, unsigned core,
			     struct core_sample *sample)
{
	uint64_t offset = reader->blocks_offset + core * reader->blocks_stride, before, after;
	size_t size = sizeof(struct monitor_block) + reader->ncounters * sizeof(uint64_t);
	struct block block;
	const struct monitor_block *head = (const void *)block.words;
	const char *wrong;

	sample->is_read = false;
	for (unsigned attempt = 0; attempt < ATTEMPTS_AT_ONCE + reader->pauses; attempt++) {
		if (attempt >= ATTEMPTS_AT_ONCE)
			pause_ms(PAUSE_MS);
		if ((wrong = monitor_read_at(reader->fd, offset, &before, sizeof(before))) ||
		    (wrong = monitor_read_at(reader->fd, offset, &block, size)) ||
		    (wrong = monitor_read_at(reader->fd, offset, &after, sizeof(after))))
			return wrong;
		if (before != after || before % 2)
			continue;
		sample->is_read = head->published_ns != 0;
		sample->published_ns = head->published_ns;
		sample->halted_ns = head->halted_ns;
		memcpy(sample->values, block.words + sizeof(*head) / sizeof(uint64_t),
		       reader->ncounters * sizeof(uint64_t));
		return NULL;
	}
	return NULL;
}

const char *monitor_read(const struct monitor_reader *reader, struct sample *sample)
{
	const char *wrong = NULL;

	for (unsigned core = 0; core < reader->ncores && !wrong; core++)
		wrong = read_core(reader, core, &sample->cores[core]);
	sample->host_ns = host_ns();
	return wrong;
}

const struct monitor_region *monitor_region(const struct monitor_reader *reader, uint32_t kind,
					    uint64_t size)
{
	const struct monitor_region *region = find_region(&reader->header, kind);

	return region && region_fits(region, size, reader->header.size) ? region : NULL;
}

int monitor_find(const struct monitor_reader *reader, const char *name)
{
	for (unsigned i = 0; i < reader->ncounters; i++)
		if (!strcmp(reader->names[i], name))
			return (int)i;
	return -1;
}
