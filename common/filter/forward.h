#ifndef POSTERN_FILTER_FORWARD_H
#define POSTERN_FILTER_FORWARD_H

#include "filter/filter.h"

/*
 * A .forward file that is a list (mail/target_list.h): addresses, \user, files, programs, `:include:`, `:fail:`, `:defer:`, `:blackhole:`.
 * A list with nothing in it changes nothing.  Whatever is wrong with it, at once or in a file that it includes, is FILTER_LATER: mail
 * waits until its owner has mended it, and none goes to half of a list.
 */
#define FORWARD_DEPTH_MAX 10u /* of files that include each other */
#define FORWARD_WIDTH_MAX 1000u /* items of all these files; in place of the bounds on actions of struct filter_limits */

struct forward;

/* NULL with the first mistake in *mistake. */
struct forward *forward_parse(struct slice text, struct filter_mistake *mistake);
void forward_free(struct forward **fp);

/* As exim_filter_run.  Files are read by `message->read`. */
void forward_run(const struct forward *forward, const struct filter_message *message, const struct filter_limits *limits,
		 const struct filter_trace *trace, struct filter_result *result);

#endif
