#ifndef POSTERN_LOOKUP_H
#define POSTERN_LOOKUP_H

#include "base/buf.h"
#include "base/outcome.h"
#include "rdata.h"

/*
 * One question of another process, as the DNS questions it needs.  Pure: questions come out, answers go in.
 *
 *   MX:   MX of the domain --some--> A and AAAA of each host --> over          (RFC 5321 §5.1)
 *                          '-none--> A and AAAA of the domain itself --> over
 *   HOST: A and AAAA --> over            PTR: PTR of the reversed address --> over
 *
 * Address literals, `localhost` and what is no domain name need no question.
 *
 * What holds at the end: DONE with at least one record; NULL_MX where the domain says that it takes no mail (RFC 7505); NO_SUCH_DOMAIN
 * only when every answer it rests on was definitive (the name or its records do not exist); in all other cases DNS_UNKNOWN.
 */
enum lookup_kind { LOOKUP_MX, LOOKUP_HOST, LOOKUP_PTR };

#define LOOKUP_HOSTS_MAX 16u /* of the MX records, the most preferred */
#define LOOKUP_ADDRESSES_MAX 8u /* of one host and kind */

struct lookup;
struct lookup_query {
	char name[RDATA_NAME_BYTES];
	enum rdata_type type;
};

/* subject: a domain, host name or literal ("[192.0.2.1]", "[IPv6:2001:db8::1]"; HOST: also without brackets); PTR: an address.
 * UTF-8 is looked up as its A-label.  NULL: no memory. */
struct lookup *lookup_new(enum lookup_kind kind, struct slice subject);
void lookup_free(struct lookup **lp);

/* The next question to ask; its number comes back with the answer.  False: none now. */
bool lookup_next(struct lookup *l, struct lookup_query *out, size_t *number_out);
/* NULL: not known now.  A number that is not open is ignored. */
void lookup_answer(struct lookup *l, size_t number, const struct rdata *answer);
/* The time is over: what is open is unknown. */
void lookup_give_up(struct lookup *l);

bool lookup_is_over(const struct lookup *l);
enum outcome lookup_outcome(const struct lookup *l);
const char *lookup_text(const struct lookup *l); /* why not, for people */
bool lookup_is_secure(const struct lookup *l); /* every answer was */
/* mx_host records: in the order of preference, those of the same preference in random order; a host of an MX without an address
 * stands there with an empty one, so that its name is seen.  False: no memory. */
bool lookup_records(const struct lookup *l, struct buf *out);

#endif
