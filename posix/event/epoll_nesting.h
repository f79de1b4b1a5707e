/*
 * Epoll sets in epoll sets: who contains whom, so that there are no circles and no long chains.
 */
#pragma once

#include "lavra/list.h"

struct file;

#define NESTING_MAX 5 /* sets in a chain of sets, as Linux */

/* One set watches another. Kept by the item that does. */
struct nesting {
	struct list link;
	const struct file *outer, *inner; /* only compared */
};

/* Any core. 0, or -ELOOP (then nothing is kept). */
int nesting_begin(struct nesting *nesting, const struct file *outer, const struct file *inner);
void nesting_end(struct nesting *nesting);
