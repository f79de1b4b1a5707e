/*
 * Files whose contents are printed when they are read from the start.
 */
#include "posix/fs/open_file.h"
#include "posix/fs/pseudo.h"
#include "posix/user_memory.h"

#include "lavra/console.h"
#include "mm/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROOM 1024
#define WRITE_MAX 4096u

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

/* What of the bytes is not there, in memory that may be the application's, is left out. */
void text_append(struct text *text, const void *bytes, size_t length)
{
	if (!text->failed && text->room - text->length < length)
		text->failed = !grow(text, max(2 * (text->length + length), (size_t)FIRST_ROOM));
	if (!text->failed && length)
		text->length += user_copy_some(text->bytes + text->length, bytes, length);
}

int text_file_open(struct open_file *open)
{
	bool writing = (open->file.status_flags & O_ACCMODE) != O_RDONLY;

	return writing && !open->inode->pseudo->write ? -EACCES : 0;
}

void text_file_close(struct open_file *open)
{
	object_free(open->text->bytes);
	object_free(open->text);
}

/* With the position's mutex. */
static int print(struct open_file *open)
{
	if (!open->text)
		open->text = object_alloc_zeroed(sizeof(*open->text));
	if (!open->text)
		return -ENOMEM;
	open->text->length = 0;
	open->inode->pseudo->print(open->text, open->number);
	if (!open->text->failed)
		return 0;
	text_file_close(open);
	open->text = NULL;
	return -ENOMEM;
}

static ssize_t read_at(struct open_file *open, const struct iovec *iov, unsigned niov, int64_t at)
{
	const struct text *text;
	size_t done = 0;
	int error;

	if (at == 0 || !open->text) {
		error = print(open);
		if (error)
			return error;
	}
	text = open->text;
	for (unsigned i = 0; i < niov && at < (int64_t)text->length; i++) {
		size_t part = min(iov[i].iov_len, text->length - (size_t)at);
		size_t copied = user_copy_some(iov[i].iov_base, text->bytes + at, part);

		at += copied;
		done += copied;
		if (copied < part)
			return done ? (ssize_t)done : -EFAULT;
	}
	return (ssize_t)done;
}

static ssize_t text_read(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct open_file *open = open_file_of(file);
	ssize_t result;
	bool kept;
	int error = open_file_lock(file, &open->position_mutex, &kept);

	if (error)
		return error;
	result = read_at(open, iov, niov, offset == NO_OFFSET ? open->position : offset);
	if (result > 0 && offset == NO_OFFSET)
		open->position += result;
	open_file_unlock(file, &open->position_mutex, kept);
	return result;
}

static int write_piece(struct open_file *open, const struct iovec *iov)
{
	char *bytes;
	int error = -EFAULT;

	if (!iov->iov_len)
		return 0;
	if (iov->iov_len > WRITE_MAX)
		return -EINVAL;
	bytes = object_alloc(iov->iov_len);
	if (!bytes)
		return -ENOMEM;
	if (user_copy(bytes, iov->iov_base, iov->iov_len))
		error = open->inode->pseudo->write(bytes, iov->iov_len, open->number);
	object_free(bytes);
	return error;
}

static ssize_t text_write(struct file *file, const struct iovec *iov, unsigned niov, int64_t offset)
{
	struct open_file *open = open_file_of(file);
	ssize_t done = 0;

	for (unsigned i = 0; i < niov; i++) {
		int error = write_piece(open, &iov[i]);

		if (error)
			return done ? done : error;
		done += iov[i].iov_len;
	}
	return done;
}

static int64_t text_seek(struct file *file, int64_t offset, int whence)
{
	struct open_file *open = open_file_of(file);
	int64_t to = seek_position(open->position, 0, offset, whence);

	if (to >= 0)
		open->position = to;
	return to;
}

const struct file_operations text_operations = {
	.kind = "text file",
	.anywhere = true,
	.read = text_read,
	.write = text_write,
	.seek = text_seek,
	.stat = open_file_stat,
	.release = open_file_release,
};
