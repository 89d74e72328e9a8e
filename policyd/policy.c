#include "policy.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ipc/message.h"
#include "route.h"

#include <stdio.h>

struct evaluation {
	const struct policy_request *request;
	const struct lookups *lookups;
	struct facts_view facts;
};

static enum fact_state find_fact(void *arg, enum fact_id id, struct fact_value *out)
{
	struct evaluation *e = arg;

	return facts_find(&e->facts, id, out);
}

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key)
{
	const struct evaluation *e = arg;

	return e->lookups->table(e->lookups->arg, table, key, NULL);
}

static bool has_tag(void *arg, const char *tag)
{
	const struct evaluation *e = arg;

	return tags_has(e->request->tags, slice_of(tag));
}

/* ---- the answer ---- */

static void answer_outcome(struct policy_answer *a, enum outcome oc)
{
	const struct outcome_info *info = outcome_info(oc);

	a->oc = oc;
	a->code = info->smtp;
	snprintf(a->dsn, sizeof(a->dsn), "%s", info->dsn);
	snprintf(a->text, sizeof(a->text), "%s", info->text);
}

static bool add_effects(struct policy_answer *a, const struct policy_verdict *v)
{
	for (size_t i = 0; i < v->effect_count; i++) {
		struct rec_effect effect = {slice_of(rule_verb_name(v->effects[i].rule->verb)), v->effects[i].text};

		if (!rec_effect_add(&a->effects, &effect))
			return false;
	}
	return true;
}

static void answer_refusal(struct policy_answer *a, const struct policy_verdict *v)
{
	answer_outcome(a, v->code / 100 == 5 ? OC_POLICY_REJECT : OC_UNAVAILABLE);
	a->code = v->code;
	snprintf(a->dsn, sizeof(a->dsn), "%s", v->dsn);
	if (v->text.len > 0)
		snprintf(a->text, sizeof(a->text), "%.*s", SLICE_ARG(v->text));
}

static void answer_unknown(struct policy_answer *a, const char *cause)
{
	answer_outcome(a, OC_LOOKUP_UNKNOWN);
	snprintf(a->cause, sizeof(a->cause), "%.512s", cause == NULL ? "" : cause);
}

static void take_verdict(struct policy_answer *a, const struct policy_verdict *v)
{
	answer_outcome(a, OC_DONE);
	a->pending = v->end == POLICY_NEED;
	a->delay_ms = v->delay_ms;
	rule_where_text(v->rule, a->rule, sizeof(a->rule));
	if (v->end != POLICY_VERDICT) {
		answer_unknown(a, v->cause);
		return;
	}
	a->close = v->close;
	if (v->rule != NULL && v->verb != VERB_ACCEPT)
		answer_refusal(a, v);
	if (!add_effects(a, v))
		answer_unknown(a, "more headers and tags than one answer holds");
}

/* ---- the recipient ---- */

/* Of several targets each is its own affair. */
static void take_target(struct policy_answer *a, const struct route_result *r)
{
	struct slice rest = buf_slice(&r->records);
	struct rec_route_target t;

	if (r->count == 1 && !r->is_cut && rec_route_target_next(&rest, &t) && slice_copy(t.transport, a->transport, sizeof(a->transport)))
		(void)(slice_copy(t.nexthop, a->nexthop, sizeof(a->nexthop)) && slice_copy(t.recipient, a->mailbox, sizeof(a->mailbox)));
}

static void take_route(struct policy_answer *a, const struct policy_request *request, const struct route_result *r)
{
	switch (r->outcome) {
	case ROUTE_TARGETS:
		if (r->leaves && !request->may_relay) {
			answer_outcome(a, OC_NO_RELAY);
			a->rule[0] = '\0';
		}
		take_target(a, r);
		return;
	case ROUTE_REFUSED:
		answer_outcome(a, r->oc);
		a->code = r->code;
		memcpy(a->dsn, r->dsn, sizeof(r->dsn));
		snprintf(a->text, sizeof(a->text), "%s", r->text);
		break;
	case ROUTE_DEFERRED:
		answer_outcome(a, r->oc);
		snprintf(a->cause, sizeof(a->cause), "%s", r->cause);
		if (r->text[0] != '\0')
			snprintf(a->text, sizeof(a->text), "%s", r->text);
		break;
	case ROUTE_PENDING:
		a->pending = true;
		break;
	}
	snprintf(a->rule, sizeof(a->rule), "%s", r->rule);
}

/* Members of a list decide here whether it can be sent to now, and the commit asks for all of them. */
#define LOOKED_AT_MAX 100u

static struct policy_answer try_route(const struct conf *conf, const struct policy_request *request, const struct facts *facts,
				      const struct lookups *lookups, const struct policy_answer *before)
{
	const struct route_question question = {.conf = conf, .facts = facts, .lookups = lookups, .enough = LOOKED_AT_MAX};
	struct policy_answer a = *before;
	struct route_result r;

	route_run(&question, &r);
	take_route(&a, request, &r);
	route_result_free(&r);
	return a;
}

/* The better one is what the recipient may come to: let in, later, refused. */
static bool is_better(const struct policy_answer *a, const struct policy_answer *than)
{
	static const int worth[] = {[KIND_OK] = 2, [KIND_TEMP] = 1, [KIND_PERM] = 0};

	return worth[outcome_kind(a->oc)] > worth[outcome_kind(than->oc)];
}

#define VERIFY_CPU_US 300000u /* for one recipient, by all headers that may come */

/* With each header that the message may come to have: refused only where all of them lead to that, and let in only where one may
 * be.  At the end of data its real header decides. */
static void verify(const struct conf *conf, const struct policy_request *request, const struct lookups *lookups,
		   struct policy_answer *a)
{
	struct header_guesses guesses = {.count = 0};
	struct facts facts = request->facts;
	struct policy_answer best, one;
	const uint64_t until_us = clock_cpu_us() + VERIFY_CPU_US;
	bool is_guess;

	facts.guesses = &guesses;
	best = try_route(conf, request, &facts, lookups, a);
	is_guess = guesses.count > 0;
	while (!best.pending && outcome_kind(best.oc) != KIND_OK && header_guesses_next(&guesses)) {
		bool is_late = clock_cpu_us() > until_us;

		one = *a;
		if (is_late)
			answer_unknown(&one, "its routes take too long for each header that the message may have");
		else
			one = try_route(conf, request, &facts, lookups, a);
		if (one.pending || is_better(&one, &best))
			best = one;
		if (is_late)
			break;
	}
	if (is_guess) /* where to is not known yet */
		best.transport[0] = best.nexthop[0] = '\0';
	*a = best;
}

/* ---- the sender ---- */

static void refuse_sender(struct policy_answer *a, struct slice address, const char *where)
{
	answer_outcome(a, OC_NOT_OWN_SENDER);
	a->rule[0] = '\0';
	snprintf(a->text, sizeof(a->text), "%s: <%.*s> is not an address of yours", where, SLICE_ARG(slice_sub(address, 0, 300)));
}

/* False: that is the answer, or it is pending. */
static bool check_owner(const struct conf *conf, const struct policy_request *request, struct slice address, const char *where,
			const struct lookups *lookups, struct policy_answer *a)
{
	switch (owner_has(conf, &request->facts, &request->owner, address, lookups)) {
	case ANSWER_YES:
		return true;
	case ANSWER_NO:
		refuse_sender(a, address, where);
		break;
	case ANSWER_UNKNOWN:
		answer_unknown(a, "whose the sender's address is");
		break;
	case ANSWER_PENDING:
		a->pending = true;
		break;
	}
	return false;
}

/* cron(8) writes `From: root` into what it mails as another user.  He may, where the true sender stands beside it. */
static bool is_root_of_this_host(const struct policy_request *request, struct slice address)
{
	struct slice domain = fact_domain_part(address);
	bool here = slice_index(address, '@') == SLICE_NONE || slice_eq_nocase(domain, facts_text(&request->facts, FACT_HOSTNAME));

	return request->owner.uid != OWNER_NO_UID && request->from_sender.len == 0 &&
	       facts_text(&request->facts, FACT_SENDER).len > 0 && here &&
	       slice_eq_nocase(slice_sub(address, 0, slice_index(address, '@')), slice_of("root"));
}

static void show_true_sender(const struct policy_request *request, struct policy_answer *a)
{
	struct buf line = buf_make(600);
	struct rec_effect effect = {slice_of(rule_verb_name(VERB_ADD_HEADER)), slice_empty()};

	buf_addf(&line, "Sender: <%.*s>", SLICE_ARG(facts_text(&request->facts, FACT_SENDER)));
	effect.text = buf_slice(&line);
	if (!buf_ok(&line) || !rec_effect_add(&a->effects, &effect))
		answer_unknown(a, "more headers and tags than one answer holds");
	buf_free(&line);
}

static void check_header(const struct conf *conf, const struct policy_request *request, const struct lookups *lookups,
			 struct policy_answer *a)
{
	struct slice rest = request->from, address;

	if (request->from_unclear) {
		answer_outcome(a, OC_NOT_OWN_SENDER);
		snprintf(a->text, sizeof(a->text), "From and Sender must be there once at most, each a list of addresses, and no line of the header may go on with nothing");
		return;
	}
	while (slice_cut(&rest, '\n', &address)) {
		if (is_root_of_this_host(request, address))
			show_true_sender(request, a);
		else if (!check_owner(conf, request, address, "From", lookups, a))
			return;
	}
	if (request->from_sender.len > 0)
		(void)check_owner(conf, request, request->from_sender, "Sender", lookups, a);
}

static void check_sender(const struct conf *conf, const struct policy_request *request, const struct lookups *lookups,
			 struct policy_answer *a)
{
	struct slice sender = facts_text(&request->facts, FACT_SENDER);

	if (request->stage == STAGE_MAIL && sender.len > 0)
		(void)check_owner(conf, request, sender, "MAIL FROM", lookups, a);
	if (request->stage == STAGE_DATA)
		check_header(conf, request, lookups, a);
}

void policy_run(const struct conf *conf, const struct policy_request *request, const struct lookups *lookups,
		struct policy_answer *out)
{
	struct evaluation e = {request, lookups, {.conf = conf, .facts = &request->facts, .lookups = lookups}};
	const struct rule_source source = {find_fact, find_in_table, has_tag, NULL, NULL, &e, NULL};
	struct policy_verdict v;

	memset(out, 0, sizeof(*out));
	out->effects = buf_make(POLICY_EFFECTS_BYTES);
	policy_eval(conf->policy[request->stage], &source, &v);
	take_verdict(out, &v);
	policy_verdict_free(&v);
	if (request->stage == STAGE_RCPT && !out->pending && out->oc == OC_DONE)
		verify(conf, request, lookups, out);
	if (request->is_bound && !out->pending && out->oc == OC_DONE)
		check_sender(conf, request, lookups, out);
}

void policy_answer_free(struct policy_answer *a)
{
	buf_free(&a->effects);
}

void policy_set_tags(const struct policy_answer *a, struct tags *tags)
{
	struct slice rest = buf_slice(&a->effects);
	struct rec_effect effect;

	while (rec_effect_next(&rest, &effect))
		if (slice_eq(effect.kind, slice_of("tag")))
			(void)tags_add(tags, effect.text);
}
