/*
 * Messages of local sockets: making, delivering and dropping them, and waiting for room.
 */
#include "posix/socket/unix_socket.h"

#include "mm/object.h"

#include <errno.h>

struct unix_message *unix_message_create(struct unix_socket *socket, size_t length)
{
	struct unix_message *message = object_alloc(sizeof(*message) + length);

	if (!message)
		return NULL;
	message->sender = &socket->account;
	message->rights = NULL;
	message->length = (uint32_t)length;
	message->taken = 0;
	message->charge = (uint32_t)object_size(message);
	account_hold(&socket->account, message->charge);
	return message;
}

bool unix_deliver(struct unix_socket *target, struct unix_message *message)
{
	/* A socket moves by a message to its home, so "here" cannot become wrong under our hands. */
	if (target->file.home == this_core)
		return inbox_append(&target->inbox, message);
	return inbox_push(&target->inbox, message);
}

/* Its sender has room again for `charge` bytes, and one hold less. */
static void pay_back(struct unix_socket *sender, uint32_t charge)
{
	bool last = account_drop(&sender->account, charge);

	if (last) {
		unix_end(sender);
		return;
	}
	/* Without a hold only the epoch keeps it, for as long as this function runs. Sequentially consistent: pairs with unix_has_room(), which sets this and looks again. */
	if (__atomic_load_n(&sender->wants_room, __ATOMIC_SEQ_CST) &&
	    account_charged(&sender->account) * 4ull <= sender->send_room &&
	    __atomic_exchange_n(&sender->wants_room, 0, __ATOMIC_ACQ_REL))
		unix_tell(sender, TELL_WRITABLE);
}

void unix_message_drop(struct unix_message *message)
{
	struct unix_socket *sender = unix_sender_of(message);
	struct unix_rights *rights = message->rights;
	uint32_t charge = message->charge;

	object_free(message);
	pay_back(sender, charge);
	if (unlikely(rights))
		unix_rights_drop(rights);
}

void unix_messages_drop(struct unix_message *list)
{
	while (list) {
		struct unix_message *next = list->next;

		unix_message_drop(list);
		list = next;
	}
}

bool unix_has_room(struct unix_socket *socket)
{
	/* Linux's rules: it may send while anything is left, and is told at a quarter. */
	if (likely(account_charged(&socket->account) < socket->send_room))
		return true;
	__atomic_store_n(&socket->wants_room, 1, __ATOMIC_SEQ_CST);
	return account_charged(&socket->account) < socket->send_room;
}

/* ---- room at the receiver ---- */

struct unix_waiter {
	struct unix_waiter *next;
	struct unix_socket *socket; /* a hold */
};

static struct unix_waiter no_more_waiters;

#define CLOSED (&no_more_waiters)

bool unix_wait_for_room(struct unix_socket *socket, struct unix_socket *target)
{
	struct unix_waiter *seen, *waiter;

	if (socket->waits_for == target)
		return unix_is_full(target);
	waiter = object_alloc(sizeof(*waiter));
	if (!waiter)
		return false;
	unix_hold(socket);
	waiter->socket = socket;
	seen = __atomic_load_n(&target->waiters, __ATOMIC_RELAXED);
	do {
		if (seen == CLOSED) {
			unix_drop(socket);
			object_free(waiter);
			return false;
		}
		waiter->next = seen;
	} while (!__atomic_compare_exchange_n(&target->waiters, &seen, waiter, true,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	socket->waits_for = target;
	/* Whoever makes room looks for waiters after it; we look for room after we are one. */
	return unix_is_full(target);
}

void unix_room_made(struct unix_socket *socket, bool ended)
{
	struct unix_waiter *list;

	if (likely(!ended) && likely(!__atomic_load_n(&socket->waiters, __ATOMIC_SEQ_CST)))
		return;
	list = __atomic_exchange_n(&socket->waiters, ended ? CLOSED : NULL, __ATOMIC_ACQ_REL);
	while (list) {
		struct unix_waiter *next = list->next;

		unix_tell(list->socket, TELL_ROOM);
		unix_drop(list->socket);
		object_free(list);
		list = next;
	}
}
