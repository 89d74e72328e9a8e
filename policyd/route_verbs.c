#include "route_walk.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "mail/directive.h"
#include "rules/mailbox.h"
#include "rules/template.h"

/* What the verbs of a route do with the address in hand. */

/* <postmaster> alone is ours (RFC 5321 §4.1.1.3), whatever becomes of postmaster@ our host name. */
static bool would_send_away_our_postmaster(const struct walk *w, const struct conf_transport *t)
{
	return w->bare && w->items[w->at].parent == ROUTE_NOBODY && t != NULL && t->kind == TRANSPORT_SMTP;
}

/* Who was expanded before on the way to this message, or names itself in an alias, means the mailbox. */
static enum directive_kind directive_of(const struct walk *w, const struct conf_transport *t)
{
	bool is_local = t != NULL && conf_transport_is_local(t);

	if (is_local && (w->items[w->at].is_self || ancestors_have(w->facts.ancestors, walk_address(w))))
		return DIRECTIVE_INBOX;
	return DIRECTIVE_NONE;
}

enum next route_add_target(struct walk *w, const struct rule *rule, struct slice nexthop)
{
	return route_add_directive(w, rule, nexthop, directive_of(w, rule == NULL ? NULL : rule->transport), slice_empty());
}

enum next route_add_directive(struct walk *w, const struct rule *rule, struct slice nexthop, enum directive_kind directive,
			      struct slice argument)
{
	const struct item *item = &w->items[w->at];
	const struct conf_transport *t = rule == NULL || directive == DIRECTIVE_LIST ? NULL : rule->transport;
	char where[513];
	struct rec_route_target target = {
		.recipient = walk_address(w),
		.transport = slice_of(t == NULL ? "" : t->name),
		.kind = t == NULL ? TRANSPORT_MAILDIR : t->kind,
		.nexthop = nexthop,
		.leaves = t != NULL && t->kind == TRANSPORT_SMTP,
		/* What our own tables name may be reached through us. */
		.relay_domain = (rule != NULL && rule->relay_domain) || item->ours,
		.hold = item->held && (!w->final || t == NULL),
		.queue_only = item->queue_only && t != NULL,
		.directive = directive,
		.argument = argument,
	};

	if (would_send_away_our_postmaster(w, t))
		return walk_refuse(w, OC_NO_MAILBOX, rule, slice_empty());
	rule_where_text(rule, where, sizeof(where));
	target.rule = slice_of(where);
	if (w->result->count == ROUTE_WIDTH_MAX || !rec_route_target_add(&w->result->records, &target))
		return walk_defer_width(w, rule);
	walk_note(w, (struct route_note){.kind = NOTE_TARGET, .rule = rule, .target = &target});
	w->result->count++;
	w->result->leaves = w->result->leaves || (target.leaves && !target.relay_domain);
	return ENDED;
}

/* ---- the other verbs ---- */

static enum next run_rewrite(struct walk *w, const struct route_step *step)
{
	struct buf address = buf_make(ROUTE_ADDRESS_MAX);
	enum next next = GO_ON;
	char *text;

	if (w->final)
		return GO_ON;
	text = walk_complete(step->text, fact_domain_part(walk_address(w)), &address) ? slice_dup(buf_slice(&address)) : NULL;
	if (text == NULL) {
		next = walk_defer(w, step->rule, "it is rewritten to what is no address");
	} else {
		free(w->items[w->at].address);
		w->items[w->at].address = text;
		w->facts.value[FACT_RECIPIENT].text = slice_of(text);
		walk_note(w, (struct route_note){.kind = NOTE_REWRITE, .rule = step->rule});
	}
	buf_free(&address);
	return next;
}

/* Whether the rule alone says to which domain: what a stranger's address brings in may not choose where we send his mail. */
static bool names_its_domain(const struct template *t)
{
	bool seen = false;

	for (size_t i = 0; i < t->count; i++) {
		if (t->pieces[i].literal != NULL)
			seen = seen || strchr(t->pieces[i].literal, '@') != NULL;
		else if (seen)
			return false;
	}
	return seen;
}

/* A further recipient, from the first rule on; never one of those that led here, so that a copy is not copied in a circle. */
static enum next run_copy(struct walk *w, const struct route_step *step)
{
	struct item item = walk_child(w, step->rule);
	struct buf address = buf_make(ROUTE_ADDRESS_MAX);
	enum next next = GO_ON;

	if (w->final || w->question->no_copies)
		return GO_ON;
	item.ours = names_its_domain(step->rule->text);
	if (!walk_complete(step->text, facts_text(&w->facts, FACT_HOSTNAME), &address))
		next = walk_defer(w, step->rule, "its copy goes to what is no address");
	else if (!walk_is_ancestor(w, buf_slice(&address)))
		next = walk_add(w, step->rule, buf_slice(&address), item);
	buf_free(&address);
	return next;
}

static enum next run_hold(struct walk *w, const struct route_step *step)
{
	(void)step;
	w->items[w->at].held = true;
	return GO_ON;
}

/* Also of a recipient that was expanded before: until somebody lets it go it is kept, whatever its age. */
static enum next run_queue_only(struct walk *w, const struct route_step *step)
{
	(void)step;
	w->items[w->at].queue_only = true;
	return GO_ON;
}

static enum next run_discard(struct walk *w, const struct route_step *step)
{
	walk_note(w, (struct route_note){.kind = NOTE_DISCARDED, .rule = step->rule});
	return ENDED;
}

static enum next run_reject(struct walk *w, const struct route_step *step)
{
	return walk_refuse(w, OC_NO_MAILBOX, step->rule, step->text);
}

static enum next deliver_virtual(struct walk *w, const struct rule *rule)
{
	struct buf path = buf_make(MAILBOX_PATH_MAX);
	enum next next = ENDED;

	switch (mailbox_path(slice_of(rule->transport->maildir), walk_address(w), &path)) {
	case MAILBOX_DONE:
		next = route_add_target(w, rule, buf_slice(&path));
		break;
	case MAILBOX_NONE:
		next = walk_refuse(w, OC_NO_MAILBOX, rule, slice_empty());
		break;
	case MAILBOX_BAD_TEMPLATE:
		next = walk_defer(w, rule, "the transport's maildir cannot be made from it");
		break;
	}
	buf_free(&path);
	return next;
}

static enum next deliver_system(struct walk *w, const struct rule *rule)
{
	struct buf user = buf_make(MAILBOX_PATH_MAX);
	enum next next = IS_DEFERRED;

	switch (facts_system_user(w->conf, w->lookups, walk_address(w), &user)) {
	case ANSWER_YES:
		next = route_add_target(w, rule, buf_slice(&user));
		break;
	case ANSWER_NO:
		w->items[w->at].is_root = slice_eq_nocase(fact_local_part(walk_address(w)), slice_of("root"));
		next = walk_refuse(w, OC_NO_MAILBOX, rule, slice_empty());
		break;
	case ANSWER_PENDING:
		next = IS_PENDING;
		break;
	case ANSWER_UNKNOWN:
		next = walk_defer(w, rule, "the system's users cannot be asked now");
		break;
	}
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
		buf_add_slice(&nexthop, fact_domain_part(walk_address(w)));
	else if (t->path != NULL)
		buf_add_text(&nexthop, t->path);
	else
		buf_addf(&nexthop, strchr(t->host, ':') == NULL ? "%s:%u" : "[%s]:%u", t->host, (unsigned)t->port);
	next = buf_ok(&nexthop) ? route_add_target(w, rule, buf_slice(&nexthop)) : walk_defer(w, rule, "its next hop has no name");
	buf_free(&nexthop);
	return next;
}

static enum next run_transport(struct walk *w, const struct route_step *step)
{
	const struct conf_transport *t = step->rule->transport;

	if (!conf_transport_is_local(t))
		return hand_over(w, step->rule);
	if (t->kind == TRANSPORT_PIPE && !conf_transport_is_system(t))
		return route_add_target(w, step->rule, slice_of(t->name));
	return conf_transport_is_system(t) ? deliver_system(w, step->rule) : deliver_virtual(w, step->rule);
}

route_verb_fn *const route_verbs[VERB_COUNT] = {
	[VERB_ALIAS] = route_run_alias, [VERB_REWRITE] = run_rewrite, [VERB_DELIVER] = run_transport, [VERB_RELAY] = run_transport,
	[VERB_HOLD] = run_hold,		[VERB_REJECT] = run_reject,   [VERB_DISCARD] = run_discard,
	[VERB_COPY] = run_copy,		[VERB_QUEUE_ONLY] = run_queue_only,
};
