#ifndef POSTERN_FILTER_GATHER_H
#define POSTERN_FILTER_GATHER_H

#include "filter/filter.h"

/*
 * What a language's run counts and gathers: the bounds of struct filter_limits are kept here, for all languages alike.  A function that
 * returns false (or NULL) has set outcome and `why`; what was gathered is dropped then, so that a filter does all it asked for, or nothing.
 */
struct filter_gather {
	struct filter_result *result; /* borrowed; empty at the start */
	struct filter_limits limits;
	const struct filter_trace *trace; /* may be NULL */
	uint32_t steps, redirects;
	size_t text;
	size_t capacity; /* of result->actions */
};

void filter_gather_begin(struct filter_gather *g, const struct filter_limits *limits, const struct filter_trace *trace,
			 struct filter_result *result);

/* "line 12: WHY"; line 0: WHY alone. */
bool filter_fail(struct filter_gather *g, enum filter_outcome outcome, uint32_t line, const char *why, ...)
	__attribute__((format(printf, 4, 5)));
/* A command or test, or `weight` of them: what costs more than one. */
bool filter_step(struct filter_gather *g, uint32_t line, uint32_t weight);
/* A match of a regular expression: `weight`, and by the square of what it is held against, for so does its time grow (rules/pattern.h): at
 * some 20 ms for 2 KiB, 47 of those and a second of CPU in a run.  `value` is cut to what is looked at. */
bool filter_step_pattern(struct filter_gather *g, uint32_t line, uint32_t weight, struct slice *value);
/* A copy of `text` that lives as long as the result; counted. */
bool filter_keep(struct filter_gather *g, uint32_t line, struct slice text, struct slice *kept_out);
/* A digest of `what` (SHA-256, as bytes), kept: the once_key of a mail.  Opens no file, whatever the library did before. */
bool filter_keep_digest(struct filter_gather *g, uint32_t line, struct slice what, struct slice *kept_out);
/* A new action at the end; `text` is kept.  Valid until the next one. */
struct filter_action *filter_act(struct filter_gather *g, enum filter_action_kind kind, uint32_t line, struct slice text);
/* Is there one of that kind and text already? */
bool filter_has(const struct filter_gather *g, enum filter_action_kind kind, struct slice text);

void filter_tell(const struct filter_gather *g, uint32_t line, const char *what, ...) __attribute__((format(printf, 3, 4)));
/* A piece of text as a trace shows it: in quotes, what is not printable escaped, what is long cut short with "...". */
void filter_show(struct slice text, struct buf *out);
void filter_show_up_to(struct slice text, size_t max, struct buf *out); /* bytes of it */
/* Whether there is anybody to tell: for what is costly to put into words. */
static inline bool filter_is_told(const struct filter_gather *g)
{
	return g->trace != NULL;
}

#endif
