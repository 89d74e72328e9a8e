#include "command_line.h"

struct command_line command_line_make(void)
{
	return (struct command_line){.text = buf_make_secret(COMMAND_AUTH_MAX)};
}

void command_line_free(struct command_line *l)
{
	buf_free(&l->text);
}

void command_line_clear(struct command_line *l)
{
	buf_free(&l->text); /* an idle session keeps no memory for it */
	l->skipped = 0;
	l->skipping = false;
	l->after_cr = false;
}

static enum line_event begin_skipping(struct command_line *l, enum line_event why)
{
	buf_free(&l->text);
	l->skipping = true;
	l->skipped = 0;
	return why;
}

/* Clients send a whole token with AUTH, though RFC 4954 would have them wait for the challenge. */
static size_t longest(const struct command_line *l)
{
	return l->in_dialogue || slice_starts_nocase(buf_slice(&l->text), slice_of("AUTH ")) ? COMMAND_AUTH_MAX : COMMAND_LINE_MAX;
}

static enum line_event judge(struct command_line *l, char c)
{
	if (c == '\n')
		return LINE_BARE_LF;
	if (l->after_cr)
		return LINE_BARE_CR;
	if (c == '\0')
		return LINE_NUL;
	if (c != '\r' && (l->text.len + 2 >= longest(l) || !buf_add_char(&l->text, c)))
		return LINE_LONG;
	return LINE_MORE;
}

static enum line_event skip_octet(struct command_line *l)
{
	return ++l->skipped > COMMAND_SKIPPED_MAX ? LINE_ENDLESS : LINE_MORE;
}

static enum line_event take_octet(struct command_line *l, char c)
{
	bool ends = l->after_cr && c == '\n';
	enum line_event event;

	if (ends) {
		l->after_cr = false;
		if (!l->skipping)
			return LINE_WHOLE;
		command_line_clear(l);
		return LINE_MORE;
	}
	event = l->skipping ? skip_octet(l) : judge(l, c);
	l->after_cr = c == '\r';
	return event == LINE_MORE || l->skipping ? event : begin_skipping(l, event);
}

enum line_event command_line_step(struct command_line *l, struct slice in, size_t *used_out)
{
	enum line_event event = LINE_MORE;

	*used_out = 0;
	while (*used_out < in.len && event == LINE_MORE)
		event = take_octet(l, in.at[(*used_out)++]);
	return event;
}
