/*
 * The pairing heap of a core's timers. Starting is constant time, firing and stopping are
 * logarithmic on average; a TCP timer that is restarted often costs no more than its links.
 */
#include "sched/timer.h"

#include "lavra/console.h"

static CORE_LOCAL struct timer *root;
static CORE_LOCAL unsigned started_count;
CORE_LOCAL uint64_t timer_next_ns = UINT64_MAX;

static void set_root(struct timer *timer)
{
	root = timer;
	timer_next_ns = timer ? timer->deadline_ns : UINT64_MAX;
}

/* The later of two heaps becomes the first child of the earlier. Either may be NULL. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *later;

	if (!a)
		return b;
	if (!b)
		return a;
	if (b->deadline_ns < a->deadline_ns) {
		later = a;
		a = b;
	} else {
		later = b;
	}
	later->sibling = a->child;
	if (a->child)
		a->child->previous = later;
	later->previous = a;
	a->child = later;
	a->sibling = a->previous = NULL;
	return a;
}

/* Make one heap of a list of siblings: meld them in pairs from the left, then the pairs from
 * the right. The list of pairs is kept by their `sibling` links, so no recursion is needed. */
static struct timer *meld_siblings(struct timer *first)
{
	struct timer *pairs = NULL, *heap = NULL;

	while (first) {
		struct timer *second = first->sibling;
		struct timer *rest = second ? second->sibling : NULL;
		struct timer *pair;

		first->sibling = first->previous = NULL;
		if (second)
			second->sibling = second->previous = NULL;
		pair = meld(first, second);
		pair->sibling = pairs;
		pairs = pair;
		first = rest;
	}
	while (pairs) {
		struct timer *next = pairs->sibling;

		pairs->sibling = NULL;
		heap = meld(heap, pairs);
		pairs = next;
	}
	return heap;
}

static void take_out(struct timer *timer)
{
	struct timer *children = meld_siblings(timer->child);

	if (timer == root) {
		set_root(children);
	} else {
		if (timer->previous->child == timer)
			timer->previous->child = timer->sibling;
		else
			timer->previous->sibling = timer->sibling;
		if (timer->sibling)
			timer->sibling->previous = timer->previous;
		set_root(meld(root, children));
	}
	timer->child = timer->sibling = timer->previous = NULL;
	timer->started = false;
	started_count--;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *))
{
	*timer = (struct timer){ .expired = expired };
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
	assert(timer->expired);
	if (timer->started)
		take_out(timer);
	timer->deadline_ns = deadline_ns;
	timer->started = true;
	started_count++;
	set_root(meld(root, timer));
}

void timer_stop(struct timer *timer)
{
	if (timer->started)
		take_out(timer);
}

unsigned timers_fire(uint64_t now_ns)
{
	/* A callback that restarts its timer in the past must not keep the core here: as many
	 * firings as there were timers, the rest at the next pass. */
	unsigned limit = started_count, fired = 0;

	while (root && root->deadline_ns <= now_ns && fired < limit) {
		struct timer *timer = root;

		take_out(timer);
		fired++;
		timer->expired(timer);
	}
	return fired;
}
