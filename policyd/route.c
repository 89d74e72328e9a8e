#include "route.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "mail/address.h"
#include "mail/directive.h"
#include "mailbox.h"
#include "table_list.h"

#include <stdio.h>

#define NOBODY SIZE_MAX
#define ADDRESS_MAX 512u
#define ALIAS_VALUE_MAX 65535u

/* One address on its way. */
struct item {
	char *address; /* owned */
	const struct rule *origin; /* the alias that made it; NULL: asked for, or the postmaster */
	size_t from; /* the rule to begin with */
	size_t parent; /* index, or NOBODY */
	unsigned depth;
	bool to_postmaster; /* came here by the setting, or through what did */
	bool held;
	bool is_self; /* an alias led back to it: its own mailbox */
};

struct walk {
	const struct conf *conf;
	const struct lookups *lookups;
	struct facts facts; /* with the item's address as the recipient */
	bool final, pending;
	bool bare; /* <postmaster>, without a domain, was asked for */
	struct item *items; /* owned */
	size_t count, cap;
	size_t at; /* the item in hand; others are added behind it while it is */
	struct route_result *result;
};

/* How one rule leaves the item in hand. */
enum next { GO_ON, ENDED, IS_NO, IS_DEFERRED, IS_PENDING };

static struct slice address_of(const struct walk *w)
{
	return slice_of(w->items[w->at].address);
}

/* ---- what comes out ---- */

static void write_rule(const struct rule *rule, char *out, size_t size)
{
	struct buf where = buf_make(size);

	out[0] = '\0';
	if (rule == NULL)
		return;
	rule_where(rule, &where);
	(void)slice_copy(buf_slice(&where), out, size);
	buf_free(&where);
}

static enum next defer(struct walk *w, const struct rule *rule, const char *cause)
{
	struct route_result *r = w->result;

	r->oc = OC_ROUTE_UNKNOWN;
	write_rule(rule, r->rule, sizeof(r->rule));
	snprintf(r->cause, sizeof(r->cause), "%.200s: %.250s", w->count > 0 ? w->items[w->at].address : "", cause);
	return IS_DEFERRED;
}

static enum next refuse(struct walk *w, enum outcome oc, const struct rule *rule, struct slice text)
{
	struct route_result *r = w->result;
	const struct outcome_info *info = outcome_info(oc);
	bool rules_own = rule != NULL && rule->verb == VERB_REJECT;

	r->oc = oc;
	r->code = rules_own ? rule->code : info->smtp;
	snprintf(r->dsn, sizeof(r->dsn), "%s", rules_own ? rule->dsn : info->dsn);
	snprintf(r->text, sizeof(r->text), "%.*s", SLICE_ARG(text.len > 0 ? text : slice_of(info->text)));
	write_rule(rule, r->rule, sizeof(r->rule));
	return IS_NO;
}

/* <postmaster> alone is ours (RFC 5321 §4.1.1.3), whatever becomes of postmaster@ our host name. */
static bool would_send_away_our_postmaster(const struct walk *w, const struct conf_transport *t)
{
	return w->bare && w->items[w->at].parent == NOBODY && t != NULL && t->kind == TRANSPORT_SMTP;
}

/* Who was expanded before on the way to this message, or names itself in an alias, means the mailbox. */
static enum directive_kind directive_of(const struct walk *w, const struct conf_transport *t)
{
	bool is_local = t != NULL && t->kind == TRANSPORT_MAILDIR;

	if (is_local && (w->items[w->at].is_self || ancestors_have(w->facts.ancestors, address_of(w))))
		return DIRECTIVE_INBOX;
	return DIRECTIVE_NONE;
}

static enum next add_target(struct walk *w, const struct rule *rule, struct slice nexthop)
{
	const struct item *item = &w->items[w->at];
	const struct conf_transport *t = rule == NULL ? NULL : rule->transport;
	char where[513];
	struct rec_route_target target = {
		.recipient = address_of(w),
		.transport = slice_of(t == NULL ? "" : t->name),
		.kind = t == NULL ? TRANSPORT_MAILDIR : t->kind,
		.nexthop = nexthop,
		.leaves = t != NULL && t->kind == TRANSPORT_SMTP,
		/* What our own tables name may be reached through us. */
		.relay_domain = (rule != NULL && rule->relay_domain) || item->parent != NOBODY,
		.hold = item->held && (!w->final || t == NULL),
		.directive = directive_of(w, t),
		.argument = slice_empty(),
	};

	if (would_send_away_our_postmaster(w, t))
		return refuse(w, OC_NO_MAILBOX, rule, slice_empty());
	write_rule(rule, where, sizeof(where));
	target.rule = slice_of(where);
	if (!rec_route_target_add(&w->result->records, &target))
		return defer(w, rule, "it leads to more targets than one answer holds");
	w->result->count++;
	w->result->leaves = w->result->leaves || (target.leaves && !target.relay_domain);
	return ENDED;
}

/* ---- items ---- */

static bool is_waiting(const struct walk *w, struct slice address, size_t from)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->items[i].from == from && slice_eq_nocase(slice_of(w->items[i].address), address))
			return true;
	return false;
}

/* "alice" is alice of the same domain.  What begins like a program, a file or an include is no address, though RFC 5321 would
 * let it be one.  The result is canonical. */
static bool complete(struct slice text, struct slice domain, struct buf *out)
{
	struct mail_address parsed;

	if (text.len == 0 || strchr("|/:", text.at[0]) != NULL)
		return false;
	buf_add_slice(out, text);
	if (slice_index(text, '@') == SLICE_NONE) {
		buf_add_char(out, '@');
		buf_add_slice(out, domain);
	}
	if (!buf_ok(out) || mail_address_parse(buf_slice(out), MAIL_ALLOW_UTF8, &parsed) != MAIL_OK)
		return false;
	buf_clear(out);
	return buf_add_slice(out, mail_address_text(&parsed));
}

static bool push(struct walk *w, struct slice address, struct item item)
{
	void *items = w->items;

	if (is_waiting(w, address, item.from))
		return true;
	if (!mem_grow(&items, &w->cap, w->count, sizeof(struct item), ROUTE_WIDTH_MAX))
		return false;
	w->items = items;
	item.address = slice_dup(address);
	if (item.address == NULL)
		return false;
	w->items[w->count++] = item;
	return true;
}

static bool is_ancestor(const struct walk *w, struct slice address)
{
	for (size_t i = w->at; i != NOBODY; i = w->items[i].parent)
		if (slice_eq_nocase(slice_of(w->items[i].address), address))
			return true;
	return false;
}

/* ---- alias ---- */

struct alias_values {
	struct walk *w;
	const struct route_step *step;
	const struct conf_table *table;
	enum next next;
	size_t count;
};

static enum next push_value(struct walk *w, const struct route_step *step, struct slice text)
{
	struct item item = {NULL, step->rule, 0, w->at, w->items[w->at].depth + 1, w->items[w->at].to_postmaster,
			    w->items[w->at].held, false};
	struct buf address = buf_make(ADDRESS_MAX);
	enum next next = ENDED;

	if (!complete(text, fact_domain_part(address_of(w)), &address)) {
		next = defer(w, step->rule, "its alias names what is no address (programs and files are none)");
	} else {
		item.is_self = is_ancestor(w, buf_slice(&address));
		if (item.is_self)
			item.from = step->next;
		if (item.depth > ROUTE_DEPTH_MAX)
			next = defer(w, step->rule, "its aliases are nested too deep");
		else if (!push(w, buf_slice(&address), item))
			next = defer(w, step->rule, "its aliases lead to too many addresses");
	}
	buf_free(&address);
	return next;
}

static bool on_value(const struct target *target, void *arg)
{
	struct alias_values *v = arg;

	v->count++;
	v->next = target->kind == TARGET_ADDRESS ? push_value(v->w, v->step, target->text)
						 : push_value(v->w, v->step, slice_empty());
	return v->next == ENDED;
}

static bool read_include(void *arg, struct slice path, struct buf *text_out, struct buf *why)
{
	const struct alias_values *v = arg;

	return v->w->lookups->include(v->w->lookups->arg, v->table, path, text_out, why);
}

static enum next push_values(struct walk *w, const struct route_step *step, struct slice values)
{
	struct alias_values v = {w, step, step->rule->table, ENDED, 0};
	char why[TABLE_LIST_WHY_MAX];

	if (table_list_expand(values, read_include, &v, on_value, &v, why) == TABLE_LIST_UNKNOWN)
		return defer(w, step->rule, why);
	if (v.count == 0)
		return defer(w, step->rule, "its alias has no value");
	return v.next;
}

static enum next run_alias(struct walk *w, const struct route_step *step)
{
	struct buf value = buf_make(ALIAS_VALUE_MAX);
	enum next next = GO_ON;

	if (w->final)
		return GO_ON;
	switch (w->lookups->alias(w->lookups->arg, step->rule->table, address_of(w), slice_empty(), &value)) {
	case ANSWER_YES:
		next = push_values(w, step, buf_slice(&value));
		break;
	case ANSWER_NO:
		next = GO_ON;
		break;
	case ANSWER_UNKNOWN:
		next = defer(w, step->rule, "the alias table cannot be asked now");
		break;
	case ANSWER_PENDING:
		next = IS_PENDING;
		break;
	}
	buf_free(&value);
	return next;
}

/* ---- the other verbs ---- */

static enum next run_rewrite(struct walk *w, const struct route_step *step)
{
	struct buf address = buf_make(ADDRESS_MAX);
	enum next next = GO_ON;
	char *text;

	if (w->final)
		return GO_ON;
	text = complete(step->text, fact_domain_part(address_of(w)), &address) ? slice_dup(buf_slice(&address)) : NULL;
	if (text == NULL) {
		next = defer(w, step->rule, "it is rewritten to what is no address");
	} else {
		free(w->items[w->at].address);
		w->items[w->at].address = text;
		w->facts.value[FACT_RECIPIENT].text = slice_of(text);
	}
	buf_free(&address);
	return next;
}

static enum next run_hold(struct walk *w, const struct route_step *step)
{
	(void)step;
	w->items[w->at].held = true;
	return GO_ON;
}

static enum next run_discard(struct walk *w, const struct route_step *step)
{
	(void)w;
	(void)step;
	return ENDED;
}

static enum next run_reject(struct walk *w, const struct route_step *step)
{
	return refuse(w, OC_NO_MAILBOX, step->rule, step->text);
}

static enum next deliver_virtual(struct walk *w, const struct rule *rule)
{
	struct buf path = buf_make(MAILBOX_PATH_MAX);
	enum next next = ENDED;

	switch (mailbox_path(slice_of(rule->transport->maildir), address_of(w), &path)) {
	case MAILBOX_DONE:
		next = add_target(w, rule, buf_slice(&path));
		break;
	case MAILBOX_NONE:
		next = refuse(w, OC_NO_MAILBOX, rule, slice_empty());
		break;
	case MAILBOX_BAD_TEMPLATE:
		next = defer(w, rule, "the transport's maildir cannot be made from it");
		break;
	}
	buf_free(&path);
	return next;
}

static enum next deliver_to_user(struct walk *w, const struct rule *rule, struct slice user)
{
	switch (w->lookups->account(w->lookups->arg, user)) {
	case ANSWER_YES:
		return add_target(w, rule, user);
	case ANSWER_NO:
		return refuse(w, OC_NO_MAILBOX, rule, slice_empty());
	case ANSWER_PENDING:
		return IS_PENDING;
	case ANSWER_UNKNOWN:
		break;
	}
	return defer(w, rule, "the system's users cannot be asked now");
}

static enum next deliver_system(struct walk *w, const struct rule *rule)
{
	struct buf user = buf_make(MAILBOX_PATH_MAX);
	enum next next = mailbox_user(address_of(w), &user) == MAILBOX_DONE ? deliver_to_user(w, rule, buf_slice(&user))
									    : refuse(w, OC_NO_MAILBOX, rule, slice_empty());

	buf_free(&user);
	return next;
}

/* SMTP and LMTP: a path, "host:port", or by MX the recipient's own domain. */
static enum next hand_over(struct walk *w, const struct rule *rule)
{
	const struct conf_transport *t = rule->transport;
	struct buf nexthop = buf_make(512);
	enum next next;

	if (t->by_mx)
		buf_add_slice(&nexthop, fact_domain_part(address_of(w)));
	else if (t->path != NULL)
		buf_add_text(&nexthop, t->path);
	else
		buf_addf(&nexthop, strchr(t->host, ':') == NULL ? "%s:%u" : "[%s]:%u", t->host, (unsigned)t->port);
	next = buf_ok(&nexthop) ? add_target(w, rule, buf_slice(&nexthop)) : defer(w, rule, "its next hop has no name");
	buf_free(&nexthop);
	return next;
}

static enum next run_transport(struct walk *w, const struct route_step *step)
{
	const struct conf_transport *t = step->rule->transport;

	if (t->kind != TRANSPORT_MAILDIR)
		return hand_over(w, step->rule);
	return t->user != NULL ? deliver_virtual(w, step->rule) : deliver_system(w, step->rule);
}

typedef enum next run_fn(struct walk *w, const struct route_step *step);

static run_fn *const verbs[VERB_COUNT] = {
	[VERB_ALIAS] = run_alias,     [VERB_REWRITE] = run_rewrite, [VERB_DELIVER] = run_transport, [VERB_RELAY] = run_transport,
	[VERB_HOLD] = run_hold,	      [VERB_REJECT] = run_reject,   [VERB_DISCARD] = run_discard,
};

/* ---- rules ---- */

static enum fact_state find_fact(void *arg, enum fact_id id, struct fact_value *out)
{
	const struct walk *w = arg;

	*out = w->facts.value[id];
	return FACT_KNOWN;
}

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key)
{
	const struct walk *w = arg;

	return w->lookups->table(w->lookups->arg, table, key, NULL);
}

static bool has_no_tag(void *arg, const char *tag)
{
	(void)arg;
	(void)tag;
	return false;
}

static enum next run_step(struct walk *w, const struct route_step *step)
{
	switch (step->end) {
	case ROUTE_STEP:
		return verbs[step->rule->verb](w, step);
	case ROUTE_NEED:
		return IS_PENDING;
	case ROUTE_UNKNOWN:
		return defer(w, step->rule, step->cause == NULL ? "a rule cannot be decided now" : step->cause);
	case ROUTE_NONE:
		break;
	}
	/* Held, and nobody says yet where to. */
	if (w->items[w->at].held)
		return add_target(w, NULL, slice_empty());
	return refuse(w, OC_NO_MAILBOX, NULL, slice_empty());
}

static enum next run_item(struct walk *w)
{
	const struct rule_source source = {find_fact, find_in_table, has_no_tag, NULL, w};
	struct route_step step = {.next = w->items[w->at].from};
	enum next next = GO_ON;

	w->facts.value[FACT_RECIPIENT].text = address_of(w);
	while (next == GO_ON) {
		route_eval(w->conf->route, step.next, &source, &step);
		next = run_step(w, &step);
	}
	return next;
}

/* ---- the walk ---- */

static bool is_postmaster(struct slice address)
{
	return slice_eq_nocase(fact_local_part(address), slice_of("postmaster"));
}

/* The item in hand exists nowhere.  Postmaster always does (RFC 5321 §4.5.1), and what our own tables name is ours to mend. */
static enum next send_to_postmaster(struct walk *w)
{
	const struct item *item = &w->items[w->at];
	bool asked_for = item->parent == NOBODY;
	struct item to = {NULL, NULL, 0, w->at, item->depth + 1, true, item->held, false};
	struct buf address = buf_make(ADDRESS_MAX);
	enum next next = ENDED;

	if (w->final || (asked_for && !is_postmaster(address_of(w))))
		next = IS_NO;
	else if (w->conf->set.postmaster[0] == '\0')
		next = asked_for ? IS_NO : defer(w, item->origin, "an alias names it, but it exists nowhere, and no postmaster is set");
	else if (item->to_postmaster)
		next = defer(w, item->origin, "the setting postmaster leads to it, but it exists nowhere");
	else if (!complete(slice_of(w->conf->set.postmaster), facts_text(&w->facts, FACT_HOSTNAME), &address) ||
		 !push(w, buf_slice(&address), to))
		next = defer(w, NULL, "the setting postmaster is no address");
	buf_free(&address);
	return next;
}

static enum next run_all(struct walk *w)
{
	enum next next = ENDED;

	for (w->at = 0; next == ENDED && w->at < w->count; w->at++) {
		next = run_item(w);
		if (next == IS_NO)
			next = send_to_postmaster(w);
		/* The others are asked too, so that all that is missing is asked for at once. */
		if (next == IS_PENDING) {
			w->pending = true;
			next = ENDED;
		}
		if (next != ENDED)
			break;
	}
	return next == ENDED && w->pending ? IS_PENDING : next;
}

static enum route_outcome outcome_of(enum next next)
{
	switch (next) {
	case ENDED:
		return ROUTE_TARGETS;
	case IS_NO:
		return ROUTE_REFUSED;
	case IS_PENDING:
		return ROUTE_PENDING;
	case IS_DEFERRED:
	case GO_ON:
		break;
	}
	return ROUTE_DEFERRED;
}

static enum next begin(struct walk *w)
{
	struct buf address = buf_make(ADDRESS_MAX);
	struct slice asked = facts_text(&w->facts, FACT_RECIPIENT);
	enum next next;

	buf_add_slice(&address, asked);
	w->bare = slice_index(asked, '@') == SLICE_NONE;
	if (w->bare)
		buf_addf(&address, "@%.*s", SLICE_ARG(facts_text(&w->facts, FACT_HOSTNAME)));
	if (!buf_ok(&address) || !push(w, buf_slice(&address), (struct item){.parent = NOBODY}))
		next = defer(w, NULL, "no memory for it");
	else
		next = run_all(w);
	buf_free(&address);
	return next;
}

void route_run(const struct conf *conf, const struct facts *facts, bool final, const struct lookups *lookups,
	       struct route_result *out)
{
	struct walk w = {.conf = conf, .lookups = lookups, .facts = *facts, .final = final, .result = out};

	memset(out, 0, sizeof(*out));
	out->records = buf_make(ROUTE_RECORDS_MAX);
	out->outcome = outcome_of(begin(&w));
	/* Nothing but targets may ever read as "done": doubt is temporary. */
	if (out->outcome == ROUTE_TARGETS)
		out->oc = OC_DONE;
	else if (outcome_kind(out->oc) == KIND_OK)
		out->oc = OC_ROUTE_UNKNOWN;
	for (size_t i = 0; i < w.count; i++)
		free(w.items[i].address);
	free(w.items);
}

void route_result_free(struct route_result *r)
{
	buf_free(&r->records);
}
