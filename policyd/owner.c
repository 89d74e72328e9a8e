#include "owner.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "mail/address.h"
#include "route.h"

#define VALUE_MAX 65535u
#define ROOT 0u

bool owner_is_bound(const struct conf *conf, uint64_t role, uint64_t listener, const struct owner *o)
{
	if (role == LISTENER_LOCAL)
		return conf->local_senders == SENDERS_OWN && o->uid != OWNER_NO_UID && o->uid != ROOT;
	if (o->login.len == 0)
		return false;
	return listener >= conf->listener_count || conf->listeners[listener].senders == SENDERS_OWN;
}

/* ---- names ---- */

/* Whether the owner is known by that name: a login, or a system user. */
static enum answer is_called(const struct owner *o, struct slice name, const struct lookups *lookups)
{
	uint64_t uid = OWNER_NO_UID;
	enum answer answer;

	if (o->uid == OWNER_NO_UID)
		return slice_eq_nocase(name, o->login) ? ANSWER_YES : ANSWER_NO;
	if (name.len == 0 || slice_index(name, '@') != SLICE_NONE || slice_index(name, '/') != SLICE_NONE)
		return ANSWER_NO;
	answer = lookups->uid(lookups->arg, name, &uid);
	return answer == ANSWER_YES && uid != o->uid ? ANSWER_NO : answer;
}

/* Any yes is one; else what is not there yet; else what cannot be known. */
static enum answer either(enum answer a, enum answer b)
{
	static const enum answer order[] = {ANSWER_YES, ANSWER_PENDING, ANSWER_UNKNOWN};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return ANSWER_NO;
}

/* `user@our.host`, or of the domain that sendmail completes addresses with, where the owner is called `user`. */
static enum answer is_of_this_host(const struct conf *conf, const struct facts *facts, const struct owner *o, struct slice address,
				   const struct lookups *lookups)
{
	struct slice domain = fact_domain_part(address), completed = slice_of(conf->set.qualify_domain);
	bool is_completed = o->uid != OWNER_NO_UID && completed.len > 0 && slice_eq_nocase(domain, completed);

	if (!is_completed && !slice_eq_nocase(domain, facts_text(facts, FACT_HOSTNAME)))
		return ANSWER_NO;
	return is_called(o, fact_local_part(address), lookups);
}

/* ---- delegations ---- */

static enum answer is_among(const struct owner *o, struct slice names, const struct lookups *lookups)
{
	enum answer answer = ANSWER_NO;
	struct slice name;

	while (answer != ANSWER_YES && slice_cut(&names, ',', &name))
		answer = either(answer, is_called(o, slice_trim(name), lookups));
	return answer;
}

static enum answer is_delegated_by(const struct conf *conf, const struct owner *o, struct slice key, const struct lookups *lookups)
{
	struct buf value = buf_make(VALUE_MAX);
	enum answer answer = lookups->table(lookups->arg, conf->delegations, key, &value);

	if (answer == ANSWER_YES)
		answer = is_among(o, buf_slice(&value), lookups);
	buf_free(&value);
	return answer;
}

static enum answer is_delegated(const struct conf *conf, const struct owner *o, struct slice address, const struct lookups *lookups)
{
	char lower[MAIL_ADDRESS_MAX + 1];
	struct slice key;
	size_t at;

	if (conf->delegations == NULL)
		return ANSWER_NO;
	if (!slice_copy(address, lower, sizeof(lower)))
		return ANSWER_NO;
	for (size_t i = 0; lower[i] != '\0'; i++)
		lower[i] = ascii_lower(lower[i]);
	key = slice_of(lower);
	at = slice_rindex(key, '@');
	return either(is_delegated_by(conf, o, key, lookups),
		      at == SLICE_NONE ? ANSWER_NO : is_delegated_by(conf, o, slice_from(key, at), lookups));
}

/* ---- where its mail goes ---- */

static enum answer is_owners(const struct owner *o, const struct rec_route_target *t, const struct lookups *lookups)
{
	enum answer by_address = o->login.len > 0 && slice_eq_nocase(t->recipient, o->login) ? ANSWER_YES : ANSWER_NO;

	/* A home's next hop is its user's name. */
	if (by_address == ANSWER_YES || (t->kind != TRANSPORT_MAILDIR && t->kind != TRANSPORT_MBOX) || slice_index(t->nexthop, '/') != SLICE_NONE)
		return by_address;
	return is_called(o, t->nexthop, lookups);
}

static enum answer is_among_targets(const struct owner *o, const struct route_result *r, const struct lookups *lookups)
{
	struct slice rest = buf_slice(&r->records);
	struct rec_route_target target;
	enum answer answer = ANSWER_NO;

	while (answer != ANSWER_YES && rec_route_target_next(&rest, &target))
		answer = either(answer, is_owners(o, &target, lookups));
	return answer;
}

/* An alias may lead to the login on the way to where its mail lies in the end. */
struct passing {
	struct slice login;
	bool seen;
};

static void note_address(void *arg, const struct route_note *note)
{
	struct passing *p = arg;

	if (note->kind == NOTE_ADDRESS && note->rule != NULL && note->rule->verb == VERB_ALIAS && p->login.len > 0)
		p->seen = p->seen || slice_eq_nocase(note->address, p->login);
}

static enum answer comes_to(const struct conf *conf, const struct facts *facts, const struct owner *o, struct slice address,
			    const struct lookups *lookups)
{
	static const enum answer answers[] = {[ROUTE_TARGETS] = ANSWER_NO, [ROUTE_REFUSED] = ANSWER_NO,
					      [ROUTE_DEFERRED] = ANSWER_UNKNOWN, [ROUTE_PENDING] = ANSWER_PENDING};
	struct facts f = *facts;
	struct passing passing = {o->login, false};
	const struct route_trace trace = {note_address, &passing};
	const struct route_question question = {.conf = conf, .facts = &f, .lookups = lookups, .no_copies = true, .trace = &trace};
	struct route_result r;
	enum answer answer;

	f.value[FACT_SENDER].text = slice_empty();
	f.header_names = slice_of(":"); /* whose an address is does not depend on what is written to it */
	f.value[FACT_RECIPIENT].text = address;
	route_run(&question, &r);
	if (r.outcome == ROUTE_TARGETS)
		answer = passing.seen ? ANSWER_YES : is_among_targets(o, &r, lookups);
	else
		answer = answers[r.outcome];
	route_result_free(&r);
	return answer;
}

/* ---- all ---- */

/* Cheap questions first: a yes of theirs leaves the others unasked. */
enum answer owner_has(const struct conf *conf, const struct facts *facts, const struct owner *o, struct slice address,
		      const struct lookups *lookups)
{
	struct buf whole = buf_make(MAIL_ADDRESS_MAX + 256);
	struct mail_address parsed;
	enum answer answer;

	buf_add_slice(&whole, address);
	if (mail_address_parse(address, MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE, &parsed) == MAIL_OK && mail_address_domain(&parsed).len == 0)
		buf_addf(&whole, "@%.*s", SLICE_ARG(facts_text(facts, FACT_HOSTNAME)));
	if (!buf_ok(&whole)) {
		buf_free(&whole);
		return ANSWER_UNKNOWN;
	}
	address = buf_slice(&whole);
	answer = o->login.len > 0 && slice_eq_nocase(address, o->login) ? ANSWER_YES : ANSWER_NO;
	if (answer != ANSWER_YES)
		answer = is_of_this_host(conf, facts, o, address, lookups);
	if (answer != ANSWER_YES)
		answer = either(answer, is_delegated(conf, o, address, lookups));
	if (answer != ANSWER_YES)
		answer = either(answer, comes_to(conf, facts, o, address, lookups));
	buf_free(&whole);
	return answer;
}
