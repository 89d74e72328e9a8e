#ifndef POSTERN_RULES_VERB_H
#define POSTERN_RULES_VERB_H

#include "conf/parse.h"
#include "rules/rules.h"

#define REPLY_4XX 1u
#define REPLY_5XX 2u
#define VERB_TEXT_MAX 500u

/* One verb at the places where it may stand. */
struct verb {
	const char *name;
	enum rule_verb verb;
	unsigned places;
	bool final; /* nothing behind it is evaluated once it applied */
	bool (*read)(struct parser *p, const struct verb *v, unsigned place,
		     struct rule *r); /* its arguments */
	uint16_t code; /* of a reply that names none */
	const char *dsn;
	unsigned classes; /* of codes it may name */
};

size_t verb_count(void);
const struct verb *verb_at(size_t i);
const struct verb *verb_find(struct slice name, unsigned place); /* NULL: none there */
const struct verb *verb_of(enum rule_verb verb,
			   unsigned place); /* never NULL for a rule that was read */

bool verb_read_nothing(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_reply(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_time(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_text(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_header(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_tag(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_table(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_transport(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_address(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_lookup(struct parser *p, const struct verb *v, unsigned place, struct rule *r);
bool verb_read_rewrite(struct parser *p, const struct verb *v, unsigned place, struct rule *r);

#endif
