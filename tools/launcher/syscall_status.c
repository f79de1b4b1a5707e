#include "tools/launcher/syscall_status.h"

#include <stdlib.h>
#include <string.h>

static const struct syscall_entry entries[] = {
#include "syscall_status.inc" /* tools/syscall-status */
};

static int compare(const void *name, const void *entry)
{
	return strcmp(name, ((const struct syscall_entry *)entry)->name);
}

const struct syscall_entry *syscall_find(const char *name)
{
	return bsearch(name, entries, sizeof(entries) / sizeof(entries[0]), sizeof(entries[0]),
		       compare);
}

const char *syscall_status_name(enum syscall_status status)
{
	static const char *const names[] = { "complete", "partial", "refused", "absent" };

	return names[status];
}
