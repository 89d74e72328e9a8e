#include "rules/cond.h"
#include "rules/template.h"

/* Which facts are asked about at all. */

struct search {
	enum fact_id id;
	bool found;
};

static void look_at(struct cond *test, bool inverted, void *arg)
{
	struct search *s = arg;

	(void)inverted;
	s->found = s->found || test->fact == s->id || test->other == s->id;
}

static bool text_asks(const struct template *t, enum fact_id id)
{
	for (size_t i = 0; t != NULL && i < t->count; i++)
		if (t->pieces[i].literal == NULL && t->pieces[i].fact == id)
			return true;
	return false;
}

static bool list_asks(const struct rule_list *list, enum fact_id id)
{
	struct search s = {id, false};

	for (size_t i = 0; list != NULL && i < list->count && !s.found; i++) {
		cond_each(list->rules[i].when, false, look_at, &s);
		s.found = s.found || text_asks(list->rules[i].text, id);
	}
	return s.found;
}

bool rules_ask_about(const struct conf *conf, enum fact_id id)
{
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		if (list_asks(conf->policy[i], id))
			return true;
	return list_asks(conf->route, id) || list_asks(conf->rewrite, id);
}
