#ifndef POSTERN_POLICYD_FACTS_H
#define POSTERN_POLICYD_FACTS_H

#include "rules/rules.h"

/* What is known of one question, for the rules; all of it is known before the evaluation begins.  Texts are borrowed. */
struct facts {
	struct fact_value value[FACT_COUNT];
	struct slice ancestors; /* of a recipient: mail/directive.h */
};

/* All texts empty, all numbers 0. */
static inline struct facts facts_make(void)
{
	struct facts f = {.value = {{{"", 0}, 0}}, .ancestors = {"", 0}};

	for (unsigned i = 0; i < FACT_COUNT; i++)
		f.value[i].text = slice_empty();
	return f;
}

static inline struct slice facts_text(const struct facts *f, enum fact_id id)
{
	return f->value[id].text;
}

/* Where a client came in: our name there ("": the configuration's), and the listener's ("": that of its role). */
void facts_set_listener(struct facts *f, const struct conf *conf, uint64_t role, struct slice name, struct slice hostname);

/* Where tables and accounts are. */
struct lookups {
	/* The value is added to `value_out` (NULL: not wanted). */
	enum answer (*table)(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out);
	/* `alias TABLE`: what stands there of that address, by whichever key (table_keys.h); base: without its sub-address, or "". */
	enum answer (*alias)(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out);
	/* Adds the text of a file that a value of that table includes.  False with a sentence in `why`. */
	bool (*include)(void *arg, const struct conf_table *table, struct slice path, struct buf *text_out, struct buf *why);
	/* Whether there is such a system user that mail is delivered to. */
	enum answer (*account)(void *arg, struct slice name);
	void *arg;
	/* The uid of the system user of that name; NO: there is none. */
	enum answer (*uid)(void *arg, struct slice name, uint64_t *uid_out);
};

#endif
