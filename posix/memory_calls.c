/*
 * System calls about memory: mm/'s areas, with Linux's rules about arguments in front.
 */
#include "posix/file/file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "mm/area.h"
#include "mm/page_source.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* What MAP_SHARED_VALIDATE accepts; the other types ignore what they do not know. */
#define KNOWN_FLAGS                                                                                \
	(MAP_TYPE | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN |  \
	 MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE |              \
	 MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB)

static long map_file(int fd, vaddr_t address, size_t length, int prot, int flags, int64_t offset)
{
	struct file *file = fd_lookup(fd);
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	unsigned access;
	long result;

	if (!file)
		return -EBADF;
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && flags & ~KNOWN_FLAGS)
		return -EOPNOTSUPP;
	access = file->status_flags & O_ACCMODE;
	if (access == O_WRONLY || (shared && prot & PROT_WRITE && access != O_RDWR))
		return -EACCES;
	flags &= KNOWN_FLAGS;
	if (shared && access != O_RDWR)
		flags |= MAP_SOURCE_READ_ONLY;
	if (offset < 0 || length > (size_t)(INT64_MAX - offset))
		return -EOVERFLOW;
	if (!file->operations->map)
		return -ENODEV;
	if (!file_reference(file))
		return -EBADF;
	result = file->operations->map(file, address, length, prot, flags, offset);
	file_unreference(file);
	return result;
}

SYSCALL(mmap)(vaddr_t address, size_t length, int prot, int flags, int fd, int64_t offset)
{
	if (!is_aligned(offset, PAGE_SIZE) || length == 0)
		return -EINVAL;
	if (!(flags & MAP_ANONYMOUS))
		return map_file(fd, address, length, prot, flags, offset);
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
		return -EINVAL; /* as Linux: it is for files */
	return area_map(address, length, prot, flags & KNOWN_FLAGS);
}

SYSCALL(munmap)(vaddr_t address, size_t length)
{
	return area_unmap(address, length);
}

SYSCALL(mprotect)(vaddr_t address, size_t length, int prot)
{
	return area_protect(address, length, prot & ~(PROT_GROWSDOWN | PROT_GROWSUP));
}

SYSCALL(mremap)
(vaddr_t old, size_t old_length, size_t new_length, int flags, vaddr_t new_address)
{
	return area_remap(old, old_length, new_length, flags, new_address);
}

SYSCALL(madvise)(vaddr_t address, size_t length, int advice)
{
	return area_advise(address, length, advice);
}

SYSCALL(brk)(vaddr_t address)
{
	return area_brk(address);
}

/* Linux's rule for what follows: aligned, and all of it mapped. */
static long check_range(vaddr_t address, size_t length)
{
	if (!is_aligned(address, PAGE_SIZE))
		return -EINVAL;
	return length && !area_check(address, align_up(length, PAGE_SIZE), PROT_NONE) ? -ENOMEM : 0;
}

/* Nothing is ever written out, so every page that is present stays. */
SYSCALL(mlock)(vaddr_t address, size_t length)
{
	vaddr_t start = align_down(address, PAGE_SIZE);

	return check_range(start, length + (address - start));
}

SYSCALL(mlock2)(vaddr_t address, size_t length, unsigned flags)
{
	return flags & ~1u /* MLOCK_ONFAULT */ ? -EINVAL : sys_mlock(address, length);
}

SYSCALL(munlock)(vaddr_t address, size_t length)
{
	return sys_mlock(address, length);
}

SYSCALL(mlockall)(int flags)
{
	return !flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) ? -EINVAL : 0;
}

SYSCALL(munlockall)(void)
{
	return 0;
}

/* A file is in memory and nowhere else: a shared mapping and read() see the same bytes at once. */
SYSCALL(msync)(vaddr_t address, size_t length, int flags)
{
	if (!is_aligned(address, PAGE_SIZE) || flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
	    (flags & MS_ASYNC && flags & MS_SYNC))
		return -EINVAL;
	return area_is_mapped(address, length) ? 0 : -ENOMEM;
}

#define RESIDENCY_PAGES 256

SYSCALL(mincore)(vaddr_t address, size_t length, unsigned char *residency)
{
	unsigned char pages[RESIDENCY_PAGES];
	size_t npages = align_up(length, PAGE_SIZE) / PAGE_SIZE;

	if (!is_aligned(address, PAGE_SIZE))
		return -EINVAL;
	if (user_range_is_bad(residency, npages))
		return -EFAULT;
	if (!area_is_mapped(address, length))
		return -ENOMEM;
	/* Not straight into the caller's memory, since the areas are locked meanwhile. */
	for (size_t done = 0; done < npages;) {
		size_t count = min(npages - done, sizeof(pages));
		long error = area_residency(address + done * PAGE_SIZE, count, pages);

		if (error)
			return error;
		if (!user_copy(residency + done, pages, count))
			return -EFAULT;
		done += count;
	}
	return 0;
}
