/*
 * Lookups, opening, reading and closing without a lock, while other cores make, rename, link and remove
 * the same names, and while pages of one file are put in by all at once.
 *
 * Epochs are the test's own, written with atomics that the sanitizer sees: what a core did before a
 * safe point comes before a release, and nothing else does.
 *
 * links: posix/fs/pages.c posix/fs/inode.c posix/fs/directory.c posix/fs/tree.c posix/fs/lookup.c
 * links: posix/fs/make.c posix/fs/regular_file.c posix/fs/open_file.c posix/file/fd_table.c
 * links: mm/frame.c mm/object.c tests/host/fake_memory.c tests/host/fs_fakes.c
 */
#include "arch/arch.h"
#include "lavra/console.h"
#include "mm/frame.h"
#include "posix/fs/directory.h"
#include "posix/fs/fs.h"
#include "posix/fs/lookup.h"
#include "posix/fs/open_file.h"
#include "smp/core.h"
#include "smp/epoch.h"
#include "tests/host/fs_fakes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CORES 4u
#define ROUNDS 4000u

/* ---- epochs: a release is due when every core has been at a safe point twice since ---- */

static uint64_t safe_points[MAX_CORES]; /* atomic; UINT64_MAX: the core is gone */

struct waiting {
	struct waiting *next;
	struct deferred *deferred;
	uint64_t seen[CORES];
};

static CORE_LOCAL struct waiting *waiting;

int epoch_init(void)
{
	return 0;
}

void epoch_online(void) {}

void epoch_defer(struct deferred *deferred, void (*release)(struct deferred *))
{
	struct waiting *entry = malloc(sizeof(*entry));

	assert(entry);
	deferred->release = release;
	entry->deferred = deferred;
	for (unsigned core = 0; core < CORES; core++)
		entry->seen[core] = __atomic_load_n(&safe_points[core], __ATOMIC_ACQUIRE);
	entry->next = waiting;
	waiting = entry;
}

bool epoch_is_pending(void)
{
	return waiting != NULL;
}

static bool is_due(const struct waiting *entry)
{
	for (unsigned core = 0; core < CORES; core++) {
		uint64_t now = __atomic_load_n(&safe_points[core], __ATOMIC_ACQUIRE);

		if (now != UINT64_MAX && now < entry->seen[core] + 2)
			return false;
	}
	return true;
}

void epoch_safe_point(void)
{
	struct waiting **link = &waiting, *due = NULL;

	__atomic_fetch_add(&safe_points[this_core], 1, __ATOMIC_ACQ_REL);
	while (*link) {
		struct waiting *entry = *link;

		if (is_due(entry)) {
			*link = entry->next;
			entry->next = due;
			due = entry;
		} else {
			link = &entry->next;
		}
	}
	while (due) {
		struct waiting *entry = due;

		due = entry->next;
		entry->deferred->release(entry->deferred);
		free(entry);
	}
}

/* ---- what the cores do ---- */

static unsigned finished; /* atomic */

static unsigned next_random(unsigned *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void give_up(const char *what, long value)
{
	fprintf(stderr, "core %u: %s: %ld\n", this_core, what, value);
	abort();
}

static int try_name(const char *path, struct walk *walk)
{
	return walk_name(AT_FDCWD, path, 0, -EINVAL, walk);
}

static void change(unsigned *random)
{
	char path[64], other[64], content[3000];
	struct walk from, to;
	int error = 0;

	snprintf(path, sizeof(path), "/tmp/d%u/%u", next_random(random) % 2,
		 next_random(random) % 40);
	snprintf(other, sizeof(other), "/tmp/d%u/%u", next_random(random) % 2,
		 next_random(random) % 40);
	switch (next_random(random) % 5) {
	case 0:
	case 1:
		/* Complete before it gets its name, as careful programs do. */
		snprintf(other, sizeof(other), "/tmp/new%u", this_core);
		memset(content, 'a' + (int)(next_random(random) % 26), sizeof(content));
		error = fs_make_file(other, 0600, content, sizeof(content));
		if (!error && !try_name(other, &from) && !try_name(path, &to))
			error = name_rename(&from.name, &to.name, 0);
		break;
	case 2:
		if (!try_name(path, &from))
			error = name_remove(&from.name, false);
		break;
	case 3:
		if (!try_name(path, &from) && !try_name(other, &to))
			error = name_rename(&from.name, &to.name, 0);
		break;
	case 4:
		if (!try_name(path, &from) && from.inode && !try_name(other, &to))
			error = name_link(&to.name, from.inode);
		break;
	}
	if (error && error != -ENOENT && error != -EEXIST)
		give_up("a change", error);
}

static void look(unsigned *random)
{
	char path[64], content[3001];
	struct iovec iov = { content, sizeof(content) };
	struct file *file;
	struct walk walk;
	ssize_t length;

	snprintf(path, sizeof(path), "/tmp/d%u/../d%u/%u", next_random(random) % 2,
		 next_random(random) % 2, next_random(random) % 40);
	if (walk_path(AT_FDCWD, path, WALK_FOLLOW, &walk))
		return;
	if (!inode_reference(walk.inode))
		return;
	if (open_inode(walk.inode, walk.number, O_RDONLY, &file))
		give_up("open", 0);
	epoch_safe_point();
	length = file->operations->read(file, &iov, 1, NO_OFFSET);
	if (length != 3000 || memcmp(content, content + 1, 2999) != 0)
		give_up("contents", length);
	file_unreference(file);
}

/* A descriptor, in effect: who finds the file there may look at it, while others close it. */
static struct file *slot; /* atomic */

static void share(void)
{
	struct file *file = NULL;
	struct walk walk;
	struct stat st;

	if (fs_make_file("/tmp/shared", 0600, "x", 1) ||
	    walk_path(AT_FDCWD, "/tmp/shared", 0, &walk))
		give_up("a shared file", 0);
	if (inode_reference(walk.inode) && open_inode(walk.inode, walk.number, O_RDONLY, &file))
		give_up("open", 0);
	if (try_name("/tmp/shared", &walk) || name_remove(&walk.name, false))
		give_up("remove", 0);
	file = __atomic_exchange_n(&slot, file, __ATOMIC_ACQ_REL);
	if (file) {
		open_file_stat(file, &st);
		file_unreference(file);
	}
}

static void look_at_shared(void)
{
	struct file *file = __atomic_load_n(&slot, __ATOMIC_ACQUIRE);
	struct stat st;

	if (!file)
		return;
	open_file_stat(file, &st);
	if (st.st_size != 1)
		give_up("the shared file's size", st.st_size);
}

/* A directory that is filled and emptied gets new tables all the time. */
static void fill_and_empty(void)
{
	char path[32];
	struct walk walk;

	for (unsigned i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "/tmp/d2/%u", i % 20);
		if (i < 20 && fs_make_symlink(path, "nowhere"))
			give_up("fill", i);
		if (i >= 20 && (try_name(path, &walk) || name_remove(&walk.name, false)))
			give_up("empty", i);
	}
}

static void list(void)
{
	struct walk walk;
	const struct entry *entry;
	unsigned seen = 0;

	if (walk_path(AT_FDCWD, "/tmp/d0", WALK_FOLLOW, &walk))
		give_up("the directory is gone", 0);
	for (uint32_t at = 0; (entry = directory_next(&walk.inode->directory, &at)); at++)
		seen += entry->length;
	if (seen > 2 * 300)
		give_up("names", seen);
}

static struct pages shared_pages;

static void put_page(unsigned *random)
{
	uint64_t index = next_random(random) % 2000;
	paddr_t frame = frame_alloc(0), there;

	if (!frame)
		give_up("frames", 0);
	*(uint64_t *)phys_to_virt(frame) = index;
	there = pages_insert(&shared_pages, index, frame);
	if (there != frame)
		frame_free(frame, 0);
	if (*(uint64_t *)phys_to_virt(there) != index)
		give_up("page", (long)index);
	if (pages_find(&shared_pages, index) != there)
		give_up("page is not found", (long)index);
}

static pthread_barrier_t barrier;

static void run_core(void)
{
	unsigned random = 99 + 7 * this_core;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (this_core % 2)
			change(&random);
		else
			look(&random);
		if (i % 16 == 0)
			list();
		if (i % 4 == 0)
			put_page(&random);
		if (this_core == 1 && i % 8 == 0)
			share();
		if (this_core == 3 && i % 8 == 0)
			fill_and_empty();
		if (this_core % 2 == 0) {
			struct walk walk;

			look_at_shared();
			if (walk_path(AT_FDCWD, "/tmp/d2/7", 0, &walk) == 0 &&
			    !inode_is(walk.inode, S_IFLNK))
				give_up("a link's type", (long)walk.inode->mode);
		}
		epoch_safe_point();
	}
	if (this_core == 1)
		file_unreference(__atomic_exchange_n(&slot, NULL, __ATOMIC_ACQ_REL));
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < CORES || epoch_is_pending()) {
		epoch_safe_point();
		sched_yield();
	}
	__atomic_store_n(&safe_points[this_core], UINT64_MAX, __ATOMIC_RELEASE);
}

static void *other_core(void *argument)
{
	fake_core_register((core_id_t)(uintptr_t)argument);
	object_init_core();
	pthread_barrier_wait(&barrier); /* all are there */
	pthread_barrier_wait(&barrier); /* ncores is set */
	run_core();
	pthread_barrier_wait(&barrier); /* all are done */
	pthread_barrier_wait(&barrier); /* our counts are not needed any more */
	return NULL;
}

static void remove_all(void)
{
	char path[32];
	struct walk walk;

	for (unsigned i = 0; i < 80 + CORES; i++) {
		if (i < 80)
			snprintf(path, sizeof(path), "/tmp/d%u/%u", i / 40, i % 40);
		else
			snprintf(path, sizeof(path), "/tmp/new%u", i - 80);
		if (!try_name(path, &walk))
			name_remove(&walk.name, false);
	}
}

static void nobody_is_in_the_way(void **state)
{
	pthread_t threads[CORES];

	(void)state;
	assert_int_equal(fs_make_directory("/tmp/d0", 0755), 0);
	assert_int_equal(fs_make_directory("/tmp/d1", 0755), 0);
	assert_int_equal(fs_make_directory("/tmp/d2", 0755), 0);
	pthread_barrier_init(&barrier, NULL, CORES);
	for (uintptr_t i = 1; i < CORES; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, other_core, (void *)i), 0);
	pthread_barrier_wait(&barrier);
	ncores = CORES;
	for (unsigned i = 0; i < CORES; i++)
		cores[i].online = true;
	pthread_barrier_wait(&barrier);
	run_core();
	pthread_barrier_wait(&barrier);

	/* Nothing is left but what has a name. */
	safe_points[0] = 0;
	remove_all();
	for (int i = 0; i < 20; i++)
		epoch_safe_point();
	assert_int_equal(inode_count(), 5); /* the root, /tmp and the three */
	pages_destroy(&shared_pages);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 1; i < CORES; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_in_the_way),
	};

	fs_fakes_boot(128ul << 20);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
