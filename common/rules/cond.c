#include "rules/cond.h"

/* What is asked of a condition as a whole. */

static const char *const compares[COMPARE_COUNT] = {
	[COMPARE_EQUAL] = "==",	  [COMPARE_NOT_EQUAL] = "!=", [COMPARE_LESS] = "<",
	[COMPARE_AT_MOST] = "<=", [COMPARE_MORE] = ">",	      [COMPARE_AT_LEAST] = ">=",
};

const char *cond_compare_text(enum cond_compare c)
{
	return compares[c];
}

void cond_each(struct cond *c, bool inverted, cond_each_fn *fn, void *arg)
{
	if (c == NULL)
		return;
	if (c->child_count == 0)
		fn(c, inverted, arg);
	for (size_t i = 0; i < c->child_count; i++)
		cond_each(c->children[i], inverted != (c->kind == COND_NOT), fn, arg);
}

static bool pins_recipient(const struct cond *c)
{
	bool positive =
		(c->kind == COND_IN_TABLE || c->kind == COND_IN_TEXTS || c->kind == COND_TEXT_EQUAL) &&
		!c->negated;

	return positive && c->other == FACT_COUNT &&
	       (c->fact == FACT_RECIPIENT || c->fact == FACT_RECIPIENT_DOMAIN || c->fact == FACT_RECIPIENT_BASE);
}

bool cond_needs_recipient(const struct cond *c)
{
	bool all = true, any = false;

	if (c == NULL || c->kind == COND_NOT)
		return false;
	if (c->child_count == 0)
		return pins_recipient(c);
	for (size_t i = 0; i < c->child_count; i++) {
		bool needs = cond_needs_recipient(c->children[i]);

		all = all && needs;
		any = any || needs;
	}
	return c->kind == COND_AND ? any : all;
}
