#ifndef POSTERN_FILTER_EXIM_CONDITION_H
#define POSTERN_FILTER_EXIM_CONDITION_H

#include "filter/exim_lex.h"

/* What stands behind `if`, up to the word that is none of it: `and` binds closer than `or`.  False: a mistake. */
bool exim_condition_parse(struct exim_source *s, struct exim_test **out);

#endif
