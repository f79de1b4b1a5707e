/*
 * Tables of names.
 *
 * In a hash table an entry never moves, so that a search which runs while others are put in or taken out
 * finds every name that is there all the time. Removed ones leave a mark, which the next insertion
 * or the next table does away with.
 */
#include "posix/fs/directory.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "mm/object.h"

#include <errno.h>
#include <string.h>

#define FIRST_SLOTS 8u
#define REMOVED ((struct entry *)8) /* a mark in a slot: no entry is there */

struct table_memory { /* begins both kinds of tables */
	struct deferred deferred;
	int order; /* of frames; -1: an object */
};

struct name_table {
	struct table_memory memory;
	uint32_t mask; /* slots - 1 */
	uint32_t taken; /* slots that are not NULL; with tree_lock */
	struct entry *slot[]; /* atomic */
};

/* A slot has an entry, or, odd, the number of the next free one. */
struct name_order {
	struct table_memory memory;
	uint32_t room;
	uint32_t first_free; /* NO_SLOT: none; with tree_lock */
	uintptr_t slot[]; /* atomic */
};

#define NO_SLOT UINT32_MAX
#define FREE_SLOT(next) ((uintptr_t)(next) << 1 | 1)

/* ---- memory: objects, or frames for the largest ---- */

static void *table_alloc(size_t size)
{
	struct table_memory *memory;
	int order = -1;

	if (size > OBJECT_MAX) {
		paddr_t frame;

		for (order = 0; PAGE_SIZE << order < size; order++)
			;
		frame = order <= MAX_ORDER ? frame_alloc_zeroed(order) : 0;
		memory = frame ? phys_to_virt(frame) : NULL;
	} else {
		memory = object_alloc_zeroed(size);
	}
	if (memory)
		memory->order = order;
	return memory;
}

static void table_free(struct table_memory *memory)
{
	if (memory && memory->order >= 0)
		frame_free(virt_to_phys(memory), memory->order);
	else
		object_free(memory);
}

static void table_free_later(struct deferred *deferred)
{
	table_free(container_of(deferred, struct table_memory, deferred));
}

static void table_gone(struct table_memory *memory)
{
	if (memory)
		epoch_defer(&memory->deferred, table_free_later);
}

/* ---- looking ---- */

#define HASH_START 2166136261u /* FNV-1a */

static inline uint32_t hash_step(uint32_t hash, char byte)
{
	return (hash ^ (uint8_t)byte) * 16777619u;
}

static inline uint32_t hash_end(uint32_t hash)
{
	return hash ^ hash >> 15;
}

uint32_t name_hash(const char *name, size_t length)
{
	uint32_t hash = HASH_START;

	for (size_t i = 0; i < length; i++)
		hash = hash_step(hash, name[i]);
	return hash_end(hash);
}

size_t name_scan(const char *path, uint32_t *hash)
{
	const char *at = path;
	uint32_t sum = HASH_START;

	for (; *at && *at != '/'; at++)
		sum = hash_step(sum, *at);
	*hash = hash_end(sum);
	return at - path;
}

static struct entry *get(struct entry *const *slot)
{
	/* Acquire: pairs with the release in set(); the entry is complete. */
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

static void set(struct entry **slot, struct entry *entry)
{
	__atomic_store_n(slot, entry, __ATOMIC_RELEASE);
}

struct entry *directory_find(const struct directory *directory, const char *name, size_t length,
			     uint32_t hash)
{
	struct name_table *table = __atomic_load_n(&directory->table, __ATOMIC_ACQUIRE);
	struct entry *entry;

	if (!table)
		return NULL;
	for (uint32_t i = hash; (entry = get(&table->slot[i & table->mask])); i++)
		if (entry != REMOVED && entry->hash == hash && entry->length == length &&
		    memcmp(entry->name, name, length) == 0)
			return entry;
	return NULL;
}

struct entry *directory_next(const struct directory *directory, uint32_t *position)
{
	struct name_order *order = __atomic_load_n(&directory->order, __ATOMIC_ACQUIRE);

	for (; order && *position < order->room; ++*position) {
		uintptr_t value = __atomic_load_n(&order->slot[*position], __ATOMIC_ACQUIRE);

		if (!(value & 1))
			return (struct entry *)value;
	}
	return NULL;
}

/* ---- entries ---- */

struct entry *entry_create(struct inode *directory, struct inode *inode, const char *name,
			   size_t length)
{
	struct entry *entry = object_alloc(sizeof(*entry) + length + 1);

	if (!entry)
		return NULL;
	if (!inode_reference(directory)) {
		object_free(entry);
		return NULL;
	}
	entry->inode = inode;
	entry->directory = directory;
	entry->hash = name_hash(name, length);
	entry->removed = false;
	entry->length = length;
	memcpy(entry->name, name, length);
	entry->name[length] = 0;
	return entry;
}

void entry_destroy(struct entry *entry)
{
	inode_unreference(entry->directory);
	object_free(entry);
}

static void entry_reclaim(struct deferred *deferred)
{
	entry_destroy(container_of(deferred, struct entry, deferred));
}

void entry_free(struct entry *entry)
{
	epoch_defer(&entry->deferred, entry_reclaim);
}

/* ---- changing; with tree_lock ---- */

static struct entry **free_slot(struct name_table *table, uint32_t hash)
{
	uint32_t i = hash;

	while (table->slot[i & table->mask] && table->slot[i & table->mask] != REMOVED)
		i++;
	return &table->slot[i & table->mask];
}

/* A table with room for one more name: at most 3/4 are taken. */
static int make_table(struct directory *directory)
{
	struct name_table *old = directory->table, *table;
	uint32_t nslots = FIRST_SLOTS;

	if (old && (old->taken + 1) * 4 <= (old->mask + 1) * 3)
		return 0;
	/* At most half are taken then, so that tables are made seldom. */
	while (nslots < (directory->count + 1) * 2)
		nslots *= 2;
	/* The largest table there can be gets fuller. */
	while (PAGE_SIZE << MAX_ORDER < sizeof(*table) + nslots * sizeof(table->slot[0]))
		nslots /= 2;
	table = table_alloc(sizeof(*table) + nslots * sizeof(table->slot[0]));
	if (!table)
		return -ENOMEM;
	table->mask = nslots - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (old->slot[i] && old->slot[i] != REMOVED) {
			*free_slot(table, old->slot[i]->hash) = old->slot[i];
			table->taken++;
		}
	__atomic_store_n(&directory->table, table, __ATOMIC_RELEASE);
	table_gone(old ? &old->memory : NULL);
	return 0;
}

static int make_order(struct directory *directory)
{
	struct name_order *old = directory->order, *order;
	uint32_t from = old ? old->room : 0, room = from ? from * 2 : FIRST_SLOTS;

	if (old && old->first_free != NO_SLOT)
		return 0;
	room = min(room, DIRECTORY_ENTRIES_MAX);
	order = table_alloc(sizeof(*order) + room * sizeof(order->slot[0]));
	if (!order)
		return -ENOMEM;
	order->room = room;
	order->first_free = from;
	if (old)
		memcpy(order->slot, old->slot, from * sizeof(order->slot[0]));
	for (uint32_t i = from; i < room; i++)
		order->slot[i] = FREE_SLOT(i + 1 < room ? i + 1 : NO_SLOT);
	__atomic_store_n(&directory->order, order, __ATOMIC_RELEASE);
	table_gone(old ? &old->memory : NULL);
	return 0;
}

int directory_insert(struct directory *directory, struct entry *entry)
{
	struct name_order *order;
	struct entry **slot;
	int error;

	if (directory->count == DIRECTORY_ENTRIES_MAX)
		return -ENOSPC;
	error = make_table(directory);
	if (!error)
		error = make_order(directory);
	if (error)
		return error;
	slot = free_slot(directory->table, entry->hash);
	if (!*slot)
		directory->table->taken++;
	order = directory->order;
	entry->position = order->first_free;
	order->first_free = order->slot[entry->position] >> 1;
	__atomic_store_n(&order->slot[entry->position], (uintptr_t)entry, __ATOMIC_RELEASE);
	set(slot, entry);
	__atomic_store_n(&directory->count, directory->count + 1, __ATOMIC_RELAXED);
	return 0;
}

static void mark_removed(struct entry *entry)
{
	__atomic_store_n(&entry->removed, true, __ATOMIC_RELAXED);
}

static struct entry **slot_of(struct directory *directory, const struct entry *entry)
{
	struct name_table *table = directory->table;
	uint32_t i = entry->hash;

	while (table->slot[i & table->mask] != entry) {
		assert(table->slot[i & table->mask]);
		i++;
	}
	return &table->slot[i & table->mask];
}

void directory_replace(struct directory *directory, struct entry *old, struct entry *new)
{
	new->position = old->position;
	__atomic_store_n(&directory->order->slot[new->position], (uintptr_t) new, __ATOMIC_RELEASE);
	set(slot_of(directory, old), new);
	mark_removed(old);
}

void directory_remove(struct directory *directory, struct entry *entry)
{
	struct name_order *order = directory->order;

	set(slot_of(directory, entry), REMOVED);
	__atomic_store_n(&order->slot[entry->position], FREE_SLOT(order->first_free),
			 __ATOMIC_RELEASE);
	order->first_free = entry->position;
	mark_removed(entry);
	__atomic_store_n(&directory->count, directory->count - 1, __ATOMIC_RELAXED);
	if (directory->count)
		return;
	table_gone(&directory->table->memory);
	table_gone(&order->memory);
	__atomic_store_n(&directory->table, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&directory->order, NULL, __ATOMIC_RELEASE);
}

void directory_destroy(struct directory *directory)
{
	assert(directory->count == 0);
	table_free(directory->table ? &directory->table->memory : NULL);
	table_free(directory->order ? &directory->order->memory : NULL);
}
