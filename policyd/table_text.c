#include "table_text.h"

#include "base/mem.h"
#include "lines.h"
#include "mail/address.h"

/* Always, once made: `entries` is sorted by key, and no key stands twice. */
struct entry {
	struct slice key, value; /* into `text`, or the configuration's; the key else into `own` */
	char *own; /* owned: a key that was made canonical; NULL */
	size_t line;
};

struct table_text {
	struct buf text; /* owned */
	struct entry *entries; /* owned */
	size_t count, cap;
};

static int compare_nocase(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < len; i++) {
		int diff = (unsigned char)ascii_lower(a.at[i]) - (unsigned char)ascii_lower(b.at[i]);

		if (diff != 0)
			return diff;
	}
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int diff = compare_nocase(x->key, y->key);

	return diff != 0 ? diff : x->line < y->line ? -1 : 1;
}

static bool refuse(struct buf *why, size_t line, const char *what)
{
	buf_addf(why, "%zu: %s", line, what);
	return false;
}

/* As it is asked for: U-labels of a domain are its A-labels. */
static bool make_canonical(struct entry *e)
{
	char text[MAIL_KEY_MAX + 1];

	if (!mail_key_canonical(e->key, text))
		return true;
	e->own = slice_dup(slice_of(text));
	if (e->own != NULL)
		e->key = slice_of(e->own);
	return e->own != NULL;
}

static bool add(struct table_text *t, struct slice key, struct slice value, size_t line, struct buf *why)
{
	void *items = t->entries;

	if (key.len == 0)
		return refuse(why, line, "no key before the colon");
	if (key.len > TABLE_KEY_MAX || value.len > TABLE_VALUE_MAX)
		return refuse(why, line, "a key has at most 1024 bytes, a value 1 MiB");
	if (!mem_grow(&items, &t->cap, t->count, sizeof(struct entry), TABLE_ENTRIES_MAX))
		return refuse(why, line, "more entries than a table in a file can have; use sqlite");
	t->entries = items;
	t->entries[t->count] = (struct entry){key, value, NULL, line};
	if (!make_canonical(&t->entries[t->count++]))
		return refuse(why, line, "out of memory");
	return true;
}

static bool sort(struct table_text *t, struct buf *why)
{
	if (t->count > 1)
		qsort(t->entries, t->count, sizeof(struct entry), compare_entries);
	for (size_t i = 1; i < t->count; i++) {
		const struct entry *e = &t->entries[i];

		if (compare_nocase(e[-1].key, e->key) != 0)
			continue;
		buf_addf(why, "%zu: the key \"%.*s\" stood in line %zu already", e->line, SLICE_ARG(slice_sub(e->key, 0, 100)),
			 e[-1].line);
		return false;
	}
	return true;
}

/* A key in quotes, and the colon behind it: what is between the quotes, in its place, and what follows the colon.  False: it is none,
 * as "odd name"@example.org is none. */
static bool cut_quoted(struct slice line, struct slice *key_out, struct slice *rest_out)
{
	char *key = (char *)(uintptr_t)line.at; /* the text is ours */
	size_t len = 0, i = 1;
	struct slice rest;

	while (i < line.len && line.at[i] != '"')
		i += line.at[i] == '\\' ? 2 : 1;
	rest = slice_trim(slice_from(line, i + 1));
	if (line.at[0] != '"' || i >= line.len || (rest.len > 0 && rest.at[0] != ':'))
		return false;
	for (size_t at = 1; at < i; at++) {
		at += line.at[at] == '\\';
		key[len++] = line.at[at];
	}
	*key_out = slice_make(key, len);
	*rest_out = slice_trim(slice_from(rest, 1));
	return true;
}

/* "root:alice" would be a key alone: what was meant is not guessed. */
static bool is_glued(struct slice line)
{
	size_t colon = slice_index(line, ':');

	if (colon == SLICE_NONE)
		return false;
	return slice_rindex(line, ':') == colon || slice_starts_nocase(slice_from(line, colon + 1), slice_of(":include:"));
}

/* The colon ends a key only before a blank or the end of the line: "2001:db8::1: value" has three that do not. */
static bool add_line(struct table_text *t, struct slice line, size_t number, struct buf *why)
{
	struct slice key, value;

	if (cut_quoted(line, &key, &value))
		return add(t, key, value, number, why);
	for (size_t i = 0; i < line.len; i++) {
		bool ends = i + 1 == line.len || line.at[i + 1] == ' ' || line.at[i + 1] == '\t';

		if (line.at[i] == ':' && ends)
			return add(t, slice_trim(slice_sub(line, 0, i)), slice_trim(slice_from(line, i + 1)), number, why);
	}
	if (slice_index(line, ' ') != SLICE_NONE || slice_index(line, '\t') != SLICE_NONE)
		return refuse(why, number, "expected `key` or `key: value`, with a blank behind the colon");
	if (is_glued(line))
		return refuse(why, number, "put a blank behind the colon, or the key in quotes");
	return add(t, line, slice_empty(), number, why);
}

static bool parse(struct table_text *t, struct buf *why)
{
	struct lines lines = lines_joined(&t->text);

	while (lines_next(&lines))
		if (!add_line(t, lines.line, lines.number, why))
			return false;
	if (lines.mistake != NULL)
		return refuse(why, lines.number, lines.mistake);
	return sort(t, why);
}

struct table_text *table_text_parse(struct buf *text, struct buf *why)
{
	struct table_text *t = mem_new(1, sizeof(*t));

	if (t == NULL) {
		buf_free(text);
		refuse(why, 0, "out of memory");
		return NULL;
	}
	t->text = *text;
	*text = buf_make(text->max);
	if (!parse(t, why))
		table_text_free(&t);
	return t;
}

struct table_text *table_text_of(const struct conf_table_entry *entries, size_t count, struct buf *why)
{
	struct table_text *t = mem_new(1, sizeof(*t));

	if (t == NULL) {
		refuse(why, 0, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (!add(t, slice_of(entries[i].key), slice_of(entries[i].value), i + 1, why)) {
			table_text_free(&t);
			return NULL;
		}
	if (!sort(t, why))
		table_text_free(&t);
	return t;
}

void table_text_free(struct table_text **tp)
{
	struct table_text *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	for (size_t i = 0; i < t->count; i++)
		free(t->entries[i].own);
	buf_free(&t->text);
	free(t->entries);
	free(t);
}

void table_text_at(const struct table_text *t, size_t i, struct slice *key_out, struct slice *value_out, size_t *line_out)
{
	*key_out = t->entries[i].key;
	*value_out = t->entries[i].value;
	*line_out = t->entries[i].line;
}

size_t table_text_count(const struct table_text *t)
{
	return t->count;
}

static const struct entry *find(const struct table_text *t, struct slice key)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int diff = compare_nocase(t->entries[middle].key, key);

		if (diff == 0)
			return &t->entries[middle];
		if (diff < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool table_text_find(const struct table_text *t, struct slice key, struct slice *value_out)
{
	const struct entry *e = find(t, key);

	if (e != NULL)
		*value_out = e->value;
	return e != NULL;
}

size_t table_text_line(const struct table_text *t, struct slice key)
{
	const struct entry *e = find(t, key);

	return e == NULL ? 0 : e->line;
}
