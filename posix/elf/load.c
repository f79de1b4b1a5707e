#include "posix/elf/load.h"

#include "posix/file/file.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "mm/area.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static long read_exactly(struct file *file, uint64_t offset, void *to, size_t length)
{
	while (length) {
		struct iovec iov = { to, length };
		ssize_t got = file_read(file, &iov, 1, (int64_t)offset);

		if (got <= 0)
			return got < 0 ? got : -EIO;
		to = (char *)to + got;
		offset += (size_t)got;
		length -= (size_t)got;
	}
	return 0;
}

static long read_for_parser(struct elf_reader *reader, uint64_t offset, void *to, size_t length)
{
	struct elf_file_reader *self = container_of(reader, struct elf_file_reader, reader);

	return read_exactly(self->file, offset, to, length);
}

void elf_file_reader_init(struct elf_file_reader *reader, struct file *file, uint64_t size)
{
	reader->reader.read = read_for_parser;
	reader->reader.size = size;
	reader->file = file;
}

/* ---- the place ---- */

/* Reserve addresses for all segments, so that nothing else comes between them. */
static long reserve(const struct elf_program *program, vaddr_t wish, vaddr_t *start)
{
	size_t size = program->end - program->start;
	size_t room = size + (program->alignment - PAGE_SIZE);
	long place;

	if (program->fixed) {
		place = area_map(program->start, size, PROT_NONE,
				 PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE);
		*start = program->start;
		return place < 0 ? place : 0;
	}
	place = area_map(wish, room, PROT_NONE, PRIVATE | MAP_NORESERVE);
	if (place < 0)
		return place;
	/* Aligned is what is added, so that addresses keep what they are modulo the alignment. */
	*start = (vaddr_t)place + ((program->start - (vaddr_t)place) & (program->alignment - 1));
	if (*start > (vaddr_t)place)
		area_unmap((vaddr_t)place, *start - (vaddr_t)place);
	if (*start + size < (vaddr_t)place + room)
		area_unmap(*start + size, (vaddr_t)place + room - (*start + size));
	return 0;
}

/* ---- a segment ---- */

static long map_fixed(vaddr_t start, vaddr_t end, unsigned protection)
{
	long place;

	if (start == end)
		return 0;
	place = area_map(start, end - start, (int)protection, PRIVATE | MAP_FIXED);
	return place < 0 ? place : 0;
}

/* [start, end) holds what the file has from `offset` on, and may be written for now. */
static long map_contents(struct file *file, vaddr_t start, vaddr_t end, uint64_t offset,
			 uint64_t length)
{
	long place;

	if (file->operations->map) {
		place = file->operations->map(file, start, end - start, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_FIXED, (int64_t)offset);
		return place < 0 ? place : 0;
	}
	/* A file that cannot be mapped is read. */
	place = map_fixed(start, end, PAGE_READ | PAGE_WRITE);
	return place < 0 ? place : read_exactly(file, offset, (void *)start, length);
}

/* What lies between the bytes of the file and the end of their last page is zero if the program can
 * expect it to be: behind the end of a segment it is whatever the file has there, as on Linux. */
static long clear_tail(const struct elf_segment *segment, vaddr_t end_of_bytes,
		       vaddr_t end_of_pages)
{
	if (segment->memory_size == segment->file_size)
		return 0;
	return user_clear((void *)end_of_bytes, end_of_pages - end_of_bytes) ? 0 : -EFAULT;
}

static long load_segment(struct file *file, const struct elf_segment *segment, vaddr_t bias)
{
	vaddr_t address = segment->address + bias;
	vaddr_t start = align_down(address, PAGE_SIZE);
	vaddr_t end = align_up(address + segment->memory_size, PAGE_SIZE);
	vaddr_t contents_end = start; /* of the pages that hold something of the file */
	uint64_t before = address - start; /* bytes on the first page, part of the file, too */
	long error;

	if (segment->file_size) {
		contents_end = align_up(address + segment->file_size, PAGE_SIZE);
		error = map_contents(file, start, contents_end, segment->offset - before,
				     before + segment->file_size);
		if (error)
			return error;
		error = clear_tail(segment, address + segment->file_size, contents_end);
		if (!error)
			error = area_protect(start, contents_end - start, (int)segment->protection);
		if (error)
			return error;
	}
	return map_fixed(contents_end, end, segment->protection);
}

long elf_load(struct file *file, const struct elf_program *program, vaddr_t wish,
	      struct elf_image *image)
{
	vaddr_t start;
	long error = reserve(program, wish, &start);

	if (error)
		return error;
	image->bias = start - program->start;
	image->entry = program->entry + image->bias;
	image->headers = program->headers ? program->headers + image->bias : 0;
	image->end = program->end + image->bias;
	for (unsigned i = 0; i < program->nsegments; i++) {
		error = load_segment(file, &program->segments[i], image->bias);
		if (error)
			return error;
	}
	return 0;
}
