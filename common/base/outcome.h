#ifndef POSTERN_BASE_OUTCOME_H
#define POSTERN_BASE_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

/* OK: done.  TEMP: our fault, or not now; never told to anybody as final.  PERM: decided, by a rule or by the remote. */
enum outcome_kind { KIND_OK, KIND_TEMP, KIND_PERM };

enum outcome {
#define OUTCOME(name, kind, smtp, dsn, text) OC_##name,
#include "base/outcome.def"
#undef OUTCOME
	OC_COUNT
};

struct outcome_info {
	enum outcome_kind kind;
	uint16_t smtp; /* reply code, RFC 5321 §4.2 */
	const char *dsn; /* enhanced status code, RFC 3463 */
	const char *text;
	const char *name;
};

/* Never NULL; a number outside the table is UNAVAILABLE, for doubt is temporary. */
const struct outcome_info *outcome_info(enum outcome oc);
/* From another process: what is not in the table becomes UNAVAILABLE. */
enum outcome outcome_from(uint64_t number);

static inline enum outcome_kind outcome_kind(enum outcome oc)
{
	return outcome_info(oc)->kind;
}

#endif
