/*
 * Kernel objects: small memory of the kernel, by size class.
 *
 * Each core has a cache per size class; allocating and freeing on the same core touch
 * no other core's memory. An object freed on another core goes home over a lock-free
 * queue. Memory is never moved and has the same address on every core.
 *
 * Up to 3200 bytes an object lies in a slab of 16 KiB that its core owns. Larger ones are whole
 * pages, a power of two of them, straight from frame_alloc().
 */
#pragma once

#include "lavra/types.h"

#define OBJECT_MAX (256ul << 10) /* larger: frame_alloc() */

void object_init(void); /* boot core, after frame_init() */
/* Every core, before it allocates. Again, with its CORE_LOCALs as at first: it forgets its objects, which
 * stay valid, and are lost when they are freed. */
void object_init_core(void);

/* `size` bytes (1..OBJECT_MAX), aligned to 16, and to 64 from 64 bytes on. Not cleared.
 * NULL when memory is out. Any core, kernel context, not from an interrupt. */
void *object_alloc(size_t size);
void *object_alloc_zeroed(size_t size);
/* NULL is ignored. Any core. What lies in no object is an assertion failure; host tests also catch
 * the inside of an object, a second free, and use after it. */
void object_free(void *object);
/* The size that can be used of an object. */
size_t object_size(const void *object);

/* Take home what other cores freed of this core's. Happens by itself when the core runs short; a
 * core that calls it at its safe points also gives memory back while it allocates nothing.
 * Returns true if there was something; costs two loads if not. Owning core. */
bool object_collect(void);
/* Give this core's empty slabs back to frame_alloc(). Returns true if there were any. */
bool object_trim(void);

/* Bytes in live objects, over all cores; a snapshot for tests and /proc. */
size_t object_bytes_in_use(void);
