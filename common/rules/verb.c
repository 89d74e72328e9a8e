#include "rules/verb.h"

#include "base/mem.h"

#define CONNECT RULES_IN(STAGE_CONNECT)
#define LATER \
	(RULES_IN(STAGE_HELO) | RULES_IN(STAGE_MAIL) | RULES_IN(STAGE_RCPT) | RULES_IN(STAGE_DATA))
#define POLICY (CONNECT | LATER)
#define MESSAGE (RULES_IN(STAGE_MAIL) | RULES_IN(STAGE_RCPT) | RULES_IN(STAGE_DATA))
#define ROUTE RULES_IN(RULES_ROUTE)
#define REWRITE RULES_IN(RULES_REWRITE)
#define ANY (REPLY_4XX | REPLY_5XX)

static const struct verb verbs[] = {
	{"accept", VERB_ACCEPT, POLICY, true, verb_read_nothing, 0, NULL, 0},
	/* RFC 5321 §4.3.2: the greeting is 220 or 554 */
	{"reject", VERB_REJECT, CONNECT, true, verb_read_reply, 554, "5.7.1", REPLY_5XX},
	{"reject", VERB_REJECT, LATER, true, verb_read_reply, 550, "5.7.1", REPLY_5XX},
	{"reject", VERB_REJECT, ROUTE, true, verb_read_reply, 550, "5.1.1", REPLY_5XX},
	{"defer", VERB_DEFER, CONNECT, true, verb_read_reply, 421, "4.7.1", REPLY_4XX},
	{"defer", VERB_DEFER, LATER, true, verb_read_reply, 450, "4.7.1", REPLY_4XX},
	{"drop", VERB_DROP, POLICY, true, verb_read_reply, 554, "5.7.1", ANY},
	{"delay", VERB_DELAY, POLICY, false, verb_read_time, 0, NULL, 0},
	{"add-header", VERB_ADD_HEADER, MESSAGE, false, verb_read_header, 0, NULL, 0},
	{"tag", VERB_TAG, POLICY, false, verb_read_tag, 0, NULL, 0},
	{"hold", VERB_HOLD, MESSAGE, false, verb_read_nothing, 0, NULL, 0},
	{"hold", VERB_HOLD, ROUTE, false, verb_read_nothing, 0, NULL, 0},
	{"log", VERB_LOG, POLICY, false, verb_read_text, 0, NULL, 0},
	{"alias", VERB_ALIAS, ROUTE, false, verb_read_table, 0, NULL, 0},
	{"rewrite", VERB_REWRITE, ROUTE, false, verb_read_rewrite, 0, NULL, 0},
	{"queue-only", VERB_QUEUE_ONLY, ROUTE, false, verb_read_nothing, 0, NULL, 0},
	{"copy", VERB_COPY, ROUTE, false, verb_read_rewrite, 0, NULL, 0},
	{"deliver", VERB_DELIVER, ROUTE, true, verb_read_transport, 0, NULL, 0},
	{"relay", VERB_RELAY, ROUTE, true, verb_read_transport, 0, NULL, 0},
	{"discard", VERB_DISCARD, ROUTE, true, verb_read_nothing, 0, NULL, 0},
	{"address", VERB_ADDRESS, REWRITE, false, verb_read_address, 0, NULL, 0},
	{"lookup", VERB_LOOKUP, REWRITE, false, verb_read_lookup, 0, NULL, 0},
};

size_t verb_count(void)
{
	return ARRAY_LEN(verbs);
}

const struct verb *verb_at(size_t i)
{
	return &verbs[i];
}

const struct verb *verb_find(struct slice name, unsigned place)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if ((verbs[i].places & RULES_IN(place)) && slice_eq(name, slice_of(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

const struct verb *verb_of(enum rule_verb verb, unsigned place)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verbs[i].verb == verb && (verbs[i].places & RULES_IN(place)))
			return &verbs[i];
	return NULL;
}

const char *rule_verb_name(enum rule_verb verb)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verbs[i].verb == verb)
			return verbs[i].name;
	return "?";
}
