#include "rewrite.h"

#include "mail/address.h"

#include <stdio.h>

#define VALUE_MAX 1000u

struct pass {
	const struct lookups *lookups;
	struct facts facts; /* with the address in hand */
	struct rewriting *out;
};

static enum fact_state find_fact(void *arg, enum fact_id id, struct fact_value *out)
{
	const struct pass *p = arg;

	*out = p->facts.value[id];
	return FACT_KNOWN;
}

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key)
{
	const struct pass *p = arg;

	return p->lookups->table(p->lookups->arg, table, key, NULL);
}

static bool has_no_tag(void *arg, const char *tag)
{
	(void)arg;
	(void)tag;
	return false;
}

static enum rewrite_outcome unknown(struct pass *p, const char *cause)
{
	snprintf(p->out->cause, sizeof(p->out->cause), "%.250s", cause == NULL ? "a rule cannot be decided now" : cause);
	return REWRITE_UNKNOWN;
}

static enum rewrite_outcome take(struct pass *p, struct slice text)
{
	struct mail_address address;

	if (mail_address_parse(text, MAIL_ALLOW_UTF8, &address) != MAIL_OK)
		return unknown(p, "what it gives is no address");
	(void)slice_copy(mail_address_text(&address), p->out->address, sizeof(p->out->address));
	p->facts.value[FACT_ADDRESS].text = slice_of(p->out->address);
	return REWRITE_NEW;
}

static enum rewrite_outcome run_address(struct pass *p, const struct route_step *step)
{
	return take(p, step->text);
}

/* "@example.org" keeps the local part. */
static enum rewrite_outcome take_value(struct pass *p, struct slice value)
{
	struct buf whole = buf_make(VALUE_MAX);
	enum rewrite_outcome outcome;

	if (value.len > 0 && value.at[0] == '@')
		buf_add_slice(&whole, fact_local_part(facts_text(&p->facts, FACT_ADDRESS)));
	buf_add_slice(&whole, value);
	outcome = buf_ok(&whole) ? take(p, buf_slice(&whole)) : unknown(p, "what it gives is too long");
	buf_free(&whole);
	return outcome;
}

static enum rewrite_outcome run_lookup(struct pass *p, const struct route_step *step)
{
	static const enum rewrite_outcome outcomes[] = {[ANSWER_NO] = REWRITE_SAME, [ANSWER_PENDING] = REWRITE_PENDING};
	struct buf key = buf_make(MAIL_ADDRESS_MAX + 1), value = buf_make(VALUE_MAX);
	struct slice address = facts_text(&p->facts, FACT_ADDRESS);
	enum answer answer = ANSWER_UNKNOWN;
	enum rewrite_outcome outcome;
	size_t at;

	for (size_t i = 0; i < address.len; i++)
		buf_add_char(&key, ascii_lower(address.at[i]));
	at = slice_rindex(buf_slice(&key), '@');
	if (buf_ok(&key) && at != SLICE_NONE) {
		answer = p->lookups->table(p->lookups->arg, step->rule->table, buf_slice(&key), &value);
		if (answer == ANSWER_NO)
			answer = p->lookups->table(p->lookups->arg, step->rule->table, slice_from(buf_slice(&key), at), &value);
	}
	if (answer == ANSWER_YES)
		outcome = take_value(p, slice_trim(buf_slice(&value)));
	else
		outcome = answer == ANSWER_UNKNOWN ? unknown(p, step->rule->name) : outcomes[answer];
	buf_free(&key);
	buf_free(&value);
	return outcome;
}

static enum rewrite_outcome run_step(struct pass *p, const struct route_step *step)
{
	rule_where_text(step->rule, p->out->rule, sizeof(p->out->rule));
	if (step->end == ROUTE_NEED)
		return REWRITE_PENDING;
	if (step->end == ROUTE_UNKNOWN)
		return unknown(p, step->cause);
	return step->rule->verb == VERB_LOOKUP ? run_lookup(p, step) : run_address(p, step);
}

enum rewrite_outcome rewrite_run(const struct conf *conf, const struct facts *facts, enum rewrite_field field, struct slice address,
				 const struct lookups *lookups, struct rewriting *out)
{
	struct pass p = {.lookups = lookups, .facts = *facts, .out = out};
	const struct rule_source source = {find_fact, find_in_table, has_no_tag, NULL, NULL, &p, NULL};
	struct route_step step = {.next = 0};

	*out = (struct rewriting){.address = ""};
	p.facts.value[FACT_ADDRESS].text = address;
	for (rewrite_eval(conf->rewrite, 0, field, &source, &step); step.end != ROUTE_NONE;
	     rewrite_eval(conf->rewrite, step.next, field, &source, &step)) {
		enum rewrite_outcome outcome = run_step(&p, &step);

		if (outcome == REWRITE_UNKNOWN || outcome == REWRITE_PENDING)
			return outcome;
	}
	return out->address[0] == '\0' || slice_eq(slice_of(out->address), address) ? REWRITE_SAME : REWRITE_NEW;
}
