#include "conf/mistake.h"

#include "conf/bundle.h"

#include <stdlib.h>

#define LINE_SHOWN_MAX 160
#define WORD_MAX 64
#define LISTED_MAX 12
#define MESSAGE_MAX 600

struct mistake {
	struct conf_pos pos;
	size_t order; /* as found: keeps the sort stable */
	const char *what;
	const char *hint;
};

struct mistakes {
	struct arena *arena;
	struct slice bundle;
	void *items; /* struct mistake; the first MISTAKES_SHOWN_MAX only */
	size_t kept;
	size_t count;
};

struct mistakes *mistakes_new(struct arena *arena, struct slice bundle)
{
	struct mistakes *m = arena_take(arena, sizeof(*m));

	if (m != NULL)
		*m = (struct mistakes){arena, bundle, NULL, 0, 0};
	return m;
}

size_t mistakes_count(const struct mistakes *m)
{
	return m->count;
}

void mistake_add(struct mistakes *m, struct conf_pos pos, const char *hint, const char *format, ...)
{
	struct buf what = buf_make(MESSAGE_MAX);
	struct mistake *one;
	va_list args;

	m->count++;
	if (m->kept >= MISTAKES_SHOWN_MAX)
		return;
	va_start(args, format);
	buf_addv(&what, format, args);
	va_end(args);
	one = arena_push(m->arena, &m->items, &m->kept, sizeof(*one));
	if (one != NULL) {
		one->pos = pos;
		one->order = m->kept;
		one->what = buf_ok(&what) ? arena_text(m->arena, buf_slice(&what)) : NULL;
		one->hint = arena_text(m->arena, slice_of(hint));
	}
	buf_free(&what);
}

bool wordlist_add(struct arena *arena, struct wordlist *list, const char *word)
{
	void *words = list->words;
	const char **slot = arena_push(arena, &words, &list->count, sizeof(*slot));

	list->words = words;
	if (slot == NULL)
		return false;
	*slot = word;
	return true;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters must be put in, left out, changed or swapped with the next one (Damerau), ignoring
 * case and `-` or `_`. */
static char fold(char c)
{
	return c == '_' ? '-' : ascii_lower(c);
}

static size_t distance(struct slice a, struct slice b)
{
	size_t rows[3][WORD_MAX + 1];

	if (a.len > WORD_MAX || b.len > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			char x = fold(a.at[i - 1]), y = fold(b.at[j - 1]);

			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == fold(b.at[j - 2]) && fold(a.at[i - 2]) == y)
				now[j] = least(now[j], before[j - 2] + 1);
		}
	}
	return rows[a.len % 3][b.len];
}

const char *wordlist_nearest(const struct wordlist *list, struct slice word)
{
	size_t best = word.len < 4 ? 1 : word.len / 3 + (word.len == 4);
	const char *found = NULL;

	for (size_t i = 0; i < list->count; i++) {
		size_t d = distance(word, slice_of(list->words[i]));

		if (d < best || (d == best && found == NULL)) {
			best = d;
			found = list->words[i];
		}
	}
	return found;
}

static void hint_list(struct buf *hint, const char *kind, const struct wordlist *allowed)
{
	if (allowed->count == 0) {
		buf_addf(hint, "there is no %s", kind);
		return;
	}
	if (allowed->count > LISTED_MAX) {
		buf_addf(hint, "expected %s %s", strchr("aeiou", kind[0]) != NULL ? "an" : "a", kind);
		return;
	}
	buf_add_text(hint, "expected ");
	for (size_t i = 0; i < allowed->count; i++) {
		const char *sep = i == 0 ? "" : i + 1 == allowed->count ? " or " : ", ";

		buf_addf(hint, "%s%s", sep, allowed->words[i]);
	}
}

void mistake_unknown(struct mistakes *m, struct conf_pos pos, const char *kind, struct slice word,
		     const struct wordlist *allowed)
{
	const char *nearest = wordlist_nearest(allowed, word);
	struct buf hint = buf_make(2048);

	if (nearest == NULL || allowed->count > 1)
		hint_list(&hint, kind, allowed);
	if (nearest != NULL)
		buf_addf(&hint, "%sdid you mean \"%s\"?", hint.len > 0 ? "; " : "", nearest);
	mistake_add(m, pos, buf_text(&hint), "unknown %s \"%.*s\"", kind,
		    (int)least(word.len, WORD_MAX), word.at);
	buf_free(&hint);
}

static struct slice line_of(struct slice text, uint32_t number)
{
	struct slice line = slice_empty();

	for (uint32_t n = 0; n < number && text.len > 0; n++) {
		size_t end = slice_index(text, '\n');

		line = slice_sub(text, 0, end == SLICE_NONE ? text.len : end);
		text = slice_from(text, line.len + 1);
		if (n + 1 < number)
			line = slice_empty();
	}
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Control characters of a hostile file never reach a terminal; what is cut is cut at a character's end.
 */
static void show_line(struct buf *out, struct slice line)
{
	size_t len = least(line.len, LINE_SHOWN_MAX);

	while (len < line.len && is_continuation(line.at[len]))
		len++;
	buf_add_text(out, "  ");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line.at[i];

		buf_add_char(out, (c < 0x20 && c != '\t') || c == 0x7f ? '?' : (char)c);
	}
	buf_add_text(out, len < line.len ? "...\n" : "\n");
}

/* Under the column: tabs stay tabs, everything else is one space a character. */
static void show_caret(struct buf *out, struct slice line, uint32_t column, const char *hint)
{
	uint32_t at = 1;

	buf_add_text(out, "  ");
	for (size_t i = 0; i < line.len && at < column; i++) {
		if (is_continuation(line.at[i]))
			continue;
		buf_add_char(out, line.at[i] == '\t' ? '\t' : ' ');
		at++;
	}
	for (; at < column; at++)
		buf_add_char(out, ' ');
	buf_addf(out, hint[0] == '\0' ? "^%s\n" : "^ %s\n", hint);
}

static void render_one(const struct mistakes *m, const struct mistake *one, struct buf *out)
{
	struct slice text = slice_empty(), line;

	buf_addf(out, "%s:%u:%u: %s\n", one->pos.file, one->pos.line, one->pos.column,
		 one->what == NULL ? "?" : one->what);
	if (one->pos.file == NULL || !bundle_find(m->bundle, slice_of(one->pos.file), &text))
		return;
	line = line_of(text, one->pos.line);
	show_line(out, line);
	if (one->pos.column <= LINE_SHOWN_MAX)
		show_caret(out, line, one->pos.column, one->hint == NULL ? "" : one->hint);
	else if (one->hint != NULL && one->hint[0] != '\0')
		buf_addf(out, "  %s\n", one->hint);
}

/* Files in the order of the bundle, then by line and column. */
static size_t file_rank(struct slice bundle, const char *file)
{
	struct slice rest = bundle, name, text;
	size_t rank = 0;

	while (bundle_next(&rest, &name, &text) && !slice_eq(name, slice_of(file)))
		rank++;
	return rank;
}

struct ranked {
	size_t file;
	const struct mistake *mistake;
};

static int by_place(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;
	const uint64_t x[4] = {a->file, a->mistake->pos.line, a->mistake->pos.column,
			       a->mistake->order};
	const uint64_t y[4] = {b->file, b->mistake->pos.line, b->mistake->pos.column,
			       b->mistake->order};

	for (size_t i = 0; i < 4; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static void sort(const struct mistakes *m, struct ranked sorted[MISTAKES_SHOWN_MAX])
{
	const struct mistake *items = m->items;

	for (size_t i = 0; i < m->kept; i++)
		sorted[i] = (struct ranked){file_rank(m->bundle, items[i].pos.file), &items[i]};
	if (m->kept > 1)
		qsort(sorted, m->kept, sizeof(sorted[0]), by_place);
}

bool mistakes_first(const struct mistakes *m, struct conf_pos *pos_out, const char **what_out, const char **hint_out)
{
	struct ranked sorted[MISTAKES_SHOWN_MAX];

	if (m->kept == 0)
		return false;
	sort(m, sorted);
	*pos_out = sorted[0].mistake->pos;
	*what_out = sorted[0].mistake->what;
	*hint_out = sorted[0].mistake->hint;
	return *what_out != NULL && *hint_out != NULL;
}

void mistakes_render(const struct mistakes *m, struct conf_mistakes *out)
{
	struct ranked sorted[MISTAKES_SHOWN_MAX];

	out->count = m->count;
	sort(m, sorted);
	for (size_t i = 0; i < m->kept; i++)
		render_one(m, sorted[i].mistake, &out->text);
	if (m->count > m->kept)
		buf_addf(&out->text, "and %zu more\n", m->count - m->kept);
}
