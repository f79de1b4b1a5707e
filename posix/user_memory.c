#include "posix/user_memory.h"

long user_read_string(char *to, const char *from, size_t size)
{
	size_t length = 0;

	/* By pages: behind the string's end there may be nothing. */
	while (length < size) {
		const char *start = from + length;
		size_t rest = min(size - length, PAGE_SIZE - (vaddr_t)start % PAGE_SIZE), found;

		if (user_range_is_bad(start, rest) || !user_find_zero(start, rest, &found) ||
		    !user_copy(to + length, start, found))
			return -EFAULT;
		length += found;
		if (found < rest) {
			/* Another thread may have changed it meanwhile: it ends here in any case. */
			to[length] = '\0';
			return (long)length;
		}
	}
	return -ENAMETOOLONG;
}
