#include "filter/exim_text.h"

#include "base/mem.h"

struct reader {
	struct exim_source *s;
	struct slice text;
	const uint32_t *places;
	uint32_t line;
	size_t at;
};

static bool read_text(struct reader *r, bool in_braces, struct exim_text **out);

static char peek(const struct reader *r, size_t ahead)
{
	return r->at + ahead < r->text.len ? r->text.at[r->at + ahead] : '\0';
}

static bool at_end(const struct reader *r)
{
	return r->at >= r->text.len;
}

/* In the source. */
static size_t place(const struct reader *r)
{
	return r->places[r->at < r->text.len ? r->at : r->text.len];
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct reader *r)
{
	while (is_space(peek(r, 0)))
		r->at++;
}

static bool expect(struct reader *r, char c, const char *after)
{
	if (!at_end(r) && peek(r, 0) == c) {
		r->at++;
		return true;
	}
	return exim_mistake(r->s, place(r), "`%c` expected %s", c, after);
}

static struct exim_part *add_part(struct reader *r, struct exim_part ***end, enum exim_part_kind kind)
{
	struct exim_part *p = arena_take(r->s->arena, sizeof(*p));

	if (p == NULL) {
		exim_no_memory(r->s);
		return NULL;
	}
	p->kind = kind;
	**end = p;
	*end = &p->next;
	return p;
}

static struct exim_text *new_text(struct reader *r)
{
	struct exim_text *t = arena_take(r->s->arena, sizeof(*t));

	if (t == NULL)
		exim_no_memory(r->s);
	else
		*t = (struct exim_text){NULL, slice_empty(), r->line, NULL};
	return t;
}

/* ---- escapes ---- */

static int digit(char c, unsigned base)
{
	int d = ascii_is_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : 99;

	return d < (int)base ? d : -1;
}

static struct slice number(struct reader *r, unsigned base, unsigned max)
{
	char *c = arena_take(r->s->arena, 1);
	unsigned value = 0;

	for (; max > 0 && digit(peek(r, 0), base) >= 0; max--, r->at++)
		value = value * base + (unsigned)digit(peek(r, 0), base);
	if (c == NULL)
		return slice_empty();
	*c = (char)value;
	return slice_make(c, 1);
}

/* \N: as it is, up to the next one or the end. */
static struct slice protected_text(struct reader *r)
{
	size_t start = ++r->at, n = slice_find(slice_from(r->text, start), slice_of("\\N"));
	size_t end = n == SLICE_NONE ? r->text.len : start + n;

	r->at = n == SLICE_NONE ? end : end + 2;
	return slice_sub(r->text, start, end - start);
}

static bool read_escape(struct reader *r, struct exim_part ***end)
{
	size_t at = place(r);
	struct exim_part *p = add_part(r, end, EXIM_PLAIN);
	char c = peek(r, 1);

	if (p == NULL)
		return false;
	r->at++;
	if (at_end(r))
		return exim_mistake(r->s, at, "a backslash at the end of a text");
	if (c == 'N') {
		p->text = protected_text(r);
	} else if (c == 'n' || c == 'r' || c == 't') {
		r->at++;
		p->text = slice_of(c == 'n' ? "\n" : c == 'r' ? "\r" : "\t");
	} else if (c == 'x' || digit(c, 8) >= 0) {
		r->at += c == 'x';
		p->text = c == 'x' ? number(r, 16, 2) : number(r, 8, 3);
		if (p->text.len == 0)
			return exim_no_memory(r->s);
		if (p->text.at[0] == '\0')
			return exim_mistake(r->s, at, "a NUL in a text");
	} else {
		p->text = slice_sub(r->text, r->at++, 1);
	}
	return true;
}

static bool read_plain(struct reader *r, bool in_braces, struct exim_part ***end)
{
	struct exim_part *p = add_part(r, end, EXIM_PLAIN);
	size_t start = r->at;

	if (p == NULL)
		return false;
	while (!at_end(r) && peek(r, 0) != '$' && peek(r, 0) != '\\' && !(in_braces && peek(r, 0) == '}'))
		r->at++;
	p->text = slice_sub(r->text, start, r->at - start);
	return true;
}

/* ---- variables ---- */

static bool is_name(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

static struct slice read_name(struct reader *r, bool numbers_follow)
{
	size_t start = r->at;

	while (is_name(peek(r, 0)) || (numbers_follow && peek(r, 0) == '-'))
		r->at++;
	return slice_sub(r->text, start, r->at - start);
}

static const struct {
	const char *prefix;
	enum exim_field_form form;
} prefixes[] = {
	{"h_", EXIM_DECODED},	    {"header_", EXIM_DECODED}, {"bh_", EXIM_DECODED},
	{"bheader_", EXIM_DECODED}, {"rh_", EXIM_RAW},	       {"rheader_", EXIM_RAW},
};

/* Of a field that the name at `name` begins to name; 0: of none. */
static size_t field_prefix(struct slice name, enum exim_field_form *form_out)
{
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		*form_out = prefixes[i].form;
		if (slice_starts(name, slice_of(prefixes[i].prefix)))
			return strlen(prefixes[i].prefix);
	}
	return 0;
}

/* r->at is at the name of the field: up to a colon, a blank, or the end. */
static bool read_field(struct reader *r, struct exim_part *p, enum exim_field_form form)
{
	size_t start = r->at;

	while ((unsigned char)peek(r, 0) > ' ' && peek(r, 0) != ':' && peek(r, 0) != 0x7f) {
		if (peek(r, 0) == '{' || peek(r, 0) == '}')
			return exim_mistake(r->s, place(r), "the name of a field ends with a colon: $h_subject:");
		r->at++;
	}
	p->text = slice_sub(r->text, start, r->at - start);
	r->at += peek(r, 0) == ':';
	p->kind = EXIM_FIELD;
	p->which = (int)form;
	return p->text.len > 0 || exim_mistake(r->s, place(r), "the name of a field expected behind $h_");
}

static bool is_counter(struct slice name)
{
	return name.len == 2 && name.at[0] == 'n' && ascii_is_digit(name.at[1]);
}

/* $sn0: the counters of a system filter, of which there is none. */
static bool is_system_counter(struct slice name)
{
	return name.len == 3 && slice_starts(name, slice_of("sn")) && ascii_is_digit(name.at[2]);
}

static bool set_variable(struct reader *r, struct exim_part *p, struct slice name, size_t at)
{
	p->kind = EXIM_VARIABLE;
	if (is_counter(name)) {
		p->kind = EXIM_COUNTER;
		p->which = name.at[1] - '0';
		return true;
	}
	if (is_system_counter(name)) {
		p->kind = EXIM_PLAIN;
		p->text = slice_of("0");
		return true;
	}
	p->which = exim_variable_find(name);
	if (p->which == -2)
		return exim_mistake(r->s, at, "$%.*s is not available in filters here", SLICE_ARG(name));
	if (p->which < 0)
		return exim_mistake(r->s, at, "there is no variable $%.*s", SLICE_ARG(slice_sub(name, 0, 60)));
	return true;
}

static bool set_group(struct exim_part *p, struct slice digits)
{
	p->kind = EXIM_GROUP;
	p->which = digits.len == 1 ? digits.at[0] - '0' : (int)EXIM_COUNTERS;
	return true;
}

static struct slice read_digits(struct reader *r)
{
	size_t start = r->at;

	while (ascii_is_digit(peek(r, 0)))
		r->at++;
	return slice_sub(r->text, start, r->at - start);
}

/* A name, without `$`: of def: too. */
static bool read_variable(struct reader *r, struct exim_part *p)
{
	size_t at = place(r), prefix;
	struct slice name;
	enum exim_field_form form;

	if (ascii_is_digit(peek(r, 0)))
		return set_group(p, read_digits(r));
	prefix = field_prefix(slice_from(r->text, r->at), &form);
	if (prefix > 0) {
		r->at += prefix;
		return read_field(r, p, form);
	}
	name = read_name(r, false);
	if (name.len == 0)
		return exim_mistake(r->s, at, "a name, a digit or `{` expected behind `$` (the sign itself is \\$, in quotes \\\\$)");
	return set_variable(r, p, name, at);
}

/* ---- ${if ---- */

static bool read_test(struct reader *r, struct exim_test **out);

static bool read_braced(struct reader *r, struct exim_text **out, const char *after)
{
	skip_space(r);
	return expect(r, '{', after) && read_text(r, true, out) && expect(r, '}', "at the end of a text in braces");
}

static struct exim_test *new_test(struct reader *r, enum exim_test_kind kind)
{
	struct exim_test *t = arena_take(r->s->arena, sizeof(*t));

	if (t == NULL) {
		exim_no_memory(r->s);
		return NULL;
	}
	t->kind = kind;
	t->line = r->line;
	return t;
}

static bool read_defined(struct reader *r, struct exim_test *t)
{
	struct exim_part **end;

	t->a = new_text(r);
	if (t->a == NULL)
		return false;
	end = &t->a->first;
	return add_part(r, &end, EXIM_VARIABLE) != NULL && read_variable(r, t->a->first);
}

static bool read_all(struct reader *r, struct exim_test *t)
{
	struct exim_test **end = &t->inner;

	skip_space(r);
	if (!expect(r, '{', "behind and/or"))
		return false;
	for (skip_space(r); peek(r, 0) == '{'; skip_space(r), end = &(*end)->next) {
		r->at++;
		if (!read_test(r, end))
			return false;
		skip_space(r);
		if (!expect(r, '}', "at the end of a condition"))
			return false;
	}
	return expect(r, '}', "at the end of and/or");
}

static const struct {
	const char *word;
	enum exim_test_kind kind;
	enum exim_compare compare;
	unsigned order;
	bool cased, negated;
} conditions[] = {
	{"and", EXIM_AND, EXIM_IS, 0, false, false},
	{"or", EXIM_OR, EXIM_IS, 0, false, false},
	{"eq", EXIM_COMPARE, EXIM_IS, 0, true, false},
	{"eqi", EXIM_COMPARE, EXIM_IS, 0, false, false},
	{"match", EXIM_COMPARE, EXIM_MATCHES, 0, true, false},
	{"lt", EXIM_ORDER, EXIM_IS, EXIM_LESS, true, false},
	{"lti", EXIM_ORDER, EXIM_IS, EXIM_LESS, false, false},
	{"le", EXIM_ORDER, EXIM_IS, EXIM_LESS | EXIM_EQUAL, true, false},
	{"lei", EXIM_ORDER, EXIM_IS, EXIM_LESS | EXIM_EQUAL, false, false},
	{"gt", EXIM_ORDER, EXIM_IS, EXIM_GREATER, true, false},
	{"gti", EXIM_ORDER, EXIM_IS, EXIM_GREATER, false, false},
	{"ge", EXIM_ORDER, EXIM_IS, EXIM_GREATER | EXIM_EQUAL, true, false},
	{"gei", EXIM_ORDER, EXIM_IS, EXIM_GREATER | EXIM_EQUAL, false, false},
	{"=", EXIM_NUMBERS, EXIM_IS, EXIM_EQUAL, false, false},
	{"==", EXIM_NUMBERS, EXIM_IS, EXIM_EQUAL, false, false},
	{"<", EXIM_NUMBERS, EXIM_IS, EXIM_LESS, false, false},
	{"<=", EXIM_NUMBERS, EXIM_IS, EXIM_LESS | EXIM_EQUAL, false, false},
	{">", EXIM_NUMBERS, EXIM_IS, EXIM_GREATER, false, false},
	{">=", EXIM_NUMBERS, EXIM_IS, EXIM_GREATER | EXIM_EQUAL, false, false},
	{"first_delivery", EXIM_FIRST_DELIVERY, EXIM_IS, 0, false, false},
};

static struct slice read_condition_word(struct reader *r)
{
	size_t start = r->at;

	if (is_name(peek(r, 0)))
		return read_name(r, false);
	while (peek(r, 0) != '\0' && strchr("<>=", peek(r, 0)) != NULL)
		r->at++;
	return slice_sub(r->text, start, r->at - start);
}

static bool read_operands(struct reader *r, struct exim_test *t)
{
	switch (t->kind) {
	case EXIM_AND:
	case EXIM_OR:
		return read_all(r, t);
	case EXIM_FIRST_DELIVERY:
		return true;
	case EXIM_DEFINED:
		return read_defined(r, t);
	case EXIM_COMPARE:
	case EXIM_NUMBERS:
	case EXIM_ORDER:
	case EXIM_DELIVERED:
	case EXIM_ERROR_MESSAGE:
	case EXIM_MANUALLY_THAWED:
	case EXIM_PERSONAL:
	case EXIM_FOR_ANY:
		break;
	}
	return read_braced(r, &t->a, "before what is compared") && read_braced(r, &t->b, "before what it is compared with");
}

static bool read_known_test(struct reader *r, struct slice word, bool negated, size_t at, struct exim_test **out)
{
	struct exim_test *t;

	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		if (!slice_eq(word, slice_of(conditions[i].word)))
			continue;
		t = *out = new_test(r, conditions[i].kind);
		if (t == NULL)
			return false;
		t->compare = conditions[i].compare;
		t->order = conditions[i].order;
		t->cased = conditions[i].cased;
		t->negated = negated;
		return read_operands(r, t);
	}
	if (word.len == 0)
		return exim_mistake(r->s, at, "a condition expected behind ${if (in `pipe`, what holds blanks needs quotes of its own)");
	return exim_mistake(r->s, at,
			    "`%.*s` is no condition here; there are def:, eq, eqi, lt, le, gt, ge, match, and, or, ! and = < <= > >=",
			    SLICE_ARG(slice_sub(word, 0, 40)));
}

static bool read_test(struct reader *r, struct exim_test **out)
{
	bool negated = false;
	size_t at;
	struct slice word;
	bool good;

	for (skip_space(r); peek(r, 0) == '!'; r->at++, skip_space(r))
		negated = !negated;
	at = place(r);
	if (!exim_enter(r->s, at))
		return false;
	word = read_condition_word(r);
	if (slice_eq(word, slice_of("def")) && peek(r, 0) == ':') {
		r->at++;
		*out = new_test(r, EXIM_DEFINED);
		if (*out != NULL)
			(*out)->negated = negated;
		good = *out != NULL && read_defined(r, *out);
	} else {
		good = read_known_test(r, word, negated, at, out);
	}
	exim_leave(r->s);
	return good;
}

/* Behind "${if". */
static bool read_if(struct reader *r, struct exim_part *p)
{
	p->kind = EXIM_IF;
	if (!read_test(r, &p->test))
		return false;
	skip_space(r);
	if (peek(r, 0) == '{' && !read_braced(r, &p->args, "before what is taken if it holds"))
		return false;
	skip_space(r);
	if (p->args != NULL && peek(r, 0) == '{' && !read_braced(r, &p->args->next, "before what is taken if it does not hold"))
		return false;
	skip_space(r);
	if (slice_starts(slice_from(r->text, r->at), slice_of("fail")))
		return exim_mistake(r->s, place(r), "`fail` is not taken over in ${if: write an empty text, {}");
	return expect(r, '}', "at the end of ${if: ${if CONDITION {yes}{no}}");
}

/* ---- functions ---- */

static const struct {
	const char *word;
	enum exim_function function;
	unsigned numbers; /* behind underscores, in the form with a colon */
	unsigned braces_min, braces_max; /* texts, in the form with braces; 0: there is no such form */
} functions[] = {
	{"lc", EXIM_LC, 0, 0, 0},	    {"uc", EXIM_UC, 0, 0, 0},
	{"length", EXIM_LENGTH, 1, 2, 2},   {"l", EXIM_LENGTH, 1, 0, 0},
	{"substr", EXIM_SUBSTR, 2, 2, 3},   {"s", EXIM_SUBSTR, 2, 0, 0},
	{"strlen", EXIM_STRLEN, 0, 0, 0},   {"local_part", EXIM_LOCAL_PART, 0, 0, 0},
	{"domain", EXIM_DOMAIN, 0, 0, 0},   {"address", EXIM_ADDRESS, 0, 0, 0},
	{"quote", EXIM_QUOTE, 0, 0, 0},	    {"rxquote", EXIM_RXQUOTE, 0, 0, 0},
};

static bool unknown_item(struct reader *r, size_t at, struct slice name)
{
	return exim_mistake(r->s, at,
			    "${%.*s is not taken over: a filter here runs no program, reads no file, looks nothing up and connects nowhere; "
			    "there are ${if, ${lc:, ${uc:, ${length, ${substr",
			    SLICE_ARG(slice_sub(name, 0, 40)));
}

/* "substr_1_2": the row of "substr", and "_1_2" in *numbers_out. */
static int find_function(struct slice name, struct slice *numbers_out)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		struct slice word = slice_of(functions[i].word);

		*numbers_out = slice_from(name, word.len);
		if (slice_starts(name, word) &&
		    (numbers_out->len == 0 || (numbers_out->at[0] == '_' && functions[i].numbers > 0)))
			return (int)i;
	}
	return -1;
}

/* A plain text of its own. */
static struct exim_text *plain(struct reader *r, struct slice text)
{
	struct exim_text *t = new_text(r);
	struct exim_part **end, *p;

	if (t == NULL)
		return NULL;
	end = &t->first;
	p = add_part(r, &end, EXIM_PLAIN);
	if (p == NULL)
		return NULL;
	p->text = text;
	return t;
}

static bool add_numbers(struct reader *r, struct slice numbers, unsigned max, size_t at, struct exim_text ***end)
{
	struct slice word;
	unsigned count = 0;

	for (numbers = slice_from(numbers, 1); slice_cut(&numbers, '_', &word); count++) {
		struct slice digits = slice_from(word, word.len > 0 && word.at[0] == '-' ? 1 : 0);
		uint64_t value;

		if (!slice_u64(digits, INT32_MAX, &value) || count >= max)
			return exim_mistake(r->s, at, "numbers expected: ${length_3:, ${substr_0_3:");
		**end = plain(r, word);
		if (**end == NULL)
			return false;
		*end = &(**end)->next;
	}
	return true;
}

static bool read_colon_form(struct reader *r, struct exim_part *p, int row, struct slice numbers, size_t at)
{
	struct exim_text **end = &p->args;

	r->at++;
	if (functions[row].numbers > 0 && numbers.len == 0)
		return exim_mistake(r->s, at, "a number expected: ${%s_3:...}", functions[row].word);
	return add_numbers(r, numbers, functions[row].numbers, at, &end) && read_text(r, true, end) &&
	       expect(r, '}', "at the end of ${...:");
}

static bool read_brace_form(struct reader *r, struct exim_part *p, int row)
{
	struct exim_text **end = &p->args;
	unsigned count = 0;

	for (skip_space(r); peek(r, 0) == '{' && count < functions[row].braces_max; skip_space(r), count++) {
		if (!read_braced(r, end, ""))
			return false;
		end = &(*end)->next;
	}
	if (count < functions[row].braces_min)
		return exim_mistake(r->s, place(r), "${%s has too few texts in braces", functions[row].word);
	return expect(r, '}', "at the end of ${...{...}");
}

static bool read_function(struct reader *r, struct exim_part *p, struct slice name, size_t at)
{
	struct slice numbers;
	int row = find_function(name, &numbers);

	if (row < 0)
		return unknown_item(r, at, name);
	p->kind = EXIM_CALL;
	p->which = (int)functions[row].function;
	if (peek(r, 0) == ':')
		return read_colon_form(r, p, row, numbers, at);
	if (functions[row].braces_max == 0 || numbers.len > 0)
		return exim_mistake(r->s, place(r), "`:` expected behind ${%.*s", SLICE_ARG(name));
	return read_brace_form(r, p, row);
}

/* r->at is behind "${". */
static bool read_item(struct reader *r, struct exim_part *p)
{
	size_t at = place(r);
	struct slice name;
	enum exim_field_form form;

	if (ascii_is_digit(peek(r, 0)))
		return set_group(p, read_digits(r)) && expect(r, '}', "behind ${1");
	if (field_prefix(slice_from(r->text, r->at), &form) > 0)
		return exim_mistake(r->s, at, "no braces around a field: $h_subject:");
	name = read_name(r, true);
	if (name.len == 0)
		return exim_mistake(r->s, at, "a name expected behind `${`");
	if (slice_eq(name, slice_of("if")))
		return read_if(r, p);
	if (peek(r, 0) != '}')
		return read_function(r, p, name, at);
	r->at++;
	return set_variable(r, p, name, at);
}

static bool read_dollar(struct reader *r, struct exim_part ***end)
{
	size_t at = place(r);
	struct exim_part *p = add_part(r, end, EXIM_PLAIN);
	bool good;

	if (p == NULL)
		return false;
	r->at++;
	if (peek(r, 0) != '{')
		return read_variable(r, p);
	r->at++;
	if (!exim_enter(r->s, at))
		return false;
	good = read_item(r, p);
	exim_leave(r->s);
	return good;
}

static bool read_text(struct reader *r, bool in_braces, struct exim_text **out)
{
	size_t start = r->at;
	struct exim_text *t = *out = new_text(r);
	struct exim_part **end;
	bool good = t != NULL;

	if (!good)
		return false;
	for (end = &t->first; good && !at_end(r) && !(in_braces && peek(r, 0) == '}');) {
		char c = peek(r, 0);

		good = c == '$' ? read_dollar(r, &end) : c == '\\' ? read_escape(r, &end) : read_plain(r, in_braces, &end);
	}
	t->source = slice_sub(r->text, start, r->at - start);
	return good;
}

bool exim_text_compile_part(struct exim_source *s, struct slice text, const uint32_t *places, uint32_t line, struct exim_text **out)
{
	struct reader r = {s, text, places, line, 0};

	return read_text(&r, false, out);
}

bool exim_text_compile(struct exim_source *s, const struct exim_item *item, struct exim_text **out)
{
	return exim_text_compile_part(s, item->text, item->places, item->line, out);
}

bool exim_text_is_constant(const struct exim_text *text, struct buf *out)
{
	for (const struct exim_part *p = text->first; p != NULL; p = p->next)
		if (p->kind != EXIM_PLAIN || !buf_add_slice(out, p->text))
			return false;
	return true;
}

bool exim_text_of_file(struct arena *arena, struct slice content, struct filter_mistake *mistake, struct exim_text **out)
{
	struct exim_source s = {content, 0, 1, arena, 0, mistake};
	uint32_t *places = arena_take(arena, (content.len + 1) * sizeof(*places));

	*mistake = (struct filter_mistake){0, 0, ""};
	if (places == NULL)
		return false;
	for (size_t i = 0; i <= content.len; i++)
		places[i] = (uint32_t)i;
	if (slice_index(content, '\0') != SLICE_NONE)
		return exim_mistake(&s, slice_index(content, '\0'), "a NUL in a text");
	return exim_text_compile_part(&s, content, places, 1, out);
}
