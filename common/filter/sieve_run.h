#ifndef POSTERN_FILTER_SIEVE_RUN_H
#define POSTERN_FILTER_SIEVE_RUN_H

#include "filter/gather.h"
#include "filter/sieve_words.h"
#include "filter/view.h"
#include "mail/address.h"

/*
 * One run of a script over a message.  Every function that returns bool and does not say otherwise: false is a failure, which is told
 * in the result already.
 */
#define SIEVE_VALUE_MAX 16384u /* octets of a variable; what is beyond is cut off (RFC 5229 §6) */
#define SIEVE_TEXT_MAX (256u << 10) /* of one text with variables */
#define SIEVE_MADE_MAX (4u << 20) /* of all of these */

/* An address of the envelope; without `good` it is one that only we know. */
struct sieve_envelope {
	struct slice text;
	struct mail_address address;
	bool good;
};

struct sieve_run {
	const struct sieve_tree *tree;
	const struct filter_message *message;
	struct filter_gather gather;
	struct sieve_envelope sender, recipient;
	struct view *view; /* owned */
	struct arena *arena; /* owned; texts that are made on the way */
	size_t made; /* octets of these */
	uint64_t work; /* octets looked at, that are no whole step yet */
	struct buf folded, folded_key; /* owned */
	struct slice *variables; /* in the arena */
	struct slice matched[PATTERN_GROUPS_MAX]; /* ${0} to ${9} */
	struct slice flags; /* of imap4flags: the internal variable */
	bool implicit_keep, stopped, answered;
	uint32_t rejected; /* the line that did; 0: none */
};

/* What took so many octets of work counts as steps. */
bool sieve_spend(struct sieve_run *r, uint32_t line, size_t octets);
bool sieve_no_memory(struct sieve_run *r);
/* What lives as long as the run; counted.  NULL is a failure. */
void *sieve_room(struct sieve_run *r, uint32_t line, size_t octets);
bool sieve_keep(struct sieve_run *r, uint32_t line, struct slice text, struct slice *out);
/* What a text is now, its variables replaced. */
bool sieve_text(struct sieve_run *r, const struct sieve_string *s, struct slice *out);
/* Carries out a block. */
bool sieve_block(struct sieve_run *r, const struct sieve_node *list, size_t count);
bool sieve_test(struct sieve_run *r, const struct sieve_node *node, bool *out);

/* ---- comparing (sieve_match.c) ---- */

/* The keys of a test: its last argument without a tag. */
struct sieve_arg *sieve_keys(const struct sieve_node *node);
unsigned sieve_pattern_options(const struct sieve_node *node);

/* A test that compares: its keys, made once for all values it meets. */
struct sieve_matcher {
	struct sieve_run *run;
	const struct sieve_node *node;
	const struct sieve_arg *keys;
	struct slice *made; /* the keys' texts; NULL: none has variables */
	uint64_t count; /* of :count: what was met */
	bool found;
	bool quiet; /* match variables stay as they are */
};
bool sieve_matcher_begin(struct sieve_matcher *m, struct sieve_run *r, const struct sieve_node *node);
/* One value more; nothing is compared once it was found. */
bool sieve_matcher_meet(struct sieve_matcher *m, struct slice value);
bool sieve_matcher_end(struct sieve_matcher *m, bool *out);
/* `:matches`, as little as possible for each wildcard; `count` of the parts that the wildcards stood for are told, the rest empty.
 * Adds what it took to *work, and gives up at `most`. */
enum pattern_match sieve_glob(struct slice pattern, struct slice value, bool fold, struct slice *parts, size_t count, uint64_t *work,
			      uint64_t most);

/* ---- what else the checks ask ---- */

const char *sieve_date_part_name(size_t i); /* NULL: no more */
bool sieve_zone(struct slice text, int *minutes_out);
bool sieve_is_flag(struct slice flag);
bool sieve_is_folder(struct slice name);
/* One address, perhaps with a name?  False: no memory. */
bool sieve_read_from(struct arena *arena, struct slice text, struct view_addresses *list, bool *good_out);
bool sieve_is_mime(struct slice text); /* begins with Content-... fields */

/* ---- actions and tests, by the tables of sieve_words.c ---- */

bool sieve_act_keep(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_discard(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_redirect(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_fileinto(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_reject(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_vacation(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_set(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_setflag(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_addflag(struct sieve_run *r, const struct sieve_node *node);
bool sieve_act_removeflag(struct sieve_run *r, const struct sieve_node *node);
/* Into the inbox, with those flags, because of that line. */
bool sieve_inbox(struct sieve_run *r, uint32_t line, struct slice flags);

bool sieve_test_true(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_false(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_not(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_allof(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_anyof(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_exists(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_size(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_header(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_address(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_envelope(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_body(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_date(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_currentdate(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_string(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_hasflag(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_mailboxexists(struct sieve_run *r, const struct sieve_node *node, bool *out);
bool sieve_test_environment(struct sieve_run *r, const struct sieve_node *node, bool *out);

#endif
