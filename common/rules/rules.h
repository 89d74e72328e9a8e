#ifndef POSTERN_RULES_RULES_H
#define POSTERN_RULES_RULES_H

#include "rules/fact.h"

/*
 * Rules: `VERB ARGUMENTS [if CONDITION]`, evaluated from the top.
 *
 * Conditions are three-valued.  A rule whose condition is unknown ends the evaluation; `TEST assume no`
 * makes an unknown test a "no", which the checker allows where nothing worse than a missing header can
 * follow.  Evaluation is pure: no verb acts, and what is not there yet makes it end with NEED; begin
 * again from the top when it arrived.
 */
enum rule_verb {
	/* policy */
	VERB_ACCEPT,
	VERB_REJECT, /* also route */
	VERB_DEFER,
	VERB_DROP, /* the reply, then the connection is closed */
	VERB_DELAY,
	VERB_ADD_HEADER,
	VERB_TAG,
	VERB_HOLD, /* also route */
	VERB_LOG,
	/* route */
	VERB_ALIAS,
	VERB_REWRITE,
	VERB_DELIVER,
	VERB_RELAY,
	VERB_DISCARD,
	VERB_COPY,
	VERB_QUEUE_ONLY,
	/* rewrite */
	VERB_ADDRESS,
	VERB_LOOKUP,
	VERB_COUNT
};
const char *rule_verb_name(enum rule_verb verb);

/* Where an address may be rewritten: the envelope, and fields of the header; RESENT: all that begin so. */
enum rewrite_field {
	REWRITE_ENVELOPE_FROM,
	REWRITE_FROM,
	REWRITE_SENDER,
	REWRITE_REPLY_TO,
	REWRITE_TO,
	REWRITE_CC,
	REWRITE_BCC,
	REWRITE_RESENT,
	REWRITE_FIELDS
};
const char *rewrite_field_name(enum rewrite_field field); /* as rules name it */

struct cond;
struct template;

struct rule {
	struct conf_pos pos;
	enum rule_verb verb;
	uint16_t code; /* reject, defer, drop */
	char dsn[12];
	uint64_t delay_ms; /* delay; `after` */
	const struct template *text; /* reply, header, log line, new address; NULL: none */
	const char *name; /* of the tag ("connection.refused"), table or transport */
	const struct conf_table *table; /* alias */
	const char *programs; /* alias: name of the transport that runs its programs and writes its files; NULL: none does */
	const struct conf_transport *transport; /* deliver, relay; alias: of `programs` */
	bool relay_domain; /* relay ... as relay-domain: may leave this host without a login (its
			      condition names the domains) */
	uint32_t fields; /* address, lookup: 1 << enum rewrite_field */
	struct cond *when; /* NULL: always */
};

struct rule_list {
	unsigned place; /* enum conf_stage, RULES_ROUTE or RULES_REWRITE */
	struct rule *rules;
	size_t count;
};

/* Whether any rule of that configuration asks about it, in a condition or a text. */
bool rules_ask_about(const struct conf *conf, enum fact_id id);

/* "file:line" of a rule, as verdicts and logs show it. */
void rule_where(const struct rule *r, struct buf *out);
/* The same into `out`; "" where there is no rule. */
void rule_where_text(const struct rule *r, char *out, size_t size);
/* The rule on one line, as it could stand in a configuration. */
void rule_print(const struct rule *r, struct buf *out);

/* ---- what rules are evaluated over ---- */

/* PENDING: asked for, not there yet. */
enum answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN, ANSWER_PENDING };
enum fact_state { FACT_KNOWN, FACT_UNKNOWN, FACT_PENDING };

struct fact_value {
	struct slice text; /* texts, addresses, IP ("192.0.2.1"), words; borrowed until the evaluation
			      returned */
	uint64_t number; /* numbers and sizes */
};

struct rule_source {
	/* Never asked for a derived fact, nor for one the checker does not allow at that place. */
	enum fact_state (*fact)(void *arg, enum fact_id id, struct fact_value *out);
	/* `key` is in lower case, 1 to RULES_KEY_MAX bytes. */
	enum answer (*table)(void *arg, const struct conf_table *table, struct slice key);
	/* Tags of earlier stages: "connection.NAME" for the session, "message.NAME" for the
	 * transaction. */
	bool (*tag)(void *arg, const char *tag);
	/* NULL, or told of each rule that was asked, in order; and before, of each test of its condition (cond.h), with the
	 * value that it found (NULL: a tag, or it is not known). */
	void (*trace)(void *arg, const struct rule *rule, enum answer answer);
	void (*tested)(void *arg, const struct cond *test, const struct fact_value *value, enum answer answer);
	void *arg;
	/* Whether the header has a field of that name (in lower case).  NULL where no rule asks. */
	enum answer (*header)(void *arg, const char *name);
};
#define RULES_KEY_MAX 1024u
/* How many different fields the routes of a configuration may ask about: what they would answer is tried out at RCPT. */
#define RULES_HEADERS_MAX 6u

/* ---- policy ---- */

enum policy_end { POLICY_VERDICT, POLICY_NEED, POLICY_UNKNOWN };

struct rule_effect {
	const struct rule *rule; /* add-header, tag, hold, log */
	struct slice text; /* expanded: the header line without CRLF, the tag, the log text */
};
#define POLICY_EFFECTS_MAX 64u

struct policy_verdict {
	enum policy_end end;
	/* UNKNOWN: the rule that could not be decided.  VERDICT: the one that decided; NULL: none did,
	 * which accepts. */
	const struct rule *rule;
	const char *cause; /* UNKNOWN, NEED: the fact or table that is not known (yet) */
	enum rule_verb verb; /* VERDICT: ACCEPT, REJECT, DEFER or DROP */
	uint16_t code; /* not with ACCEPT */
	const char *dsn;
	struct slice text; /* printable ASCII; in `memory` */
	uint64_t delay_ms; /* before the answer: the longest that was asked for */
	bool close;
	struct rule_effect effects[POLICY_EFFECTS_MAX]; /* empty unless VERDICT */
	size_t effect_count;
	struct buf memory; /* owns the texts: policy_verdict_free */
};

/* `list` NULL is no rules.  No memory, or more effects than fit: UNKNOWN. */
void policy_eval(const struct rule_list *list, const struct rule_source *source,
		 struct policy_verdict *out);
void policy_verdict_free(struct policy_verdict *v);

/* ---- routes ---- */

enum route_end {
	ROUTE_STEP, /* do what `rule` says; go on at `next` when it is an alias that has no such entry,
		       or a rewrite */
	ROUTE_NEED,
	ROUTE_UNKNOWN, /* defer this recipient */
	ROUTE_NONE, /* no rule took it */
};

#define ROUTE_TEXT_MAX 512u
struct route_step {
	enum route_end end;
	const struct rule *rule; /* STEP, UNKNOWN */
	size_t next; /* index of the rule behind it */
	const char *cause; /* UNKNOWN, NEED */
	struct slice text; /* reject: the reply; rewrite, copy: the address (in `memory`) */
	char memory[ROUTE_TEXT_MAX + 1];
};

/* The first rule from number `from` on whose condition holds. */
void route_eval(const struct rule_list *list, size_t from, const struct rule_source *source,
		struct route_step *out);

/* ---- rewriting ---- */

/* As route_eval, over the rules for that field only; `text` of VERB_ADDRESS: the new address. */
void rewrite_eval(const struct rule_list *list, size_t from, enum rewrite_field field, const struct rule_source *source,
		  struct route_step *out);
/* All fields that its rules name. */
uint32_t rewrite_fields(const struct rule_list *list);

#endif
