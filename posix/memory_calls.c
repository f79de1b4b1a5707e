/*
 * System calls about memory: mm/'s areas, with Linux's rules about arguments in front.
 */
#include "posix/file.h"
#include "posix/syscall.h"
#include "posix/user_memory.h"

#include "arch/arch.h"
#include "mm/area.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static long map_file(int fd, vaddr_t address, size_t length, int prot, int flags, int64_t offset)
{
	struct file *file = fd_lookup(fd);
	long result;

	if (!file)
		return -EBADF;
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
	return area_map(address, length, prot, flags);
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

/* There is no break that could move: as Linux does when it cannot, the present one is returned, and
 * malloc() takes mmap(). */
SYSCALL(brk)(vaddr_t address)
{
	return USER_END;
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

SYSCALL(msync)(vaddr_t address, size_t length, int flags)
{
	return check_range(address, length);
}

SYSCALL(mincore)(vaddr_t address, size_t length, unsigned char *residency)
{
	size_t npages = align_up(length, PAGE_SIZE) / PAGE_SIZE;
	long result = check_range(address, length);

	if (result)
		return result;
	if (user_buffer_is_bad(residency, npages))
		return -EFAULT;
	for (size_t i = 0; i < npages; i++) {
		unsigned protection;
		size_t page_size;
		paddr_t frame;

		residency[i] =
		    arch_lookup(address + i * PAGE_SIZE, &frame, &protection, &page_size);
	}
	return 0;
}
