/* The archives that an image boots with. See archive.h. */
#include "posix/fs/archive.h"

#include "arch/arch.h"
#include "arch/boot_info.h"
#include "lavra/console.h"
#include "mm/frame.h"

/* Made with the image (apps/image.mk). */
extern const char archive_start[], archive_end[];

static const struct boot_info *boot_info;

#define EXIT_BAD_ARCHIVE 2

void archive_note_modules(const struct boot_info *info)
{
	boot_info = info;
}

/* A module's memory that was given back already ends here. */
struct progress {
	const struct memory_range *module;
	paddr_t given;
};

/* Whole pages only: others may have the rest of the first and the last. */
static void give_back(size_t offset, void *argument)
{
	struct progress *progress = argument;
	paddr_t end = align_down(progress->module->start + offset, PAGE_SIZE);

	if (end <= progress->given)
		return;
	frame_add(progress->given, end);
	progress->given = end;
}

static void refuse(const char *which, const struct archive_error *error)
{
	kprintf("lavra: %s cannot be unpacked: at byte %zu: %s\n", which, error->offset,
		error->text);
	machine_exit(EXIT_BAD_ARCHIVE);
}

static void unpack_module(const struct memory_range *module)
{
	struct progress progress = { module, align_up(module->start, PAGE_SIZE) };
	size_t length = module->end - module->start;
	struct archive_error error;

	if (archive_unpack(phys_to_virt(module->start), length, &error, give_back, &progress))
		refuse("the initrd", &error);
	give_back(length, &progress);
}

void archive_unpack_all(void)
{
	struct archive_error error;

	if (archive_unpack(archive_start, archive_end - archive_start, &error, NULL, NULL))
		refuse("the image's own archive", &error);
	for (unsigned i = 0; boot_info && i < boot_info->nmodules; i++)
		unpack_module(&boot_info->modules[i]);
}
