#ifndef POSTERN_RULES_PATTERN_H
#define POSTERN_RULES_PATTERN_H

#include "conf/arena.h"

/*
 * PCRE2 with limits and without JIT: a pattern that would take too long gives "unknown", never a wait
 * (attack R10).  Case does not count; the text is bytes.  Patterns come from the administrator only;
 * \C, callouts and (*VERBS) at the start are refused.
 */
#define PATTERN_BYTES_MAX 2048u
#define PATTERN_SUBJECT_MAX 65536u
#define PATTERN_WHY_MAX 160u

struct pattern;

/* Lives as long as the arena.  NULL with a sentence in `why` and where in the pattern it went wrong;
 * why[0] == 0: no memory. */
struct pattern *pattern_new(struct arena *arena, struct slice text, char why[PATTERN_WHY_MAX],
			    size_t *offset_out);
enum pattern_match { PATTERN_NO, PATTERN_YES, PATTERN_UNKNOWN /* a limit, or no memory */ };
enum pattern_match pattern_match(const struct pattern *p, struct slice subject);

#endif
