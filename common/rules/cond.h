#ifndef POSTERN_RULES_COND_H
#define POSTERN_RULES_COND_H

#include "conf/parse.h"
#include "rules/pattern.h"
#include "rules/rules.h"

/*
 * A condition as a tree.  and, or, not hold children; everything else is a test, which may be negated
 * (`!=`, `not in`, `is not`, `not matches`) and may be followed by `assume no`.
 */
enum cond_kind {
	COND_AND,
	COND_OR,
	COND_NOT,
	COND_FACT, /* a fact that is yes or no */
	COND_TAG,
	COND_HEADER, /* the field `text`, in lower case, is there */
	COND_TEXT_EQUAL, /* with a text, a word, or another fact */
	COND_NUMBER,
	COND_IN_TABLE,
	COND_IN_NETS, /* also `client == ADDRESS` and `client in trusted` */
	COND_IN_TEXTS,
	COND_MATCHES,
	COND_SHAPE,
};

enum cond_compare {
	COMPARE_EQUAL,
	COMPARE_NOT_EQUAL,
	COMPARE_LESS,
	COMPARE_AT_MOST,
	COMPARE_MORE,
	COMPARE_AT_LEAST,
	COMPARE_COUNT
};
const char *cond_compare_text(enum cond_compare c);

struct cond {
	enum cond_kind kind;
	struct conf_pos pos;
	bool negated;
	bool assume_no;
	enum fact_id fact;
	struct cond **children;
	size_t child_count;
	enum fact_id other; /* COND_TEXT_EQUAL: FACT_COUNT is `text` */
	const char *text; /* also the pattern, the tag, the field */
	enum cond_compare compare;
	uint64_t number; /* also COND_NUMBER with other == FACT_COUNT */
	const char *table_name; /* COND_IN_TABLE, and "trusted" for COND_IN_NETS */
	const struct conf_table *table;
	const struct conf_cidr *nets;
	size_t net_count;
	const char **texts;
	size_t text_count;
	const struct pattern *pattern;
	enum shape shape;
};

/* Nesting of parentheses and `not`: bounds the recursion over a condition. */
#define COND_DEPTH_MAX 32u

/* From behind `if` to the end of the statement; NULL: told. */
struct cond *cond_parse(struct parser *p, unsigned place);

/* Calls fn for every test, with whether it stands under an odd number of `not`s. */
typedef void cond_each_fn(struct cond *test, bool inverted, void *arg);
void cond_each(struct cond *c, bool inverted, cond_each_fn *fn, void *arg);
/* No message gets through this condition unless its recipient was found in a table or a list, or is
 * equal to a text. */
bool cond_needs_recipient(const struct cond *c);

void cond_print(const struct cond *c, struct buf *out);

#endif
