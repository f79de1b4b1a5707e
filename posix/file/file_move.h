/*
 * Files whose home follows the threads that use them.
 *
 * A kind may offer this if everything it does at home sees that another core can be home the next
 * time: parcels that are under way are sent on, and what belongs to the home is handed over with the
 * file. Watches are not: as long as somebody watches a file it stays.
 */
#pragma once

#include "posix/file/file.h"

/* Make `core` the home, unless somebody watches the file where it is. True if it is the home now. Thread
 * context; the caller holds a reference. */
bool file_bring(struct file *file, core_id_t core);
/* The operation `approach` for kinds that have no views. */
struct file_view *file_approach_by_moving(struct file *file, core_id_t core);
