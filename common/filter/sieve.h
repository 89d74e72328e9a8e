#ifndef POSTERN_FILTER_SIEVE_H
#define POSTERN_FILTER_SIEVE_H

#include "filter/filter.h"

/*
 * Sieve (RFC 5228), with fileinto, envelope, copy (3894), subaddress (5233), variables (5229), relational (5231), regex
 * (draft-ietf-sieve-regex, by PCRE2), body (5173), date and index (5260), vacation (5230, 6131), reject and ereject (5429), imap4flags
 * (5232), mailbox (5490), environment (5183), encoded-character and i;ascii-numeric.
 *
 * A script is compiled whole, once, and then never changes: it may be run over any number of messages.
 */
struct sieve;

/* NULL with the first mistake.  `text` is needed no longer afterwards. */
struct sieve *sieve_compile(struct slice text, struct filter_mistake *mistake);
/* All mistakes as text for people, "NAME:3:1: unknown command ..." with the line and a caret each; nothing where there is none. */
void sieve_mistakes(const char *name, struct slice text, struct buf *out);
void sieve_free(struct sieve **sp);

/* `*result` is written over; the caller frees it (filter_result_free). */
void sieve_run(const struct sieve *s, const struct filter_message *message, const struct filter_limits *limits,
	       const struct filter_trace *trace, struct filter_result *result);

#endif
