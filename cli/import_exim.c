#include "import_exim.h"

#include "base/map.h"
#include "base/mem.h"
#include "mail/address.h"
#include "mail/target_list.h"

struct import {
	struct map *keys; /* owned: those that stood there */
	struct slice qualify;
	struct buf *out; /* borrowed */
	import_left_fn *left;
	void *arg;
};

/* ---- targets ---- */

struct value {
	const struct import *import;
	struct buf text; /* owned */
	const char *mistake;
};

static const char *add_address(struct value *v, struct slice target)
{
	bool bare = slice_index(target, '@') == SLICE_NONE;

	if (bare && v->import->qualify.len == 0)
		return "a target without a domain, which Exim completes with qualify_recipient; say --qualify DOMAIN";
	if (!import_is_plain(target))
		return "a target that cannot be written in a table's file";
	buf_add_slice(&v->text, target);
	if (bare) {
		buf_add_char(&v->text, '@');
		buf_add_slice(&v->text, v->import->qualify);
	}
	return NULL;
}

/* In a table's file a quote or a `#` in it would mean something. */
static const char *add_word(struct value *v, const char *word, struct slice text)
{
	if (slice_index(text, '"') != SLICE_NONE || slice_index(text, '#') != SLICE_NONE)
		return "a text with a quote or a # in it; write it in other words";
	buf_addf(&v->text, "%s%s", word, text.len > 0 ? " " : "");
	buf_add_slice(&v->text, text);
	return NULL;
}

static const char *add_target(struct value *v, const struct target *t)
{
	switch (t->kind) {
	case TARGET_ADDRESS:
		return add_address(v, t->text);
	case TARGET_FAIL:
		return add_word(v, ":fail:", t->text);
	case TARGET_DEFER:
		return add_word(v, ":defer:", t->text);
	case TARGET_BLACKHOLE:
		return add_word(v, ":blackhole:", slice_empty());
	case TARGET_PROGRAM:
	case TARGET_FILE:
		return "a program or a file; write it by hand, and `programs TRANSPORT` behind the alias rule says as which user it is done";
	case TARGET_INCLUDE:
		return "an include; put that file beneath the table's `include FOLDER` and write the line by hand";
	case TARGET_LOCAL_USER:
		break;
	}
	return "a name behind a backslash: the mailbox of a user of that domain, which Postern has for users of the system alone";
}

static bool on_target(const struct target *target, void *arg)
{
	struct value *v = arg;

	if (v->text.len > 0)
		buf_add_text(&v->text, ", ");
	v->mistake = add_target(v, target);
	if (v->mistake == NULL && !buf_ok(&v->text))
		v->mistake = "a line of more than 64 KiB";
	return v->mistake == NULL;
}

/* Exim's own words that we have none for; the list that we read knows nothing of them. */
static bool has_word(struct slice text, const char *word)
{
	return slice_find(text, slice_of(word)) != SLICE_NONE;
}

static const char *read_value(struct value *v, struct slice text)
{
	struct target_mistake mistake;

	if (text.len == 0)
		return "a key without a target, for which Exim goes on with its next router";
	if (has_word(text, ":unknown:") || has_word(text, ":defaultrouter:"))
		return "an item that only Exim knows";
	if (has_word(text, "$"))
		return "a variable or an expansion: data is never evaluated here";
	if (target_list_parse(text, on_target, v, &mistake) == TARGET_BAD)
		return "a list of targets that cannot be read";
	return v->mistake != NULL || v->text.len > 0 ? v->mistake : "a key without a target";
}

/* ---- keys ---- */

/* "local: ..." or "local ...", and a key with blanks in quotes.  NULL: `key` and `rest`. */
static const char *cut_key(struct slice text, struct slice *key, struct slice *rest)
{
	size_t len = 0;

	if (text.at[0] == '"')
		return "a key in quotes; write it by hand";
	while (len < text.len && !import_is_blank(text.at[len]) && text.at[len] != ':')
		len++;
	*key = slice_sub(text, 0, len);
	*rest = slice_trim(slice_from(text, len));
	if (rest->len > 0 && rest->at[0] == ':' && len < text.len)
		*rest = slice_trim(slice_from(*rest, 1));
	return NULL;
}

/* A local part, or `*`: all others of the domain. */
static const char *read_key(struct slice key, struct buf *canonical)
{
	struct mail_address a;

	if (slice_eq(key, slice_of("*")))
		return buf_add_slice(canonical, key) ? NULL : "too long";
	if (slice_index(key, '@') != SLICE_NONE)
		return "a key with a domain; the file says which";
	if (mail_address_parse(key, MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE, &a) != MAIL_OK || !import_is_plain(mail_address_text(&a)))
		return "a key that cannot be written in a table's file";
	for (struct slice rest = mail_address_text(&a); rest.len > 0; rest = slice_from(rest, 1))
		buf_add_char(canonical, ascii_lower(rest.at[0]));
	return buf_ok(canonical) ? NULL : "too long";
}

/* ---- lines ---- */

static const char *note_key(struct import *im, struct slice key)
{
	if (map_find(im->keys, key) != NULL)
		return "this key stood there before; Exim takes the first";
	return map_put(im->keys, key, im) ? NULL : "too many keys for one file";
}

static bool read_line(struct import *im, const struct import_line *l)
{
	struct buf line = l->text, canonical = buf_make(512); /* only read */
	struct value v = {.import = im, .text = buf_make(IMPORT_LINE_MAX)};
	struct slice key = slice_sub(buf_slice(&line), 0, 60), rest = slice_empty();
	const char *mistake = l->too_long ? "a line of more than 64 KiB" : cut_key(buf_slice(&line), &key, &rest);
	bool done = true;

	if (mistake == NULL)
		mistake = read_key(key, &canonical);
	if (mistake == NULL)
		mistake = note_key(im, buf_slice(&canonical));
	if (mistake == NULL)
		mistake = read_value(&v, rest);
	if (mistake != NULL)
		im->left(l->number, slice_sub(key, 0, 200), mistake, im->arg);
	else
		done = buf_addf(im->out, "%s: ", buf_text(&canonical)) && buf_add_slice(im->out, buf_slice(&v.text)) && buf_add_char(im->out, '\n');
	buf_free(&canonical);
	buf_free(&v.text);
	return done;
}

bool import_exim(struct slice text, struct slice qualify, struct buf *out, import_left_fn *left, void *arg)
{
	struct import im = {map_new(IMPORT_ENTRIES_MAX), qualify, out, left, arg};
	struct import_lines lines = import_lines_of(text);
	struct import_line l = import_line_make();
	bool done = im.keys != NULL && text.len <= IMPORT_BYTES_MAX;

	while (done && import_line_next(&lines, &l))
		done = read_line(&im, &l);
	map_free(&im.keys);
	buf_free(&l.text);
	return done;
}
