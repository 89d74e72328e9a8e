#include "reply.h"

void reply_start(struct reply_parser *p)
{
	p->reply.code = 0;
	p->reply.dsn[0] = '\0';
	p->reply.text[0] = '\0';
	p->line = slice_empty();
	p->why = "";
	p->lines = 0;
	p->held = 0;
	p->is_whole = p->is_bad = false;
}

bool reply_is_between(const struct reply_parser *p)
{
	return p->held == 0 && (p->lines == 0 || p->is_whole);
}

static enum reply_want fail(struct reply_parser *p, const char *why)
{
	p->is_bad = true;
	p->why = why;
	return REPLY_BAD;
}

void reply_sanitise(struct slice from, char *out, size_t size)
{
	size_t at = strlen(out);

	for (size_t i = 0; i < from.len && at + 1 < size; i++) {
		char c = from.at[i];

		if (c == '\t')
			c = ' ';
		out[at++] = c >= ' ' && c <= '~' ? c : '?';
	}
	out[at] = '\0';
}

/* Length of "C.S.D" at the front (RFC 3463: one digit, then one to three, then one to three), or 0. */
static size_t dsn_length(struct slice text)
{
	size_t at = 1;

	if (text.len < 5 || (text.at[0] != '2' && text.at[0] != '4' && text.at[0] != '5'))
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (at >= text.len || text.at[at] != '.')
			return 0;
		at++;
		while (at < text.len && ascii_is_digit(text.at[at]) && digits <= 3) {
			at++;
			digits++;
		}
		if (digits == 0 || digits > 3)
			return 0;
	}
	return at == text.len || text.at[at] == ' ' ? at : 0;
}

/* The first line's code counts; the same again in later lines is not repeated in the text. */
static struct slice take_dsn(struct reply *r, struct slice text, bool is_first)
{
	size_t len = dsn_length(text);
	struct slice dsn = slice_sub(text, 0, len);

	if (len == 0 || (unsigned)(dsn.at[0] - '0') != reply_class(r))
		return text;
	if (is_first)
		slice_copy(dsn, r->dsn, sizeof(r->dsn));
	else if (!slice_eq(dsn, slice_of(r->dsn)))
		return text;
	return slice_trim(slice_from(text, len));
}

static void keep_text(struct reply_parser *p, struct slice text)
{
	text = slice_trim(take_dsn(&p->reply, text, p->lines == 1));
	if (text.len > 0 && p->reply.text[0] != '\0')
		reply_sanitise(slice_of(" "), p->reply.text, sizeof(p->reply.text));
	reply_sanitise(text, p->reply.text, sizeof(p->reply.text));
}

/* 0: it does not begin with a code. */
static unsigned code_of(struct slice line)
{
	if (line.len < 3 || line.at[0] < '2' || line.at[0] > '5' || line.at[1] < '0' || line.at[1] > '9' ||
	    !ascii_is_digit(line.at[2]))
		return 0;
	return (unsigned)(line.at[0] - '0') * 100 + (unsigned)(line.at[1] - '0') * 10 + (unsigned)(line.at[2] - '0');
}

/* RFC 5321 §4.2: a line with the code alone is a last line. */
static enum reply_want end_line(struct reply_parser *p)
{
	struct slice line = slice_make(p->hold, p->held - 2);
	unsigned code = code_of(line);
	char mark = line.len > 3 ? line.at[3] : ' ';

	p->held = 0;
	if (code == 0)
		return fail(p, "a line without a reply code");
	if (mark != ' ' && mark != '-')
		return fail(p, "no space or hyphen after the reply code");
	if (p->lines > 0 && code != p->reply.code)
		return fail(p, "two codes in one reply");
	if (++p->lines > REPLY_LINES_MAX)
		return fail(p, "a reply of too many lines");
	p->reply.code = code;
	p->line = slice_from(line, 4);
	keep_text(p, p->line);
	p->is_whole = mark == ' ';
	return p->is_whole ? REPLY_DONE : REPLY_LINE;
}

/* Whether the bytes held are a line as RFC 5321 wants it: CR and LF only together, at the end. */
static const char *check_line(const struct reply_parser *p)
{
	const char *cr = memchr(p->hold, '\r', p->held);

	if (memchr(p->hold, '\0', p->held) != NULL)
		return "a NUL in a reply";
	if (p->held < 2 || p->hold[p->held - 2] != '\r')
		return "a line that ends with LF alone";
	if (cr != p->hold + p->held - 2)
		return "a CR inside a line";
	return NULL;
}

enum reply_want reply_step(struct reply_parser *p, struct slice *in)
{
	size_t end = slice_index(*in, '\n');
	struct slice piece = slice_sub(*in, 0, end == SLICE_NONE ? SIZE_MAX : end + 1);
	const char *why;

	if (p->is_bad)
		return REPLY_BAD;
	if (p->is_whole)
		reply_start(p);
	if (piece.len > sizeof(p->hold) - p->held)
		return fail(p, "a line that is too long");
	memcpy(p->hold + p->held, piece.at, piece.len);
	p->held += piece.len;
	*in = slice_from(*in, piece.len);
	if (end == SLICE_NONE)
		return REPLY_MORE;
	why = check_line(p);
	return why == NULL ? end_line(p) : fail(p, why);
}
