#include "submit_text.h"

/*
 *	line_start --'.'--> dot_waits --CR, LF--> the line was one dot: the end, or a doubled dot
 *	                        '-- other ------> a doubled dot, and on
 */

struct submit_text submit_text_begin(bool dot_ends)
{
	return (struct submit_text){.dot_ends = dot_ends, .line_start = true};
}

static bool end_line(struct submit_text *t, struct buf *out)
{
	t->line_start = true;
	t->after_cr = false;
	return buf_add(out, "\r\n", 2);
}

/* The dot that waited was a whole line, or began one. */
static bool release_dot(struct submit_text *t, bool line_ends, struct buf *out)
{
	t->dot_waits = false;
	if (line_ends && t->dot_ends) {
		t->ended = true;
		return true;
	}
	return buf_add(out, "..", 2);
}

static bool add_lone_cr(struct submit_text *t, struct buf *out)
{
	t->after_cr = false;
	t->line_start = false;
	return (!t->dot_waits || release_dot(t, false, out)) && buf_add_char(out, '\r');
}

static bool add_end_of_line(struct submit_text *t, struct buf *out)
{
	if (t->dot_waits && !release_dot(t, true, out))
		return false;
	return t->ended || end_line(t, out);
}

/* A run of bytes that need no thought. */
static size_t plain_run(struct slice in)
{
	size_t n = 0;

	while (n < in.len && in.at[n] != '\r' && in.at[n] != '\n')
		n++;
	return n;
}

static bool add_plain(struct submit_text *t, struct slice run, struct buf *out)
{
	if (t->dot_waits && !release_dot(t, false, out))
		return false;
	t->line_start = false;
	return buf_add_slice(out, run);
}

/* Takes one step; returns how many bytes it took, 0 when `out` is full. */
static size_t step(struct submit_text *t, struct slice in, struct buf *out)
{
	size_t run;

	if (in.at[0] == '\n')
		return add_end_of_line(t, out) ? 1 : 0;
	if (t->after_cr && !add_lone_cr(t, out))
		return 0;
	if (in.at[0] == '\r') {
		t->after_cr = true;
		return 1;
	}
	if (in.at[0] == '.' && t->line_start && !t->dot_waits) {
		t->dot_waits = true;
		t->line_start = false;
		return 1;
	}
	run = plain_run(in);
	return add_plain(t, slice_sub(in, 0, run), out) ? run : 0;
}

bool submit_text_add(struct submit_text *t, struct slice in, struct buf *out)
{
	while (in.len > 0 && !t->ended) {
		size_t n = step(t, in, out);

		if (n == 0)
			return false;
		in = slice_from(in, n);
	}
	return true;
}

bool submit_text_end(struct submit_text *t, struct buf *out)
{
	if (!t->ended && t->after_cr && !add_lone_cr(t, out))
		return false;
	if (!t->ended && t->dot_waits && !release_dot(t, true, out))
		return false;
	if (!t->ended && !t->line_start && !end_line(t, out))
		return false;
	t->ended = true;
	return buf_add(out, ".\r\n", 3);
}
