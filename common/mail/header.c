#include "mail/header.h"

struct header_walk header_walk_make(header_field_fn *fn, void *arg)
{
	return (struct header_walk){.fn = fn, .arg = arg, .value = buf_make(HEADER_VALUE_KEPT)};
}

void header_walk_free(struct header_walk *w)
{
	buf_free(&w->value);
}

static void finish_field(struct header_walk *w)
{
	struct slice name = slice_make(w->name, w->name_len);

	if (!w->has_field)
		return;
	w->has_field = false;
	w->received += slice_eq_nocase(name, slice_of("received"));
	if (w->names != NULL)
		header_names_add(w->names, name);
	if (w->fn != NULL)
		w->fn(name, slice_trim(buf_slice(&w->value)), w->arg);
	buf_clear(&w->value);
	w->cut = false;
}

static void keep_value(struct header_walk *w, char c)
{
	if (w->fn == NULL || !w->has_field)
		return;
	w->cut = w->cut || w->value.len >= HEADER_VALUE_KEPT;
	if (!w->cut && !buf_add_char(&w->value, c))
		w->cut = w->no_memory = true;
}

static void begin_line(struct header_walk *w, char c)
{
	if (c == ' ' || c == '\t') {
		w->malformed = w->malformed || !w->has_field;
		w->loose = w->loose || !w->has_field;
		w->state = w->has_field ? HEADER_VALUE : HEADER_JUNK;
		keep_value(w, c);
		return;
	}
	finish_field(w);
	w->name_len = 0;
	w->name_over = false;
	w->state = HEADER_NAME;
}

static void end_line(struct header_walk *w)
{
	if (w->state == HEADER_LINE_START) {
		finish_field(w);
		w->state = HEADER_ENDED;
		return;
	}
	w->malformed = w->malformed || w->state == HEADER_NAME;
	w->state = HEADER_LINE_START;
}

/* ftext of RFC 5322 §3.6.8 */
static bool is_name_octet(char c)
{
	return (unsigned char)c > ' ' && (unsigned char)c < 0x7f && c != ':';
}

static void in_name(struct header_walk *w, char c)
{
	if (c == ':' && w->name_len > 0) {
		w->has_field = true;
		w->state = HEADER_VALUE;
	} else if ((c == ' ' || c == '\t') && w->name_len > 0) {
		w->name_over = true; /* before the colon: RFC 5322 §4.5, obsolete and harmless */
	} else if (w->name_over || !is_name_octet(c) || w->name_len == HEADER_NAME_MAX) {
		w->malformed = true;
		w->state = HEADER_JUNK;
	} else {
		w->name[w->name_len++] = c;
	}
}

static void walk_octet(struct header_walk *w, char c)
{
	if (c == '\n')
		end_line(w);
	if (c == '\n' || c == '\r')
		return;
	w->high = w->high || (unsigned char)c >= 0x80;
	if (w->state == HEADER_LINE_START)
		begin_line(w, c);
	else if (w->state == HEADER_VALUE)
		keep_value(w, c);
	if (w->state == HEADER_NAME)
		in_name(w, c);
}

size_t header_walk_step(struct header_walk *w, struct slice in)
{
	size_t used = 0;

	while (used < in.len && w->state != HEADER_ENDED)
		walk_octet(w, in.at[used++]);
	w->bytes += used;
	return used;
}

void header_walk_end(struct header_walk *w)
{
	if (w->state != HEADER_ENDED)
		finish_field(w);
	w->state = HEADER_ENDED;
}
