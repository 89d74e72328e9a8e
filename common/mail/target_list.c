#include "mail/target_list.h"

#include "base/mem.h"
#include "mail/address.h"
#include "mail/directive.h"

#include <stdio.h>

struct list {
	struct slice text;
	size_t at;
	uint32_t line;
	size_t line_start;
	target_fn *fn;
	void *arg;
	struct target_mistake *mistake;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static bool bad(struct list *l, size_t at, const char *why)
{
	l->mistake->line = l->line;
	l->mistake->column = 1;
	for (size_t i = l->line_start; i < at && i < l->text.len; i++)
		l->mistake->column += ((unsigned char)l->text.at[i] & 0xc0) != 0x80;
	snprintf(l->mistake->why, TARGET_WHY_MAX, "%s", why);
	return false;
}

/* ---- where an item ends ---- */

static size_t line_end(struct slice text, size_t from)
{
	size_t n = slice_index(slice_from(text, from), '\n');

	return n == SLICE_NONE ? text.len : from + n;
}

/* To the start of an item; false: there is none. */
static bool skip_between(struct list *l)
{
	while (l->at < l->text.len) {
		char c = l->text.at[l->at];

		if (c == '#') {
			l->at = line_end(l->text, l->at);
		} else if (c == '\n') {
			l->line++;
			l->line_start = ++l->at;
		} else if (c == ',' || is_blank(c)) {
			l->at++;
		} else {
			return true;
		}
	}
	return false;
}

/* Behind the quote that ends what begins at `at`, on the same line; SLICE_NONE: there is none. */
static size_t quote_end(struct slice text, size_t at)
{
	char quote = text.at[at];

	for (size_t i = at + 1; i < text.len && text.at[i] != '\n'; i++) {
		if (text.at[i] == quote)
			return i + 1;
		if (text.at[i] == '\\' && quote == '"' && i + 1 < text.len && text.at[i + 1] != '\n')
			i++;
	}
	return SLICE_NONE;
}

static bool is_rest_of_line(struct slice item)
{
	return slice_starts_nocase(item, slice_of(":fail:")) || slice_starts_nocase(item, slice_of(":defer:"));
}

static bool ends_item(struct slice text, size_t at, size_t start)
{
	char c = text.at[at];

	return c == '\n' || c == ',' || (c == '#' && at > start && is_blank(text.at[at - 1]));
}

/* Where the item that begins at `start` ends; SLICE_NONE, told: a quote is open. */
static size_t item_end(struct list *l, size_t start)
{
	bool program = l->text.at[start] == '|';
	size_t i = start;

	if (is_rest_of_line(slice_from(l->text, start)))
		return line_end(l->text, start);
	while (i < l->text.len && !ends_item(l->text, i, start)) {
		bool quote = l->text.at[i] == '"' || (program && l->text.at[i] == '\'');
		size_t next = quote ? quote_end(l->text, i) : i + 1;

		if (next == SLICE_NONE) {
			bad(l, i, "a quote without an end on its line");
			return SLICE_NONE;
		}
		i = next;
	}
	return i;
}

/* Cuts an item off the list, without blanks at its end; false, told. */
static bool cut_item(struct list *l, struct slice *item_out)
{
	size_t start = l->at, end = item_end(l, start);

	if (end == SLICE_NONE)
		return false;
	l->at = end;
	while (end > start && is_blank(l->text.at[end - 1]))
		end--;
	for (size_t i = start; i < end; i++)
		if (is_control(l->text.at[i]) && l->text.at[i] != '\t')
			return bad(l, i, "a control character");
	*item_out = slice_sub(l->text, start, end - start);
	return true;
}

/* ---- what an item is ---- */

/* "..." around the whole of it: what is in there, in `out`. */
static bool unquote(struct slice item, char out[TARGET_TEXT_MAX], struct slice *inside_out)
{
	size_t n = 0;

	if (item.len < 2 || item.at[0] != '"' || item.len > TARGET_TEXT_MAX || quote_end(item, 0) != item.len)
		return false;
	for (size_t i = 1; i < item.len - 1; i++) {
		if (item.at[i] == '\\' && (item.at[i + 1] == '"' || item.at[i + 1] == '\\'))
			i++;
		out[n++] = item.at[i];
	}
	*inside_out = slice_trim(slice_make(out, n));
	return true;
}

static bool tell(struct list *l, enum target_kind kind, struct slice text)
{
	struct target t = {kind, l->line, text};

	if (l->fn(&t, l->arg))
		return true;
	l->mistake->why[0] = '\0';
	return false;
}

static bool read_address(struct list *l, size_t at, enum target_kind kind, struct slice item, struct slice raw)
{
	const unsigned options = MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE;
	struct mail_address a;
	enum mail_verdict verdict = mail_address_parse(item, options, &a);
	size_t angle = slice_rindex(item, '<');
	char why[TARGET_WHY_MAX];

	if (verdict != MAIL_OK && angle != SLICE_NONE && item.at[item.len - 1] == '>')
		verdict = mail_address_parse(slice_sub(item, angle + 1, item.len - angle - 2), options, &a);
	else if (verdict != MAIL_OK && raw.at != item.at && mail_address_parse(raw, options, &a) == MAIL_OK)
		verdict = MAIL_OK; /* "john smith": a local part that needs its quotes */
	if (verdict == MAIL_OK && mail_address_is_routed(&a))
		return bad(l, at, "an address that names another host in its local part");
	if (verdict == MAIL_OK)
		return tell(l, kind, mail_address_text(&a));
	snprintf(why, sizeof(why), "not an address: %s", mail_verdict_text(verdict));
	return bad(l, at, why);
}

static bool read_path(struct list *l, size_t at, enum target_kind kind, struct slice path)
{
	if (path.len == 0 || path.at[0] != '/')
		return bad(l, at, "a path must be absolute: begin with /");
	if (path.len > DIRECTIVE_PATH_MAX)
		return bad(l, at, "a path that is too long");
	if (kind == TARGET_FILE && slice_eq(path, slice_of("/dev/null")))
		return tell(l, TARGET_BLACKHOLE, slice_empty());
	return tell(l, kind, path);
}

static bool read_program(struct list *l, size_t at, struct slice command)
{
	char words[TARGET_TEXT_MAX], why[TARGET_WHY_MAX];
	size_t n = target_words(command, words, sizeof(words), why);

	if (n == SLICE_NONE)
		return bad(l, at, why);
	if (n == 0 || words[0] != '/')
		return bad(l, at, "a program is named by its whole path, and no shell reads this line");
	return tell(l, TARGET_PROGRAM, slice_make(words, n));
}

static bool read_special(struct list *l, size_t at, struct slice item)
{
	static const struct {
		const char *word;
		enum target_kind kind;
	} words[] = {
		{":include:", TARGET_INCLUDE},
		{":fail:", TARGET_FAIL},
		{":defer:", TARGET_DEFER},
		{":blackhole:", TARGET_BLACKHOLE},
	};
	struct slice rest;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!slice_starts_nocase(item, slice_of(words[i].word)))
			continue;
		rest = slice_trim(slice_from(item, strlen(words[i].word)));
		if (words[i].kind == TARGET_INCLUDE)
			return read_path(l, at, TARGET_INCLUDE, rest);
		if (words[i].kind == TARGET_BLACKHOLE && rest.len > 0)
			return bad(l, at, "nothing may stand behind :blackhole: but a comma or the end of the line");
		if (rest.len >= TARGET_TEXT_MAX)
			return bad(l, at, "a text that is too long");
		if (!mail_utf8_is_clean(rest))
			return bad(l, at, "a text that is not UTF-8");
		return tell(l, words[i].kind, rest);
	}
	return bad(l, at, "what begins with `:` is :include:, :fail:, :defer: or :blackhole:");
}

static bool read_item(struct list *l, size_t at, struct slice raw)
{
	char inside[TARGET_TEXT_MAX];
	struct slice item = raw;
	bool quoted = unquote(raw, inside, &item);

	if (quoted && item.len == 0)
		return bad(l, at, "nothing between the quotes");
	if (item.at[0] == '|')
		return read_program(l, at, slice_from(item, 1));
	if (item.at[0] == '/')
		return read_path(l, at, TARGET_FILE, item);
	if (item.at[0] == ':')
		return read_special(l, at, item);
	if (slice_starts(item, slice_of("~/")))
		return bad(l, at, "`~` is no folder here: write the whole path");
	if (item.at[0] == '\\')
		return read_address(l, at, TARGET_LOCAL_USER, slice_from(item, 1), slice_from(item, 1));
	return read_address(l, at, TARGET_ADDRESS, item, raw);
}

enum target_end target_list_parse(struct slice text, target_fn *fn, void *arg, struct target_mistake *mistake)
{
	struct list l = {text, 0, 1, 0, fn, arg, mistake};
	struct slice item;

	*mistake = (struct target_mistake){0, 0, ""};
	while (skip_between(&l)) {
		size_t at = l.at;

		if (!cut_item(&l, &item) || !read_item(&l, at, item))
			return mistake->why[0] != '\0' ? TARGET_BAD : TARGET_STOPPED;
	}
	return TARGET_DONE;
}

/* ---- a command line ---- */

bool target_word_is_shells(struct slice word)
{
	static const char *const words[] = {"|",  "||", "&",	"&&",	">",	">>",  "<",
					    "<<", ";",	"2>&1", ">&2", "1>&2", "2>/dev/null", ">/dev/null"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq(word, slice_of(words[i])))
			return true;
	return word.len > 0 && word.at[word.len - 1] == ';';
}

/* One word from `*at` on, which is no blank; SLICE_NONE: a quote is open.  At most as long as what it was made of. */
static size_t take_word(struct slice text, size_t *at, char *out)
{
	size_t n = 0;
	char quote = '\0';

	for (; *at < text.len && (quote != '\0' || !is_blank(text.at[*at])); (*at)++) {
		char c = text.at[*at], next = *at + 1 < text.len ? text.at[*at + 1] : '\0';

		if (quote == '\0' && (c == '"' || c == '\'')) {
			quote = c;
		} else if (c == quote && quote != '\0') {
			quote = '\0';
		} else {
			if (quote == '"' && c == '\\' && (next == '"' || next == '\\'))
				c = text.at[++*at];
			out[n++] = c;
		}
	}
	return quote == '\0' ? n : SLICE_NONE;
}

size_t target_words(struct slice text, char *out, size_t size, char why[TARGET_WHY_MAX])
{
	size_t at = 0, used = 0, words = 0;

	snprintf(why, TARGET_WHY_MAX, "a command that is too long");
	if (text.len >= size)
		return SLICE_NONE;
	snprintf(why, TARGET_WHY_MAX, "a NUL in the command");
	if (slice_index(text, '\0') != SLICE_NONE)
		return SLICE_NONE;
	for (;;) {
		size_t start, n;

		while (at < text.len && (is_blank(text.at[at]) || text.at[at] == '\n'))
			at++;
		if (at == text.len)
			return used;
		start = at;
		snprintf(why, TARGET_WHY_MAX, "a command of more than %u words", DIRECTIVE_WORDS_MAX);
		if (++words > DIRECTIVE_WORDS_MAX)
			return SLICE_NONE;
		n = take_word(text, &at, out + used);
		snprintf(why, TARGET_WHY_MAX, "a quote without an end in the command");
		if (n == SLICE_NONE)
			return SLICE_NONE;
		snprintf(why, TARGET_WHY_MAX, "no shell reads the command: it is a program and its arguments (in quotes where one is meant so)");
		if (target_word_is_shells(slice_sub(text, start, at - start)))
			return SLICE_NONE;
		used += n;
		out[used++] = '\0';
	}
}
