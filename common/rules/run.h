#ifndef POSTERN_RULES_RUN_H
#define POSTERN_RULES_RUN_H

#include "rules/cond.h"
#include "rules/template.h"

/* One evaluation: conditions and texts over a source.  Knows nothing of verbs but the tags set so far.
 */
struct run {
	const struct rule_source *source;
	const char *cause; /* of the last answer that was unknown or pending */
	const struct rule_effect *effects; /* tags among them are seen by the rules behind */
	size_t effect_count;
};

/* NULL holds. */
enum answer run_cond(struct run *run, const struct cond *c);

/* The value as texts show it: "yes" and "no", numbers in decimal. */
void fact_print(enum fact_type type, const struct fact_value *value, struct buf *out);

enum text_use {
	TEXT_REPLY, /* printable ASCII only; an unknown fact is written "unknown" */
	TEXT_ADDRESS, /* exact: an unknown fact, a control character or too many bytes make it unknown
		       */
};
/* Adds the text to `out`, at most `max` bytes.  YES: done. */
enum answer run_text(struct run *run, const struct template *t, enum text_use use, size_t max,
		     struct buf *out);

#endif
