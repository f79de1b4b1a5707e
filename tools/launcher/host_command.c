#include "tools/launcher/host_command.h"

#include "tools/launcher/clock.h"
#include "tools/launcher/complaint.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* The image looks ten times a second; it may be slow. */
#define PATIENCE_MS 5000
#define PAUSE_MS 5

/* One program at a time asks. */
static const char *lock(int fd, const struct monitor_region *region, short type)
{
	struct flock range = { .l_type = type,
			       .l_whence = SEEK_SET,
			       .l_start = (off_t)region->offset,
			       .l_len = (off_t)sizeof(struct monitor_command) };

	for (unsigned waited = 0; fcntl(fd, F_OFD_SETLK, &range) != 0; waited += PAUSE_MS) {
		if (errno != EAGAIN && errno != EACCES)
			return complain("the monitor's file cannot be locked: %s", strerror(errno));
		if (waited >= PATIENCE_MS)
			return complain(
			    "another program asks the image for something, and does not "
			    "come to an end");
		pause_ms(PAUSE_MS);
	}
	return NULL;
}

static const char *write_at(int fd, uint64_t offset, const void *from, size_t size)
{
	return pwrite(fd, from, size, (off_t)offset) == (ssize_t)size
		   ? NULL
		   : complain("the monitor's file cannot be written: %s", strerror(errno));
}

static const char *wait_for_answer(int fd, uint64_t offset, uint64_t number, int *result)
{
	for (unsigned waited = 0; waited < PATIENCE_MS; waited += PAUSE_MS) {
		struct monitor_command state;
		const char *wrong = monitor_read_at(fd, offset, &state, sizeof(state));

		if (wrong)
			return wrong;
		if (state.answered == number) {
			*result = state.result < 0 && state.result > -4096 ? (int)state.result : 0;
			return NULL;
		}
		if (!monitor_file_is_in_use(fd))
			return complain("the image has ended");
		pause_ms(PAUSE_MS);
	}
	return complain(
	    "the image does not answer within %u s: it is stopped, or all its cores compute "
	    "in the kernel",
	    PATIENCE_MS / 1000);
}

static const char *ask(int fd, uint64_t offset, const struct host_command *command, int *result)
{
	struct monitor_command state;
	uint64_t number;
	const char *wrong = monitor_read_at(fd, offset, &state, sizeof(state));

	if (wrong)
		return wrong;
	number = state.asked + 1;
	state.kind = command->kind;
	memcpy(state.arguments, command->arguments, sizeof(state.arguments));
	wrong = write_at(fd, offset, &state, sizeof(state));
	if (!wrong)
		wrong = write_at(fd, offset + offsetof(struct monitor_command, asked), &number,
				 sizeof(number));
	return wrong ? wrong : wait_for_answer(fd, offset, number, result);
}

const char *host_command(const struct monitor_reader *reader, const struct host_command *command,
			 int *result)
{
	const struct monitor_region *region =
	    monitor_region(reader, MONITOR_REGION_COMMAND, sizeof(struct monitor_command));
	const char *wrong;

	if (!region)
		return complain(
		    "the image takes no commands: it was built from another source tree");
	wrong = lock(reader->fd, region, F_WRLCK);
	if (wrong)
		return wrong;
	wrong = ask(reader->fd, region->offset, command, result);
	lock(reader->fd, region, F_UNLCK);
	return wrong;
}

const char *host_read_threads(const struct monitor_reader *reader, struct monitor_threads *threads)
{
	const struct monitor_region *region =
	    monitor_region(reader, MONITOR_REGION_THREADS, sizeof(*threads));
	const char *wrong;

	if (!region)
		return complain(
		    "the image lists no threads: it was built from another source tree");
	wrong = monitor_read_at(reader->fd, region->offset, threads, sizeof(*threads));
	if (wrong)
		return wrong;
	if (threads->count > MONITOR_THREADS_MAX)
		threads->count = MONITOR_THREADS_MAX;
	for (unsigned i = 0; i < threads->count; i++) {
		char *name = threads->threads[i].name;

		/* It is shown on a terminal. */
		name[MONITOR_THREAD_NAME_SIZE - 1] = 0;
		for (; *name; name++)
			if (*name < ' ' || *name > '~')
				*name = '?';
	}
	return NULL;
}

const char *host_read_queues(const struct monitor_reader *reader, struct monitor_queues *queues)
{
	const struct monitor_region *region =
	    monitor_region(reader, MONITOR_REGION_QUEUES, sizeof(*queues));
	const char *wrong;

	queues->count = 0;
	if (!region)
		return NULL;
	wrong = monitor_read_at(reader->fd, region->offset, queues, sizeof(*queues));
	if (!wrong && queues->count > MONITOR_CORES_MAX)
		queues->count = MONITOR_CORES_MAX;
	return wrong;
}
