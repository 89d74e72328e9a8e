#include "rules/run.h"

#include "conf/net.h"

#include <inttypes.h>

static enum answer yes_if(bool b)
{
	return b ? ANSWER_YES : ANSWER_NO;
}

static enum answer inverse(enum answer a)
{
	if (a == ANSWER_YES)
		return ANSWER_NO;
	return a == ANSWER_NO ? ANSWER_YES : a;
}

/* ---- facts ---- */

static void derive(enum fact_part part, struct fact_value *value)
{
	struct slice whole = value->text;

	if (part == FACT_LOCAL_PART)
		value->text = fact_local_part(whole);
	if (part == FACT_DOMAIN_PART)
		value->text = fact_domain_part(whole);
	if (part == FACT_IS_SET)
		value->number = whole.len > 0;
}

/* YES: `out` holds it; else UNKNOWN or PENDING. */
static enum answer get(struct run *run, enum fact_id id, struct fact_value *out)
{
	const struct fact_info *info = fact_info(id);
	enum fact_state state;

	*out = (struct fact_value){slice_empty(), 0};
	state = run->source->fact(run->source->arg, info->part == FACT_WHOLE ? id : info->base, out);
	if (state == FACT_KNOWN) {
		derive(info->part, out);
		return ANSWER_YES;
	}
	run->cause = info->name;
	return state == FACT_PENDING ? ANSWER_PENDING : ANSWER_UNKNOWN;
}

/* ---- tests ---- */

static enum answer test_tag(struct run *run, const struct cond *c)
{
	for (size_t i = 0; i < run->effect_count; i++)
		if (run->effects[i].rule->verb == VERB_TAG &&
		    strcmp(run->effects[i].rule->name, c->text) == 0)
			return ANSWER_YES;
	return yes_if(run->source->tag != NULL && run->source->tag(run->source->arg, c->text));
}

static enum answer test_text(struct run *run, const struct cond *c, const struct fact_value *value)
{
	struct fact_value other = {slice_of(c->text), 0};
	enum answer a = c->other == FACT_COUNT ? ANSWER_YES : get(run, c->other, &other);

	return a == ANSWER_YES ? yes_if(slice_eq_nocase(value->text, other.text)) : a;
}

static enum answer test_header(struct run *run, const struct cond *c)
{
	enum answer a = run->source->header == NULL ? ANSWER_UNKNOWN : run->source->header(run->source->arg, c->text);

	if (a == ANSWER_UNKNOWN)
		run->cause = "the header";
	return a;
}

static bool compare(enum cond_compare how, uint64_t a, uint64_t b)
{
	switch (how) {
	case COMPARE_EQUAL:
		return a == b;
	case COMPARE_NOT_EQUAL:
		return a != b;
	case COMPARE_LESS:
		return a < b;
	case COMPARE_AT_MOST:
		return a <= b;
	case COMPARE_MORE:
		return a > b;
	case COMPARE_AT_LEAST:
		return a >= b;
	case COMPARE_COUNT:
		break;
	}
	return false;
}

/* Nothing stands in no table; what is longer than any key is not known to be in none. */
static enum answer test_table(struct run *run, const struct cond *c, const struct fact_value *value)
{
	char key[RULES_KEY_MAX];
	enum answer a = ANSWER_UNKNOWN;

	if (value->text.len == 0)
		return ANSWER_NO;
	for (size_t i = 0; i < value->text.len && i < sizeof(key); i++)
		key[i] = ascii_lower(value->text.at[i]);
	if (value->text.len <= sizeof(key) && c->table != NULL)
		a = run->source->table(run->source->arg, c->table, slice_make(key, value->text.len));
	if (a == ANSWER_UNKNOWN || a == ANSWER_PENDING)
		run->cause = c->table_name;
	return a;
}

static enum answer test_texts(const struct cond *c, struct slice text)
{
	for (size_t i = 0; i < c->text_count; i++)
		if (slice_eq_nocase(text, slice_of(c->texts[i])))
			return ANSWER_YES;
	return ANSWER_NO;
}

static enum answer test_pattern(struct run *run, const struct cond *c, struct slice text)
{
	switch (pattern_match(c->pattern, text)) {
	case PATTERN_YES:
		return ANSWER_YES;
	case PATTERN_NO:
		return ANSWER_NO;
	case PATTERN_UNKNOWN:
	case PATTERN_NO_MEMORY:
		break;
	}
	run->cause = c->text;
	return ANSWER_UNKNOWN;
}

/* `is unknown` alone has an answer where the fact has none. */
static enum answer test_unknown(struct run *run, const struct cond *c)
{
	struct fact_value value;
	enum answer a = get(run, c->fact, &value);

	return a == ANSWER_PENDING ? a : yes_if(a == ANSWER_UNKNOWN);
}

static enum answer test_value(struct run *run, const struct cond *c, const struct fact_value *value)
{
	switch (c->kind) {
	case COND_FACT:
		return yes_if(value->number != 0);
	case COND_TEXT_EQUAL:
		return test_text(run, c, value);
	case COND_NUMBER:
		return yes_if(compare(c->compare, value->number, c->number));
	case COND_IN_TABLE:
		return test_table(run, c, value);
	case COND_IN_NETS:
		return yes_if(net_list_contains(c->nets, c->net_count, value->text));
	case COND_IN_TEXTS:
		return test_texts(c, value->text);
	case COND_MATCHES:
		return test_pattern(run, c, value->text);
	case COND_SHAPE:
		return yes_if(shape_has(c->shape, value->text));
	case COND_AND:
	case COND_OR:
	case COND_NOT:
	case COND_TAG:
	case COND_HEADER:
		break;
	}
	return ANSWER_UNKNOWN;
}

static enum answer test(struct run *run, const struct cond *c)
{
	struct fact_value value;
	const struct fact_value *found = NULL;
	enum answer a;

	if (c->kind == COND_TAG) {
		a = test_tag(run, c);
	} else if (c->kind == COND_HEADER) {
		a = test_header(run, c);
	} else if (c->kind == COND_SHAPE && c->shape == SHAPE_UNKNOWN) {
		a = test_unknown(run, c);
	} else if ((a = get(run, c->fact, &value)) == ANSWER_YES) {
		found = &value;
		a = test_value(run, c, &value);
	}
	if (c->negated)
		a = inverse(a);
	if (a == ANSWER_UNKNOWN && c->assume_no)
		a = ANSWER_NO;
	if (run->source->tested != NULL)
		run->source->tested(run->source->arg, c, found, a);
	return a;
}

/* ---- Kleene's and, or, not ---- */

/* `and` ends at the first no, `or` at the first yes.  Something pending ends both: what stands behind
 * is not asked for in vain. */
static enum answer chain(struct run *run, const struct cond *c, enum answer ends, enum answer otherwise)
{
	enum answer result = otherwise;
	const char *cause = NULL;

	for (size_t i = 0; i < c->child_count; i++) {
		enum answer a = run_cond(run, c->children[i]);

		if (a == ends || a == ANSWER_PENDING)
			return a;
		if (a == ANSWER_UNKNOWN) {
			result = a;
			cause = cause == NULL ? run->cause : cause;
		}
	}
	if (cause != NULL)
		run->cause = cause;
	return result;
}

enum answer run_cond(struct run *run, const struct cond *c)
{
	if (c == NULL)
		return ANSWER_YES;
	if (c->kind == COND_AND)
		return chain(run, c, ANSWER_NO, ANSWER_YES);
	if (c->kind == COND_OR)
		return chain(run, c, ANSWER_YES, ANSWER_NO);
	if (c->kind == COND_NOT)
		return inverse(run_cond(run, c->children[0]));
	return test(run, c);
}

/* ---- texts ---- */

void fact_print(enum fact_type type, const struct fact_value *value, struct buf *out)
{
	switch (type) {
	case FACT_TYPE_NUMBER:
	case FACT_TYPE_SIZE:
		buf_addf(out, "%" PRIu64, value->number);
		return;
	case FACT_TYPE_BOOL:
		buf_add_text(out, value->number != 0 ? "yes" : "no");
		return;
	case FACT_TYPE_TEXT:
	case FACT_TYPE_DOMAIN:
	case FACT_TYPE_ADDRESS:
	case FACT_TYPE_IP:
	case FACT_TYPE_WORD:
		buf_add_slice(out, value->text);
		return;
	}
}

static enum answer add_piece(struct run *run, const struct template_piece *piece, enum text_use use,
			     struct buf *out)
{
	struct fact_value value;
	enum answer a;

	if (piece->literal != NULL) {
		buf_add_text(out, piece->literal);
		return ANSWER_YES;
	}
	a = get(run, piece->fact, &value);
	if (a == ANSWER_YES)
		fact_print(fact_info(piece->fact)->type, &value, out);
	if (a != ANSWER_UNKNOWN || use == TEXT_ADDRESS)
		return a;
	buf_add_text(out, "unknown");
	return ANSWER_YES;
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || (unsigned char)c == 0x7f;
}

/* What peers said goes into replies and headers: never a line's end, never more than was meant. */
static enum answer finish(struct run *run, struct buf *out, size_t start, enum text_use use, size_t max)
{
	bool bad = out->len - start > max;

	for (size_t i = start; i < out->len; i++)
		if (use == TEXT_REPLY && (is_control(out->at[i]) || (unsigned char)out->at[i] >= 0x80))
			out->at[i] = '?';
		else
			bad = bad || is_control(out->at[i]);
	if (use == TEXT_REPLY && out->len - start > max)
		out->len = start + max;
	if (!bad || use == TEXT_REPLY)
		return ANSWER_YES;
	run->cause = "the new address";
	return ANSWER_UNKNOWN;
}

enum answer run_text(struct run *run, const struct template *t, enum text_use use, size_t max,
		     struct buf *out)
{
	size_t start = out->len;
	enum answer a = ANSWER_YES;

	for (size_t i = 0; i < t->count && a == ANSWER_YES; i++)
		a = add_piece(run, &t->pieces[i], use, out);
	if (a != ANSWER_YES)
		return a;
	if (buf_ok(out))
		return finish(run, out, start, use, max);
	run->cause = "memory";
	return ANSWER_UNKNOWN;
}
