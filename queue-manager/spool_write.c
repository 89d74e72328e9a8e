/*
 * The order in which a message becomes durable, and ends.  It is the promise of this program: see README.md.
 */
#include "spool_private.h"

#include "base/id.h"
#include "base/mem.h"
#include "crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#define PARTS_MAX 8

/* An outcome for a failed call: a full disk is told as such, all else is our own trouble. */
static enum outcome outcome_of(int err)
{
	return err == ENOSPC || err == EDQUOT ? OC_SPOOL_FULL : OC_IO_ERROR;
}

static int skip_parts(struct iovec *parts, int count, size_t done)
{
	int first = 0;

	while (first < count && done >= parts[first].iov_len)
		done -= parts[first++].iov_len;
	if (first < count) {
		parts[first].iov_base = (char *)parts[first].iov_base + done;
		parts[first].iov_len -= done;
	}
	return first;
}

int spool_write_all(struct spool *sp, int fd, const struct iovec *given, int count, off_t offset)
{
	struct iovec copy[PARTS_MAX], *parts = copy;

	if (count > PARTS_MAX) {
		errno = EINVAL;
		return -1;
	}
	memcpy(copy, given, (size_t)count * sizeof(*given));
	for (int skipped = skip_parts(parts, count, 0); count - skipped > 0;) {
		ssize_t done;

		parts += skipped;
		count -= skipped;
		done = sp->ops->pwritev(fd, parts, count, offset);
		if (done == -1 && errno != EINTR)
			return -1;
		if (done == 0) { /* no progress and no reason: not to be tried for ever */
			errno = EIO;
			return -1;
		}
		if (done < 0)
			done = 0;
		offset += done;
		skipped = skip_parts(parts, count, (size_t)done);
	}
	return 0;
}

static int sync_name(struct spool *sp, char path[SPOOL_PATH_BYTES])
{
	char *slash;

	if (!sp->sync_folders)
		return 0;
	slash = strrchr(path, '/');
	*slash = '\0';
	int err = spool_sync_folder(sp, path);
	*slash = '/';
	return err;
}

static int open_retry(struct spool *sp, const char *path, int flags)
{
	int fd;

	do
		fd = sp->ops->openat(sp->root, path, flags, 0600);
	while (fd == -1 && errno == EINTR);
	return fd;
}

static void open_for_delivery(struct spool *sp, const char *path, int *read_fd_out)
{
	if (read_fd_out != NULL)
		*read_fd_out = open_retry(sp, path, O_RDONLY);
}

void spool_new_write(struct spool *sp, struct spool_new *file, const struct iovec *parts, int count)
{
	char path[SPOOL_PATH_BYTES];

	file->fd = -1;
	spool_room_refresh(sp);
	file->err = spool_mark_cover(sp, file->id);
	if (file->err == 0)
		file->err = spool_fan_ready(sp, file->folder, file->id);
	if (file->err != 0)
		return;
	spool_path(path, file->folder, file->id);
	file->fd = open_retry(sp, path, O_WRONLY | O_CREAT | O_EXCL);
	if (file->fd == -1 || spool_write_all(sp, file->fd, parts, count, 0) == -1 || sp->ops->begin_sync(file->fd) == -1)
		file->err = errno;
}

/* A sync that failed is never tried again: what the kernel held may be gone by then, and it would say all is well. */
static int sync_new(struct spool *sp, int fd, int err)
{
	int closed = spool_finish(sp, fd, err == 0 ? sp->ops->fsync(fd) : 0);

	return err != 0 ? err : closed;
}

/* What failed goes again.  True: it stays under the name of a message. */
static bool remove_failed(struct spool *sp, const char *path)
{
	return sp->ops->unlinkat(sp->root, path, 0) == -1 && errno != ENOENT;
}

enum outcome spool_new_sync(struct spool *sp, struct spool_new *file, int *read_fd_out)
{
	char path[SPOOL_PATH_BYTES];

	if (read_fd_out != NULL)
		*read_fd_out = -1;
	if (file->fd == -1)
		return outcome_of(file->err);
	spool_path(path, file->folder, file->id);
	file->err = sync_new(sp, file->fd, file->err);
	file->fd = -1;
	if (file->err == 0)
		file->err = sync_name(sp, path);
	if (file->err == 0) {
		open_for_delivery(sp, path, read_fd_out);
		return OC_DONE;
	}
	file->is_left = remove_failed(sp, path);
	return outcome_of(file->err);
}

int spool_probe(struct spool *sp, uint64_t id)
{
	static const char zeros[4096];
	struct iovec part = {(void *)(uintptr_t)zeros, sizeof(zeros)};
	char path[SPOOL_PATH_BYTES];
	int err = spool_mark_cover(sp, id), fd;

	if (err != 0)
		return err;
	spool_path(path, SPOOL_DRAFT, id);
	fd = open_retry(sp, path, O_WRONLY | O_CREAT | O_EXCL);
	if (fd == -1)
		return errno;
	err = sync_new(sp, fd, spool_write_all(sp, fd, &part, 1, 0) == -1 ? errno : 0);
	if (err == 0)
		err = sync_name(sp, path);
	if (sp->ops->unlinkat(sp->root, path, 0) == -1 && err == 0)
		err = errno;
	return err;
}

enum outcome spool_draft_open(struct spool *sp, uint64_t id, struct slice head, int *fd_out, int *err_out)
{
	char path[SPOOL_PATH_BYTES];
	struct iovec part = {(void *)(uintptr_t)head.at, head.len};

	*fd_out = -1;
	spool_room_refresh(sp);
	*err_out = spool_mark_cover(sp, id);
	if (*err_out != 0)
		return outcome_of(*err_out);
	spool_path(path, SPOOL_DRAFT, id);
	*fd_out = open_retry(sp, path, O_WRONLY | O_CREAT | O_EXCL);
	if (*fd_out == -1) {
		*err_out = errno;
		return outcome_of(*err_out);
	}
	if (spool_write_all(sp, *fd_out, &part, 1, 0) == 0)
		return OC_DONE;
	*err_out = spool_finish(sp, *fd_out, -1);
	*fd_out = -1;
	spool_draft_remove(sp, id);
	return outcome_of(*err_out);
}

void spool_draft_remove(struct spool *sp, uint64_t id)
{
	char path[SPOOL_PATH_BYTES];

	spool_path(path, SPOOL_DRAFT, id);
	(void)sp->ops->unlinkat(sp->root, path, 0);
}

#define SUM_CHUNK (256u << 10)

/* The checksum of head (from memory: what lies there was in another's hands) and body (from the file). */
static int sum_body(struct spool *sp, int fd, struct spool_draft *draft)
{
	uint64_t left = draft->mail->body_length, at = draft->head.len;
	char *chunk = mem_new(1, SUM_CHUNK);

	if (chunk == NULL)
		return ENOMEM;
	draft->crc = crc32c(0, draft->head);
	while (left > 0) {
		size_t want = left < SUM_CHUNK ? (size_t)left : SUM_CHUNK;
		ssize_t got = sp->ops->pread(fd, chunk, want, (off_t)at);

		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) {
			int err = got == 0 ? EIO : errno;

			free(chunk);
			return err;
		}
		draft->crc = crc32c(draft->crc, slice_make(chunk, (size_t)got));
		left -= (uint64_t)got;
		at += (uint64_t)got;
	}
	free(chunk);
	return 0;
}

/* Nobody can write any more, and the file is exactly head and body. */
static int prove_and_sum(struct spool *sp, const char *path, struct spool_draft *draft)
{
	int fd = open_retry(sp, path, O_RDONLY), err = 0;
	struct stat st;

	if (fd == -1)
		return errno;
	if (sp->ops->lease(fd) == -1 || sp->ops->fstat(fd, &st) == -1)
		err = errno;
	else if ((uint64_t)st.st_size != draft->head.len + draft->mail->body_length)
		err = EMSGSIZE;
	else
		err = sum_body(sp, fd, draft);
	(void)sp->ops->close(fd);
	return err;
}

static int write_ends(struct spool *sp, int fd, const struct spool_draft *draft)
{
	struct iovec head = {(void *)(uintptr_t)draft->head.at, draft->head.len};
	struct iovec tail = {draft->tail->at, draft->tail->len};

	if (spool_write_all(sp, fd, &head, 1, 0) == -1)
		return -1;
	return spool_write_all(sp, fd, &tail, 1, (off_t)(draft->head.len + draft->mail->body_length));
}

static int finish_draft(struct spool *sp, const char *from, char to[SPOOL_PATH_BYTES], const struct spool_draft *draft,
			bool *renamed)
{
	int fd = open_retry(sp, from, O_WRONLY), err;

	if (fd == -1)
		return errno;
	if (write_ends(sp, fd, draft) == -1 || sp->ops->rename(sp->root, from, to) == -1)
		return spool_finish(sp, fd, -1);
	*renamed = true;
	err = spool_finish(sp, fd, sp->ops->fsync(fd));
	return err == 0 ? sync_name(sp, to) : err;
}

enum outcome spool_draft_commit(struct spool *sp, struct spool_draft *draft, int *read_fd_out, int *err_out)
{
	char from[SPOOL_PATH_BYTES], to[SPOOL_PATH_BYTES];
	bool renamed = false;

	if (read_fd_out != NULL)
		*read_fd_out = -1;
	spool_path(from, SPOOL_DRAFT, draft->id);
	spool_path(to, draft->folder, draft->id);
	*err_out = spool_fan_ready(sp, draft->folder, draft->id);
	if (*err_out == 0)
		*err_out = prove_and_sum(sp, from, draft);
	if (*err_out == 0 && !spool_encode_tail(draft->mail, draft->crc, draft->tail))
		*err_out = ENOMEM;
	if (*err_out == 0)
		*err_out = finish_draft(sp, from, to, draft, &renamed);
	if (*err_out == 0) {
		open_for_delivery(sp, to, read_fd_out);
		return OC_DONE;
	}
	draft->is_left = remove_failed(sp, renamed ? to : from) && renamed;
	return outcome_of(*err_out);
}

/* ---- later ---- */

int spool_remove(struct spool *sp, uint64_t id, enum spool_folder folder)
{
	char path[SPOOL_PATH_BYTES];

	spool_path(path, folder, id);
	if (sp->ops->unlinkat(sp->root, path, 0) == -1)
		return errno;
	spool_room_refresh(sp);
	return 0;
}

/* As for a message just made: syncing the file makes its new name durable where sync_name does not have to. */
static int sync_file(struct spool *sp, char path[SPOOL_PATH_BYTES])
{
	int fd = open_retry(sp, path, O_WRONLY), err;

	if (fd == -1)
		return errno;
	err = spool_finish(sp, fd, sp->ops->fsync(fd));
	return err == 0 ? sync_name(sp, path) : err;
}

int spool_move(struct spool *sp, uint64_t id, enum spool_folder from, enum spool_folder to, bool durable, bool *moved_out)
{
	char from_path[SPOOL_PATH_BYTES], to_path[SPOOL_PATH_BYTES];
	int err;

	spool_path(from_path, from, id);
	spool_path(to_path, to, id);
	err = spool_fan_ready(sp, to, id);
	*moved_out = err == 0 && sp->ops->rename(sp->root, from_path, to_path) == 0;
	if (!*moved_out)
		return err == 0 ? errno : err;
	return durable ? sync_file(sp, to_path) : 0;
}

int spool_make_durable(struct spool *sp, uint64_t id, enum spool_folder folder)
{
	char path[SPOOL_PATH_BYTES];

	spool_path(path, folder, id);
	return sync_file(sp, path);
}

int spool_write_slots(struct spool *sp, uint64_t id, enum spool_folder folder, uint64_t offset, struct slice slots)
{
	char path[SPOOL_PATH_BYTES];
	struct iovec part = {(void *)(uintptr_t)slots.at, slots.len};
	int fd;

	spool_path(path, folder, id);
	fd = open_retry(sp, path, O_WRONLY);
	if (fd == -1)
		return errno;
	if (spool_write_all(sp, fd, &part, 1, (off_t)offset) == -1)
		return spool_finish(sp, fd, -1);
	return spool_finish(sp, fd, sp->ops->fdatasync(fd));
}
