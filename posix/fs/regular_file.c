/*
 * Regular files.
 *
 * Reading takes no lock: page by page it copies what is there. Who changes the contents holds the
 * inode's mutex, so writes are whole against each other, and appended ones do not mix. New bytes are
 * in their pages before the size tells of them; bytes past the size in the last page are zeros
 * whenever the size grows over them.
 */
#include "posix/fs/open_file.h"
#include "posix/fs/tree.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef FALLOC_FL_ZERO_RANGE /* Linux's linux/falloc.h */
#define FALLOC_FL_ZERO_RANGE 0x10
#endif

static const char zeros[PAGE_SIZE] __attribute__((aligned(4096)));

static uint64_t page_of(int64_t offset)
{
	return (uint64_t)offset >> PAGE_SHIFT;
}

static size_t offset_in_page(int64_t offset)
{
	return offset & (PAGE_SIZE - 1);
}

/* ---- reading ---- */

/* Where byte `offset` can be read, and how many bytes follow in its page. */
static const char *bytes_at(const struct inode *inode, int64_t offset, size_t *length)
{
	paddr_t frame = pages_find(&inode->pages, page_of(offset));
	const char *page = frame ? phys_to_virt(frame) : zeros;

	*length = PAGE_SIZE - offset_in_page(offset);
	return page + offset_in_page(offset);
}

ssize_t regular_read(struct inode *inode, const struct iovec *iov, unsigned niov, int64_t offset)
{
	int64_t size = inode_size(inode), at = offset;

	for (unsigned i = 0; i < niov && at < size; i++) {
		char *to = iov[i].iov_base;
		size_t left = min(iov[i].iov_len, (size_t)(size - at));

		while (left) {
			size_t part;
			const char *from = bytes_at(inode, at, &part);

			size_t copied;

			part = min(part, left);
			copied = user_copy_some(to, from, part);
			to += copied;
			at += copied;
			left -= copied;
			if (unlikely(copied < part))
				return at > offset ? at - offset : -EFAULT;
		}
	}
	inode_accessed(inode);
	return at - offset;
}

unsigned regular_pieces(struct inode *inode, int64_t offset, size_t count, struct iovec *iov,
			unsigned room)
{
	int64_t size = inode_size(inode);
	unsigned n = 0;

	while (n < room && count && offset < size) {
		size_t part;
		const char *from = bytes_at(inode, offset, &part);

		part = min(min(part, count), (size_t)(size - offset));
		if (n && (const char *)iov[n - 1].iov_base + iov[n - 1].iov_len == from)
			iov[n - 1].iov_len += part;
		else
			iov[n++] = (struct iovec){ (void *)from, part };
		offset += part;
		count -= part;
	}
	inode_accessed(inode);
	return n;
}

/* ---- writing; with the inode's mutex ---- */

/* A frame for a hole, with zeros but for `length` bytes at `start`, which are copied; fewer if some are not
 * there. 0 without memory. */
static paddr_t make_frame(size_t start, const char *from, size_t *length)
{
	paddr_t frame = fs_may_grow() ? frame_alloc(0) : 0;
	char *page;

	if (!frame)
		return 0;
	page = phys_to_virt(frame);
	memset(page, 0, start);
	*length = user_copy_some(page + start, from, *length);
	memset(page + start + *length, 0, PAGE_SIZE - start - *length);
	return frame;
}

/* Within one page: how many bytes, fewer if some are not there; -ENOSPC. */
static ssize_t write_page(struct inode *inode, int64_t offset, const char *from, size_t length)
{
	size_t start = offset_in_page(offset), copied = length;
	paddr_t frame = pages_find(&inode->pages, page_of(offset)), made;

	if (!frame) {
		/* Complete before others can see it. */
		made = make_frame(start, from, &copied);
		frame = made && copied ? pages_insert(&inode->pages, page_of(offset), made) : 0;
		if (made && frame != made)
			frame_free(made, 0);
		if (made && !copied)
			return 0;
		if (!frame)
			return -ENOSPC;
		if (frame == made)
			return (ssize_t)copied;
	}
	return (ssize_t)user_copy_some((char *)phys_to_virt(frame) + start, from, length);
}

/* The bytes from `offset` to the end of its page become zeros. */
static void clear_rest(struct inode *inode, int64_t offset)
{
	size_t start = offset_in_page(offset);
	paddr_t frame = start ? pages_find(&inode->pages, page_of(offset)) : 0;

	if (frame)
		memset((char *)phys_to_virt(frame) + start, 0, PAGE_SIZE - start);
}

static void set_size(struct inode *inode, int64_t size)
{
	/* Release: pairs with the acquire in inode_size(). */
	__atomic_store_n(&inode->size, size, __ATOMIC_RELEASE);
}

static unsigned seals_of(const struct inode *inode)
{
	return __atomic_load_n(&inode->seals, __ATOMIC_RELAXED);
}

/* How many bytes may be written at `offset`, or -errno. */
static int64_t writable(const struct inode *inode, int64_t offset, size_t total)
{
	unsigned seals = seals_of(inode);

	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (offset == FILE_SIZE_MAX)
		return -EFBIG;
	total = min(total, (size_t)(FILE_SIZE_MAX - offset));
	if ((seals & F_SEAL_GROW) && offset + (int64_t)total > inode->size)
		return offset < inode->size ? inode->size - offset : -EPERM;
	return total;
}

ssize_t regular_write(struct inode *inode, const struct iovec *iov, unsigned niov, int64_t offset)
{
	int64_t at = offset, room;
	size_t total = 0;
	ssize_t error = 0;

	for (unsigned i = 0; i < niov; i++)
		total += iov[i].iov_len;
	if (!total)
		return 0;
	room = writable(inode, offset, total);
	if (room < 0)
		return room;
	if (offset > inode->size)
		clear_rest(inode, inode->size);
	for (unsigned i = 0; i < niov && !error && room; i++) {
		const char *from = iov[i].iov_base;
		size_t left = min(iov[i].iov_len, (size_t)room);

		room -= left;
		while (left && !error) {
			size_t part = min(left, PAGE_SIZE - offset_in_page(at));
			ssize_t written = write_page(inode, at, from, part);

			if (written < 0) {
				error = written;
				break;
			}
			from += written;
			at += written;
			left -= (size_t)written;
			if (unlikely((size_t)written < part))
				error = -EFAULT;
		}
	}
	if (at == offset)
		return error;
	if (at > inode->size)
		set_size(inode, at);
	inode_modified(inode);
	return at - offset;
}

int regular_resize(struct inode *inode, int64_t size)
{
	unsigned seals = seals_of(inode);
	int64_t old = inode->size;

	if (size < old && (seals & F_SEAL_SHRINK))
		return -EPERM;
	if (size > old && (seals & F_SEAL_GROW))
		return -EPERM;
	if (size > old) {
		clear_rest(inode, old);
		set_size(inode, size);
	} else if (size < old) {
		uint64_t first_gone = page_of(size + (int64_t)PAGE_SIZE - 1);

		set_size(inode, size);
		clear_rest(inode, size);
		page_source_shrunk(&inode->source, first_gone);
		pages_remove(&inode->pages, first_gone, UINT64_MAX);
	}
	inode_modified(inode);
	return 0;
}

/* ---- fallocate ---- */

/* Put a page wherever there is a hole. */
static int fill_holes(struct inode *inode, uint64_t first, uint64_t end)
{
	for (uint64_t index = first; index < end; index++) {
		paddr_t made, there;

		if (pages_find(&inode->pages, index))
			continue;
		made = fs_may_grow() ? frame_alloc_zeroed(0) : 0;
		there = made ? pages_insert(&inode->pages, index, made) : 0;
		if (made && there != made)
			frame_free(made, 0);
		if (!there)
			return -ENOSPC;
	}
	return 0;
}

static void clear_range(struct inode *inode, int64_t offset, int64_t end)
{
	while (offset < end) {
		paddr_t frame = pages_find(&inode->pages, page_of(offset));
		size_t part = min((uint64_t)(end - offset), PAGE_SIZE - offset_in_page(offset));

		if (frame)
			memset((char *)phys_to_virt(frame) + offset_in_page(offset), 0, part);
		offset += part;
	}
}

/* A mapped page cannot be taken away from under its mapping: it is cleared instead. New mappings take
 * the mutex, too. */
static void punch(struct inode *inode, int64_t offset, int64_t end)
{
	int64_t first = min(align_up(offset, (int64_t)PAGE_SIZE), end);
	int64_t last = max(align_down(end, (int64_t)PAGE_SIZE), first);

	if (__atomic_load_n(&inode->source.nmappings, __ATOMIC_RELAXED)) {
		clear_range(inode, offset, min(end, inode->size));
		return;
	}
	clear_range(inode, offset, first);
	clear_range(inode, last, end);
	pages_remove(&inode->pages, page_of(first), page_of(last));
}

static int allocate_locked(struct inode *inode, int mode, int64_t offset, int64_t end)
{
	unsigned seals = seals_of(inode);
	int error = 0;

	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
			return -EPERM;
		punch(inode, offset, min(end, align_up(inode->size, (int64_t)PAGE_SIZE)));
	}
	if (!(mode & FALLOC_FL_PUNCH_HOLE)) {
		bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && end > inode->size;

		if (grows && (seals & F_SEAL_GROW))
			return -EPERM;
		error = fill_holes(inode, page_of(offset), page_of(end - 1) + 1);
		if (!error && grows) {
			clear_rest(inode, inode->size);
			set_size(inode, end);
		}
	}
	inode_modified(inode);
	return error;
}

int regular_allocate(struct inode *inode, int mode, int64_t offset, int64_t length)
{
	const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	int error;

	if (offset < 0 || length <= 0)
		return -EINVAL;
	if (mode & ~known)
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_PUNCH_HOLE) &&
	    (!(mode & FALLOC_FL_KEEP_SIZE) || (mode & FALLOC_FL_ZERO_RANGE)))
		return -EOPNOTSUPP;
	if (length > FILE_SIZE_MAX - offset)
		return -EFBIG;
	mutex_lock(&inode->mutex);
	error = allocate_locked(inode, mode, offset, offset + length);
	mutex_unlock(&inode->mutex);
	return error;
}

/* ---- as open files ---- */

static ssize_t read_file(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct open_file *open = open_file_of(file);
	ssize_t result;
	bool kept;
	int error;

	if (offset != NO_OFFSET)
		return regular_read(open->inode, iov, niov, offset);
	error = open_file_lock(file, &open->position_mutex, &kept);
	if (unlikely(error))
		return error;
	result = regular_read(open->inode, iov, niov, open->position);
	if (result > 0)
		open->position += result;
	open_file_unlock(file, &open->position_mutex, kept);
	return result;
}

/* With the position's mutex if that is what is written at. */
static ssize_t try_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct open_file *open = open_file_of(file);
	struct inode *inode = open->inode;
	int64_t at = offset == NO_OFFSET ? open->position : offset;
	ssize_t result;
	bool kept;
	int error = open_file_lock(file, &inode->mutex, &kept);

	if (unlikely(error))
		return error;
	/* Linux appends wherever pwrite() says. */
	if ((file->status_flags & O_APPEND) || offset == AT_END)
		at = inode->size;
	result = regular_write(inode, iov, niov, at);
	if (result > 0 && offset == NO_OFFSET)
		open->position = at + result;
	open_file_unlock(file, &inode->mutex, kept);
	return result;
}

static ssize_t write_at(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	ssize_t result = try_write(file, iov, niov, offset);

	if (likely(result != -ENOSPC))
		return result;
	/* Memory that was given up may be waiting for a safe point. */
	if (!file_reference(file))
		return -EBADF;
	while (result == -ENOSPC && fs_wait_for_memory())
		result = try_write(file, iov, niov, offset);
	file_unreference(file);
	return result;
}

static ssize_t write_file(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct open_file *open = open_file_of(file);
	ssize_t result;
	bool kept;
	int error;

	if (offset != NO_OFFSET)
		return write_at(file, iov, niov, offset);
	error = open_file_lock(file, &open->position_mutex, &kept);
	if (unlikely(error))
		return error;
	result = write_at(file, iov, niov, NO_OFFSET);
	open_file_unlock(file, &open->position_mutex, kept);
	return result;
}

/* Where data is, or is not, from `offset` on. */
static int64_t seek_contents(const struct inode *inode, int64_t offset, int whence)
{
	int64_t size = inode_size(inode);
	uint64_t page;

	if (offset < 0 || offset >= size)
		return -ENXIO;
	page = page_of(offset);
	if (whence == SEEK_DATA) {
		page = pages_next(&inode->pages, page);
		if (page > page_of(size - 1))
			return -ENXIO;
	} else {
		while (page <= page_of(size - 1) && pages_find(&inode->pages, page))
			page++;
	}
	return min(max((int64_t)(page << PAGE_SHIFT), offset), size);
}

static int64_t seek_file(struct file *file, int64_t offset, int whence)
{
	struct open_file *open = open_file_of(file);
	bool kept;
	int64_t to;
	int error = open_file_lock(file, &open->position_mutex, &kept);

	if (unlikely(error))
		return error;
	if (whence == SEEK_DATA || whence == SEEK_HOLE)
		to = seek_contents(open->inode, offset, whence);
	else
		to = seek_position(open->position, inode_size(open->inode), offset, whence);
	if (to >= 0)
		open->position = to;
	open_file_unlock(file, &open->position_mutex, kept);
	return to;
}

static long map_file(struct file *file, vaddr_t address, size_t length, int prot, int flags,
		     int64_t offset)
{
	struct inode *inode = open_file_of(file)->inode;
	unsigned seals = seals_of(inode);
	long result;

	if ((flags & MAP_TYPE) != MAP_PRIVATE && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))) {
		if (prot & PROT_WRITE)
			return -EPERM;
		flags |= MAP_SOURCE_READ_ONLY;
	}
	/* Against punch(). */
	mutex_lock(&inode->mutex);
	result = area_map_source(address, length, prot, flags, &inode->source, page_of(offset));
	if (result >= 0) {
		inode_accessed(inode);
		inode->mapped_writable |= (flags & MAP_TYPE) != MAP_PRIVATE &&
					  !(flags & MAP_SOURCE_READ_ONLY);
	}
	mutex_unlock(&inode->mutex);
	return result;
}

const struct file_operations regular_operations = {
	.kind = "file",
	.anywhere = true,
	.read = read_file,
	.write = write_file,
	.seek = seek_file,
	.stat = open_file_stat,
	.map = map_file,
	.release = open_file_release,
};

/* ---- as a source of pages ---- */

static struct inode *inode_of(struct page_source *source)
{
	return container_of(source, struct inode, source);
}

static long source_page(struct page_source *source, uint64_t index, bool create, paddr_t *frame)
{
	struct inode *inode = inode_of(source);
	int64_t size = inode_size(inode);
	paddr_t made;

	if (size == 0 || index > page_of(size - 1))
		return -ENXIO;
	*frame = pages_find(&inode->pages, index);
	if (*frame || !create)
		return 0;
	made = fs_may_grow() ? frame_alloc_zeroed(0) : 0;
	if (!made)
		return -ENOMEM;
	*frame = pages_insert(&inode->pages, index, made);
	if (*frame != made)
		frame_free(made, 0);
	return *frame ? 0 : -ENOMEM;
}

/* Not counted on each core: that could need memory where none may be taken. */
static void source_reference(struct page_source *source)
{
	__atomic_fetch_add(&inode_of(source)->references, 1, __ATOMIC_RELAXED);
}

static void source_unreference(struct page_source *source)
{
	inode_unreference(inode_of(source));
}

static uint64_t source_name(struct page_source *source, char *path, size_t size)
{
	const struct inode *inode = inode_of(source);
	const struct entry *entry = __atomic_load_n(&inode->entry, __ATOMIC_ACQUIRE);
	char *start;

	path[0] = 0;
	if (entry && size > 1) {
		start = path_of(entry, path, size - 1);
		if (start) {
			size_t length = path + size - 1 - start;

			memmove(path, start, length);
			path[length] = 0;
		}
	}
	return inode->number;
}

const struct page_source_operations regular_source = {
	.page = source_page,
	.reference = source_reference,
	.unreference = source_unreference,
	.name = source_name,
};
