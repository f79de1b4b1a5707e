#include "tools/launcher/choose_image.h"

#include "tools/launcher/clock.h"
#include "tools/launcher/lavra.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BEGIN_PATIENCE_MS 10000 /* an image boots in less */
#define BEGIN_PAUSE_MS 50

static bool is_chosen(const struct running_image *image, const char *which)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", (int)image->pid);
	return !which || !strcmp(image->name, which) || !strcmp(number, which);
}

void choose_image(struct running_image *chosen, const char *which)
{
	struct running_images images;
	const char *wrong = running_images_find(&images);
	const char *slash = which ? strrchr(which, '/') : NULL;
	unsigned nchosen = 0;

	if (wrong)
		refuse(EXIT_CANNOT, "%s", wrong);
	which = slash ? slash + 1 : which;
	for (unsigned i = 0; i < images.count; i++)
		if (is_chosen(&images.list[i], which)) {
			*chosen = images.list[i];
			nchosen++;
		}
	if (nchosen != 1 && images.count) {
		fputs("running images:\n", stderr);
		for (unsigned i = 0; i < images.count; i++)
			fprintf(stderr, "  %-24s pid %d\n", images.list[i].name,
				(int)images.list[i].pid);
	}
	running_images_free(&images);
	if (nchosen == 1)
		return;
	if (nchosen)
		refuse(EXIT_CANNOT, "%u images are meant: say one's pid in place of its name",
		       nchosen);
	if (which)
		refuse(EXIT_CANNOT,
		       "no image '%s' of yours runs that 'lavra run' started with its "
		       "monitor on",
		       which);
	refuse(EXIT_CANNOT, "no image of yours runs: start one with 'lavra run IMAGE'");
}

void open_image(struct monitor_reader *reader, const struct running_image *image, bool writable)
{
	int fd = open(image->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	const char *wrong;

	if (fd < 0)
		refuse(EXIT_CANNOT, "%s: %s", image->path, strerror(errno));
	for (unsigned waited = 0;; waited += BEGIN_PAUSE_MS) {
		wrong = monitor_open(reader, fd);
		if (!wrong)
			return;
		if (wrong != monitor_not_begun)
			refuse(EXIT_CANNOT, "%s: %s", image->path, wrong);
		if (!monitor_file_is_in_use(fd))
			refuse(EXIT_CANNOT, "the image '%s' has ended", image->name);
		if (waited >= BEGIN_PATIENCE_MS)
			refuse(EXIT_CANNOT,
			       "%s: %s: it is stopped, or was not built from this source tree",
			       image->name, wrong);
		pause_ms(BEGIN_PAUSE_MS);
	}
}
