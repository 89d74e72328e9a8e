#include "body.h"

#include "base/log.h"
#include "base/mem.h"
#include "maildir_text.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PIECE_BYTES 65536

static const struct {
	int err;
	enum outcome outcome;
} outcomes[] = {
	{ENOSPC, OC_MAILBOX_FULL},
	{EDQUOT, OC_MAILBOX_FULL},
	{EFBIG, OC_MAILBOX_FULL},
	{EIO, OC_IO_ERROR},
	{ENOMEM, OC_NO_MEMORY},
};

enum outcome maildir_errno(int err)
{
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
		if (outcomes[i].err == err)
			return outcomes[i].outcome;
	return OC_MAILBOX_TEMP;
}

enum outcome body_fail(char text[MAILDIR_TEXT_BYTES], const char *what, int err)
{
	struct slice why = log_errno_text(err);

	snprintf(text, MAILDIR_TEXT_BYTES, "%s: %.*s", what, SLICE_ARG(why));
	return maildir_errno(err);
}

/* Fills `out` from [at, end) of the message file; 0 at the end; -1 with errno.  A file shorter than it was told is EIO. */
static ssize_t read_piece(const struct maildir_message *m, uint64_t at, char *out, size_t room)
{
	uint64_t left = m->offset + m->length - at;
	ssize_t n;

	if (left == 0)
		return 0;
	do
		n = pread(m->fd, out, left < room ? (size_t)left : room, (off_t)at);
	while (n == -1 && errno == EINTR);
	if (n == 0) {
		errno = EIO;
		return -1;
	}
	return n;
}

/* `out` gathers the lines before the body and the first pieces, so that a small message is one write. */
struct body_writer {
	int fd; /* -1: it is only measured */
	uint64_t bytes; /* written */
	char *text; /* what went wrong */
	const struct maildir_message *message;
	struct loop_guard guard;
	struct lf_writer lf;
	struct from_quoter quoter;
	bool quotes;
	char *in, *out, *quoted;
	size_t len;
};

static bool put(struct body_writer *b, struct slice made)
{
	b->bytes += made.len;
	return b->fd < 0 || os_write_all(b->fd, made);
}

static bool flush_body(struct body_writer *b)
{
	struct slice made = slice_make(b->out, b->len);
	bool ok;

	if (b->quotes)
		made = slice_make(b->quoted, from_quote(&b->quoter, made, b->quoted));
	ok = put(b, made);
	b->len = 0;
	return ok;
}

static bool end_quotes(struct body_writer *b)
{
	return !b->quotes || put(b, slice_make(b->quoted, from_quote_end(&b->quoter, b->quoted)));
}

/* `out` holds the longest prepend and a whole piece besides. */
#define OUT_BYTES (PIECE_BYTES + 32768u)

static enum outcome loops(char text[MAILDIR_TEXT_BYTES])
{
	snprintf(text, MAILDIR_TEXT_BYTES, "it was delivered to this address before");
	return OC_MAIL_LOOP;
}

static enum outcome copy_body(struct body_writer *b)
{
	const struct maildir_message *m = b->message;
	uint64_t at = m->offset;
	bool looking = true;
	ssize_t n;

	while ((n = read_piece(m, at, b->in, PIECE_BYTES)) > 0) {
		size_t made;

		if (b->len + (size_t)n + 1 > OUT_BYTES && !flush_body(b))
			return body_fail(b->text, "writing into the mailbox", errno);
		made = lf_write(&b->lf, slice_make(b->in, (size_t)n), b->out + b->len);
		if (looking)
			looking = loop_guard_read(&b->guard, slice_make(b->out + b->len, made));
		if (b->guard.found) {
			return loops(b->text);
		}
		b->len += made;
		at += (uint64_t)n;
	}
	if (n < 0)
		return body_fail(b->text, "reading the message", errno);
	b->len += lf_end(&b->lf, b->out + b->len);
	if (!flush_body(b) || !end_quotes(b))
		return body_fail(b->text, "writing into the mailbox", errno);
	return OC_DONE;
}

static enum outcome write_body(int fd, const struct maildir_message *m, bool quotes, uint64_t *bytes, char text[MAILDIR_TEXT_BYTES])
{
	static char in[PIECE_BYTES], out[OUT_BYTES + 2], quoted[2 * (OUT_BYTES + 2)];
	struct body_writer b = {.fd = fd, .text = text, .message = m, .quotes = quotes, .in = in, .out = out, .quoted = quoted};
	enum outcome outcome;

	*bytes = 0;
	if (m->prepend.len >= OUT_BYTES - PIECE_BYTES)
		return body_fail(text, "lines before the message", EMSGSIZE);
	b.lf.is_binary = m->is_binary;
	loop_guard_begin(&b.guard, m->address);
	from_quoter_begin(&b.quoter);
	memcpy(out, m->prepend.at, m->prepend.len);
	b.len = m->prepend.len;
	outcome = copy_body(&b);
	*bytes = b.bytes;
	return outcome;
}

enum outcome body_write(int fd, const struct maildir_message *m, bool quotes, char text[MAILDIR_TEXT_BYTES])
{
	uint64_t bytes;

	return write_body(fd, m, quotes, &bytes, text);
}

enum outcome body_measure(const struct maildir_message *m, bool quotes, uint64_t *bytes, char text[MAILDIR_TEXT_BYTES])
{
	return write_body(-1, m, quotes, bytes, text);
}

enum outcome body_check_loop(const struct maildir_message *m, char text[MAILDIR_TEXT_BYTES])
{
	static char in[PIECE_BYTES], out[PIECE_BYTES + 2];
	struct lf_writer lf = {.is_binary = m->is_binary};
	struct loop_guard guard;
	uint64_t at = m->offset;
	bool looking = true;
	ssize_t n = 1;

	loop_guard_begin(&guard, m->address);
	while (looking && (n = read_piece(m, at, in, sizeof(in))) > 0) {
		looking = loop_guard_read(&guard, slice_make(out, lf_write(&lf, slice_make(in, (size_t)n), out)));
		at += (uint64_t)n;
	}
	if (n < 0)
		return body_fail(text, "reading the message", errno);
	return guard.found ? loops(text) : OC_DONE;
}
