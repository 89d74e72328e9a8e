/*
 * A message that is made of another one: its body, copied from file to file.
 */
#include "spool_private.h"

#include "base/mem.h"
#include "header_cut.h"

#include <errno.h>
#include <fcntl.h>

#define PIECE_BYTES (256u << 10)

struct copy {
	struct spool *sp;
	int from, to;
	uint64_t at, left; /* of the source */
	uint64_t written; /* from the start of the target */
	char *piece; /* owned */
};

static int write_piece(struct copy *c, struct slice bytes)
{
	struct iovec part = {(void *)(uintptr_t)bytes.at, bytes.len};

	if (bytes.len == 0)
		return 0;
	if (spool_write_all(c->sp, c->to, &part, 1, (off_t)c->written) == -1)
		return errno;
	c->written += bytes.len;
	return 0;
}

/* The next piece, whole but at the end. */
static int read_piece(struct copy *c, struct slice *out)
{
	size_t want = c->left < PIECE_BYTES ? (size_t)c->left : PIECE_BYTES, got = 0;

	while (got < want) {
		ssize_t n = c->sp->ops->pread(c->from, c->piece + got, want - got, (off_t)c->at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? EIO : errno;
		got += (size_t)n;
		c->at += (uint64_t)n;
		c->left -= (uint64_t)n;
	}
	*out = slice_make(c->piece, got);
	return 0;
}

static int copy_header_piece(struct copy *c, struct header_cut *h, struct buf *cut)
{
	struct slice piece;
	size_t used;
	int err = read_piece(c, &piece);

	buf_clear(cut);
	if (err == 0 && !header_cut(h, piece, c->left == 0, &used, cut))
		err = ENOMEM;
	if (err != 0)
		return err;
	c->at -= piece.len - used; /* read again, with the rest of its line */
	c->left += piece.len - used;
	return write_piece(c, buf_slice(cut));
}

static int copy_header(struct copy *c, struct slice without)
{
	struct header_cut h = {.names = without};
	struct buf cut = buf_make(PIECE_BYTES + 1);
	int err = 0;

	while (err == 0 && c->left > 0 && !h.over)
		err = copy_header_piece(c, &h, &cut);
	buf_free(&cut);
	return err;
}

static int copy_all(struct copy *c, struct slice without)
{
	struct slice piece;
	int err = copy_header(c, without);

	while (err == 0 && c->left > 0) {
		err = read_piece(c, &piece);
		if (err == 0)
			err = write_piece(c, piece);
	}
	return err;
}

int spool_draft_copy(struct spool *sp, const struct spool_body *from, uint64_t id, struct slice head, struct slice without,
		     uint64_t *length_out)
{
	struct copy c = {.sp = sp, .from = -1, .to = -1, .at = from->offset, .left = from->length, .written = head.len};
	enum outcome opened;
	int err = 0;

	c.piece = mem_new(1, PIECE_BYTES);
	if (c.piece == NULL)
		return ENOMEM;
	c.from = spool_open_read(sp, from->id, from->folder);
	if (c.from == -1)
		err = errno;
	if (err == 0) {
		opened = spool_draft_open(sp, id, head, &c.to, &err);
		if (opened == OC_DONE)
			err = copy_all(&c, without);
	}
	if (c.from != -1)
		(void)sp->ops->close(c.from);
	if (c.to != -1 && sp->ops->close(c.to) == -1 && err == 0)
		err = errno;
	if (err != 0 && c.to != -1)
		spool_draft_remove(sp, id);
	free(c.piece);
	*length_out = c.written - head.len;
	return err;
}
