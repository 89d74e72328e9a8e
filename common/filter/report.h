#ifndef POSTERN_FILTER_REPORT_H
#define POSTERN_FILTER_REPORT_H

#include "filter/filter.h"

/* What a filter did and asks for, in words: for `postern filter test`, and for tests. */

/* One line without its end: "save to Maildir/.Junk/". */
void filter_action_text(const struct filter_action *a, struct buf *out);
/* "redirect", "file", ...: the word for machines. */
const char *filter_action_name(enum filter_action_kind kind);

#endif
