#ifndef POSTERN_FILTER_EXIM_PARSE_H
#define POSTERN_FILTER_EXIM_PARSE_H

#include "filter/exim_lex.h"

/* All commands of a file.  False: a mistake. */
bool exim_commands_parse(struct exim_source *s, struct exim_command **out);

#endif
