#include "conf/compiler.h"

#include "conf/unit.h"

#include <inttypes.h>

/* Arguments of one value, and the settings. */

#define DOMAIN_BYTES_MAX 253u
#define TEXT_BYTES_MAX 1000u

static void *field(void *into, size_t offset)
{
	return (char *)into + offset;
}

bool is_host_name(struct slice s)
{
	struct slice rest = s, label;

	if (s.len == 0 || s.len > DOMAIN_BYTES_MAX || s.at[s.len - 1] == '.')
		return false;
	while (slice_cut(&rest, '.', &label)) {
		if (label.len == 0 || label.len > 63 || label.at[0] == '-' ||
		    label.at[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!ascii_is_alnum(label.at[i]) && label.at[i] != '-' && label.at[i] != '_')
				return false;
	}
	return true;
}

bool split_host_port(struct slice s, struct slice *host_out, uint16_t *port_out)
{
	size_t colon = slice_rindex(s, ':');
	uint64_t port;

	if (colon == SLICE_NONE || !slice_u64(slice_from(s, colon + 1), 65535, &port) || port == 0)
		return false;
	*host_out = slice_sub(s, 0, colon);
	*port_out = (uint16_t)port;
	if (host_out->len >= 2 && host_out->at[0] == '[') {
		if (host_out->at[host_out->len - 1] != ']')
			return false;
		*host_out = slice_sub(*host_out, 1, host_out->len - 2);
		return slice_index(*host_out, ':') != SLICE_NONE;
	}
	return slice_index(*host_out, ':') == SLICE_NONE;
}

bool read_name_field(struct compiler *c, const struct statement *st, void *into)
{
	return take_name(c->p, "a name", field(into, st->offset));
}

bool read_text_field(struct compiler *c, const struct statement *st, void *into)
{
	const char **text = field(into, st->offset);
	struct token t;

	if (!take_text(c->p, "a text", &t))
		return false;
	if (t.text.len == 0 || t.text.len > TEXT_BYTES_MAX) {
		mistake_add(c->mistakes, t.pos, "expected 1 to 1000 bytes",
			    "a text of that length has no use here");
		return false;
	}
	*text = arena_text(c->arena, t.text);
	return *text != NULL;
}

bool read_path_field(struct compiler *c, const struct statement *st, void *into)
{
	return take_path(c->p, field(into, st->offset));
}

bool read_choice_field(struct compiler *c, const struct statement *st, void *into)
{
	unsigned index;

	if (!take_choice(c->p, st->keyword, st->words, &index))
		return false;
	*(unsigned *)field(into, st->offset) = index; /* an enum of ours: its type is unsigned */
	return true;
}

bool read_yes_no_field(struct compiler *c, const struct statement *st, void *into)
{
	return take_yes_no(c->p, field(into, st->offset));
}

bool read_u32_field(struct compiler *c, const struct statement *st, void *into)
{
	uint64_t n;

	if (!take_number(c->p, st->min, st->max, &n))
		return false;
	*(uint32_t *)field(into, st->offset) = (uint32_t)n;
	return true;
}

bool read_time_field(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_pos pos = c->p->now.pos;
	uint64_t ms;

	if (!take_time(c->p, &ms))
		return false;
	if (ms < st->min || ms > st->max) {
		mistake_add(c->mistakes, pos, "", "%s must be %" PRIu64 "s to %" PRIu64 "s", st->keyword, st->min / 1000,
			    st->max / 1000);
		return false;
	}
	*(uint64_t *)field(into, st->offset) = ms;
	return true;
}

static bool take_domain(struct compiler *c, const char **into)
{
	struct token t;

	if (!take_text(c->p, "a host name", &t))
		return false;
	if (!is_host_name(t.text)) {
		mistake_add(c->mistakes, t.pos, "expected a host name such as mx1.example.org",
			    "\"%.*s\" is no host name", t.text.len > 80 ? 80 : (int)t.text.len,
			    t.text.at);
		return false;
	}
	*into = arena_text(c->arena, t.text);
	return *into != NULL;
}

bool read_domain_field(struct compiler *c, const struct statement *st, void *into)
{
	return take_domain(c, field(into, st->offset));
}

bool read_host_path_field(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_pos pos = c->p->now.pos;
	const char **path = field(into, st->offset);
	struct slice rest;
	size_t open;

	if (!take_path(c->p, path))
		return false;
	rest = slice_of(*path);
	while ((open = slice_index(rest, '{')) != SLICE_NONE) {
		rest = slice_from(rest, open);
		if (!slice_starts(rest, slice_of("{host}")) &&
		    !slice_starts(rest, slice_of("{hostname}"))) {
			mistake_add(c->mistakes, pos, "only {hostname} has a meaning here",
				    "an unknown name in the path");
			return false;
		}
		rest = slice_from(rest, 1);
	}
	return true;
}

/* ---- settings ---- */

static bool too_small_or_large(struct compiler *c, const struct setting *s, struct conf_pos pos)
{
	struct buf hint = buf_make(256);

	buf_addf(&hint, "expected %s to %s", s->min, s->max);
	mistake_add(c->mistakes, pos, buf_text(&hint), "%s is out of bounds", dashed(c, s->name));
	buf_free(&hint);
	return false;
}

typedef bool unit_fn(struct slice s, uint64_t *out);

static bool in_bounds(const struct setting *s, unit_fn *unit, uint64_t value)
{
	uint64_t min = 0, max = 0;

	return unit(slice_of(s->min), &min) && unit(slice_of(s->max), &max) && value >= min &&
	       value <= max;
}

static bool any_number(struct slice s, uint64_t *out)
{
	return slice_u64(s, UINT64_MAX, out);
}

static bool set_number(struct compiler *c, const struct setting *s, uint64_t *into)
{
	uint64_t min = 0, max = 0;

	any_number(slice_of(s->min), &min);
	any_number(slice_of(s->max), &max);
	return take_number(c->p, min, max, into);
}

static bool set_size(struct compiler *c, const struct setting *s, uint64_t *into)
{
	struct conf_pos pos = c->p->now.pos;

	if (!take_size(c->p, into))
		return false;
	return in_bounds(s, unit_size, *into) || too_small_or_large(c, s, pos);
}

static bool set_time(struct compiler *c, const struct setting *s, uint64_t *into)
{
	struct conf_pos pos = c->p->now.pos;

	if (!take_time(c->p, into))
		return false;
	return in_bounds(s, unit_time, *into) || too_small_or_large(c, s, pos);
}

/* The words of a text setting, up to the line's end, joined by one blank. */
static bool set_text(struct compiler *c, const char **into)
{
	struct buf all = buf_make(4096);
	struct token t;
	bool ok = true;

	do {
		ok = take_text(c->p, "a value", &t);
		if (ok && all.len > 0)
			buf_add_char(&all, ' ');
		if (ok)
			buf_add_slice(&all, t.text);
	} while (ok && !parser_at_statement_end(c->p));
	if (ok && buf_ok(&all)) {
		*into = arena_text(c->arena, buf_slice(&all));
		ok = *into != NULL;
	}
	buf_free(&all);
	return ok;
}

bool read_setting(struct compiler *c, const struct setting *s, size_t index)
{
	void *into = field(&c->conf->set, s->offset);

	c->set_at[index] = c->p->now.pos;
	switch (s->kind) {
	case SETTING_TEXT:
		return set_text(c, into);
	case SETTING_NUMBER:
		return set_number(c, s, into);
	case SETTING_SIZE:
		return set_size(c, s, into);
	case SETTING_TIME:
		return set_time(c, s, into);
	case SETTING_BOOL:
		return take_yes_no(c->p, into);
	}
	return false;
}
