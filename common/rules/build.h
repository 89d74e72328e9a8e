#ifndef POSTERN_RULES_BUILD_H
#define POSTERN_RULES_BUILD_H

#include "conf/parse.h"
#include "rules/rules.h"

/*
 * For the compiler of the configuration: rules from text, then their names resolved, when all tables
 * and transports are known.
 */

/* From behind `{` up to its `}` (which stays), adding to `list`; mistakes are told, and reading goes on
 * at the next rule. */
void rules_parse(struct parser *p, struct rule_list *list);

/* What the rules of all places may name. */
struct rules_names {
	const struct conf *conf;
	struct arena *arena;
	struct mistakes *mistakes;
	struct wordlist tags; /* all that are set somewhere: rules_collect_tags */
};
bool rules_collect_tags(struct rules_names *names, const struct rule_list *list);
void rules_resolve(struct rules_names *names, struct rule_list *list);

/* The body of the block, one rule a line. */
void rules_print(const struct rule_list *list, struct buf *out);
/* In quotes, as the parser reads it back. */
void rules_print_text(struct buf *out, const char *text);

#endif
