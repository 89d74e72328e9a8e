#ifndef POSTERN_POLICYD_TABLE_PATTERN_H
#define POSTERN_POLICYD_TABLE_PATTERN_H

#include "base/buf.h"
#include "rules/rules.h"

/*
 * A table of patterns, whole in memory: lines `/pattern/flags result`, held against the whole key from the first to the last; the first
 * that matches decides.  Flags: `s` (a dot is any byte), `x` (blanks in the pattern do not count).  The key is in lower case, and case
 * never counts.  In the result $0 is what matched, $1 to $9 are its groups, $$ is a dollar; all else is itself.  Pure.
 *
 * Always: a key that takes too long, against one pattern or all, is UNKNOWN.  A result has at most 4 KiB, and is never evaluated again:
 * what a group brings into it may not be what parts or makes items of a list (blank, control, , " \ | : and a leading /), else it is
 * UNKNOWN.
 */
struct table_pattern;

#define TABLE_PATTERNS_MAX 1000u
#define TABLE_RESULT_MAX 4096u
#define TABLE_PATTERNS_MS 50u /* for one key */

/* Takes the content of `text` (it is empty afterwards) in every case.  NULL with "LINE: what is wrong" in `why`. */
struct table_pattern *table_pattern_parse(struct buf *text, struct buf *why);
void table_pattern_free(struct table_pattern **tp);

/* YES: the result is added to `value_out` (NULL: not wanted), and the line is told.  UNKNOWN with a sentence in `why`. */
enum answer table_pattern_find(const struct table_pattern *t, struct slice key, struct buf *value_out, size_t *line_out, struct buf *why);

#endif
