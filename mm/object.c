/*
 * Kernel objects. A slab is 16 KiB, aligned to its size: a header, then objects of one class. Its
 * free objects form a list in the slab; allocating takes from the list of the class's current
 * slab, and freeing puts back into the object's own slab, found by rounding its address down.
 *
 * A slab is in one of four places: current (of its class), partial (some free, in the class's
 * list), full (in no list: the next free finds it), or empty (a few in reserve, the others given
 * back). `used == wake` says that a free must look at the slab's place, so that the common free
 * makes one comparison.
 *
 * Nothing here is shared between cores but `returned`, one queue for each core: many producers
 * (whoever frees that core's objects), and one consumer that takes all at once, which is why
 * the queue can be a plain stack.
 */
#include "mm/object.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/stack_touch.h"
#include "smp/core.h"
#include "smp/window.h"

#include <ck_pr.h>
#include <ck_stack.h>
#include <string.h>

/* Freed memory is filled, and checked when it is handed out again. */
#ifdef LAVRA_HOST_TEST
#define OBJECT_POISON 1
#else
#define OBJECT_POISON 0
#endif

#define SLAB_ORDER 2
#define SLAB_SIZE (PAGE_SIZE << SLAB_ORDER)
/* A slab's tag: this, its generation, its owner's number. What an earlier object_init_core() left behind is
 * never used again (the network's domain begins anew after a fault). */
#define SLAB_MAGIC 0x51ab0000u
#define TAG_OF(generation, core) (SLAB_MAGIC | ((generation) % 1024) << 6 | (core))
#define TAG_IS_VALID(tag) (((tag)&0xffff0000u) == SLAB_MAGIC)
#define TAG_OWNER(tag) ((tag) % MAX_CORES)
#define WAKE_NEVER 0xffff
#define RESERVE_SLABS 2
#define SMALL_MAX 3200 /* 5 in a slab */

struct free_object { /* lies in the object */
	struct free_object *next;
};

struct slab {
	struct free_object *free;
	uint32_t tag; /* constant while the slab exists */
	uint16_t used; /* objects handed out, or on their way home */
	uint16_t wake;
	uint16_t count, size; /* of its objects */
	uint32_t class;
	struct slab *next, *previous; /* in the partial list, or the reserve (next alone) */
} CACHE_ALIGNED;

/* Multiples of 64 from 64 on: for alignment. The largest ones are what 7, 6 and 5 to a slab give. */
static const uint16_t class_size[] = { 16,   32,   48,	 64,   128,  192,  256,
				       320,  384,  448,	 512,  640,  768,  896,
				       1024, 1280, 1536, 1792, 2304, 2688, SMALL_MAX };
#define CLASSES array_size(class_size)

static READ_MOSTLY uint8_t class_of[SMALL_MAX / 16 + 1]; /* by (size + 15) / 16 */

static CORE_LOCAL struct {
	uint32_t tag; /* of this core's slabs */
	struct slab *current[CLASSES]; /* never NULL after object_init_core() */
	struct slab *partial[CLASSES];
	struct slab *reserve;
	unsigned reserve_count;
	uint64_t bytes; /* allocated minus freed by this core, modulo 2^64; other cores read it */
} cache;

/* Stands for "no slab yet": it has no free object, which is all that anybody looks at. */
static const struct slab no_slab;

static struct {
	ck_stack_t objects;
	unsigned generation; /* the next; the owner's alone */
} CACHE_ALIGNED returned[MAX_CORES];

static void count_bytes(size_t bytes)
{
	ck_pr_store_64(&cache.bytes, cache.bytes + bytes);
}

#if OBJECT_POISON
#define POISON 0x5afe0b1ec70f4eedull
#define UNINITIALISED 0xa5

static bool is_poisoned(const void *object, size_t size)
{
	const uint64_t *words = object;

	for (size_t i = 1; i < size / sizeof(*words); i++) /* the first is the link */
		if (words[i] != POISON)
			return false;
	return true;
}

static void fill_poison(void *memory, size_t size)
{
	uint64_t *words = memory;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = POISON;
}

static void poison(void *object, const struct slab *slab)
{
	assert(((uintptr_t)object - (uintptr_t)(slab + 1)) % slab->size == 0);
	assert(!is_poisoned(object, slab->size)); /* freed twice */
	fill_poison(object, slab->size);
}

static void unpoison(void *object, const struct slab *slab)
{
	assert(is_poisoned(object, slab->size)); /* written after it was freed */
	memset(object, UNINITIALISED, slab->size);
}
#else
static void poison(void *object, const struct slab *slab) {}
static void unpoison(void *object, const struct slab *slab) {}
#endif

/* ---- slabs, on the core that owns them ---- */

static void partial_insert(struct slab *slab)
{
	struct slab *head = cache.partial[slab->class];

	slab->previous = NULL;
	slab->next = head;
	if (head)
		head->previous = slab;
	cache.partial[slab->class] = slab;
	slab->wake = 0;
}

static void partial_remove(struct slab *slab)
{
	if (slab->next)
		slab->next->previous = slab->previous;
	if (slab->previous)
		slab->previous->next = slab->next;
	else
		cache.partial[slab->class] = slab->next;
}

static void slab_give_back(struct slab *slab)
{
	slab->tag = 0; /* a late free finds no slab */
	frame_free(virt_to_phys(slab), SLAB_ORDER);
}

static void slab_empty(struct slab *slab)
{
	if (cache.reserve_count == RESERVE_SLABS) {
		slab_give_back(slab);
		return;
	}
	slab->next = cache.reserve;
	cache.reserve = slab;
	cache.reserve_count++;
}

/* An empty slab from the reserve or from frame_alloc(). The latter may end in object_trim(). */
static struct slab *slab_take(void)
{
	struct slab *slab = cache.reserve;
	paddr_t frame;

	if (slab) {
		cache.reserve = slab->next;
		cache.reserve_count--;
		return slab;
	}
	frame = frame_alloc(SLAB_ORDER);
	return frame ? phys_to_virt(frame) : NULL;
}

static void slab_format(struct slab *slab, unsigned class)
{
	size_t size = class_size[class];
	size_t count = (SLAB_SIZE - sizeof(*slab)) / size;
	char *object = (char *)(slab + 1) + count * size;

#if OBJECT_POISON
	fill_poison(slab + 1, SLAB_SIZE - sizeof(*slab));
#endif
	*slab = (struct slab){ .tag = cache.tag, .class = class, .size = size, .count = count };
	while (object > (char *)(slab + 1)) {
		struct free_object *link = (void *)(object -= size);

		link->next = slab->free;
		slab->free = link;
	}
}

/* `slab` is no longer current: to the place that its objects say. */
static void slab_retire(struct slab *slab)
{
	if (slab == &no_slab)
		return;
	if (slab->used == slab->count)
		slab->wake = slab->count - 1;
	else if (slab->used)
		partial_insert(slab);
	else
		slab_empty(slab);
}

/* Its first object came back after it was full, or its last one. */
static __attribute__((noinline)) void slab_wake(struct slab *slab)
{
	if (slab->wake) {
		partial_insert(slab);
	} else {
		partial_remove(slab);
		slab_empty(slab);
	}
}

static void free_at_home(struct slab *slab, struct free_object *object)
{
	object->next = slab->free;
	slab->free = object;
	if (unlikely(--slab->used == slab->wake))
		slab_wake(slab);
}

static struct slab *slab_of(const void *object)
{
	return (struct slab *)align_down((uintptr_t)object, SLAB_SIZE);
}

bool object_collect(void)
{
	ck_stack_t *stack = &returned[this_core].objects;
	struct free_object *object, *next;

	if (!ck_pr_load_ptr(&stack->head))
		return false;
	/* Pairs with the push in free_elsewhere(): what was written into the objects is visible. */
	object = (struct free_object *)ck_stack_batch_pop_upmc(stack);
	for (; object; object = next) {
		next = object->next;
		if (likely(slab_of(object)->tag == cache.tag))
			free_at_home(slab_of(object), object);
	}
	return true;
}

/* Make the class's current slab have a free object. False when memory is out. */
static bool refill(unsigned class)
{
	struct slab *slab;

	object_collect();
	if (!cache.current[class]->free && !cache.partial[class]) {
		slab = slab_take();
		if (slab) {
			slab_format(slab, class);
			partial_insert(slab);
		}
	}
	/* slab_take() may have collected and trimmed, so look again. */
	if (cache.current[class]->free)
		return true;
	slab = cache.partial[class];
	if (!slab)
		return false;
	partial_remove(slab);
	slab->wake = WAKE_NEVER;
	slab_retire(cache.current[class]);
	cache.current[class] = slab;
	return true;
}

bool object_trim(void)
{
	bool trimmed = false;

	object_collect();
	for (unsigned class = 0; class < CLASSES; class ++) {
		struct slab *slab = cache.current[class];

		if (slab != &no_slab && !slab->used) {
			cache.current[class] = (struct slab *)&no_slab;
			slab_give_back(slab);
			trimmed = true;
		}
	}
	while (cache.reserve) {
		struct slab *slab = cache.reserve;

		cache.reserve = slab->next;
		slab_give_back(slab);
		trimmed = true;
	}
	cache.reserve_count = 0;
	return trimmed;
}

/* ---- objects of whole pages ---- */

static unsigned order_of_size(size_t size)
{
	return size <= PAGE_SIZE ? 0 : 64 - __builtin_clzl((size - 1) >> PAGE_SHIFT);
}

static __attribute__((noinline)) void *alloc_pages(size_t size)
{
	unsigned order = order_of_size(size);
	paddr_t frame;

	assert(size <= OBJECT_MAX);
	frame = frame_alloc(order);
	if (!frame)
		return NULL;
	frame_mark(frame, order, true);
	count_bytes(PAGE_SIZE << order);
	return phys_to_virt(frame);
}

/* Objects in slabs lie on page boundaries too, but no marked block starts there. */
static bool free_pages(void *object)
{
	paddr_t frame = virt_to_phys(object);
	int order = frame_marked_order(frame);

	if (order < 0)
		return false;
	frame_mark(frame, order, false);
	count_bytes(-(PAGE_SIZE << order));
	frame_free(frame, order);
	return true;
}

/* ---- the interface ---- */

static inline void *take_object(struct slab *slab)
{
	struct free_object *object = slab->free;

	slab->free = object->next;
	slab->used++;
	count_bytes(slab->size);
	unpoison(object, slab);
	return object;
}

static __attribute__((noinline)) void *alloc_slowly(unsigned class)
{
	stack_touch(1024);
	return refill(class) ? take_object(cache.current[class]) : NULL;
}

void *object_alloc(size_t size)
{
	struct slab *slab;
	unsigned class;

	if (unlikely(size > SMALL_MAX))
		return alloc_pages(size);
	class = class_of[(size + 15) / 16];
	slab = cache.current[class];
	return likely(slab->free) ? take_object(slab) : alloc_slowly(class);
}

void *object_alloc_zeroed(size_t size)
{
	void *object = object_alloc(size);

	if (object)
		memset(object, 0, size);
	return object;
}

static __attribute__((noinline)) void free_elsewhere(struct slab *slab, void *object)
{
	assert(TAG_IS_VALID(slab->tag)); /* else this is no slab, so it was no object */
	poison(object, slab);
	count_bytes(-(size_t)slab->size);
	ck_stack_push_upmc(&returned[TAG_OWNER(slab->tag)].objects, object);
}

static inline void free_in_slab(void *object)
{
	struct slab *slab = slab_of(object);

	if (unlikely(slab->tag != cache.tag)) {
		free_elsewhere(slab, object);
		return;
	}
	poison(object, slab);
	count_bytes(-(size_t)slab->size);
	free_at_home(slab, object);
}

static __attribute__((noinline)) void free_page_aligned(void *object)
{
	if (!object || free_pages(object))
		return;
	assert(!is_aligned(object, SLAB_SIZE)); /* a slab's header */
	free_in_slab(object);
}

void object_free(void *object)
{
	if (unlikely(is_aligned(object, PAGE_SIZE)))
		free_page_aligned(object);
	else
		free_in_slab(object);
}

size_t object_size(const void *object)
{
	int order = frame_marked_order(virt_to_phys(object));

	if (order >= 0)
		return PAGE_SIZE << order;
	assert(TAG_IS_VALID(slab_of(object)->tag));
	return slab_of(object)->size;
}

size_t object_bytes_in_use(void)
{
	uint64_t bytes = cache.bytes;

	for (core_id_t core = 0; core < ncores; core++)
		if (core != this_core && core_is_online(core))
			bytes += ck_pr_load_64(&core_local_of(core, cache)->bytes);
	return bytes;
}

void object_init(void)
{
	for (unsigned units = 0, class = 0; units < array_size(class_of); units++) {
		if (units * 16 > class_size[class])
			class ++;
		class_of[units] = class;
	}
	frame_set_reclaim(object_trim);
}

void object_init_core(void)
{
	cache.tag = TAG_OF(returned[this_core].generation++, this_core);
	for (unsigned class = 0; class < CLASSES; class ++)
		cache.current[class] = (struct slab *)&no_slab;
}
