#ifndef POSTERN_FILTER_EXIM_FILTER_H
#define POSTERN_FILTER_EXIM_FILTER_H

#include "filter/filter.h"

/*
 * Exim filter files, as docs/filters.md says: the commands and conditions of the Exim filter specification that concern one user's mail,
 * and a small closed grammar in place of Exim's string expansion (exim_text.h).
 */
struct exim_filter;

/* NULL with the first mistake in *mistake. */
struct exim_filter *exim_filter_compile(struct slice text, struct filter_mistake *mistake);
void exim_filter_free(struct exim_filter **fp);

/* `result` is overwritten; filter_result_free afterwards.  `trace` may be NULL. */
void exim_filter_run(const struct exim_filter *filter, const struct filter_message *message, const struct filter_limits *limits,
		     const struct filter_trace *trace, struct filter_result *result);

#endif
