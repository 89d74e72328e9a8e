#include "rules/run.h"
#include "rules/verb.h"

#define TEXT_MAX 1000u
#define MEMORY_MAX (POLICY_EFFECTS_MAX * 4u * TEXT_MAX)

void rule_where(const struct rule *r, struct buf *out)
{
	buf_addf(out, "%s:%u", r->pos.file, r->pos.line);
}

void rule_where_text(const struct rule *r, char *out, size_t size)
{
	struct buf where = buf_make(size);

	out[0] = '\0';
	if (r == NULL)
		return;
	rule_where(r, &where);
	(void)slice_copy(buf_slice(&where), out, size);
	buf_free(&where);
}

static enum answer ask(struct run *run, const struct rule *r)
{
	enum answer a;

	run->cause = NULL;
	a = run_cond(run, r->when);
	if (run->source->trace != NULL)
		run->source->trace(run->source->arg, r, a);
	return a;
}

/* ---- policy ---- */

struct policy {
	struct run run;
	struct policy_verdict *out;
	unsigned place;
	size_t text_at; /* texts are offsets while the memory still grows */
	size_t effect_at[POLICY_EFFECTS_MAX];
};

static enum answer add_effect(struct policy *p, const struct rule *r)
{
	struct policy_verdict *v = p->out;
	size_t at = v->memory.len;
	enum answer a = ANSWER_YES;

	if (v->effect_count == POLICY_EFFECTS_MAX) {
		p->run.cause = "too many effects";
		return ANSWER_UNKNOWN;
	}
	if (r->text != NULL)
		a = run_text(&p->run, r->text, TEXT_REPLY, TEXT_MAX, &v->memory);
	else if (r->name != NULL)
		buf_add_text(&v->memory, r->name);
	p->effect_at[v->effect_count] = at;
	v->effects[v->effect_count++] = (struct rule_effect){r, {"", v->memory.len - at}};
	p->run.effect_count = v->effect_count;
	return a;
}

static enum answer add_reply(struct policy *p, const struct rule *r)
{
	struct policy_verdict *v = p->out;
	enum answer a = ANSWER_YES;

	v->rule = r;
	v->verb = r->verb;
	v->code = r->code;
	v->dsn = r->dsn;
	v->close = r->verb == VERB_DROP;
	p->text_at = v->memory.len;
	if (r->text != NULL)
		a = run_text(&p->run, r->text, TEXT_REPLY, TEXT_MAX, &v->memory);
	v->text.len = v->memory.len - p->text_at;
	return a;
}

static enum answer apply(struct policy *p, const struct rule *r)
{
	if (r->delay_ms > p->out->delay_ms)
		p->out->delay_ms = r->delay_ms;
	if (r->verb == VERB_DELAY)
		return ANSWER_YES;
	return verb_of(r->verb, p->place)->final ? add_reply(p, r) : add_effect(p, r);
}

static struct slice text_at(const struct policy_verdict *v, size_t at, size_t len)
{
	return len == 0 ? slice_empty() : slice_make(v->memory.at + at, len);
}

static void settle(struct policy *p)
{
	struct policy_verdict *v = p->out;

	v->text = text_at(v, p->text_at, v->text.len);
	for (size_t i = 0; i < v->effect_count; i++)
		v->effects[i].text = text_at(v, p->effect_at[i], v->effects[i].text.len);
}

/* The evaluation ends without a verdict: whatever rules before wanted done is not done. */
static void give_up(struct policy *p, const struct rule *r, enum answer a)
{
	struct policy_verdict *v = p->out;
	struct buf memory = v->memory;

	buf_clear(&memory);
	*v = (struct policy_verdict){.end = a == ANSWER_PENDING ? POLICY_NEED : POLICY_UNKNOWN,
				     .rule = r,
				     .cause = p->run.cause,
				     .text = slice_empty(),
				     .dsn = "",
				     .memory = memory};
	if (v->cause == NULL)
		v->cause = "memory";
}

static enum answer step(struct policy *p, const struct rule *r, bool *final)
{
	enum answer a = ask(&p->run, r);

	if (a != ANSWER_YES)
		return a;
	*final = verb_of(r->verb, p->place)->final;
	a = apply(p, r);
	if (a == ANSWER_YES && !buf_ok(&p->out->memory))
		a = ANSWER_UNKNOWN;
	return a;
}

void policy_eval(const struct rule_list *list, const struct rule_source *source,
		 struct policy_verdict *out)
{
	struct policy p = {
		{source, NULL, out->effects, 0}, out, list == NULL ? 0 : list->place, 0, {0}};
	bool final = false;

	*out = (struct policy_verdict){.end = POLICY_VERDICT,
				       .verb = VERB_ACCEPT,
				       .dsn = "",
				       .text = slice_empty(),
				       .memory = buf_make(MEMORY_MAX)};
	for (size_t i = 0; list != NULL && i < list->count && !final; i++) {
		enum answer a = step(&p, &list->rules[i], &final);

		if (a == ANSWER_UNKNOWN || a == ANSWER_PENDING) {
			give_up(&p, &list->rules[i], a);
			return;
		}
	}
	settle(&p);
}

void policy_verdict_free(struct policy_verdict *v)
{
	buf_free(&v->memory);
	v->effect_count = 0;
	v->text = slice_empty();
}

/* ---- routes ---- */

static void route_text(struct run *run, const struct rule *r, struct route_step *out)
{
	bool is_address = r->verb == VERB_REWRITE || r->verb == VERB_COPY || r->verb == VERB_ADDRESS;
	enum text_use use = is_address ? TEXT_ADDRESS : TEXT_REPLY;
	struct buf text = buf_make(MEMORY_MAX);
	enum answer a = run_text(run, r->text, use, ROUTE_TEXT_MAX, &text);

	if (a == ANSWER_YES && slice_copy(buf_slice(&text), out->memory, sizeof(out->memory))) {
		out->text = slice_of(out->memory);
	} else {
		out->end = a == ANSWER_PENDING ? ROUTE_NEED : ROUTE_UNKNOWN;
		out->cause = run->cause;
	}
	buf_free(&text);
}

/* Of rules that name fields only those with one of `fields`. */
static void find_step(const struct rule_list *list, size_t from, uint32_t fields, const struct rule_source *source, struct route_step *out)
{
	static const enum route_end ends[] = {[ANSWER_YES] = ROUTE_STEP,
					      [ANSWER_UNKNOWN] = ROUTE_UNKNOWN,
					      [ANSWER_PENDING] = ROUTE_NEED};
	struct run run = {source, NULL, NULL, 0};
	enum answer a = ANSWER_NO;
	size_t i = from;

	out->end = ROUTE_NONE;
	out->rule = NULL;
	out->cause = NULL;
	out->text = slice_empty();
	out->memory[0] = '\0';
	for (; i < list->count && a == ANSWER_NO; i++)
		if (list->rules[i].fields == 0 || (list->rules[i].fields & fields) != 0)
			a = ask(&run, &list->rules[i]);
	out->next = i;
	if (a == ANSWER_NO)
		return;
	out->rule = &list->rules[i - 1];
	out->end = ends[a];
	out->cause = run.cause;
	if (a == ANSWER_YES && out->rule->text != NULL)
		route_text(&run, out->rule, out);
}

void route_eval(const struct rule_list *list, size_t from, const struct rule_source *source, struct route_step *out)
{
	find_step(list, from, 0, source, out);
}

/* ---- rewriting ---- */

void rewrite_eval(const struct rule_list *list, size_t from, enum rewrite_field field, const struct rule_source *source,
		  struct route_step *out)
{
	find_step(list, from, 1u << field, source, out);
}

uint32_t rewrite_fields(const struct rule_list *list)
{
	uint32_t fields = 0;

	for (size_t i = 0; list != NULL && i < list->count; i++)
		fields |= list->rules[i].fields;
	return fields;
}

const char *rewrite_field_name(enum rewrite_field field)
{
	static const char *const names[REWRITE_FIELDS] = {
		[REWRITE_ENVELOPE_FROM] = "envelope-from", [REWRITE_FROM] = "from", [REWRITE_SENDER] = "sender",
		[REWRITE_REPLY_TO] = "reply-to", [REWRITE_TO] = "to", [REWRITE_CC] = "cc", [REWRITE_BCC] = "bcc",
		[REWRITE_RESENT] = "resent",
	};

	return names[field];
}
