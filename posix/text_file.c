/*
 * Files whose contents are printed when they are opened.
 */
#include "posix/pseudo_file.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_ROOM 1024

static bool grow(struct text *text, size_t room)
{
	char *bytes = room <= OBJECT_MAX ? object_alloc(room) : NULL;

	if (!bytes)
		return false;
	if (text->bytes)
		memcpy(bytes, text->bytes, text->length);
	object_free(text->bytes);
	text->bytes = bytes;
	text->room = room;
	return true;
}

void text_print(struct text *text, const char *format, ...)
{
	while (!text->failed) {
		size_t left = text->room - text->length;
		va_list args;
		int length;

		va_start(args, format);
		length =
		    kvsnprintf(text->bytes ? text->bytes + text->length : NULL, left, format, args);
		va_end(args);
		if ((size_t)length < left) {
			text->length += length;
			return;
		}
		text->failed = !grow(text, max(2 * (text->length + length), (size_t)FIRST_ROOM));
	}
}

struct text_file {
	struct file file; /* first */
	char *bytes;
	size_t length;
	int64_t position;
};

static ssize_t text_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct text_file *text = container_of(file, struct text_file, file);
	int64_t at = offset == NO_OFFSET ? text->position : offset;
	size_t done = 0;

	for (unsigned i = 0; i < niov && at < (int64_t)text->length; i++) {
		size_t part = min(iov[i].iov_len, text->length - (size_t)at);

		memcpy(iov[i].iov_base, text->bytes + at, part);
		at += part;
		done += part;
	}
	if (offset == NO_OFFSET)
		text->position = at;
	return done;
}

static int64_t text_seek(struct file *file, int64_t offset, int whence)
{
	struct text_file *text = container_of(file, struct text_file, file);
	int64_t from;

	switch (whence) {
	case SEEK_SET:
		from = 0;
		break;
	case SEEK_CUR:
		from = text->position;
		break;
	case SEEK_END:
		from = text->length;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(from, offset, &from))
		return -EOVERFLOW;
	if (from < 0)
		return -EINVAL;
	text->position = from;
	return from;
}

static int text_stat(struct file *file, struct stat *st)
{
	st->st_mode = S_IFREG | 0444;
	st->st_size = container_of(file, struct text_file, file)->length;
	return 0;
}

static void text_release(struct file *file)
{
	object_free(container_of(file, struct text_file, file)->bytes);
	file_free(file);
}

static const struct file_operations text_operations = {
	.kind = "text file",
	.read = text_read,
	.seek = text_seek,
	.stat = text_stat,
	.release = text_release,
};

struct file *text_file_create(struct text *text)
{
	struct text_file *created = text->failed ? NULL : object_alloc(sizeof(*created));

	if (!created) {
		object_free(text->bytes);
		return NULL;
	}
	file_init(&created->file, &text_operations, O_RDONLY, NULL);
	created->bytes = text->bytes;
	created->length = text->length;
	created->position = 0;
	return &created->file;
}
