/*
 * An intrusive, circular, doubly linked list. The links live in the objects; a list
 * head is a link that belongs to no object. Nothing here is atomic: the owner of the
 * list, or the holder of its lock, is the only one to touch it.
 */
#pragma once

#include "lavra/types.h"

struct list {
	struct list *next;
	struct list *prev;
};

#define LIST_INIT(head)                                                                            \
	{                                                                                          \
		&(head), &(head)                                                                   \
	}

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* A link that list_init() or list_remove() prepared is in no list. */
static inline bool list_is_linked(const struct list *link)
{
	return link->next != link;
}

static inline void list_insert_before(struct list *position, struct list *link)
{
	link->next = position;
	link->prev = position->prev;
	position->prev->next = link;
	position->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
	list_insert_before(head, link);
}

static inline void list_push_front(struct list *head, struct list *link)
{
	list_insert_before(head->next, link);
}

/* Unlink; removing an unlinked link does nothing. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

static inline struct list *list_pop_front(struct list *head)
{
	struct list *link = head->next;

	if (link == head)
		return NULL;
	list_remove(link);
	return link;
}

/* Move everything in `from` to the end of `to`. */
static inline void list_append(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(link, type, member) container_of(link, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)

#define list_for_each(link, head)                                                                  \
	for (struct list *link = (head)->next; link != (head); link = link->next)

/* As list_for_each, where the body may remove `link` itself. */
#define list_for_each_safe(link, head)                                                             \
	for (struct list *link = (head)->next, *link##_next = link->next; link != (head);          \
	     link = link##_next, link##_next = link->next)
