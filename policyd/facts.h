#ifndef POSTERN_POLICYD_FACTS_H
#define POSTERN_POLICYD_FACTS_H

#include "mail/address.h"
#include "rules/rules.h"

/* What is known of one question, for the rules; all of it is known before the evaluation begins.  Texts are borrowed. */
struct facts {
	struct fact_value value[FACT_COUNT];
	struct slice ancestors; /* of a recipient: mail/directive.h */
	struct slice header_names; /* mail/header_names.h */
	struct header_guesses *guesses; /* not NULL: the header has not come, and this is what it would be */
	bool no_listener; /* where the client came to is not known */
};

/*
 * At RCPT there is no header.  The route is tried with each that the message may come to have, as far as rules ask about it: first with none
 * of the fields.  What was asked is noted here, with the answer it was given; header_guesses_next makes the next of them, until
 * there is none.
 */
struct header_guesses {
	struct {
		const char *name; /* borrowed from the configuration */
		bool present;
	} guess[RULES_HEADERS_MAX];
	size_t count;
};
bool header_guesses_next(struct header_guesses *g);

/* Whether the header has that field. */
enum answer facts_header(const struct facts *f, const char *name);


/* All texts empty, all numbers 0. */
static inline struct facts facts_make(void)
{
	struct facts f = {.value = {{{"", 0}, 0}}, .ancestors = {"", 0}, .header_names = {"", 0}};

	for (unsigned i = 0; i < FACT_COUNT; i++)
		f.value[i].text = slice_empty();
	return f;
}

static inline struct slice facts_text(const struct facts *f, enum fact_id id)
{
	return f->value[id].text;
}

/* Where tables and accounts are. */
struct lookups {
	/* The value is added to `value_out` (NULL: not wanted). */
	enum answer (*table)(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out);
	/* `alias TABLE`: what stands there of that address, by whichever key (conf/table_keys.h); base: without its sub-address, or "". */
	enum answer (*alias)(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out);
	/* Adds the text of a file that a value of that table includes.  False with a sentence in `why`. */
	bool (*include)(void *arg, const struct conf_table *table, struct slice path, struct buf *text_out, struct buf *why);
	/* Whether there is such a system user that mail is delivered to. */
	enum answer (*account)(void *arg, struct slice name);
	void *arg;
	/* The uid of the system user of that name; NO: there is none. */
	enum answer (*uid)(void *arg, struct slice name, uint64_t *uid_out);
	/* Whether an alias of that very address stands there, and none of its domain or of all (tables.h). */
	enum answer (*names)(void *arg, const struct conf_table *table, struct slice address);
	/* Whether mail has come from that address, by who may send.  NULL: not known here. */
	enum answer (*sent)(void *arg, struct slice address);
};

/* The facts as rules ask for them: also what follows from the recipient and the setting sub-address, and whether it is a system user,
 * which may have to be asked for. */
struct facts_view {
	const struct conf *conf;
	const struct facts *facts;
	const struct lookups *lookups;
	char base[MAIL_ADDRESS_MAX + 1];
};
enum fact_state facts_find(struct facts_view *v, enum fact_id id, struct fact_value *out);

/* The system user an address names: its local part, or that without the sub-address; the name, in lower case, is added to `name_out`
 * with YES.  NO also: it can be no user's name. */
enum answer facts_system_user(const struct conf *conf, const struct lookups *lookups, struct slice address, struct buf *name_out);

/* Where a client came in: our name there ("": the configuration's), and the listener's ("": that of its role). */
void facts_set_listener(struct facts *f, const struct conf *conf, uint64_t role, struct slice name, struct slice hostname);

#endif
