#include "import_virtual.h"

#include "base/mem.h"
#include "mail/address.h"

#include <stdlib.h>
#include <strings.h>

struct entry {
	char *key, *value; /* owned; canonical */
	size_t line;
};

struct import {
	struct entry *entries; /* owned */
	size_t count, cap;
	import_left_fn *left;
	void *arg;
};

/* ---- what stands there ---- */

/* NULL: `out` has it. */
static const char *read_key(struct slice key, struct buf *out)
{
	struct mail_address a;
	char domain[MAIL_DOMAIN_MAX + 1];
	size_t at = slice_rindex(key, '@');

	if (key.at[0] == '/' || key.at[0] == '!')
		return "a regular expression; write it by hand, into a table of kind pcre2";
	if (at == SLICE_NONE && slice_index(key, '.') != SLICE_NONE)
		return "a domain that is declared; add it by `postern domain add`, or to the table of your domains";
	if (at == SLICE_NONE)
		return "a key without a domain is one of every domain here; write local@domain";
	if (at == 0 && mail_domain_parse(slice_from(key, 1), MAIL_ALLOW_UTF8, domain) && domain[0] != '[')
		return buf_add_char(out, '@') && buf_add_text(out, domain) ? NULL : "too long";
	if (mail_address_parse(key, MAIL_ALLOW_UTF8, &a) != MAIL_OK || a.literal || !import_is_plain(mail_address_text(&a)))
		return "a key that cannot be written in a table's file";
	return buf_add_slice(out, mail_address_text(&a)) ? NULL : "too long";
}

static const char *read_target(struct slice target, struct buf *out)
{
	struct mail_address a;

	if (target.at[0] == '@')
		return "each address of a domain to the same of another; write a rule `rewrite` instead";
	if (target.at[0] == '|' || target.at[0] == '/' || target.at[0] == '"' || target.at[0] == ':')
		return "a program, a file or an include; write it into a table of system aliases";
	if (mail_address_parse(target, MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE, &a) != MAIL_OK || !import_is_plain(mail_address_text(&a)))
		return "a target that is no address";
	return (out->len == 0 || buf_add_text(out, ", ")) && buf_add_slice(out, mail_address_text(&a)) ? NULL : "too long";
}

static const char *read_targets(struct slice rest, struct buf *out)
{
	const char *mistake = NULL;

	while (mistake == NULL && rest.len > 0) {
		size_t len = 0;

		while (len < rest.len && !import_is_blank(rest.at[len]) && rest.at[len] != ',')
			len++;
		if (len > 0)
			mistake = read_target(slice_sub(rest, 0, len), out);
		rest = slice_from(rest, len < rest.len ? len + 1 : len);
	}
	return mistake == NULL && out->len == 0 ? "a key without a target" : mistake;
}

static bool add(struct import *im, struct slice key, struct slice value, size_t line)
{
	void *entries = im->entries;
	struct entry *e;

	if (!mem_grow(&entries, &im->cap, im->count, sizeof(struct entry), IMPORT_ENTRIES_MAX))
		return false;
	im->entries = entries;
	e = &im->entries[im->count++];
	*e = (struct entry){slice_dup(key), slice_dup(value), line};
	return e->key != NULL && e->value != NULL;
}

static bool read_logical(struct import *im, const struct import_line *l)
{
	struct slice text = buf_slice(&l->text), key;
	struct buf canonical = buf_make(512), value = buf_make(IMPORT_LINE_MAX);
	size_t len = 0;
	const char *mistake;
	bool done = true;

	while (len < text.len && !import_is_blank(text.at[len]))
		len++;
	key = slice_sub(text, 0, len);
	mistake = l->too_long ? "a line of more than 64 KiB" : read_key(key, &canonical);
	if (mistake == NULL)
		mistake = read_targets(slice_from(text, len), &value);
	if (mistake != NULL)
		im->left(l->number, slice_sub(key, 0, 200), mistake, im->arg);
	else
		done = add(im, buf_slice(&canonical), buf_slice(&value), l->number);
	buf_free(&canonical);
	buf_free(&value);
	return done;
}

/* ---- what is written ---- */

/* Tables look at keys without regard to case. */
static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int diff = strcasecmp(x->key, y->key);

	return diff != 0 ? diff : x->line < y->line ? -1 : 1;
}

static int by_line(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->line < y->line ? -1 : x->line > y->line;
}

/* The later ones of a key get line 0. */
static void tell_doubles(struct import *im)
{
	if (im->count > 1)
		qsort(im->entries, im->count, sizeof(struct entry), by_key);
	for (size_t i = 1, first = 0; i < im->count; i++) {
		if (strcasecmp(im->entries[first].key, im->entries[i].key) != 0) {
			first = i;
			continue;
		}
		im->left(im->entries[i].line, slice_of(im->entries[i].key), "this key stood there before; Postfix takes the first", im->arg);
		im->entries[i].line = 0;
	}
	if (im->count > 1)
		qsort(im->entries, im->count, sizeof(struct entry), by_line);
}

static bool write_out(const struct import *im, struct buf *out)
{
	bool done = true;

	for (size_t i = 0; done && i < im->count; i++)
		if (im->entries[i].line != 0)
			done = buf_addf(out, "%s: %s\n", im->entries[i].key, im->entries[i].value);
	return done;
}

bool import_virtual(struct slice text, struct buf *out, import_left_fn *left, void *arg)
{
	struct import im = {NULL, 0, 0, left, arg};
	struct import_lines lines = import_lines_of(text);
	struct import_line l = import_line_make();
	bool done = text.len <= IMPORT_BYTES_MAX;

	while (done && import_line_next(&lines, &l))
		done = read_logical(&im, &l);
	if (done)
		tell_doubles(&im);
	done = done && write_out(&im, out);
	for (size_t i = 0; i < im.count; i++) {
		free(im.entries[i].key);
		free(im.entries[i].value);
	}
	free(im.entries);
	buf_free(&l.text);
	return done;
}
