/*
 * The graph of sets in sets: a list of its edges, of which programs have few.
 */
#include "posix/event/epoll_nesting.h"

#include "lavra/types.h"

#include <ck_spinlock.h>
#include <errno.h>

/* Guards the edges; nothing is called with it held. */
static ck_spinlock_t nesting_lock = CK_SPINLOCK_INITIALIZER;
static struct list edges = { &edges, &edges };

/* How many sets are in the longest chain from `set` on, itself included: of sets in it, or, upward, of
 * sets that contain it. More than `limit` is not counted; nor is a way through `avoid`, which is
 * more than any limit. */
static unsigned chain_length(const struct file *set, bool upward, const struct file *avoid,
			     unsigned limit)
{
	unsigned longest = 0;

	if (set == avoid || limit == 0)
		return NESTING_MAX + 1;
	list_for_each(link, &edges) {
		const struct nesting *edge = list_entry(link, struct nesting, link);
		unsigned length;

		if ((upward ? edge->inner : edge->outer) != set)
			continue;
		length = chain_length(upward ? edge->outer : edge->inner, upward, avoid, limit - 1);
		longest = max(longest, length);
	}
	return 1 + longest;
}

int nesting_begin(struct nesting *nesting, const struct file *outer, const struct file *inner)
{
	int result = 0;

	ck_spinlock_lock(&nesting_lock);
	nesting->outer = outer;
	nesting->inner = inner;
	if (chain_length(inner, false, outer, NESTING_MAX) +
		chain_length(outer, true, NULL, NESTING_MAX) >
	    NESTING_MAX)
		result = -ELOOP;
	else
		list_push_back(&edges, &nesting->link);
	ck_spinlock_unlock(&nesting_lock);
	return result;
}

void nesting_end(struct nesting *nesting)
{
	ck_spinlock_lock(&nesting_lock);
	list_remove(&nesting->link);
	ck_spinlock_unlock(&nesting_lock);
}
