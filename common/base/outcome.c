#include "base/outcome.h"

static const struct outcome_info outcomes[OC_COUNT] = {
#define OUTCOME(name, kind, smtp, dsn, text)                                                       \
	[OC_##name] = {KIND_##kind, smtp, dsn, text, #name},
#include "base/outcome.def"
#undef OUTCOME
};

const struct outcome_info *outcome_info(enum outcome oc)
{
	return &outcomes[(unsigned)oc < OC_COUNT ? oc : OC_UNAVAILABLE];
}

enum outcome outcome_from(uint64_t number)
{
	return number < OC_COUNT ? (enum outcome)number : OC_UNAVAILABLE;
}
