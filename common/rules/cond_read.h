#ifndef POSTERN_RULES_COND_READ_H
#define POSTERN_RULES_COND_READ_H

#include "rules/cond.h"

/* Between the two halves of the parser: cond_parse.c reads and, or, not; cond_test.c one test. */
struct cond_reader {
	struct parser *p;
	unsigned place;
	unsigned depth;
	unsigned parens; /* inside them a line's end means nothing */
};

struct cond *cond_node(struct cond_reader *r, enum cond_kind kind, struct conf_pos pos);
/* NULL, after the mistake was told. */
struct cond *cond_fail(struct cond_reader *r, struct conf_pos pos, const char *hint, const char *what);
void cond_skip_lines(struct cond_reader *r);

struct cond *cond_read_test(struct cond_reader *r);

#endif
