/*
 * Messages between local sockets, and the account of what their sender has under way.
 *
 * Data has no lock: an inbox is filled by any core and emptied by one, the home of its socket. A sender
 * on the same core puts a message directly behind the others (inbox_append()); one on another core
 * pushes it onto a stack that the home takes whole (inbox_push()). What one sender sends stays in order,
 * also if it changes between the two.
 *
 * An account is one word: holds in its lower half, charged bytes in its upper half. It exists as
 * long as either is there, so a socket is remembered as long as somebody points to it or a message of
 * its own waits somewhere, and each costs one atomic addition.
 */
#pragma once

#include "lavra/types.h"

/* ---- accounts ---- */

struct unix_account {
	uint64_t word; /* atomic */
};

#define ACCOUNT_BYTES(n) ((uint64_t)(n) << 32)

/* With one hold. */
static inline void account_init(struct unix_account *account)
{
	account->word = 1;
}

static inline uint32_t account_charged(const struct unix_account *account)
{
	return (uint32_t)(__atomic_load_n(&account->word, __ATOMIC_RELAXED) >> 32);
}

/* The caller knows that there is a hold. */
static inline void account_hold(struct unix_account *account, uint32_t bytes)
{
	__atomic_fetch_add(&account->word, ACCOUNT_BYTES(bytes) + 1, __ATOMIC_RELAXED);
}

/* For who found it without a hold: false if it has ended. */
static inline bool account_try_hold(struct unix_account *account)
{
	uint64_t seen = __atomic_load_n(&account->word, __ATOMIC_RELAXED);

	do {
		if (seen == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&account->word, &seen, seen + 1, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

/* Returns true for the last: the account has ended. Sequentially consistent, because who frees room
 * looks next whether somebody waits for it, and who waits looks next whether there is room. */
static inline bool account_drop(struct unix_account *account, uint32_t bytes)
{
	uint64_t part = ACCOUNT_BYTES(bytes) + 1;

	return __atomic_fetch_sub(&account->word, part, __ATOMIC_SEQ_CST) == part;
}

/* ---- messages ---- */

struct unix_rights;

struct unix_message { /* its bytes follow it */
	struct unix_message *next;
	struct unix_account *sender; /* charged for it, and held */
	struct unix_rights *rights; /* NULL: none */
	uint32_t charge;
	uint32_t length;
	uint32_t taken; /* of a stream: so many bytes were received already */
};

static inline char *message_bytes(struct unix_message *message)
{
	return (char *)(message + 1);
}

/* ---- inboxes ---- */

struct unix_inbox {
	struct unix_message *arriving; /* youngest first; atomic, any core */
	/* Oldest first; home core. */
	struct unix_message *first, **end;
};

/* Where `arriving` points when nothing may arrive any more. */
extern struct unix_message unix_inbox_closed;

void inbox_init(struct unix_inbox *inbox);
/* From any core. Returns false if the inbox is closed (the caller keeps the message). */
bool inbox_push(struct unix_inbox *inbox, struct unix_message *message);
/* From the home core. Likewise. */
bool inbox_append(struct unix_inbox *inbox, struct unix_message *message);
/* Put what has arrived behind the rest. Home core. */
void inbox_collect(struct unix_inbox *inbox);
/* The oldest message, or NULL. Home core. */
static inline struct unix_message *inbox_first(struct unix_inbox *inbox)
{
	if (!inbox->first)
		inbox_collect(inbox);
	return inbox->first;
}
/* Take the oldest out; there is one. Home core. */
void inbox_remove_first(struct unix_inbox *inbox);
/* Close it, and take out all messages: a list by `next`, oldest first. Home core. */
struct unix_message *inbox_close(struct unix_inbox *inbox);
/* Take out all messages and leave it open. Home core. */
struct unix_message *inbox_empty(struct unix_inbox *inbox);
