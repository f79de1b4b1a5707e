/* Kernel objects from the host's malloc(), for tests that are not about memory: leaks are found by the
 * sanitizer. */
#include "mm/object.h"

#include <stdlib.h>

void *object_alloc(size_t size)
{
	return malloc(size);
}

void *object_alloc_zeroed(size_t size)
{
	return calloc(1, size);
}

void object_free(void *object)
{
	free(object);
}
