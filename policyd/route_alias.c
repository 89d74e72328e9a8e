#include "route_walk.h"

#include "base/mem.h"
#include "mail/address.h"
#include "mail/directive.h"
#include "mail/subaddress.h"
#include "table_list.h"
#include "table_text.h"

#include <stdio.h>


struct alias_values {
	struct walk *w;
	const struct route_step *step;
	const struct conf_table *table;
	enum next next;
	size_t count;
	struct slice tag; /* "+tag": what its addresses get; "": nothing */
};

/* "bob+tag@example.org"; where it may not be so, as it was. */
static void add_tag(const struct alias_values *v, struct buf *address)
{
	struct slice text = buf_slice(address), local = fact_local_part(text);
	struct buf tagged = buf_make(ROUTE_ADDRESS_MAX);
	struct mail_address parsed;

	buf_add_slice(&tagged, local);
	buf_add_slice(&tagged, v->tag);
	buf_add_slice(&tagged, slice_from(text, local.len));
	if (v->tag.len > 0 && buf_ok(&tagged) && local.at[0] != '"' &&
	    !subaddress_cut(slice_of(v->w->conf->set.sub_address), text).is_there &&
	    mail_address_parse(buf_slice(&tagged), MAIL_ALLOW_UTF8, &parsed) == MAIL_OK) {
		buf_clear(address);
		buf_add_slice(address, mail_address_text(&parsed));
	}
	buf_free(&tagged);
}

static enum next add_address(struct alias_values *v, const struct target *target)
{
	struct walk *w = v->w;
	struct item item = walk_child(w, v->step->rule);
	struct buf address = buf_make(ROUTE_ADDRESS_MAX);
	enum next next;

	if (!walk_complete(target->text, fact_domain_part(walk_address(w)), &address)) {
		next = walk_defer(w, v->step->rule, "its alias names what is no address");
	} else {
		if (target->kind == TARGET_ADDRESS)
			add_tag(v, &address);
		/* What a stranger's address brings in through a pattern may not choose where we send his mail. */
		item.ours = item.ours && v->table->kind != TABLE_PCRE2;
		item.is_self = target->kind == TARGET_LOCAL_USER || walk_is_ancestor(w, buf_slice(&address));
		if (item.is_self)
			item.from = v->step->next;
		next = walk_add(w, v->step->rule, buf_slice(&address), item);
	}
	buf_free(&address);
	return next;
}

/* As a user, by a transport, that the rule names: no table says itself who is to run what it says. */
static enum next add_directive(struct alias_values *v, const struct target *target)
{
	const struct rule *rule = v->step->rule;
	enum directive_kind kind = target->kind == TARGET_PROGRAM ? DIRECTIVE_PIPE : DIRECTIVE_FILE;
	enum next next;

	if (rule->transport == NULL)
		return walk_defer(v->w, rule, "its alias names a program or a file, and the rule has no `programs TRANSPORT`");
	next = route_add_directive(v->w, rule, slice_of(rule->transport->name), kind, target->text);
	return next == ENDED ? GO_ON : next;
}

static enum next add_fail(struct alias_values *v, const struct target *target)
{
	return walk_refuse(v->w, OC_NO_MAILBOX, v->step->rule, target->text);
}

static enum next add_defer(struct alias_values *v, const struct target *target)
{
	walk_defer(v->w, v->step->rule, "its alias says so");
	if (target->text.len > 0)
		snprintf(v->w->result->text, sizeof(v->w->result->text), "%.*s", SLICE_ARG(slice_sub(target->text, 0, 500)));
	return IS_DEFERRED;
}

static enum next add_nothing(struct alias_values *v, const struct target *target)
{
	(void)target;
	walk_note(v->w, (struct route_note){.kind = NOTE_DISCARDED, .rule = v->step->rule});
	return GO_ON;
}

static enum next add_include(struct alias_values *v, const struct target *target)
{
	(void)target;
	return walk_defer(v->w, v->step->rule, "its alias includes a file where none can be included");
}

static enum next (*const adders[])(struct alias_values *v, const struct target *target) = {
	[TARGET_ADDRESS] = add_address,	 [TARGET_LOCAL_USER] = add_address, [TARGET_PROGRAM] = add_directive,
	[TARGET_FILE] = add_directive,	 [TARGET_INCLUDE] = add_include,    [TARGET_FAIL] = add_fail,
	[TARGET_DEFER] = add_defer,	 [TARGET_BLACKHOLE] = add_nothing,
};

static bool on_value(const struct target *target, void *arg)
{
	struct alias_values *v = arg;

	v->count++;
	if (walk_has_enough(v->w, v->w->count)) {
		v->w->result->is_cut = true;
		if (v->count > ROUTE_WIDTH_MAX)
			v->next = walk_defer_width(v->w, v->step->rule);
	} else {
		v->next = adders[target->kind](v, target);
	}
	return v->next == GO_ON;
}

static bool read_include(void *arg, struct slice path, struct buf *text_out, struct buf *why)
{
	const struct alias_values *v = arg;

	return v->w->lookups->include(v->w->lookups->arg, v->table, path, text_out, why);
}

static enum answer names(const struct walk *w, const struct route_step *step, struct slice address)
{
	return w->lookups->names(w->lookups->arg, step->rule->table, address);
}

/* The tag that stays: that of an address which the table does not name with it.  YES: `*out`. */
static enum answer find_tag(const struct walk *w, const struct route_step *step, struct slice *out)
{
	char space[MAIL_ADDRESS_MAX + 1];
	struct slice base = subaddress_base(slice_of(w->conf->set.sub_address), walk_address(w), space);
	enum answer whole;

	*out = slice_empty();
	if (!w->conf->set.sub_address_kept || base.len == 0 || w->lookups->names == NULL)
		return ANSWER_YES;
	whole = names(w, step, walk_address(w));
	if (whole != ANSWER_NO)
		return whole;
	*out = slice_from(fact_local_part(walk_address(w)), fact_local_part(base).len);
	return ANSWER_YES;
}

static enum next push_values(struct walk *w, const struct route_step *step, struct slice values)
{
	struct alias_values v = {w, step, step->rule->table, GO_ON, 0, slice_empty()};
	char tag[MAIL_LOCAL_MAX + 1], why[TABLE_LIST_WHY_MAX];
	enum answer tagged = find_tag(w, step, &v.tag);

	if (tagged == ANSWER_PENDING)
		return IS_PENDING;
	if (tagged != ANSWER_YES || !slice_copy(v.tag, tag, sizeof(tag)))
		return walk_defer(w, step->rule, "the alias table cannot be asked now");
	v.tag = slice_of(tag); /* the address in hand may move, as others come behind it */
	if (table_list_expand(values, read_include, &v, on_value, &v, why) == TABLE_LIST_UNKNOWN)
		return walk_defer(w, step->rule, why);
	if (v.count == 0)
		return walk_defer(w, step->rule, "its alias has no value");
	return v.next == GO_ON ? ENDED : v.next;
}

/* ---- owners ---- */

#define OWNER_PREFIX "owner-"

/* owner-list of list, and of list+tag where that is no list itself.  NO: no address can be that. */
static enum answer name_owner(const struct walk *w, const struct route_step *step, struct buf *out)
{
	char space[MAIL_ADDRESS_MAX + 1];
	struct slice base = subaddress_base(slice_of(w->conf->set.sub_address), walk_address(w), space);
	enum answer whole = base.len == 0 ? ANSWER_YES : names(w, step, walk_address(w));
	struct mail_address parsed;

	if (whole != ANSWER_YES && whole != ANSWER_NO)
		return whole;
	buf_add_text(out, OWNER_PREFIX);
	buf_add_slice(out, whole == ANSWER_NO ? base : walk_address(w));
	return buf_ok(out) && mail_address_parse(buf_slice(out), MAIL_ALLOW_UTF8, &parsed) == MAIL_OK ? ANSWER_YES : ANSWER_NO;
}

/* Whether anybody else than the sender in hand is to send to the members of the address in hand; YES: `out` is who. */
static enum answer find_owner(const struct walk *w, const struct route_step *step, struct buf *out)
{
	struct slice sender = facts_text(&w->facts, FACT_SENDER);
	bool is_null = sender.len == 0 && !w->question->any_sender;
	enum answer answer;

	if (is_null || w->lookups->names == NULL || ancestors_have(w->facts.ancestors, walk_address(w)))
		return ANSWER_NO;
	answer = name_owner(w, step, out);
	if (answer != ANSWER_YES || slice_eq_nocase(buf_slice(out), sender))
		return answer == ANSWER_YES ? ANSWER_NO : answer;
	return names(w, step, buf_slice(out));
}

static enum next push_members(struct walk *w, const struct route_step *step, struct slice owner, struct slice values)
{
	w->items[w->at].owner = slice_dup(owner);
	if (w->items[w->at].owner == NULL)
		return walk_defer(w, step->rule, "no memory for it");
	walk_note(w, (struct route_note){.kind = NOTE_OWNER, .rule = step->rule, .text = owner});
	return push_values(w, step, values);
}

static enum next run_found(struct walk *w, const struct route_step *step, struct slice values)
{
	struct buf owner = buf_make(ROUTE_ADDRESS_MAX);
	enum next next = IS_DEFERRED;

	if (walk_is_asked_list(w)) {
		next = push_members(w, step, w->question->owner, values);
		buf_free(&owner);
		return next;
	}
	switch (find_owner(w, step, &owner)) {
	case ANSWER_YES:
		if (w->question->keeps_lists)
			next = route_add_directive(w, step->rule, slice_empty(), DIRECTIVE_LIST, buf_slice(&owner));
		else
			next = push_members(w, step, buf_slice(&owner), values);
		break;
	case ANSWER_NO:
		next = push_values(w, step, values);
		break;
	case ANSWER_UNKNOWN:
		next = walk_defer(w, step->rule, "whether the list has an owner cannot be asked now");
		break;
	case ANSWER_PENDING:
		next = IS_PENDING;
		break;
	}
	buf_free(&owner);
	return next;
}

enum next route_run_alias(struct walk *w, const struct route_step *step)
{
	struct buf value = buf_make(TABLE_VALUE_MAX);
	char space[MAIL_ADDRESS_MAX + 1];
	enum next next = GO_ON;
	enum answer answer;

	if (w->final)
		return GO_ON;
	answer = w->lookups->alias(w->lookups->arg, step->rule->table, walk_address(w),
				   subaddress_base(slice_of(w->conf->set.sub_address), walk_address(w), space), &value);
	walk_note(w, (struct route_note){.kind = NOTE_LOOKUP, .rule = step->rule, .text = buf_slice(&value), .answer = answer});
	switch (answer) {
	case ANSWER_YES:
		next = run_found(w, step, buf_slice(&value));
		break;
	case ANSWER_NO:
		break;
	case ANSWER_UNKNOWN:
		next = walk_defer(w, step->rule, "the alias table cannot be asked now");
		break;
	case ANSWER_PENDING:
		next = IS_PENDING;
		break;
	}
	buf_free(&value);
	return next;
}
