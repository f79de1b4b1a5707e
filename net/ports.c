/*
 * The table of bound ports.
 */
#include "net/ports.h"

#include "arch/arch.h"
#include "mm/object.h"
#include "net/shared.h"
#include "net/shared_lock.h"
#include "smp/core.h"

#include "lwip/def.h"
#include "lwip/prot/ip.h"

#include <errno.h>

/* As Linux's net.ipv4.ip_local_port_range. */
#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_LAST 60999u

#define BUCKETS 256

/* Guards changes of the table and of every binding in it; taken with no other lock held. */
static SHARED struct shared_lock table_lock;
static SHARED struct port_binding *buckets[BUCKETS];

static CORE_LOCAL unsigned next_ephemeral; /* 0: not chosen yet */

void ports_restart(void)
{
	shared_lock_restart(&table_lock);
}

static inline struct port_binding **bucket_of(uint16_t port)
{
	return &buckets[lwip_htons(port) % BUCKETS];
}

/* Linux's rule: both may have a port if both said so, and not if one of them listens already
 * (SO_REUSEADDR alone is for what lingers, not for sharing). */
static bool may_share(const struct port_binding *a, const struct port_binding *b)
{
	if (a->reuse_port && b->reuse_port)
		return true;
	return a->reuse_address && b->reuse_address && !a->listening && !b->listening;
}

/* Does what is bound hear what is sent to `address`? */
static bool covers(const struct port_binding *binding, const struct address *address)
{
	if (address_is_any6(&binding->address))
		return !binding->only_ip6 || !address_is_ip4(address);
	if (address_is_any(&binding->address))
		return address_is_ip4(address);
	return address_equal(&binding->address, address);
}

static bool conflicts(const struct port_binding *a, const struct port_binding *b)
{
	return a->protocol == b->protocol && a->port == b->port &&
	       (covers(a, &b->address) || covers(b, &a->address)) && !may_share(a, b);
}

static bool is_free_locked(const struct port_binding *wanted)
{
	for (struct port_binding *other = *bucket_of(wanted->port); other; other = other->next)
		if (other != wanted && conflicts(other, wanted))
			return false;
	return true;
}

static bool in_use_locked(uint8_t protocol, uint16_t port)
{
	for (struct port_binding *other = *bucket_of(port); other; other = other->next)
		if (other->protocol == protocol && other->port == port)
			return true;
	return false;
}

unsigned ports_ephemeral_count(void)
{
	return (EPHEMERAL_LAST - EPHEMERAL_FIRST + 1 + ncores - 1 - this_core) / ncores;
}

uint16_t ports_next_ephemeral(void)
{
	unsigned count = ports_ephemeral_count();

	if (next_ephemeral == 0)
		next_ephemeral = 1 + (unsigned)(arch_random() % count);
	next_ephemeral = next_ephemeral % count + 1;
	return lwip_htons(EPHEMERAL_FIRST + this_core + (next_ephemeral - 1) * ncores);
}

core_id_t ports_ephemeral_core(uint16_t port)
{
	if (port < EPHEMERAL_FIRST || port > EPHEMERAL_LAST)
		return this_core;
	return (port - EPHEMERAL_FIRST) % ncores;
}

static int choose_port_locked(struct port_binding *binding)
{
	for (unsigned left = ports_ephemeral_count(); left; left--) {
		uint16_t port = ports_next_ephemeral();

		if (!in_use_locked(binding->protocol, port)) {
			binding->port = port;
			return 0;
		}
	}
	return -EADDRINUSE;
}

int ports_bind(uint8_t protocol, const struct address *address, uint16_t port,
	       struct port_options options, struct port_binding **result)
{
	struct port_binding *binding = object_alloc_zeroed(sizeof(*binding));
	struct port_binding **bucket;
	int error = 0;

	if (!binding)
		return -ENOMEM;
	binding->protocol = protocol;
	binding->address = *address;
	binding->port = port;
	binding->reuse_address = options.reuse_address;
	binding->reuse_port = options.reuse_port;
	binding->only_ip6 = options.only_ip6;
	/* A bound datagram socket receives at once. */
	if (protocol == IP_PROTO_UDP)
		binding->cores = 1ull << this_core;
	shared_lock(&table_lock);
	if (port == 0)
		error = choose_port_locked(binding);
	else if (!is_free_locked(binding))
		error = -EADDRINUSE;
	if (!error) {
		bucket = bucket_of(binding->port);
		binding->next = *bucket;
		/* Pairs with the load in ports_listeners(): the binding is complete. */
		__atomic_store_n(bucket, binding, __ATOMIC_RELEASE);
	}
	shared_unlock(&table_lock);
	if (error)
		object_free(binding);
	else
		*result = binding;
	return error;
}

int ports_listen(struct port_binding *binding, uint64_t cores)
{
	int error = 0;

	shared_lock(&table_lock);
	/* Others that are merely bound are no hindrance, whatever this one was. */
	binding->listening = false;
	if (is_free_locked(binding)) {
		binding->listening = true;
		__atomic_store_n(&binding->cores, cores, __ATOMIC_RELAXED);
	} else {
		error = -EADDRINUSE;
	}
	shared_unlock(&table_lock);
	return error;
}

static void binding_free(struct deferred *deferred)
{
	object_free(container_of(deferred, struct port_binding, deferred));
}

void ports_release(struct port_binding *binding)
{
	struct port_binding **link;

	shared_lock(&table_lock);
	link = bucket_of(binding->port);
	while (*link != binding)
		link = &(*link)->next;
	__atomic_store_n(link, binding->next, __ATOMIC_RELAXED);
	shared_unlock(&table_lock);
	/* Others may be looking at it until their next safe point. */
	epoch_defer(&binding->deferred, binding_free);
}

uint64_t ports_listeners(uint8_t protocol, const struct address *address, uint16_t port)
{
	uint64_t cores = 0;

	/* Pairs with the store in ports_bind(). */
	for (struct port_binding *binding = __atomic_load_n(bucket_of(port), __ATOMIC_ACQUIRE);
	     binding; binding = __atomic_load_n(&binding->next, __ATOMIC_ACQUIRE))
		if (binding->port == port && binding->protocol == protocol &&
		    covers(binding, address))
			cores |= __atomic_load_n(&binding->cores, __ATOMIC_RELAXED);
	return cores;
}

bool ports_in_use(uint8_t protocol, uint16_t port)
{
	bool used;

	shared_lock(&table_lock);
	used = in_use_locked(protocol, port);
	shared_unlock(&table_lock);
	return used;
}
