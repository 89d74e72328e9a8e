#ifndef POSTERN_RULES_PATTERN_H
#define POSTERN_RULES_PATTERN_H

#include "conf/arena.h"

/*
 * PCRE2 with limits and without JIT: a pattern that would take too long gives "unknown", never a wait
 * (attack R10).  \C, \G, callouts and (*VERBS) at the start are refused.  In rules and tables patterns are the administrator's, case does
 * not count and the text is bytes; in filters they are users', and the language says which of these hold.
 */
#define PATTERN_BYTES_MAX 2048u
/*
 * PCRE2 counts its calls anew at each place where a match may begin, and not what a repeated character class runs over: with limits alone a
 * crafted pattern took seconds for 2 KiB, and the time grows with the square of the subject.  Here a match has 0.1 s of processor time in all
 * (what has begun by then goes on for as much again at the most, about), and a longer subject is not looked at: "unknown", never a "no".
 */
#define PATTERN_SUBJECT_MAX 2048u
#define PATTERN_WHY_MAX 160u
#define PATTERN_GROUPS_MAX 10u /* that are told: the whole match, and $1 to $9 */

struct pattern;

enum pattern_option {
	PATTERN_CASELESS = 1 << 0,
	PATTERN_UTF8 = 1 << 1, /* characters, with their case; what is no UTF-8 in the subject matches nothing */
	PATTERN_DOT_ALL = 1 << 2, /* a dot is also a line's end */
	PATTERN_EXTENDED = 1 << 3, /* blanks in the pattern do not count */
};

/* Lives as long as the arena; without one (NULL) until pattern_free.  NULL with a sentence in `why` and where in the pattern it went
 * wrong; why[0] == 0: no memory. */
struct pattern *pattern_new(struct arena *arena, struct slice text, unsigned options, char why[PATTERN_WHY_MAX],
			    size_t *offset_out);
void pattern_free(struct pattern **pp); /* only of one without an arena */

unsigned pattern_groups(const struct pattern *p); /* (...) in it */

enum pattern_match {
	PATTERN_NO,
	PATTERN_YES,
	PATTERN_UNKNOWN, /* a limit: it will be the same the next time */
	PATTERN_NO_MEMORY, /* our fault: later it may be known */
};
enum pattern_match pattern_match(const struct pattern *p, struct slice subject);
/* The same; with PATTERN_YES also which parts of the subject (borrowed) matched the whole, and each group; "" where one took no part. */
enum pattern_match pattern_match_groups(const struct pattern *p, struct slice subject, struct slice groups[PATTERN_GROUPS_MAX]);

#endif
