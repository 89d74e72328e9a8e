#include "maildir_text.h"

#include "base/clock.h"

/* The header of a binary message, of which it is known that its lines end with CRLF; returns how many bytes it is. */
static size_t header_length(struct lf_writer *w, struct slice in)
{
	size_t at = 0;

	while (at < in.len && !w->is_over) {
		char c = in.at[at++];

		w->is_over = c == '\n' && !w->in_line;
		w->in_line = c != '\n' && (c != '\r' || w->in_line);
	}
	return at;
}

static size_t lf_write_lines(struct lf_writer *w, struct slice in, char *out)
{
	size_t n = 0, at = 0;

	if (w->cr_waits && in.len > 0) {
		if (in.at[0] != '\n')
			out[n++] = '\r';
		w->cr_waits = false;
	}
	while (at < in.len) {
		const char *cr = memchr(in.at + at, '\r', in.len - at);
		size_t run = cr == NULL ? in.len - at : (size_t)(cr - in.at) - at;

		memcpy(out + n, in.at + at, run);
		n += run;
		at += run;
		if (cr == NULL)
			break;
		if (++at == in.len)
			w->cr_waits = true;
		else if (in.at[at] != '\n')
			out[n++] = '\r';
	}
	return n;
}

size_t lf_write(struct lf_writer *w, struct slice in, char *out)
{
	size_t header = w->is_binary ? header_length(w, in) : in.len;
	size_t n = lf_write_lines(w, slice_sub(in, 0, header), out);

	if (in.len > header)
		memcpy(out + n, in.at + header, in.len - header);
	return n + in.len - header;
}

size_t lf_end(struct lf_writer *w, char *out)
{
	size_t n = w->cr_waits ? 1 : 0;

	if (n > 0)
		out[0] = '\r';
	w->cr_waits = false;
	return n;
}

static bool add_address(struct slice address, struct buf *out)
{
	for (size_t i = 0; i < address.len; i++) {
		unsigned char c = (unsigned char)address.at[i];

		if (!buf_add_char(out, c < ' ' || c == 0x7f ? '?' : (char)c))
			return false;
	}
	return true;
}

static bool add_date(int64_t at_s, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];

	clock_rfc5322(at_s, date);
	return buf_addf(out, "Delivery-Date: %s\n", date);
}

static bool add_prepend(struct slice prepend, struct buf *out)
{
	struct lf_writer w = {.is_binary = false};
	char *room = buf_room(out, prepend.len + 1);

	if (room == NULL)
		return false;
	buf_grew(out, lf_write(&w, prepend, room));
	return prepend.len == 0 || out->at[out->len - 1] == '\n' || buf_add_char(out, '\n');
}

bool delivery_lines_add(const struct delivery_lines *d, struct buf *out)
{
	bool ok = buf_add_text(out, "Return-Path: <") && add_address(d->sender, out) && buf_add_text(out, ">\n");

	if (ok && d->delivered_to)
		ok = buf_add_text(out, "Delivered-To: ") && add_address(d->recipient, out) && buf_add_char(out, '\n');
	if (ok && d->envelope_to)
		ok = buf_add_text(out, "Envelope-To: ") && add_address(d->original, out) && buf_add_char(out, '\n');
	if (ok && d->delivered_s != 0)
		ok = add_date(d->delivered_s, out);
	return ok && add_prepend(d->prepend, out);
}

/* ---- mboxrd ---- */

static const char from_line[] = "From ";
#define FROM_BYTES (sizeof(from_line) - 1)

void from_quoter_begin(struct from_quoter *q)
{
	q->matched = 0;
}

size_t from_quote_end(struct from_quoter *q, char *out)
{
	size_t held = q->matched == FROM_NOT ? 0 : q->matched;

	memcpy(out, from_line, held);
	q->matched = FROM_NOT;
	return held;
}

static size_t quote_byte(struct from_quoter *q, char c, char *out)
{
	size_t n;

	if (q->matched != FROM_NOT && c == from_line[q->matched]) {
		if (++q->matched < FROM_BYTES)
			return 0;
		out[0] = '>';
		memcpy(out + 1, from_line, FROM_BYTES);
		q->matched = FROM_NOT;
		return 1 + FROM_BYTES;
	}
	if (q->matched == 0 && c == '>') {
		out[0] = c;
		return 1;
	}
	n = from_quote_end(q, out);
	out[n++] = c;
	if (c == '\n')
		q->matched = 0;
	return n;
}

size_t from_quote(struct from_quoter *q, struct slice in, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++)
		n += quote_byte(q, in.at[i], out + n);
	return n;
}

/* ---- one field ---- */

static struct slice next_line(struct slice *rest)
{
	struct slice line;

	if (!slice_cut(rest, '\n', &line))
		return slice_empty();
	return line.len > 0 && line.at[line.len - 1] == '\r' ? slice_sub(line, 0, line.len - 1) : line;
}

static bool is_folded(struct slice rest)
{
	return rest.len > 0 && (rest.at[0] == ' ' || rest.at[0] == '\t');
}

bool header_has(struct slice header, struct slice field)
{
	size_t colon = slice_index(field, ':');
	struct slice name = slice_sub(field, 0, colon), want = slice_trim(slice_from(field, colon + 1)), line;

	while ((line = next_line(&header)).len > 0) {
		size_t at = slice_index(line, ':');
		bool alone = !is_folded(header);

		if (at != SLICE_NONE && slice_eq_nocase(slice_trim(slice_sub(line, 0, at)), name) && alone &&
		    slice_eq_nocase(slice_trim(slice_from(line, at + 1)), want))
			return true;
	}
	return false;
}

void loop_guard_begin(struct loop_guard *g, struct slice address)
{
	g->address = address;
	g->len = 0;
	g->line_too_long = false;
	g->in_header = address.len > 0;
	g->found = false;
}

static struct slice without_brackets(struct slice s)
{
	if (s.len >= 2 && s.at[0] == '<' && s.at[s.len - 1] == '>')
		return slice_sub(s, 1, s.len - 2);
	return s;
}

static void end_line(struct loop_guard *g)
{
	static const char name[] = "Delivered-To:";
	struct slice line = slice_make(g->line, g->len);

	if (line.len == 0 && !g->line_too_long)
		g->in_header = false;
	if (!g->line_too_long && slice_starts_nocase(line, slice_of(name)) &&
	    slice_eq_nocase(without_brackets(slice_trim(slice_from(line, sizeof(name) - 1))), g->address))
		g->found = true;
	g->len = 0;
	g->line_too_long = false;
}

bool loop_guard_read(struct loop_guard *g, struct slice piece)
{
	for (size_t i = 0; i < piece.len && g->in_header && !g->found; i++) {
		if (piece.at[i] == '\n')
			end_line(g);
		else if (g->len < LOOP_LINE_MAX)
			g->line[g->len++] = piece.at[i];
		else
			g->line_too_long = true;
	}
	return g->in_header && !g->found;
}
