#include "route_walk.h"

#include "base/mem.h"
#include "table_list.h"

#define ALIAS_VALUE_MAX 65535u

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
	struct buf address = buf_make(ROUTE_ADDRESS_MAX);
	enum next next = ENDED;

	if (!walk_complete(text, fact_domain_part(walk_address(w)), &address)) {
		next = walk_defer(w, step->rule, "its alias names what is no address (programs and files are none)");
	} else {
		item.is_self = walk_is_ancestor(w, buf_slice(&address));
		if (item.is_self)
			item.from = step->next;
		if (item.depth > ROUTE_DEPTH_MAX)
			next = walk_defer(w, step->rule, "its aliases are nested too deep");
		else if (!walk_push(w, buf_slice(&address), item))
			next = walk_defer(w, step->rule, "its aliases lead to too many addresses");
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
		return walk_defer(w, step->rule, why);
	if (v.count == 0)
		return walk_defer(w, step->rule, "its alias has no value");
	return v.next;
}

enum next route_run_alias(struct walk *w, const struct route_step *step)
{
	struct buf value = buf_make(ALIAS_VALUE_MAX);
	enum next next = GO_ON;
	enum answer answer;

	if (w->final)
		return GO_ON;
	answer = w->lookups->alias(w->lookups->arg, step->rule->table, walk_address(w), slice_empty(), &value);
	walk_note(w, (struct route_note){.kind = NOTE_LOOKUP, .rule = step->rule, .text = buf_slice(&value), .answer = answer});
	switch (answer) {
	case ANSWER_YES:
		next = push_values(w, step, buf_slice(&value));
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
