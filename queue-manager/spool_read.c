#include "spool_private.h"

#include "base/mem.h"
#include "crc32c.h"

#include <errno.h>
#include <fcntl.h>

#define CHUNK_BYTES (256u << 10)
#define TAIL_MAX ((size_t)SPOOL_TRAILER_MAX + SPOOL_RECIPIENTS_MAX + SPOOL_END_BYTES)

static const enum spool_folder searched[] = {SPOOL_NEW, SPOOL_CUR, SPOOL_HOLD};

/* Exactly `len` bytes; false with errno, EBADMSG when the file is shorter. */
static bool read_all(struct spool *sp, int fd, char *into, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t got = sp->ops->pread(fd, into, len, (off_t)at);

		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? EBADMSG : errno;
			return false;
		}
		into += got;
		len -= (size_t)got;
		at += (uint64_t)got;
	}
	return true;
}

static bool read_into(struct spool *sp, int fd, struct buf *into, size_t len, uint64_t at)
{
	char *room = buf_room(into, len);

	if (room == NULL) {
		errno = ENOMEM;
		return false;
	}
	if (!read_all(sp, fd, room, len, at))
		return false;
	buf_grew(into, len);
	return true;
}

static bool sum_range(struct spool *sp, int fd, uint64_t at, uint64_t len, uint32_t *crc)
{
	size_t chunk_bytes = len < CHUNK_BYTES ? (size_t)len : CHUNK_BYTES;
	char *chunk = mem_new(1, chunk_bytes + 1);
	bool ok = chunk != NULL;

	if (!ok)
		errno = ENOMEM;
	while (ok && len > 0) {
		size_t want = len < chunk_bytes ? (size_t)len : chunk_bytes;

		ok = read_all(sp, fd, chunk, want, at);
		if (ok)
			*crc = crc32c(*crc, slice_make(chunk, want));
		at += want;
		len -= want;
	}
	free(chunk);
	return ok;
}

static bool read_parts(struct spool *sp, int fd, const struct spool_end *end, struct spool_loaded *out, uint32_t *crc_out)
{
	size_t tail = (size_t)end->trailer_length + end->slot_count + SPOOL_END_BYTES;

	if (!read_into(sp, fd, &out->head, end->head_length, 0))
		return false;
	*crc_out = crc32c(0, buf_slice(&out->head));
	return sum_range(sp, fd, end->head_length, end->body_length, crc_out) &&
	       read_into(sp, fd, &out->tail, tail, out->size_bytes - tail);
}

static const enum spool_load load_of[] = {
	[SPOOL_OK] = LOAD_OK,	      [SPOOL_UNFINISHED] = LOAD_UNFINISHED, [SPOOL_CORRUPT] = LOAD_CORRUPT,
	[SPOOL_NEWER] = LOAD_NEWER,   [SPOOL_NO_MEMORY] = LOAD_ERROR,
};

static enum spool_load load_fd(struct spool *sp, int fd, uint64_t id, struct spool_loaded *out)
{
	char end_bytes[SPOOL_END_BYTES];
	struct spool_end end;
	enum spool_verdict verdict;
	struct stat st;
	uint32_t crc = 0;

	if (sp->ops->fstat(fd, &st) == -1)
		return LOAD_ERROR;
	out->size_bytes = (uint64_t)st.st_size;
	if (out->size_bytes < SPOOL_HEAD_BYTES + SPOOL_END_BYTES)
		return LOAD_UNFINISHED;
	if (!read_all(sp, fd, end_bytes, sizeof(end_bytes), out->size_bytes - SPOOL_END_BYTES))
		return LOAD_ERROR;
	verdict = spool_decode_end(slice_make(end_bytes, sizeof(end_bytes)), out->size_bytes, &end);
	if (verdict != SPOOL_OK)
		return load_of[verdict];
	if (!read_parts(sp, fd, &end, out, &crc))
		return LOAD_ERROR;
	verdict = spool_decode(&end, buf_slice(&out->head), buf_slice(&out->tail), crc, &out->mail);
	if (verdict == SPOOL_OK && out->mail.id != id)
		return LOAD_CORRUPT;
	return load_of[verdict];
}

static int open_where_it_is(struct spool *sp, uint64_t id, enum spool_folder *folder_out)
{
	int fd = -1;

	for (size_t i = 0; fd == -1 && i < ARRAY_LEN(searched); i++) {
		*folder_out = searched[i];
		fd = spool_open_read(sp, id, searched[i]);
		if (fd == -1 && errno != ENOENT)
			return -1;
	}
	return fd;
}

enum spool_load spool_load(struct spool *sp, uint64_t id, struct spool_loaded *out, int *err_out)
{
	enum spool_load result;
	int fd;

	*out = (struct spool_loaded){.head = buf_make(SPOOL_HEAD_BYTES + SPOOL_ENVELOPE_MAX), .tail = buf_make(TAIL_MAX)};
	*err_out = 0;
	fd = open_where_it_is(sp, id, &out->folder);
	if (fd == -1) {
		*err_out = errno;
		return errno == ENOENT ? LOAD_NOT_THERE : LOAD_ERROR;
	}
	errno = 0;
	result = load_fd(sp, fd, id, out);
	*err_out = errno;
	(void)sp->ops->close(fd);
	return result;
}

void spool_loaded_free(struct spool_loaded *loaded)
{
	spool_mail_free(&loaded->mail);
	buf_free(&loaded->head);
	buf_free(&loaded->tail);
}

int spool_open_read(struct spool *sp, uint64_t id, enum spool_folder folder)
{
	char path[SPOOL_PATH_BYTES];
	int fd;

	spool_path(path, folder, id);
	do
		fd = sp->ops->openat(sp->root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0); /* a FIFO must not stop the thread */
	while (fd == -1 && errno == EINTR);
	return fd;
}

int spool_set_aside(struct spool *sp, uint64_t id, enum spool_folder folder)
{
	bool moved;

	return spool_move(sp, id, folder, SPOOL_CORRUPT_FOLDER, true, &moved);
}

bool spool_has(struct spool *sp, uint64_t id)
{
	enum spool_folder folder;
	int fd = open_where_it_is(sp, id, &folder);

	if (fd == -1)
		return errno != ENOENT;
	(void)sp->ops->close(fd);
	return true;
}

ssize_t spool_read_body(struct spool *sp, const struct spool_mail *mail, enum spool_folder folder, char *into, size_t len)
{
	int fd = spool_open_read(sp, mail->id, folder);
	bool ok;

	if (fd == -1)
		return -1;
	if (mail->body_length < len)
		len = (size_t)mail->body_length;
	ok = read_all(sp, fd, into, len, mail->body_offset);
	(void)sp->ops->close(fd);
	return ok ? (ssize_t)len : -1;
}
