#ifndef POSTERN_RULES_PLACE_H
#define POSTERN_RULES_PLACE_H

#include "conf/parse.h"
#include "rules/fact.h"

/* The fact of that name, if it is known where the rule stands; else FACT_COUNT and a mistake at `pos`.
 */
enum fact_id place_fact(struct parser *p, struct conf_pos pos, struct slice name, unsigned place);

#endif
