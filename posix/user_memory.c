#include "posix/user_memory.h"

static size_t rest_of_page(const char *address)
{
	return PAGE_SIZE - (vaddr_t)address % PAGE_SIZE;
}

size_t user_copy_pages(void *to, const void *from, size_t length)
{
	size_t done = 0;

	while (done < length) {
		char *at = (char *)to + done;
		const char *source = (const char *)from + done;
		size_t part = min(length - done, min(rest_of_page(at), rest_of_page(source)));

		if (!user_copy(at, source, part))
			break;
		done += part;
	}
	return done;
}

size_t user_clear_pages(void *to, size_t length)
{
	size_t done = 0;

	while (done < length) {
		char *at = (char *)to + done;
		size_t part = min(length - done, rest_of_page(at));

		if (!user_clear(at, part))
			break;
		done += part;
	}
	return done;
}

long user_read_string(char *to, const char *from, size_t size)
{
	size_t length = 0;

	/* By pages: behind the string's end there may be nothing. */
	while (length < size) {
		const char *start = from + length;
		size_t rest = min(size - length, rest_of_page(start)), found;

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
