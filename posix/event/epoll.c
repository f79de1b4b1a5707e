/*
 * Epoll sets; the model is in the header. The system calls are in posix/event/epoll_calls.c.
 */
#include "posix/event/epoll.h"
#include "posix/event/epoll_nesting.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define CHUNK 512u

#define FLAG_BITS (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define ALWAYS (EPOLLERR | EPOLLHUP)

_Static_assert(sizeof(struct epoll_event) == 12 && offsetof(struct epoll_event, data) == 4,
	       "user_store_12()");

/* Requests, from the set's core to the file's. */
#define ATTACH 1u
#define QUERY 2u
#define DETACH 4u

/* Replies, beside EPOLL* bits and FILE_GONE. */
#define ANSWERED (1u << 21)
#define DETACHED (1u << 22)

enum item_state {
	ITEM_LOCAL, /* the file's core is (or was, when added) the set's: watched directly */
	ITEM_REMOTE, /* attached by request */
	ITEM_DETACHING, /* no longer in the set; waits for DETACHED */
};

struct epoll_item {
	struct watch watch; /* on the file; file's core. Its events: what the set asks for */
	struct file *file;
	struct file_view *view; /* readiness that this core can look at, or NULL */
	struct nesting *nesting; /* the file is a set; NULL if it is none */
	core_id_t file_home;
	struct epoll *epoll;

	/* The set's core. */
	struct list ready_link;
	struct epoll_item *next; /* of the same descriptor number */
	uint64_t data;
	uint32_t events; /* flags and interest; interest 0 after a one-shot was told */
	uint32_t known; /* remote: what the file's core has told and nobody has collected */
	int fd;
	uint8_t state;
	bool asked; /* an answer to QUERY is under way */
	bool ask_again; /* told level-triggered readiness: ask before telling it again */

	/* Between the cores: atomic. */
	uint32_t requests, replies;
	struct parcel to_file, to_set;
};

struct epoll {
	struct file file; /* first */
	struct list ready;
	struct list ask; /* remote items with ask_again, by ready_link */
	unsigned unanswered; /* items with `asked` */
	unsigned detaching;
	bool released;
	struct epoll_item **chunks[FD_MAX / CHUNK];
};

static inline uint32_t interest(const struct epoll_item *item)
{
	return item->events & ~(FLAG_BITS | EPOLL_SETTLED);
}

/* May this core, the set's, look at the item's file itself? Not if the file has ended (its watch is
 * then unlinked) and word of it is still on the way. */
static inline bool item_is_here(const struct epoll_item *item)
{
	return item->file_home == this_core && item->state == ITEM_LOCAL &&
	       list_is_linked(&item->watch.link);
}

/* Is no parcel of the item under way? Known for certain where both cores are this one. */
static inline bool item_is_quiet(const struct epoll_item *item)
{
	return !__atomic_load_n(&item->requests, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&item->replies, __ATOMIC_ACQUIRE);
}

/* ---- readiness ---- */

static void make_ready(struct epoll *epoll, struct epoll_item *item)
{
	if (item->ask_again) {
		list_remove(&item->ready_link);
		item->ask_again = false;
	}
	if (!list_is_linked(&item->ready_link))
		list_push_back(&epoll->ready, &item->ready_link);
	if (!list_is_empty(&epoll->file.watches))
		file_notify(&epoll->file, EPOLLIN | EPOLLRDNORM);
}

/* From the file's core to the set's. */
static void reply(struct epoll_item *item, uint32_t bits)
{
	/* Acquire and release: pairs with the exchange in replies_arrived(). The item may be gone
	 * as soon as the bits are there, unless it is we who send. */
	if (__atomic_fetch_or(&item->replies, bits, __ATOMIC_ACQ_REL) == 0)
		parcel_send(__atomic_load_n(&item->epoll->file.home, __ATOMIC_RELAXED),
			    &item->to_set);
}

static void remove_by_file(struct epoll_item *item);

static void item_notify(struct watch *watch, uint32_t events)
{
	struct epoll_item *item = container_of(watch, struct epoll_item, watch);

	/* A set moves by a message to its home, so "here" cannot become wrong under our hands. */
	if (unlikely(item->epoll->file.home != this_core || item->state != ITEM_LOCAL))
		reply(item, events);
	else if (likely(events != FILE_GONE))
		make_ready(item->epoll, item);
	else if (item_is_quiet(item))
		remove_by_file(item);
	else
		reply(item, events);
}

/* EPOLLEXCLUSIVE: does anybody wait for the set? A hint on another core; one that is wrong leaves the
 * event in a set whose threads come to it later, as on Linux. */
static bool item_takes(const struct watch *watch)
{
	struct epoll_item *item = container_of(watch, struct epoll_item, watch);
	struct list *watches = &item->epoll->file.watches;

	return __atomic_load_n(&watches->next, __ATOMIC_RELAXED) != watches;
}

/* ---- requests: at the file's core ---- */

static void request(struct epoll_item *item, uint32_t bits)
{
	/* Pairs with the exchange in requests_arrived(). */
	if (__atomic_fetch_or(&item->requests, bits, __ATOMIC_ACQ_REL) == 0)
		parcel_send(item->file_home, &item->to_file);
}

static void requests_arrived(struct parcel *parcel)
{
	struct epoll_item *item = container_of(parcel, struct epoll_item, to_file);
	struct file *file = item->file;
	uint32_t bits = __atomic_load_n(&item->requests, __ATOMIC_ACQUIRE);

	/* The file moved before it was watched. ATTACH holds a reference. */
	if ((bits & ATTACH) && file->home != this_core) {
		parcel_send(file_home(file), parcel);
		return;
	}
	if (bits & ATTACH)
		item->file_home = this_core;
	bits = __atomic_exchange_n(&item->requests, 0, __ATOMIC_ACQ_REL);
	if (bits & DETACH) {
		file_unwatch(&item->watch);
		if (bits & ATTACH)
			file_unreference(file);
		reply(item, DETACHED);
		return;
	}
	if (bits & ATTACH)
		file_watch(file, &item->watch);
	/* Without a link the file is gone, and has told so. */
	if (bits & QUERY)
		reply(item, ANSWERED | (list_is_linked(&item->watch.link) ? file_events(file) : 0));
	if (bits & ATTACH)
		file_unreference(file);
}

/* ---- items ---- */

static struct epoll_item **slot_of(struct epoll *epoll, int fd, bool make)
{
	struct epoll_item ***chunk = &epoll->chunks[(unsigned)fd / CHUNK];

	if (!*chunk && make)
		*chunk = object_alloc_zeroed(CHUNK * sizeof(**chunk));
	return *chunk ? &(*chunk)[(unsigned)fd % CHUNK] : NULL;
}

/* The link that points to the item of (fd, file), or NULL. Both, since the number may name another
 * file by now. */
static struct epoll_item **find(struct epoll *epoll, int fd, const struct file *file)
{
	struct epoll_item **link = slot_of(epoll, fd, false);

	while (link && *link && (*link)->file != file)
		link = &(*link)->next;
	return link && *link ? link : NULL;
}

static void set_free(struct epoll *epoll)
{
	for (unsigned i = 0; i < array_size(epoll->chunks); i++)
		object_free(epoll->chunks[i]);
	file_free(&epoll->file);
}

static void forget_answer(struct epoll_item *item)
{
	if (!item->asked)
		return;
	item->asked = false;
	if (--item->epoll->unanswered == 0)
		file_notify(&item->epoll->file, EPOLL_SETTLED);
}

static void item_free(struct epoll_item *item)
{
	if (item->view)
		item->view->release(item->view);
	object_free(item);
}

static void unnest(struct nesting *nesting)
{
	if (!nesting)
		return;
	nesting_end(nesting);
	object_free(nesting);
}

/* Out of the set's lists; the set's core. */
static void unlink_item(struct epoll_item **link)
{
	struct epoll_item *item = *link;

	*link = item->next;
	list_remove(&item->ready_link);
	unnest(item->nesting);
	item->nesting = NULL;
	forget_answer(item);
}

static void remove_item(struct epoll_item **link)
{
	struct epoll_item *item = *link;

	unlink_item(link);
	if (item->state == ITEM_LOCAL && item->file_home == this_core && item_is_quiet(item)) {
		file_unwatch(&item->watch);
		item_free(item);
		return;
	}
	item->state = ITEM_DETACHING;
	item->epoll->detaching++;
	request(item, DETACH);
}

static void remove_by_file(struct epoll_item *item)
{
	remove_item(find(item->epoll, item->fd, item->file));
}

static void item_detached(struct epoll_item *item)
{
	struct epoll *epoll = item->epoll;

	item_free(item);
	if (--epoll->detaching == 0 && epoll->released)
		set_free(epoll);
}

static void replies_arrived(struct parcel *parcel)
{
	struct epoll_item *item = container_of(parcel, struct epoll_item, to_set);
	struct epoll *epoll = item->epoll;
	uint32_t bits;

	if (epoll->file.home != this_core) {
		parcel_send(epoll->file.home, parcel);
		return;
	}
	bits = __atomic_exchange_n(&item->replies, 0, __ATOMIC_ACQ_REL);
	if (item->state == ITEM_DETACHING) {
		if (bits & DETACHED)
			item_detached(item);
		return;
	}
	if (bits & FILE_GONE) {
		remove_by_file(item);
		return;
	}
	if (item->view) {
		if (item->view->events(item->view) & (interest(item) | ALWAYS))
			make_ready(epoll, item);
		return;
	}
	item->known |= bits & ~ANSWERED;
	if (bits & ANSWERED)
		forget_answer(item);
	if (item->known & (interest(item) | ALWAYS))
		make_ready(epoll, item);
}

static void ask(struct epoll_item *item, uint32_t bits)
{
	if (!item->asked) {
		item->asked = true;
		item->epoll->unanswered++;
	}
	request(item, bits | QUERY);
}

static int nest(struct epoll *epoll, struct file *file, struct nesting **nesting)
{
	int result = -ENOMEM;

	*nesting = object_alloc_zeroed(sizeof(**nesting));
	if (*nesting)
		result = nesting_begin(*nesting, &epoll->file, file);
	if (result)
		object_free(*nesting);
	return result;
}

int epoll_add(struct epoll *epoll, int fd, struct file *file, struct file_view *view,
	      uint32_t events, uint64_t data)
{
	struct epoll_item *item, **slot;
	struct nesting *nesting = NULL;
	int result;

	if (find(epoll, fd, file))
		return -EEXIST;
	if (epoll_of(file)) {
		result = nest(epoll, file, &nesting);
		if (result)
			return result;
	}
	slot = slot_of(epoll, fd, true);
	item = slot ? object_alloc_zeroed(sizeof(*item)) : NULL;
	if (!item) {
		unnest(nesting);
		return -ENOMEM;
	}
	list_init(&item->watch.link);
	list_init(&item->ready_link);
	item->watch.notify = item_notify;
	item->watch.takes = item_takes;
	item->watch.core = this_core;
	item->watch.exclusive = events & EPOLLEXCLUSIVE;
	item->file = file;
	item->file_home = file_home(file);
	item->epoll = epoll;
	item->view = view;
	item->nesting = nesting;
	item->data = data;
	item->events = events;
	item->watch.events = interest(item);
	item->fd = fd;
	parcel_init(&item->to_file, requests_arrived);
	parcel_init(&item->to_set, replies_arrived);
	if (file->home == this_core) {
		item->state = ITEM_LOCAL;
		file_watch(file, &item->watch);
		if (file_events(file) & (interest(item) | ALWAYS))
			make_ready(epoll, item);
	} else {
		item->state = ITEM_REMOTE;
		if (!file_reference(file)) {
			object_free(item);
			unnest(nesting);
			return -EBADF;
		}
	}
	item->next = *slot;
	*slot = item;
	if (item->state == ITEM_LOCAL)
		return 0;
	if (!view) {
		ask(item, ATTACH);
		return 0;
	}
	/* What happens before it is attached is found by looking once more, at the answer. */
	request(item, ATTACH | QUERY);
	if (view->events(view) & (interest(item) | ALWAYS))
		make_ready(epoll, item);
	return 0;
}

int epoll_modify(struct epoll *epoll, int fd, struct file *file, uint32_t events, uint64_t data)
{
	struct epoll_item **link = find(epoll, fd, file);
	struct epoll_item *item;

	if (!link)
		return -ENOENT;
	item = *link;
	if (item->events & EPOLLEXCLUSIVE)
		return -EINVAL;
	item->events = events;
	item->data = data;
	/* Read by the file's core in file_notify(); the query after it finds what it missed. */
	__atomic_store_n(&item->watch.events, interest(item), __ATOMIC_RELAXED);
	if (item_is_here(item)) {
		if (file_events(file) & (interest(item) | ALWAYS))
			make_ready(epoll, item);
	} else if (item->view) {
		/* Its core may still have told by the old interest. */
		request(item, QUERY);
		if (item->view->events(item->view) & (interest(item) | ALWAYS))
			make_ready(epoll, item);
	} else {
		ask(item, 0);
	}
	return 0;
}

int epoll_remove(struct epoll *epoll, int fd, struct file *file)
{
	struct epoll_item **link = find(epoll, fd, file);

	if (!link)
		return -ENOENT;
	remove_item(link);
	return 0;
}

/* ---- collecting ---- */

/* What is true of the item's file, as far as this core can know at once. */
static inline uint32_t events_now(const struct epoll_item *item)
{
	uint32_t wanted = interest(item) | ALWAYS;

	if (unlikely(interest(item) == 0 && (item->events & EPOLLONESHOT)))
		return 0;
	if (likely(item_is_here(item)))
		return file_events(item->file) & wanted;
	if (item->view)
		return item->view->events(item->view) & wanted;
	/* The answer under way may have been given before the application acts on what it would be
	 * told now, and would then tell it once more, wrongly. It comes soon and makes the item ready. */
	if (item->asked)
		return 0;
	return item->known & wanted;
}

/* Items of other cores that were told as level-triggered: is it still so? */
static void ask_pending(struct epoll *epoll)
{
	struct list *link;

	while ((link = list_pop_front(&epoll->ask))) {
		struct epoll_item *item = list_entry(link, struct epoll_item, ready_link);

		item->ask_again = false;
		ask(item, 0);
	}
}

/* An item was told. What is still to be told of it, and when? */
static void told(struct epoll *epoll, struct epoll_item *item)
{
	bool here = item_is_here(item) || item->view;

	/* Behind those that were not told yet: everybody gets a turn. */
	if (likely(!(item->events & (EPOLLET | EPOLLONESHOT)) && here)) {
		if (epoll->ready.prev != &item->ready_link) {
			list_remove(&item->ready_link);
			list_push_back(&epoll->ready, &item->ready_link);
		}
		return;
	}
	list_remove(&item->ready_link);
	item->known = 0;
	if (item->events & EPOLLONESHOT) {
		item->events &= FLAG_BITS;
		__atomic_store_n(&item->watch.events, 0, __ATOMIC_RELAXED);
	} else if (!here && !(item->events & EPOLLET)) {
		item->ask_again = true;
		list_push_back(&epoll->ask, &item->ready_link);
	}
}

int epoll_collect(struct epoll *epoll, struct epoll_event *events, int max)
{
	const struct list *last = epoll->ready.prev; /* those that are told go behind it */
	struct list *link;
	int n = 0, result = 0;

	assert_on_core(epoll->file.home);
	if (unlikely(!list_is_empty(&epoll->ask)))
		ask_pending(epoll);
	while (n < max && (link = epoll->ready.next) != &epoll->ready) {
		struct epoll_item *item = list_entry(link, struct epoll_item, ready_link);
		bool is_last = link == last;
		uint32_t now = events_now(item);

		if (now) {
			if (unlikely(!user_store_12(&events[n], now, item->data))) {
				result = -EFAULT;
				break;
			}
			n++;
			told(epoll, item);
		} else {
			list_remove(link);
		}
		if (is_last)
			break;
	}
	/* Another thread that waits may take the rest. */
	if (unlikely(!list_is_empty(&epoll->file.watches)) && (n || result) &&
	    !list_is_empty(&epoll->ready))
		file_notify(&epoll->file, EPOLLIN | EPOLLRDNORM);
	if (likely(n))
		return n;
	return epoll->unanswered && !result ? -EAGAIN : result;
}

static uint32_t epoll_events(struct file *file)
{
	struct epoll *epoll = container_of(file, struct epoll, file);

	ask_pending(epoll);
	list_for_each_safe(link, &epoll->ready) {
		if (events_now(list_entry(link, struct epoll_item, ready_link)))
			return EPOLLIN | EPOLLRDNORM;
		list_remove(link);
	}
	return epoll->unanswered ? 0 : EPOLL_SETTLED;
}

/* ---- the file ---- */

static int epoll_stat(struct file *file, struct stat *st)
{
	st->st_mode = 0600;
	st->st_blksize = PAGE_SIZE;
	return 0;
}

static void epoll_release(struct file *file)
{
	struct epoll *epoll = container_of(file, struct epoll, file);

	epoll->released = true;
	epoll->detaching++; /* ours, so that the set stays during the loop */
	for (unsigned i = 0; i < array_size(epoll->chunks); i++)
		for (unsigned j = 0; epoll->chunks[i] && j < CHUNK; j++)
			while (epoll->chunks[i][j])
				remove_item(&epoll->chunks[i][j]);
	if (--epoll->detaching == 0)
		set_free(epoll);
}

_Static_assert(offsetof(struct epoll, file) == 0, "epoll_of() casts");

const struct file_operations epoll_operations = {
	.kind = "epoll set",
	.events = epoll_events,
	.stat = epoll_stat,
	.release = epoll_release,
};

struct epoll *epoll_create_set(void)
{
	struct epoll *epoll = object_alloc_zeroed(sizeof(*epoll));

	if (!epoll)
		return NULL;
	file_init(&epoll->file, &epoll_operations, O_RDWR, NULL);
	list_init(&epoll->ready);
	list_init(&epoll->ask);
	return epoll;
}

struct file *epoll_file(struct epoll *epoll)
{
	return &epoll->file;
}

/* ---- moving ---- */

struct move_call {
	struct epoll *epoll;
	core_id_t home;
};

/* At the old home. What only this core can know of ready items goes along. */
static long move_away(void *argument)
{
	struct move_call *call = argument;
	struct epoll *epoll = call->epoll;

	if (epoll->file.home != this_core)
		return -EBUSY;
	if (!list_is_empty(&epoll->file.watches))
		return -EBUSY;
	list_for_each(link, &epoll->ready) {
		struct epoll_item *item = list_entry(link, struct epoll_item, ready_link);

		if (item_is_here(item))
			item->known |= file_events(item->file);
	}
	__atomic_store_n(&epoll->file.home, call->home, __ATOMIC_RELAXED);
	return 0;
}

bool epoll_bring_here(struct epoll *epoll)
{
	struct move_call call = { epoll, this_core };

	if (core_call(epoll->file.home, move_away, &call) != 0 || epoll->file.home != this_core)
		return false;
	/* Items of this core's own files need no parcels from now on. */
	for (unsigned i = 0; i < array_size(epoll->chunks); i++)
		for (unsigned j = 0; epoll->chunks[i] && j < CHUNK; j++)
			for (struct epoll_item *item = epoll->chunks[i][j]; item; item = item->next)
				if (item->file_home == this_core && !item->asked &&
				    item_is_quiet(item))
					item->state = ITEM_LOCAL;
	return true;
}
