#include "route_walk.h"

#include "base/map.h"
#include "base/mem.h"
#include "ipc/message.h"
#include "mail/address.h"

#include <stdio.h>

/* Always: a note is told of what was done, never to decide anything; a run without a trace takes the same way. */
void walk_note(const struct walk *w, struct route_note note)
{
	const struct route_trace *trace = w->question->trace;

	if (trace == NULL)
		return;
	note.item = w->at;
	if (w->at < w->count) {
		note.parent = w->items[w->at].parent;
		note.address = walk_address(w);
	}
	trace->note(trace->arg, &note);
}

/* ---- what comes out ---- */

enum next walk_defer(struct walk *w, const struct rule *rule, const char *cause)
{
	struct route_result *r = w->result;

	r->oc = OC_ROUTE_UNKNOWN;
	rule_where_text(rule, r->rule, sizeof(r->rule));
	snprintf(r->cause, sizeof(r->cause), "%.200s: %.250s", w->count > 0 ? w->items[w->at].address : "", cause);
	walk_note(w, (struct route_note){.kind = NOTE_DEFERRED, .rule = rule, .text = slice_of(cause)});
	return IS_DEFERRED;
}

enum next walk_defer_width(struct walk *w, const struct rule *rule)
{
	char text[80];

	snprintf(text, sizeof(text), "it leads to more than %u addresses", ROUTE_WIDTH_MAX);
	snprintf(w->result->text, sizeof(w->result->text), "%s", text);
	return walk_defer(w, rule, text);
}

enum next walk_refuse(struct walk *w, enum outcome oc, const struct rule *rule, struct slice text)
{
	struct route_result *r = w->result;
	const struct outcome_info *info = outcome_info(oc);
	bool rules_own = rule != NULL && rule->verb == VERB_REJECT;

	r->oc = oc;
	r->code = rules_own ? rule->code : info->smtp;
	snprintf(r->dsn, sizeof(r->dsn), "%s", rules_own ? rule->dsn : info->dsn);
	snprintf(r->text, sizeof(r->text), "%.*s", SLICE_ARG(text.len > 0 ? text : slice_of(info->text)));
	rule_where_text(rule, r->rule, sizeof(r->rule));
	walk_note(w, (struct route_note){.kind = NOTE_REFUSED, .rule = rule, .code = r->code, .text = slice_of(r->text)});
	return IS_NO;
}

/* ---- items ---- */

/* The rule it begins with, and the address: nothing that grows with a list is walked for each of its members. */
static struct slice item_key(size_t from, struct slice address, char space[sizeof(from) + ROUTE_ADDRESS_MAX])
{
	size_t len = address.len < ROUTE_ADDRESS_MAX ? address.len : ROUTE_ADDRESS_MAX;

	memcpy(space, &from, sizeof(from));
	for (size_t i = 0; i < len; i++)
		space[sizeof(from) + i] = ascii_lower(address.at[i]);
	return slice_make(space, sizeof(from) + len);
}

static struct item *find_waiting(const struct walk *w, struct slice key)
{
	uintptr_t number = w->seen == NULL ? 0 : (uintptr_t)map_find(w->seen, key);

	return number == 0 ? NULL : &w->items[number - 1];
}

static bool note_item(struct walk *w, size_t i)
{
	char space[sizeof(size_t) + ROUTE_ADDRESS_MAX];

	return map_put(w->seen, item_key(w->items[i].from, slice_of(w->items[i].address), space), (void *)(uintptr_t)(i + 1));
}

/* Most addresses lead to no other: there is something to write down only once there is a second. */
static bool note_first(struct walk *w)
{
	w->seen = map_new(ROUTE_ITEMS_MAX);
	return w->seen != NULL && note_item(w, 0);
}

bool walk_complete(struct slice text, struct slice domain, struct buf *out)
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

bool walk_push(struct walk *w, struct slice address, struct item item)
{
	char space[sizeof(size_t) + ROUTE_ADDRESS_MAX];
	struct item *waiting;
	void *items = w->items;

	if (w->count == 1 && w->seen == NULL && !note_first(w))
		return false;
	waiting = find_waiting(w, item_key(item.from, address, space));

	if (waiting != NULL) { /* by two ways: the stricter one counts */
		waiting->held = waiting->held || item.held;
		waiting->queue_only = waiting->queue_only || item.queue_only;
		waiting->ours = waiting->ours && item.ours;
		return true;
	}
	if (!mem_grow(&items, &w->cap, w->count, sizeof(struct item), ROUTE_ITEMS_MAX))
		return false;
	w->items = items;
	item.address = slice_dup(address);
	if (item.address == NULL)
		return false;
	w->items[w->count++] = item;
	return w->seen == NULL || note_item(w, w->count - 1);
}

struct item walk_child(const struct walk *w, const struct rule *origin)
{
	const struct item *now = &w->items[w->at];

	return (struct item){.origin = origin,
			     .parent = w->at,
			     .depth = now->depth + 1,
			     .to_postmaster = now->to_postmaster,
			     .held = now->held,
			     .queue_only = now->queue_only,
			     .sender = now->owner != NULL ? slice_of(now->owner) : now->sender,
			     .ours = true};
}

enum next walk_add(struct walk *w, const struct rule *rule, struct slice address, struct item item)
{
	if (item.depth > ROUTE_DEPTH_MAX)
		return walk_defer(w, rule, "its aliases are nested too deep");
	return walk_push(w, address, item) ? GO_ON : walk_defer_width(w, rule);
}

bool walk_is_ancestor(const struct walk *w, struct slice address)
{
	for (size_t i = w->at; i != ROUTE_NOBODY; i = w->items[i].parent)
		if (slice_eq_nocase(slice_of(w->items[i].address), address))
			return true;
	return false;
}

/* ---- rules ---- */

static enum fact_state find_fact(void *arg, enum fact_id id, struct fact_value *out)
{
	struct walk *w = arg;

	return facts_find(&w->view, id, out);
}

static enum answer find_header(void *arg, const char *name)
{
	const struct walk *w = arg;

	return facts_header(&w->facts, name);
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

static void on_rule(void *arg, const struct rule *rule, enum answer answer)
{
	walk_note(arg, (struct route_note){.kind = NOTE_RULE, .rule = rule, .answer = answer});
}

static void on_test(void *arg, const struct cond *test, const struct fact_value *value, enum answer answer)
{
	walk_note(arg, (struct route_note){.kind = NOTE_TEST, .test = test, .value = value, .answer = answer});
}

/* The list was held by it, and is here because somebody let it go: its members are not held for the same reason. */
static bool has_held_the_list(const struct walk *w, const struct rule *rule)
{
	for (size_t i = 0; i < w->held_count; i++)
		if (w->held_by[i] == rule)
			return true;
	return false;
}

static enum next note_held(struct walk *w, const struct rule *rule)
{
	void *held_by = w->held_by;

	if (!mem_grow(&held_by, &w->held_cap, w->held_count, sizeof(*w->held_by), w->conf->route->count))
		return walk_defer(w, rule, "no memory for it");
	w->held_by = held_by;
	w->held_by[w->held_count++] = rule;
	return GO_ON;
}

/* What other rules had to do about a list was done before it was kept. */
static bool is_passed_over(const struct walk *w, const struct rule *rule)
{
	if (walk_is_asked_list(w))
		return rule->verb != VERB_ALIAS && rule->verb != VERB_QUEUE_ONLY;
	return rule->verb == VERB_HOLD && has_held_the_list(w, rule);
}

static enum next run_step(struct walk *w, const struct route_step *step)
{
	switch (step->end) {
	case ROUTE_STEP:
		if (walk_is_asked_list(w) && step->rule->verb == VERB_HOLD)
			return note_held(w, step->rule);
		if (is_passed_over(w, step->rule))
			return GO_ON;
		return route_verbs[step->rule->verb](w, step);
	case ROUTE_NEED:
		return IS_PENDING;
	case ROUTE_UNKNOWN:
		return walk_defer(w, step->rule, step->cause == NULL ? "a rule cannot be decided now" : step->cause);
	case ROUTE_NONE:
		break;
	}
	/* Held, and nobody says yet where to. */
	if (w->items[w->at].held)
		return route_add_target(w, NULL, slice_empty());
	if (walk_is_asked_list(w))
		return walk_defer(w, NULL, "it was a list, and no alias rule has it now");
	return walk_refuse(w, OC_NO_MAILBOX, NULL, slice_empty());
}

static enum next run_item(struct walk *w)
{
	bool traced = w->question->trace != NULL;
	const struct rule_source source = {find_fact, find_in_table, has_no_tag, traced ? on_rule : NULL, traced ? on_test : NULL, w, find_header};
	struct route_step step = {.next = w->items[w->at].from};
	enum next next = GO_ON;

	w->facts.value[FACT_RECIPIENT].text = walk_address(w);
	w->facts.value[FACT_SENDER].text = w->items[w->at].sender;
	walk_note(w, (struct route_note){.kind = NOTE_ADDRESS,
					 .rule = w->items[w->at].origin,
					 .text = slice_of(w->items[w->at].to_postmaster ? "the setting postmaster" : "")});
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

/* Root exists where the system's users have mailboxes, and never has one itself: mail of this host's own programs is for somebody. */
static bool is_root_of_ours(const struct walk *w)
{
	return w->items[w->at].is_root;
}

/* The item in hand exists nowhere.  Postmaster always does (RFC 5321 §4.5.1), and what our own tables name is ours to mend. */
static enum next send_to_postmaster(struct walk *w)
{
	const struct item *item = &w->items[w->at];
	bool asked_for = item->parent == ROUTE_NOBODY;
	struct item to = walk_child(w, NULL);
	struct buf address = buf_make(ROUTE_ADDRESS_MAX);
	enum next next = ENDED;

	to.to_postmaster = true;
	if (w->final || (asked_for && !is_postmaster(walk_address(w)) && !is_root_of_ours(w)))
		next = IS_NO;
	else if (w->conf->set.postmaster[0] == '\0')
		next = asked_for ? IS_NO : walk_defer(w, item->origin, "an alias names it, but it exists nowhere, and no postmaster is set");
	else if (item->to_postmaster)
		next = walk_defer(w, item->origin, "the setting postmaster leads to it, but it exists nowhere");
	else if (!walk_complete(slice_of(w->conf->set.postmaster), facts_text(&w->facts, FACT_HOSTNAME), &address) ||
		 !walk_push(w, buf_slice(&address), to))
		next = walk_defer(w, NULL, "the setting postmaster is no address");
	buf_free(&address);
	return next;
}

static enum next run_all(struct walk *w)
{
	enum next next = ENDED;

	for (w->at = 0; next == ENDED && w->at < w->count && w->pending < ROUTE_PENDING_MAX; w->at++) {
		if (walk_has_enough(w, w->at)) {
			w->result->is_cut = true;
			break;
		}
		next = run_item(w);
		if (next == IS_NO)
			next = send_to_postmaster(w);
		/* Others are asked too, so that what is missing is asked for together. */
		if (next == IS_PENDING) {
			walk_note(w, (struct route_note){.kind = NOTE_PENDING});
			w->pending++;
			next = ENDED;
		}
		if (next != ENDED)
			break;
	}
	return next == ENDED && w->pending > 0 ? IS_PENDING : next;
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
	struct buf address = buf_make(ROUTE_ADDRESS_MAX);
	struct slice asked = facts_text(&w->facts, FACT_RECIPIENT);
	enum next next;

	buf_add_slice(&address, asked);
	w->bare = slice_index(asked, '@') == SLICE_NONE;
	if (w->bare)
		buf_addf(&address, "@%.*s", SLICE_ARG(facts_text(&w->facts, FACT_HOSTNAME)));
	if (!buf_ok(&address) || !walk_push(w, buf_slice(&address), (struct item){.parent = ROUTE_NOBODY, .sender = facts_text(&w->facts, FACT_SENDER)}))
		next = walk_defer(w, NULL, "no memory for it");
	else
		next = run_all(w);
	buf_free(&address);
	return next;
}

void route_run(const struct route_question *question, struct route_result *out)
{
	struct walk w = {.question = question,
			 .conf = question->conf,
			 .lookups = question->lookups,
			 .facts = *question->facts,
			 .final = question->final,
			 .result = out};

	w.view = (struct facts_view){.conf = w.conf, .facts = &w.facts, .lookups = w.lookups};
	memset(out, 0, sizeof(*out));
	out->records = buf_make(ROUTE_RECORDS_MAX);
	out->outcome = outcome_of(begin(&w));
	/* Nothing but targets may ever read as "done": doubt is temporary. */
	if (out->outcome == ROUTE_TARGETS)
		out->oc = OC_DONE;
	else if (outcome_kind(out->oc) == KIND_OK)
		out->oc = OC_ROUTE_UNKNOWN;
	for (size_t i = 0; i < w.count; i++) {
		free(w.items[i].address);
		free(w.items[i].owner);
	}
	free(w.items);
	free(w.held_by);
	map_free(&w.seen);
}

struct slice route_page(struct slice records)
{
	struct slice rest = records;
	struct rec_route_target target;
	size_t len = 0;

	while (rec_route_target_next(&rest, &target) && (len == 0 || records.len - rest.len <= ROUTE_PAGE_MAX))
		len = records.len - rest.len;
	return slice_sub(records, 0, len);
}

void route_result_free(struct route_result *r)
{
	buf_free(&r->records);
}
