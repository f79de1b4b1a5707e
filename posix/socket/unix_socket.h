/*
 * Local sockets (AF_UNIX): streams, datagrams, and packets over a connection.
 *
 * Each socket is a file with a home core of its own. Two connected sockets may have different homes:
 * each direction is the inbox of the receiving one (posix/socket/unix_queue.h), so a sender never touches
 * what the receiver reads. What else another core may change is atomic words (`shutdown`, `error`,
 * `queued`); then it tells the socket (unix_tell()), at once on the same core, by a parcel on
 * another, however much there is to tell.
 *
 * - A socket that nobody watches moves to the core that uses it (posix/file/file_move.h).
 * - Memory ends with the account: a hold for the file, one for each pointer from another socket or from
 *   a waiter, one for each message of its own that waits somewhere. It is freed by epoch, so
 *   who finds a socket may look at it until the next block or poll.
 * - A connection takes room from the sender, as on Linux: SO_SNDBUF bounds what the receivers have
 *   not taken. A datagram socket that is not connected to its sender also holds few messages.
 * - Descriptors in flight keep their files. A socket that is in flight only in its own queue, or in
 *   a ring of such, is never freed (Linux collects them); how many there can be is bounded by
 *   RLIMIT_NOFILE (-ETOOMANYREFS).
 */
#pragma once

#include "posix/file/file.h"
#include "posix/socket/socket_kind.h"
#include "posix/socket/unix_queue.h"

#include <sys/socket.h>
#include <sys/un.h>

struct unix_name;
struct unix_waiter;

enum unix_state { UNIX_FREE, UNIX_LISTENING, UNIX_CONNECTED };

#define SHUT_RECEIVE 1u
#define SHUT_SEND 2u
#define SHUT_BOTH 3u

/* What a socket is told, bits of `told`. */
#define TELL_ARRIVED 1u /* something is in the inbox */
#define TELL_CHANGED 2u /* `shutdown` or `error` */
#define TELL_WRITABLE 4u /* receivers have taken what was sent */
#define TELL_ROOM 8u /* the receiver that was full may not be any more */
#define TELL_RELEASED 16u /* to itself: no parcel is to be sent any more */

/* An event of these files beside EPOLL*: a send that found no room may find some now. */
#define UNIX_MAY_SEND (1u << 18)

#define UNIX_BUFFER_BYTES 212992u /* net.core.wmem_default and its maximum; rmem likewise */
#define UNIX_QUEUE_MAX 10u /* net.unix.max_dgram_qlen */
#define UNIX_BACKLOG_MAX 4096u /* net.core.somaxconn */

struct unix_socket {
	struct file file; /* first */
	int type;
	uint32_t state; /* enum unix_state; written at home, atomic */
	uint32_t shutdown; /* SHUT_*; atomic, any core adds bits */
	int error; /* a positive errno for the next call; atomic */
	bool released; /* home */
	bool embryo; /* not yet accepted; the home of the listener */
	bool binding; /* home: bind() is under way */
	bool pass_credentials; /* SO_PASSCRED */
	bool peer_known; /* SO_PEERCRED has something to tell */
	struct unix_name *name; /* set once, at home; atomic */
	struct unix_socket *peer; /* with a hold; written at home, others compare it only; atomic */
	struct unix_account account;
	uint32_t send_room; /* SO_SNDBUF */
	uint32_t receive_room; /* SO_RCVBUF; told, and has no effect, as on Linux */
	uint32_t options; /* bits of unix_option.c */
	/* A send found no room, or EPOLLOUT was false: tell when there is. Set at home; atomic. */
	uint32_t wants_room;
	/* We wait for room in this one's queue, which may be gone; home. */
	const struct unix_socket *waits_for;

	struct unix_inbox inbox;
	uint32_t queued; /* messages in it, where they are counted; atomic */
	uint32_t backlog; /* how many may be queued, less one; atomic */
	struct unix_waiter *waiters; /* for room in the inbox; atomic, any core */

	uint32_t told; /* TELL_*; atomic: who turns it from 0 sends the parcel */
	struct parcel parcel;
	struct unix_message connection; /* as which it lies in the inbox of a listener */
};

extern const struct socket_kind unix_stream_kind, unix_packet_kind, unix_datagram_kind;

static inline struct unix_socket *unix_of(struct file *file)
{
	return container_of(file, struct unix_socket, file);
}

/* ---- unix_socket.c: being ---- */

/* A socket whose home will be `home`, with one reference to its file; NULL without memory. */
struct unix_socket *unix_create(int type, int status_flags, core_id_t home);
/* Two new sockets become a connection. Before anybody else knows them. */
void unix_join(struct unix_socket *a, struct unix_socket *b);
unsigned unix_socket_count(void); /* alive over all cores; a snapshot */

static inline void unix_hold(struct unix_socket *socket)
{
	account_hold(&socket->account, 0);
}
/* Its account has ended: nobody points to it. Any core. */
void unix_end(struct unix_socket *socket);
static inline void unix_drop(struct unix_socket *socket)
{
	if (account_drop(&socket->account, 0))
		unix_end(socket);
}

/* Any core: `socket` is to look at what changed. The caller has a hold, or found it in this epoch. */
void unix_tell(struct unix_socket *socket, uint32_t what);
/* A pending error, cleared: 0 or -errno. Any core. */
long unix_take_error(struct unix_socket *socket);
uint32_t unix_events(struct file *file);

static inline uint32_t unix_shutdown_bits(const struct unix_socket *socket)
{
	/* Acquire: what was sent before the end is in the inbox. */
	return __atomic_load_n(&socket->shutdown, __ATOMIC_ACQUIRE);
}

static inline enum unix_state unix_state_of(const struct unix_socket *socket)
{
	return __atomic_load_n(&socket->state, __ATOMIC_ACQUIRE);
}

/* The peer; home only. */
static inline struct unix_socket *unix_peer(const struct unix_socket *socket)
{
	return __atomic_load_n(&socket->peer, __ATOMIC_RELAXED);
}

/* `receiver` is connected to `sender` (any core: compares only). */
static inline bool unix_is_peer_of(const struct unix_socket *receiver,
				   const struct unix_socket *sender)
{
	return __atomic_load_n(&receiver->peer, __ATOMIC_RELAXED) == sender;
}

/* ---- unix_name.c: addresses ---- */

long unix_bind(struct file *file, const struct socket_address *address);
/* Give it an address if it has none, as SO_PASSCRED wants. Thread context. */
long unix_autobind(struct file *file);
/* The socket with this address, with a hold; `type` is the asking one's. Thread context. 0,
 * -ECONNREFUSED, -ENOENT, -EINVAL, ... */
long unix_find(const struct socket_address *address, int type, struct unix_socket **found);
struct unix_name *unix_name_share(struct unix_name *name); /* NULL stays NULL */
void unix_name_drop(struct unix_name *name);
/* Its socket ends: the name is free, or refuses connections from now on. */
void unix_name_withdraw(struct unix_socket *socket);
/* Without a name: the family alone. `socket` NULL likewise. */
void unix_name_tell(const struct unix_socket *socket, struct socket_address *address);

/* ---- unix_connection.c ---- */

long unix_connect(struct file *file, const struct socket_address *address);
long unix_connect_datagram(struct file *file, const struct socket_address *address);
long unix_listen(struct file *file, int backlog);
long unix_accept(struct file *file, int status_flags, struct socket_address *peer,
		 struct file **accepted);

/* ---- unix_message.c: what sending and receiving share; home ---- */

/* One call's work at home. */
struct unix_transfer {
	struct socket_message *message;
	struct unix_socket *target; /* of a datagram with an address; held by the caller */
	struct unix_rights *rights; /* to be sent (taken when sent), or received (to the caller) */
	bool nonblocking;
	/* Of what was received, for its address; a hold that the caller drops. NULL: not asked for. */
	struct unix_socket *sender;
};

/* A message from `socket` with room for `length` bytes, charged to it. NULL without memory. */
struct unix_message *unix_message_create(struct unix_socket *socket, size_t length);
/* Into the inbox of `target`. False if it is closed; the message is then still the caller's. */
bool unix_deliver(struct unix_socket *target, struct unix_message *message);
/* It was received, or will not be: pays back, lets go of descriptors, frees. Any core. */
void unix_message_drop(struct unix_message *message);
void unix_messages_drop(struct unix_message *list);
static inline struct unix_socket *unix_sender_of(const struct unix_message *message)
{
	return container_of(message->sender, struct unix_socket, account);
}
/* May `socket` send (more)? If not, it will be told. */
bool unix_has_room(struct unix_socket *socket);
/* Be told when `target`, which is full, has room. False: it has by now, or has ended. */
bool unix_wait_for_room(struct unix_socket *socket, struct unix_socket *target);
/* Messages were taken out: those who wait for room hear of it. Home, or at the end (`ended`). */
void unix_room_made(struct unix_socket *socket, bool ended);
static inline bool unix_is_full(const struct unix_socket *socket)
{
	return __atomic_load_n(&socket->queued, __ATOMIC_SEQ_CST) >
	       __atomic_load_n(&socket->backlog, __ATOMIC_RELAXED);
}

/* ---- unix_stream.c, unix_datagram.c: at home, not blocking ---- */

ssize_t unix_stream_send(struct unix_socket *socket, struct unix_transfer *transfer);
ssize_t unix_stream_receive(struct unix_socket *socket, struct unix_transfer *transfer);
ssize_t unix_datagram_send(struct unix_socket *socket, struct unix_transfer *transfer);
ssize_t unix_datagram_receive(struct unix_socket *socket, struct unix_transfer *transfer);

/* ---- unix_transfer.c: the same in thread context, as the calls want it ---- */

ssize_t unix_receive(struct file *file, struct socket_message *message);
ssize_t unix_send(struct file *file, struct socket_message *message);
ssize_t unix_file_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset);
ssize_t unix_file_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset);

/* ---- unix_rights.c: descriptors and credentials ---- */

/* What a control buffer says. 0 with the files (each with a reference) or NULL in *rights. Thread
 * context. */
long unix_rights_parse(const struct socket_control *control, struct unix_rights **rights);
/* A second set of references; NULL without memory. */
struct unix_rights *unix_rights_copy(const struct unix_rights *rights);
/* Lets go of the files. Any core; never recurses, however they lie in each other. */
void unix_rights_drop(struct unix_rights *rights);
/* Fill the control buffer (NULL: nothing can be told); takes `rights` over. Thread context. */
void unix_rights_deliver(struct socket_control *control, struct unix_rights *rights,
			 bool credentials, bool close_on_exec);
struct ucred;
void unix_credentials(struct ucred *credentials);
unsigned unix_files_in_flight(void); /* a snapshot */

/* ---- unix_option.c ---- */

long unix_set_option(struct file *file, int level, int name, const void *value, socklen_t length);
long unix_get_option(struct file *file, int level, int name, void *value, socklen_t *length);
