#include "rules/place.h"

static enum fact_id tell_unknown(struct parser *p, struct conf_pos pos, struct slice name,
				 unsigned place)
{
	struct wordlist known = {NULL, 0};

	for (unsigned i = 0; i < FACT_COUNT; i++)
		if (fact_info((enum fact_id)i)->places & RULES_IN(place))
			wordlist_add(p->arena, &known, fact_info((enum fact_id)i)->name);
	mistake_unknown(p->mistakes, pos, "fact", name, &known);
	return FACT_COUNT;
}

enum fact_id place_fact(struct parser *p, struct conf_pos pos, struct slice name, unsigned place)
{
	struct buf hint = buf_make(256);
	enum fact_id id = fact_find(name);
	const char *sep = "known in ";

	if (id == FACT_COUNT)
		return tell_unknown(p, pos, name, place);
	if (fact_info(id)->places & RULES_IN(place))
		return id;
	for (unsigned i = 0; i <= RULES_REWRITE; i++)
		if (fact_info(id)->places & RULES_IN(i)) {
			buf_addf(&hint, "%s%s", sep, rules_place_name(i));
			sep = ", ";
		}
	mistake_add(p->mistakes, pos, buf_text(&hint), "%s is not known in %s", fact_info(id)->name,
		    rules_place_name(place));
	buf_free(&hint);
	return FACT_COUNT;
}
