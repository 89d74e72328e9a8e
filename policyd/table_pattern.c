#include "table_pattern.h"

#include "base/clock.h"
#include "base/mem.h"
#include "lines.h"
#include "rules/pattern.h"

#define ARENA_MAX (64u << 20)

struct entry {
	struct pattern *pattern; /* in the arena */
	struct slice result; /* into `text` */
	size_t line;
};

struct table_pattern {
	struct buf text; /* owned */
	struct arena *arena; /* owned */
	struct entry *entries; /* owned */
	size_t count, cap;
};

static bool refuse(struct buf *why, size_t line, const char *what)
{
	buf_addf(why, "%zu: %s", line, what);
	return false;
}

/* The `/` that ends the pattern; one behind a backslash, or in [...], does not. */
static size_t end_of_pattern(struct slice line)
{
	bool in_class = false;

	for (size_t i = 1; i < line.len; i++) {
		if (line.at[i] == '\\')
			i++;
		else if (in_class)
			in_class = line.at[i] != ']';
		else if (line.at[i] == '[')
			in_class = true;
		else if (line.at[i] == '/')
			return i;
	}
	return SLICE_NONE;
}

static bool read_flags(struct slice flags, unsigned *out)
{
	*out = 0;
	for (size_t i = 0; i < flags.len; i++) {
		if (flags.at[i] != 's' && flags.at[i] != 'x')
			return false;
		*out |= flags.at[i] == 's' ? PATTERN_DOT_ALL : PATTERN_EXTENDED;
	}
	return true;
}

/* What is wrong with a result, for a pattern with so many groups; NULL: nothing. */
static const char *result_mistake(struct slice result, unsigned groups)
{
	if (result.len > TABLE_RESULT_MAX)
		return "a result has at most 4096 bytes";
	for (size_t i = 0; i < result.len; i++) {
		char next = i + 1 < result.len ? result.at[i + 1] : '\0';

		if (result.at[i] != '$')
			continue;
		if (next != '$' && !ascii_is_digit(next))
			return "behind $ stands the number of a group, 0 to 9, or another $";
		if (next != '$' && (unsigned)(next - '0') > groups)
			return "the pattern has no group of that number";
		i++;
	}
	return NULL;
}

static bool add(struct table_pattern *t, struct slice text, unsigned flags, struct slice result, size_t number, struct buf *why)
{
	char what[PATTERN_WHY_MAX];
	void *items = t->entries;
	const char *mistake;
	size_t offset = 0;
	struct pattern *p = pattern_new(t->arena, text, PATTERN_CASELESS | flags, what, &offset);

	if (p == NULL)
		return refuse(why, number, what[0] != '\0' ? what : "the patterns need too much memory");
	mistake = result_mistake(result, pattern_groups(p));
	if (mistake != NULL)
		return refuse(why, number, mistake);
	if (!mem_grow(&items, &t->cap, t->count, sizeof(struct entry), TABLE_PATTERNS_MAX))
		return refuse(why, number, "more than 1000 patterns");
	t->entries = items;
	t->entries[t->count++] = (struct entry){p, result, number};
	return true;
}

static bool add_line(struct table_pattern *t, struct slice line, size_t number, struct buf *why)
{
	size_t end = line.at[0] == '/' ? end_of_pattern(line) : SLICE_NONE;
	struct slice rest = slice_from(line, end == SLICE_NONE ? line.len : end + 1), word = slice_empty();
	bool glued = rest.len > 0 && (rest.at[0] == ' ' || rest.at[0] == '\t');
	unsigned flags;

	if (end == SLICE_NONE)
		return refuse(why, number, "expected `/pattern/ result`");
	if (!glued)
		(void)slice_word(&rest, &word);
	if (!read_flags(word, &flags))
		return refuse(why, number, "behind the pattern stand flags (s, x), then a blank and the result");
	return add(t, slice_sub(line, 1, end - 1), flags, slice_trim(rest), number, why);
}

static bool parse(struct table_pattern *t, struct buf *why)
{
	struct lines lines = lines_of(buf_slice(&t->text));

	while (lines_next(&lines))
		if (!add_line(t, lines.line, lines.number, why))
			return false;
	return lines.mistake == NULL || refuse(why, lines.number, lines.mistake);
}

struct table_pattern *table_pattern_parse(struct buf *text, struct buf *why)
{
	struct table_pattern *t = mem_new(1, sizeof(*t));

	if (t != NULL) {
		t->text = *text;
		*text = buf_make(text->max);
		t->arena = arena_new(ARENA_MAX);
		if (t->arena != NULL && parse(t, why))
			return t;
		table_pattern_free(&t);
	}
	buf_free(text);
	if (why->len == 0)
		refuse(why, 0, "out of memory");
	return NULL;
}

void table_pattern_free(struct table_pattern **tp)
{
	struct table_pattern *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	arena_free(&t->arena);
	buf_free(&t->text);
	free(t->entries);
	free(t);
}

/* ---- a result ---- */

static bool is_harmless(struct slice group)
{
	for (size_t i = 0; i < group.len; i++)
		if ((unsigned char)group.at[i] <= ' ' || group.at[i] == 0x7f || strchr(",\"\\|:", group.at[i]) != NULL)
			return false;
	return group.len == 0 || group.at[0] != '/';
}

static bool add_group(struct slice group, struct buf *out)
{
	return is_harmless(group) && buf_add_slice(out, group);
}

static bool make_result(struct slice result, const struct slice groups[PATTERN_GROUPS_MAX], struct buf *out)
{
	bool done = true;

	for (size_t i = 0; done && i < result.len; i++) {
		if (result.at[i] != '$')
			done = buf_add_char(out, result.at[i]);
		else if (result.at[++i] == '$')
			done = buf_add_char(out, '$');
		else
			done = add_group(groups[result.at[i] - '0'], out);
	}
	return done;
}

static enum answer tell(const struct entry *e, const struct slice groups[PATTERN_GROUPS_MAX], struct buf *value_out, struct buf *why)
{
	struct buf made = buf_make(TABLE_RESULT_MAX);
	enum answer answer = ANSWER_YES;

	if (value_out != NULL && (!make_result(e->result, groups, &made) || !buf_add_slice(value_out, buf_slice(&made)))) {
		buf_addf(why, "%zu: the result would be too long, or a group brings in what parts a list", e->line);
		answer = ANSWER_UNKNOWN;
	}
	buf_free(&made);
	return answer;
}

enum answer table_pattern_find(const struct table_pattern *t, struct slice key, struct buf *value_out, size_t *line_out, struct buf *why)
{
	uint64_t until = clock_mono_ms() + TABLE_PATTERNS_MS;
	struct slice groups[PATTERN_GROUPS_MAX];

	for (size_t i = 0; i < t->count; i++) {
		const struct entry *e = &t->entries[i];

		*line_out = e->line;
		switch (clock_mono_ms() > until ? PATTERN_UNKNOWN : pattern_match_groups(e->pattern, key, groups)) {
		case PATTERN_YES:
			return tell(e, groups, value_out, why);
		case PATTERN_NO:
			break;
		case PATTERN_UNKNOWN:
			buf_addf(why, "%zu: the pattern takes too long", e->line);
			return ANSWER_UNKNOWN;
		case PATTERN_NO_MEMORY:
			buf_addf(why, "%zu: no memory for the pattern", e->line);
			return ANSWER_UNKNOWN;
		}
	}
	return ANSWER_NO;
}
