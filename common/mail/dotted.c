#include "mail/dotted.h"

#define CRLF "\r\n"

static void emit(struct buf *out, const char *at, size_t len)
{
	if (out != NULL)
		buf_add(out, at, len);
}

static void count_line(struct dotted_decoder *d, size_t len)
{
	d->line_bytes += len;
	if (d->line_bytes > d->line_max)
		d->faults |= DOTTED_LONG_LINE;
}

static bool has_high(const char *at, size_t len)
{
	unsigned char any = 0;

	for (size_t i = 0; i < len; i++)
		any |= (unsigned char)at[i];
	return (any & 0x80) != 0;
}

/* Octets of one line that are neither CR nor the end of `in`: copied as one piece. */
static size_t take_run(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	const char *cr = memchr(in.at, '\r', in.len);
	size_t len = cr == NULL ? in.len : (size_t)(cr - in.at);

	if (len == 0)
		return 0;
	if (memchr(in.at, '\n', len) != NULL)
		d->faults |= DOTTED_BARE_LF;
	if (memchr(in.at, '\0', len) != NULL)
		d->faults |= DOTTED_NUL;
	d->high = d->high || has_high(in.at, len);
	count_line(d, len);
	emit(out, in.at, len);
	return len;
}

/* One of the functions below handles what may come next; each returns the octets it used. */
static size_t at_line_start(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	(void)out;
	if (in.at[0] == '.' && d->form == DOTTED_DATA) {
		d->state = DOTTED_DOT;
		return 1;
	}
	d->state = DOTTED_IN_LINE;
	return 0;
}

static size_t in_line(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	if (in.at[0] == '\r') {
		d->state = DOTTED_CR;
		return 1;
	}
	return take_run(d, in, out);
}

static void end_line(struct dotted_decoder *d)
{
	bool ends_header = d->form == DOTTED_BINARY && d->line_bytes == 0;

	d->state = ends_header ? DOTTED_RAW : DOTTED_LINE_START;
	d->line_bytes = 0;
}

static size_t after_cr(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	if (in.at[0] == '\n') {
		emit(out, CRLF, 2);
		end_line(d);
		return 1;
	}
	d->faults |= DOTTED_BARE_CR;
	emit(out, "\r", 1);
	count_line(d, 1);
	d->state = DOTTED_IN_LINE;
	return 0;
}

static size_t after_dot(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	(void)out;
	d->state = in.at[0] == '\r' ? DOTTED_DOT_CR : DOTTED_IN_LINE;
	return in.at[0] == '\r' ? 1 : 0;
}

static size_t after_dot_cr(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	if (in.at[0] != '\n')
		return after_cr(d, in, out);
	d->state = DOTTED_ENDED;
	return 1;
}

static size_t raw(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	d->high = d->high || has_high(in.at, in.len);
	emit(out, in.at, in.len);
	return in.len;
}

typedef size_t decode_fn(struct dotted_decoder *d, struct slice in, struct buf *out);

static decode_fn *const decoders[DOTTED_ENDED] = {
	[DOTTED_LINE_START] = at_line_start,
	[DOTTED_IN_LINE] = in_line,
	[DOTTED_CR] = after_cr,
	[DOTTED_DOT] = after_dot,
	[DOTTED_DOT_CR] = after_dot_cr,
	[DOTTED_RAW] = raw,
};

size_t dotted_decode(struct dotted_decoder *d, struct slice in, struct buf *out)
{
	size_t used = 0;

	while (used < in.len && d->state != DOTTED_ENDED)
		used += decoders[d->state](d, slice_from(in, used), out);
	return used;
}

void dotted_end(struct dotted_decoder *d, struct buf *out)
{
	if (d->state == DOTTED_CR) {
		d->faults |= DOTTED_BARE_CR;
		emit(out, "\r", 1);
	} else if (d->state == DOTTED_IN_LINE) {
		emit(out, CRLF, 2);
	}
	d->state = DOTTED_ENDED;
}

static bool is_bare(const struct dotted_encoder *e, char c)
{
	return (e->after_cr && c != '\n') || (!e->after_cr && c == '\n');
}

bool dotted_encode(struct dotted_encoder *e, struct slice body, struct buf *out)
{
	size_t start = 0;

	for (size_t i = 0; i < body.len; i++) {
		char c = body.at[i];

		if (c == '.' && !e->in_line) {
			buf_add(out, body.at + start, i - start);
			buf_add_char(out, '.');
			start = i;
		}
		e->bare = e->bare || is_bare(e, c);
		e->in_line = !(e->after_cr && c == '\n');
		e->after_cr = c == '\r';
	}
	return buf_add(out, body.at + start, body.len - start) && buf_ok(out);
}

bool dotted_encode_end(struct dotted_encoder *e, struct buf *out)
{
	e->bare = e->bare || e->after_cr;
	if (e->in_line)
		buf_add_text(out, CRLF);
	buf_add_text(out, "." CRLF);
	return buf_ok(out);
}
