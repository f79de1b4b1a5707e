/*
 * Inboxes of local sockets; the model is in the header.
 */
#include "posix/socket/unix_queue.h"

struct unix_message unix_inbox_closed;

#define CLOSED (&unix_inbox_closed)

void inbox_init(struct unix_inbox *inbox)
{
	inbox->arriving = NULL;
	inbox->first = NULL;
	inbox->end = &inbox->first;
}

bool inbox_push(struct unix_inbox *inbox, struct unix_message *message)
{
	struct unix_message *seen = __atomic_load_n(&inbox->arriving, __ATOMIC_RELAXED);

	/* Release: pairs with the acquire of who takes them. */
	do {
		if (seen == CLOSED)
			return false;
		message->next = seen;
	} while (!__atomic_compare_exchange_n(&inbox->arriving, &seen, message, true,
					      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

/* Turn a stack into a list, oldest first, and put it behind the others. */
static void add_stack(struct unix_inbox *inbox, struct unix_message *youngest)
{
	struct unix_message *list = NULL, **end = youngest ? &youngest->next : NULL;

	while (youngest) {
		struct unix_message *older = youngest->next;

		youngest->next = list;
		list = youngest;
		youngest = older;
	}
	if (!list)
		return;
	*inbox->end = list;
	inbox->end = end;
}

void inbox_collect(struct unix_inbox *inbox)
{
	struct unix_message *seen = __atomic_load_n(&inbox->arriving, __ATOMIC_RELAXED);

	if (likely(!seen) || seen == CLOSED)
		return;
	/* Only the home closes, so it is still open. Acquire: pairs with inbox_push(). */
	add_stack(inbox, __atomic_exchange_n(&inbox->arriving, NULL, __ATOMIC_ACQUIRE));
}

bool inbox_append(struct unix_inbox *inbox, struct unix_message *message)
{
	/* What the same sender sent from another core comes before it. */
	inbox_collect(inbox);
	if (__atomic_load_n(&inbox->arriving, __ATOMIC_RELAXED) == CLOSED)
		return false;
	message->next = NULL;
	*inbox->end = message;
	inbox->end = &message->next;
	return true;
}

void inbox_remove_first(struct unix_inbox *inbox)
{
	inbox->first = inbox->first->next;
	if (!inbox->first)
		inbox->end = &inbox->first;
}

static struct unix_message *take_all(struct unix_inbox *inbox, struct unix_message *leave)
{
	struct unix_message *youngest =
	    __atomic_exchange_n(&inbox->arriving, leave, __ATOMIC_ACQUIRE);
	struct unix_message *list;

	if (youngest != CLOSED)
		add_stack(inbox, youngest);
	list = inbox->first;
	inbox->first = NULL;
	inbox->end = &inbox->first;
	return list;
}

struct unix_message *inbox_close(struct unix_inbox *inbox)
{
	return take_all(inbox, CLOSED);
}

struct unix_message *inbox_empty(struct unix_inbox *inbox)
{
	return take_all(inbox, NULL);
}
