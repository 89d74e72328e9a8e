#include "filter/exim_condition.h"

#include "base/mem.h"
#include "filter/exim_text.h"
#include "rules/pattern.h"

static struct exim_test *new_test(struct exim_source *s, enum exim_test_kind kind, uint32_t line)
{
	struct exim_test *t = arena_take(s->arena, sizeof(*t));

	if (t == NULL) {
		exim_no_memory(s);
		return NULL;
	}
	t->kind = kind;
	t->line = line;
	return t;
}

static bool next(struct exim_source *s, struct exim_item *out)
{
	return exim_next(s, true, out);
}

/* Takes the word, if it is the next. */
static bool takes(struct exim_source *s, const char *word)
{
	struct exim_item item;

	if (!exim_peek(s, true, &item) || !exim_item_is(&item, word))
		return false;
	return next(s, &item);
}

static bool next_data_at(struct exim_source *s, const char *what, struct exim_text **out, size_t *start_out)
{
	struct exim_item item;

	if (!next(s, &item))
		return false;
	*start_out = item.start;
	if (item.kind != EXIM_ITEM_WORD && item.kind != EXIM_ITEM_QUOTED)
		return exim_mistake(s, item.start, "%s expected (in quotes, if it holds blanks or brackets)", what);
	return exim_text_compile(s, &item, out);
}

static bool next_data(struct exim_source *s, const char *what, struct exim_text **out)
{
	size_t start;

	return next_data_at(s, what, out, &start);
}

/* ---- a text and what it is held against ---- */

static const struct {
	const char *word;
	enum exim_test_kind kind;
	enum exim_compare compare;
	unsigned order;
	bool cased;
} verbs[] = {
	{"begins", EXIM_COMPARE, EXIM_BEGINS, 0, false},     {"begin", EXIM_COMPARE, EXIM_BEGINS, 0, false},
	{"BEGINS", EXIM_COMPARE, EXIM_BEGINS, 0, true},	     {"BEGIN", EXIM_COMPARE, EXIM_BEGINS, 0, true},
	{"ends", EXIM_COMPARE, EXIM_ENDS, 0, false},	     {"end", EXIM_COMPARE, EXIM_ENDS, 0, false},
	{"ENDS", EXIM_COMPARE, EXIM_ENDS, 0, true},	     {"END", EXIM_COMPARE, EXIM_ENDS, 0, true},
	{"contains", EXIM_COMPARE, EXIM_CONTAINS, 0, false}, {"contain", EXIM_COMPARE, EXIM_CONTAINS, 0, false},
	{"CONTAINS", EXIM_COMPARE, EXIM_CONTAINS, 0, true},  {"CONTAIN", EXIM_COMPARE, EXIM_CONTAINS, 0, true},
	{"matches", EXIM_COMPARE, EXIM_MATCHES, 0, false},   {"match", EXIM_COMPARE, EXIM_MATCHES, 0, false},
	{"MATCHES", EXIM_COMPARE, EXIM_MATCHES, 0, true},    {"MATCH", EXIM_COMPARE, EXIM_MATCHES, 0, true},
	{"above", EXIM_NUMBERS, EXIM_IS, EXIM_GREATER, false}, {"below", EXIM_NUMBERS, EXIM_IS, EXIM_LESS, false},
};

static bool set_verb(struct exim_test *t, const struct exim_item *item)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!exim_item_is(item, verbs[i].word))
			continue;
		t->kind = verbs[i].kind;
		t->compare = verbs[i].compare;
		t->order = verbs[i].order;
		t->cased = verbs[i].cased;
		return true;
	}
	return false;
}

/* "is", "is not above", "does not contain", "CONTAINS". */
static bool read_verb(struct exim_source *s, struct exim_test *t)
{
	struct exim_item item;
	bool is;

	if (!next(s, &item))
		return false;
	is = exim_item_is(&item, "is") || exim_item_is(&item, "IS");
	t->cased = exim_item_is(&item, "IS");
	if (is || exim_item_is(&item, "does")) {
		if (takes(s, "not"))
			t->negated = !t->negated;
		if (!exim_peek(s, true, &item))
			return false;
		if (!set_verb(t, &item))
			return is || exim_mistake(s, item.start, "begin, contain, end or match expected behind `does`");
		return next(s, &item);
	}
	return set_verb(t, &item) ||
	       exim_mistake(s, item.start, "is, contains, begins, ends, matches, above or below expected%s%.*s%s",
			    item.kind == EXIM_ITEM_END ? "" : ", not `", SLICE_ARG(slice_sub(item.text, 0, 40)),
			    item.kind == EXIM_ITEM_END ? "" : "`");
}

/* A pattern that is the same for each message is looked at now, not when mail is there. */
static bool check_pattern(struct exim_source *s, const struct exim_test *t, size_t start)
{
	struct buf text = buf_make(EXIM_DATA_MAX);
	char why[PATTERN_WHY_MAX] = "";
	size_t offset;
	struct pattern *p = NULL;
	bool constant = t->compare == EXIM_MATCHES && t->kind == EXIM_COMPARE && exim_text_is_constant(t->b, &text);

	if (constant)
		p = pattern_new(NULL, buf_slice(&text), t->cased ? 0 : PATTERN_CASELESS, why, &offset);
	buf_free(&text);
	if (!constant || p != NULL) {
		pattern_free(&p);
		return true;
	}
	return why[0] == '\0' ? exim_no_memory(s) : exim_mistake(s, start, "the pattern cannot be read: %s", why);
}

static bool read_comparison(struct exim_source *s, const struct exim_item *left, struct exim_test *t)
{
	size_t start;

	t->kind = EXIM_COMPARE;
	t->compare = EXIM_IS;
	return exim_text_compile(s, left, &t->a) && read_verb(s, t) && next_data_at(s, "a text to compare with", &t->b, &start) &&
	       check_pattern(s, t, start);
}

/* ---- the others ---- */

static bool read_or(struct exim_source *s, struct exim_test **out);

static bool read_personal(struct exim_source *s, struct exim_test *t)
{
	struct exim_text **end = &t->a;

	while (takes(s, "alias")) {
		if (!next_data(s, "an address behind `alias`", end))
			return false;
		end = &(*end)->next;
	}
	return true;
}

static bool read_in_brackets(struct exim_source *s, struct exim_test **out)
{
	struct exim_item item;

	if (!read_or(s, out) || !next(s, &item))
		return false;
	return item.kind == EXIM_ITEM_CLOSE || exim_mistake(s, item.start, "`)` expected, or `and`, or `or`");
}

static bool read_for_any(struct exim_source *s, struct exim_test *t)
{
	struct exim_item item;

	if (!next_data(s, "a list of addresses behind `foranyaddress`", &t->a) || !next(s, &item))
		return false;
	if (item.kind != EXIM_ITEM_OPEN)
		return exim_mistake(s, item.start, "a condition in round brackets expected behind `foranyaddress`");
	return read_in_brackets(s, &t->inner);
}

static bool read_nothing(struct exim_source *s, struct exim_test *t)
{
	(void)s;
	(void)t;
	return true;
}

static const struct {
	const char *word;
	enum exim_test_kind kind;
	bool (*read)(struct exim_source *s, struct exim_test *t);
} words[] = {
	{"delivered", EXIM_DELIVERED, read_nothing},
	{"error_message", EXIM_ERROR_MESSAGE, read_nothing},
	{"first_delivery", EXIM_FIRST_DELIVERY, read_nothing},
	{"manually_thawed", EXIM_MANUALLY_THAWED, read_nothing},
	{"personal", EXIM_PERSONAL, read_personal},
	{"foranyaddress", EXIM_FOR_ANY, read_for_any},
};

static bool read_word(struct exim_source *s, const struct exim_item *item, struct exim_test *t)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (exim_item_is(item, words[i].word)) {
			t->kind = words[i].kind;
			return words[i].read(s, t);
		}
	}
	if (exim_item_is(item, "then"))
		return exim_mistake(s, item->start, "a condition expected, not `then`");
	return read_comparison(s, item, t);
}

static bool read_one(struct exim_source *s, struct exim_test **out)
{
	struct exim_item item;
	bool negated = false;

	while (takes(s, "not"))
		negated = !negated;
	if (!next(s, &item))
		return false;
	if (item.kind == EXIM_ITEM_END || item.kind == EXIM_ITEM_CLOSE)
		return exim_mistake(s, item.start, "a condition expected");
	*out = new_test(s, EXIM_AND, item.line);
	if (*out == NULL)
		return false;
	if (item.kind == EXIM_ITEM_OPEN ? !read_in_brackets(s, &(*out)->inner) : !read_word(s, &item, *out))
		return false;
	(*out)->negated = (*out)->negated != negated;
	return true;
}

static bool read_and(struct exim_source *s, struct exim_test **out)
{
	struct exim_test **end;

	*out = new_test(s, EXIM_AND, s->line);
	if (*out == NULL)
		return false;
	end = &(*out)->inner;
	do {
		if (!read_one(s, end))
			return false;
		end = &(*end)->next;
	} while (takes(s, "and"));
	return true;
}

static bool read_or(struct exim_source *s, struct exim_test **out)
{
	struct exim_test **end;
	bool good = exim_enter(s, s->at);

	if (!good)
		return false;
	*out = new_test(s, EXIM_OR, s->line);
	good = *out != NULL;
	end = good ? &(*out)->inner : NULL;
	while (good) {
		good = read_and(s, end);
		if (!good || !takes(s, "or"))
			break;
		end = &(*end)->next;
	}
	exim_leave(s);
	return good;
}

bool exim_condition_parse(struct exim_source *s, struct exim_test **out)
{
	return read_or(s, out);
}
