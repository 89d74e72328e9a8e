#ifndef POSTERN_FILTER_SIEVE_WORDS_H
#define POSTERN_FILTER_SIEVE_WORDS_H

#include "filter/sieve_tree.h"

/* The words of the language as tables: what each takes, which extension brings it, who checks it and who carries it out. */
enum sieve_extension {
	SIEVE_BASE,
	SIEVE_FILEINTO,
	SIEVE_REJECT,
	SIEVE_EREJECT,
	SIEVE_ENVELOPE,
	SIEVE_ENCODED_CHARACTER,
	SIEVE_COMPARATOR_OCTET,
	SIEVE_COMPARATOR_CASEMAP,
	SIEVE_COMPARATOR_NUMERIC,
	SIEVE_COPY,
	SIEVE_SUBADDRESS,
	SIEVE_VARIABLES,
	SIEVE_RELATIONAL,
	SIEVE_REGEX,
	SIEVE_BODY,
	SIEVE_DATE,
	SIEVE_INDEX,
	SIEVE_VACATION,
	SIEVE_VACATION_SECONDS,
	SIEVE_IMAP4FLAGS,
	SIEVE_MAILBOX,
	SIEVE_ENVIRONMENT,
	SIEVE_EXTENSION_COUNT
};

/* "fileinto"; "" of SIEVE_BASE. */
const char *sieve_extension_name(enum sieve_extension extension);

enum sieve_match { SIEVE_IS, SIEVE_CONTAINS, SIEVE_MATCHES, SIEVE_MATCHES_REGEX, SIEVE_COUNT, SIEVE_VALUE };
enum sieve_comparator { SIEVE_CASEMAP, SIEVE_OCTET, SIEVE_NUMERIC, SIEVE_COMPARATOR_COUNT };
const char *sieve_comparator_name(enum sieve_comparator comparator);
enum sieve_relation { SIEVE_GT, SIEVE_GE, SIEVE_LT, SIEVE_LE, SIEVE_EQ, SIEVE_NE, SIEVE_RELATION_COUNT };
const char *sieve_relation_name(enum sieve_relation relation);

enum sieve_tag {
	SIEVE_TAG_IS,
	SIEVE_TAG_CONTAINS,
	SIEVE_TAG_MATCHES,
	SIEVE_TAG_REGEX,
	SIEVE_TAG_COUNT,
	SIEVE_TAG_VALUE,
	SIEVE_TAG_COMPARATOR,
	SIEVE_TAG_ALL,
	SIEVE_TAG_LOCALPART,
	SIEVE_TAG_DOMAIN,
	SIEVE_TAG_USER,
	SIEVE_TAG_DETAIL,
	SIEVE_TAG_OVER,
	SIEVE_TAG_UNDER,
	SIEVE_TAG_RAW,
	SIEVE_TAG_CONTENT,
	SIEVE_TAG_TEXT,
	SIEVE_TAG_INDEX,
	SIEVE_TAG_LAST,
	SIEVE_TAG_ZONE,
	SIEVE_TAG_ORIGINALZONE,
	SIEVE_TAG_COPY,
	SIEVE_TAG_CREATE,
	SIEVE_TAG_FLAGS,
	SIEVE_TAG_LOWER,
	SIEVE_TAG_UPPER,
	SIEVE_TAG_LOWERFIRST,
	SIEVE_TAG_UPPERFIRST,
	SIEVE_TAG_QUOTEWILDCARD,
	SIEVE_TAG_QUOTEREGEX,
	SIEVE_TAG_LENGTH,
	SIEVE_TAG_DAYS,
	SIEVE_TAG_SECONDS,
	SIEVE_TAG_SUBJECT,
	SIEVE_TAG_FROM,
	SIEVE_TAG_ADDRESSES,
	SIEVE_TAG_MIME,
	SIEVE_TAG_HANDLE,
	SIEVE_TAGS
};

enum sieve_takes { SIEVE_TAKES_NOTHING, SIEVE_TAKES_NUMBER, SIEVE_TAKES_STRING, SIEVE_TAKES_STRINGS };

struct sieve_tag_word {
	const char *name;
	enum sieve_tag group; /* tags of one group exclude each other; it is named by its first */
	enum sieve_extension extension;
	enum sieve_takes value;
};


const struct sieve_tag_word *sieve_tag_word(enum sieve_tag tag);
enum sieve_tag sieve_tag_of(const struct sieve_tag_word *word);
enum sieve_tag sieve_tag_find(struct slice name); /* SIEVE_TAGS: none */

struct sieve_run;
struct sieve_checker;

enum sieve_kind { SIEVE_COMMAND, SIEVE_TEST };
enum sieve_tests { SIEVE_NO_TEST, SIEVE_ONE_TEST, SIEVE_TEST_LIST };
enum sieve_flow { SIEVE_GOES_ON, SIEVE_IF, SIEVE_ELSIF, SIEVE_ELSE, SIEVE_STOP };

struct sieve_word {
	const char *name;
	enum sieve_kind kind;
	enum sieve_extension extension, otherwise; /* either brings it; SIEVE_BASE: always there, or no other */
	enum sieve_takes takes[SIEVE_TAKES_MAX];
	bool first_optional;
	uint64_t tags; /* 1 << enum sieve_tag */
	enum sieve_tests tests;
	enum sieve_flow flow; /* IF, ELSIF and ELSE have a block */
	const char *usage;
	void (*check)(struct sieve_checker *c, struct sieve_node *node); /* NULL: nothing more */
	/* False: it ended by a failure, which the run has. */
	bool (*act)(struct sieve_run *r, const struct sieve_node *node);
	bool (*test)(struct sieve_run *r, const struct sieve_node *node, bool *out);
};

const struct sieve_word *sieve_word_find(enum sieve_kind kind, struct slice name);
/* All there are; NULL at the end. */
const struct sieve_word *sieve_word_at(size_t i);

/* The argument with that tag; NULL: not there. */
const struct sieve_bound *sieve_bound(const struct sieve_node *node, enum sieve_tag tag);
static inline bool sieve_has_tag(const struct sieve_node *node, enum sieve_tag tag)
{
	return sieve_bound(node, tag) != NULL;
}
static inline const struct sieve_arg *sieve_tag_value(const struct sieve_node *node, enum sieve_tag tag)
{
	const struct sieve_bound *b = sieve_bound(node, tag);

	return b == NULL ? NULL : b->value;
}

#endif
