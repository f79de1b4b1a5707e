/*
 * Files that move to the core that uses them; the rules are in the header.
 */
#include "posix/file/file_move.h"

struct move_call {
	struct file *file;
	core_id_t core;
};

/* At the old home. */
static long move_away(void *argument)
{
	struct move_call *call = argument;

	/* Release: who finds the file at home sees all that was done here. */
	if (call->file->home == this_core && list_is_empty(&call->file->watches))
		__atomic_store_n(&call->file->home, call->core, __ATOMIC_RELEASE);
	return 0;
}

bool file_bring(struct file *file, core_id_t core)
{
	struct move_call call = { file, core };
	core_id_t home = __atomic_load_n(&file->home, __ATOMIC_ACQUIRE);

	if (home == core)
		return true;
	/* A look from afar, which the old home repeats. */
	if (__atomic_load_n(&file->watches.next, __ATOMIC_RELAXED) != &file->watches)
		return false;
	core_call(home, move_away, &call);
	return __atomic_load_n(&file->home, __ATOMIC_ACQUIRE) == core;
}

struct file_view *file_approach_by_moving(struct file *file, core_id_t core)
{
	file_bring(file, core);
	return NULL;
}
