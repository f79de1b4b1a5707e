#include "tests/host/fs_fakes.h"

#include "arch/arch.h"
#include "lavra/console.h"
#include "posix/file/file.h"
#include "posix/fs/fifo.h"
#include "posix/fs/fs.h"
#include "posix/fs/lookup.h"
#include "posix/fs/pseudo.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "smp/core.h"
#include "smp/epoch.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <time.h>

/* ---- time ---- */

uint64_t clock_epoch_ns = 1600000000 * NS_PER_S;

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- a mutex without threads to block ---- */

void mutex_lock_slowly(struct mutex *mutex)
{
	while (!mutex_try_lock(mutex))
		sched_yield();
}

void mutex_wake(struct mutex *mutex) {}

void thread_yield(void)
{
	epoch_safe_point();
}

/* ---- mappings: none ---- */

long area_map_source(vaddr_t address, size_t length, int prot, int flags,
		     struct page_source *source, uint64_t first_page)
{
	return -ENODEV;
}

void page_source_shrunk(struct page_source *source, uint64_t first_gone_page) {}

/* ---- files: opened, closed and no more ---- */

void file_init(struct file *file, const struct file_operations *operations, int status_flags,
	       void *data)
{
	file->operations = operations;
	file->home = this_core;
	file->status_flags = (uint32_t)status_flags;
	list_init(&file->watches);
	file->references = 1;
	file->data = data;
}

static void file_reclaim(struct deferred *deferred)
{
	object_free(container_of(deferred, struct file, deferred));
}

void file_free(struct file *file)
{
	epoch_defer(&file->deferred, file_reclaim);
}

bool file_reference(struct file *file)
{
	__atomic_fetch_add(&file->references, 1, __ATOMIC_RELAXED);
	return true;
}

void file_unreference(struct file *file)
{
	if (__atomic_sub_fetch(&file->references, 1, __ATOMIC_ACQ_REL) == 0)
		file->operations->release(file);
}

long file_operate(struct file *file, file_attempt *attempt, void *argument, uint32_t events,
		  bool nonblocking, uint64_t timeout_ns)
{
	return attempt(file, argument);
}

/* ---- kinds that are not tested here ---- */

const struct file_operations directory_operations = { .release = open_file_release };
const struct file_operations fifo_operations, text_operations;
const struct pseudo_node device_nodes[1];
const unsigned ndevice_nodes;

void text_print(struct text *text, const char *format, ...) {}
void text_append(struct text *text, const void *bytes, size_t length) {}

int text_file_open(struct open_file *open)
{
	return 0;
}

void text_file_close(struct open_file *open) {}

int fifo_open(struct open_file *open)
{
	return 0;
}

void fifo_close(struct open_file *open) {}
void fifo_destroy(struct fifo *fifo) {}

/* Locks are made only by what is not linked here. */
void locks_destroy(struct file_locks *locks) {}
void locks_file_ends(struct inode *inode, const struct file *file) {}

/* ---- the beginning and the end ---- */

void fs_fakes_boot(size_t bytes)
{
	struct inode *root;

	fake_memory_boot(bytes);
	object_init_core();
	epoch_init();
	epoch_online();
	root = inode_create(S_IFDIR | 0755, VOLUME_RAM, true);
	assert(root);
	root->links = 2;
	set_root_directory(root);
	assert(fs_make_directory("/tmp", 01777) == 0);
	tree_seal();
}

void fs_fakes_settle(void)
{
	/* What ends may let other things end, and an epoch takes a few safe points. */
	for (int i = 0; i < 20 || epoch_is_pending(); i++)
		epoch_safe_point();
}
