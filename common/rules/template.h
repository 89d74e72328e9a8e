#ifndef POSTERN_RULES_TEMPLATE_H
#define POSTERN_RULES_TEMPLATE_H

#include "conf/parse.h"
#include "rules/fact.h"

/* A text with {facts} in it; {{ is a brace. */
struct template_piece {
	const char *literal; /* NULL: the fact */
	enum fact_id fact;
};

struct template
{
	struct conf_pos pos;
	const char *source; /* as written */
	struct template_piece *pieces;
	size_t count;
};

/* Tells mistakes at the string's place: unknown facts, facts not known at `place`.  NULL then, or
 * without memory. */
struct template *template_parse(struct parser *p, const struct token *string, unsigned place);
/* "{name}" asks for nothing but literals. */
bool template_is_literal(const struct template *t);

#endif
