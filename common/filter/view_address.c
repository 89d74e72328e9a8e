#include "filter/view_address.h"

#include "base/mem.h"
#include "filter/view_words.h"

/*
 * One pass over the text.  A mailbox is collected twice, since only what follows tells what its words are: as a display name (words
 * with one blank between) and as an address (words without).  A `<` makes all before it a name.
 */
struct parse {
	struct arena *arena;
	struct slice rest;
	struct buf name, address, comment; /* owned; of the mailbox that is being read */
	bool angle; /* inside < > */
	bool had_angle;
	bool space; /* came before the next word */
	bool broken; /* two words of an address with a blank between */
	struct view_addresses *out;
	bool failed;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool keep(struct parse *p, struct slice s, struct slice *out)
{
	char *copy = s.len == 0 ? NULL : arena_take(p->arena, s.len);

	if (s.len > 0 && copy == NULL)
		return false;
	if (copy != NULL)
		memcpy(copy, s.at, s.len);
	*out = slice_make(copy, s.len);
	return true;
}

static bool keep_decoded(struct parse *p, struct slice s, struct slice *out)
{
	struct buf decoded = buf_make(s.len * VIEW_WORDS_GROWTH);
	bool good = view_decode_words(s, &decoded) && keep(p, buf_slice(&decoded), out);

	buf_free(&decoded);
	return good;
}

/* Octets up to and with the `end` that belongs to the first one; a backslash takes the next one with it. */
static size_t quoted_length(struct slice s, char end)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == end)
			return i + 1;
	}
	return s.len;
}

/* What stands between the first and the last octet, backslashes resolved. */
static void add_unquoted(struct buf *out, struct slice quoted, char end)
{
	bool closed = quoted.len > 1 && quoted.at[quoted.len - 1] == end;

	quoted = slice_sub(quoted, 1, quoted.len - (closed ? 2 : 1));
	for (size_t i = 0; i < quoted.len; i++) {
		if (quoted.at[i] == '\\' && i + 1 < quoted.len)
			i++;
		buf_add_char(out, quoted.at[i]);
	}
}

/* Dot-atom or obsolete: any run of characters that are not specials (RFC 5322 §3.2.3); UTF-8 is as good (RFC 6532). */
static bool is_word(char c)
{
	return (unsigned char)c > ' ' && (unsigned char)c != 0x7f && strchr("()<>@,;:\\\"[]", c) == NULL;
}

/* Where the `@` that begins the domain stands: outside quotes, the last one; SLICE_NONE: none. */
static size_t domain_at(struct slice address)
{
	size_t at = SLICE_NONE;

	for (size_t i = 0; i < address.len; i++) {
		if (address.at[i] == '"')
			i += quoted_length(slice_from(address, i), '"') - 1;
		else if (address.at[i] == '@')
			at = i;
	}
	return at;
}

static bool is_domain(struct slice s)
{
	if (s.len > 2 && s.at[0] == '[' && s.at[s.len - 1] == ']')
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (!is_word(s.at[i]))
			return false;
	return s.len > 0 && s.at[0] != '.' && s.at[s.len - 1] != '.';
}

/* The local part's content in `out`; false: it is none. */
static bool local_content(struct slice s, struct buf *out)
{
	if (s.len == 0)
		return false;
	while (s.len > 0) {
		size_t quoted = s.at[0] == '"' ? quoted_length(s, '"') : 0;

		if (quoted > 0)
			add_unquoted(out, slice_sub(s, 0, quoted), '"');
		else if (is_word(s.at[0]))
			buf_add_char(out, s.at[0]);
		else
			return false;
		s = slice_from(s, quoted > 0 ? quoted : 1);
	}
	return true;
}

static bool split(struct parse *p, struct view_address *a)
{
	size_t at = domain_at(a->address);
	struct buf local = buf_make(a->address.len);
	bool kept = true;

	if (!p->broken && at != SLICE_NONE && is_domain(slice_from(a->address, at + 1)) &&
	    local_content(slice_sub(a->address, 0, at), &local)) {
		a->good = true;
		a->domain = slice_from(a->address, at + 1);
		kept = buf_ok(&local) && keep(p, buf_slice(&local), &a->local);
	} else if (!p->had_angle) {
		kept = keep(p, buf_slice(&p->name), &a->address);
	}
	buf_free(&local);
	return kept;
}

static bool finish(struct parse *p)
{
	struct slice address = buf_slice(&p->address), name = buf_slice(p->had_angle ? &p->name : &p->comment);
	struct view_address *a;
	void *items = p->out->at;

	if (!buf_ok(&p->address) || !buf_ok(&p->name) || !buf_ok(&p->comment))
		return false;
	if ((address.len == 0 && (name.len == 0 || !p->had_angle)) || p->out->count >= VIEW_ADDRESSES_MAX)
		return true;
	a = arena_push(p->arena, &items, &p->out->count, sizeof(*a));
	p->out->at = items;
	if (a == NULL)
		return false;
	*a = (struct view_address){slice_empty(), slice_empty(), slice_empty(), slice_empty(), false};
	if (name.len == 0)
		name = buf_slice(&p->comment);
	if (!keep(p, address, &a->address) || !keep_decoded(p, slice_trim(name), &a->name) || !split(p, a))
		return false;
	if (a->address.len == 0 && a->name.len == 0)
		p->out->count--; /* nothing but empty quotes */
	return true;
}

static void begin(struct parse *p)
{
	buf_clear(&p->name);
	buf_clear(&p->address);
	buf_clear(&p->comment);
	p->angle = p->had_angle = p->space = p->broken = false;
}

static void end_member(struct parse *p)
{
	p->failed = !finish(p) || p->failed;
	begin(p);
}

static bool is_joint(char c)
{
	return c == '.' || c == '@';
}

/* RFC 5322 §4.4 has blanks around dots and the `@`, nowhere else. */
static void add_to_address(struct parse *p, struct slice word)
{
	const struct buf *b = &p->address;

	p->broken = p->broken || (p->space && b->len > 0 && !is_joint(b->at[b->len - 1]) && !is_joint(word.at[0]));
	buf_add_slice(&p->address, word);
}

/* `quoted` is how it stands, and all there is of a word. */
static void add_word(struct parse *p, struct slice quoted)
{
	if (p->angle || !p->had_angle)
		add_to_address(p, quoted);
	if (!p->had_angle) {
		if (p->space && p->name.len > 0)
			buf_add_char(&p->name, ' ');
		if (quoted.at[0] == '"')
			add_unquoted(&p->name, quoted, '"');
		else
			buf_add_slice(&p->name, quoted);
	}
	p->space = false;
}

static void special(struct parse *p, char c)
{
	if ((c == ',' || c == ';') && !p->angle) {
		end_member(p);
	} else if (c == ':') {
		buf_clear(&p->address); /* in < > a route (§4.4), else a group's name */
		if (!p->angle)
			begin(p);
	} else if (c == '<' && !p->angle) {
		buf_clear(&p->address);
		p->broken = false;
		p->angle = p->had_angle = true;
	} else if (c == '>' && p->angle) {
		p->angle = false;
	} else if (c != '\\' && !(c == ',' && p->angle)) {
		add_word(p, slice_make(&c, 1));
	}
}

static size_t step(struct parse *p)
{
	char c = p->rest.at[0];
	size_t len = 1;

	if (is_blank(c)) {
		p->space = true;
	} else if (c == '(') {
		len = view_comment_length(p->rest);
		buf_clear(&p->comment);
		add_unquoted(&p->comment, slice_sub(p->rest, 0, len), ')');
		p->space = true;
	} else if (c == '"' || c == '[') {
		len = quoted_length(p->rest, c == '"' ? '"' : ']');
		add_word(p, slice_sub(p->rest, 0, len));
	} else if (is_word(c)) {
		while (len < p->rest.len && is_word(p->rest.at[len]))
			len++;
		add_word(p, slice_sub(p->rest, 0, len));
	} else {
		special(p, c);
	}
	return len;
}

bool view_addresses_parse(struct arena *arena, struct slice text, struct view_addresses *out)
{
	size_t most = text.len * 2 + 1;
	struct parse p = {.arena = arena, .rest = text, .out = out};

	*out = (struct view_addresses){NULL, 0};
	p.name = buf_make(most);
	p.address = buf_make(most);
	p.comment = buf_make(most);
	while (p.rest.len > 0 && !p.failed)
		p.rest = slice_from(p.rest, step(&p));
	end_member(&p);
	buf_free(&p.name);
	buf_free(&p.address);
	buf_free(&p.comment);
	return !p.failed;
}
