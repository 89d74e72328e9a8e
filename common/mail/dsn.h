#ifndef POSTERN_MAIL_DSN_H
#define POSTERN_MAIL_DSN_H

#include "base/buf.h"

/*
 * The values of the DSN extension's four parameters (RFC 3461; addresses in UTF-8: RFC 6533), read strictly and written.  Pure.
 *
 * Between processes and in the spool they are kept decoded:
 *   NOTIFY  bits of dsn_notify; 0: the sender said nothing
 *   RET     dsn_ret
 *   ENVID   printable ASCII and spaces
 *   ORCPT   "type;address", printable ASCII and spaces; of type utf-8 the address is UTF-8 without controls
 */

/* §4.1.  NEVER stands alone. */
enum dsn_notify { DSN_NEVER = 1 << 0, DSN_SUCCESS = 1 << 1, DSN_FAILURE = 1 << 2, DSN_DELAY = 1 << 3 };
/* §4.3. */
enum dsn_ret { DSN_RET_UNSAID, DSN_RET_FULL, DSN_RET_HDRS };

/* As they stand in the command: §4.4, §4.2. */
#define DSN_ENVID_MAX 100u
#define DSN_ORCPT_MAX 500u

/* ---- as they stand in a command; false: it is none.  Texts are appended, and on failure a part may stand in `out`. ---- */
bool dsn_notify_parse(struct slice value, uint64_t *out);
bool dsn_ret_parse(struct slice value, uint64_t *out);
bool dsn_envid_parse(struct slice value, struct buf *out);
/* `utf8`: the client declared SMTPUTF8, so that an address of type utf-8 may stand in it as it is (RFC 6533 §3). */
bool dsn_orcpt_parse(struct slice value, bool utf8, struct buf *out);

bool dsn_notify_add(uint64_t notify, struct buf *out);
const char *dsn_ret_text(uint64_t ret); /* "FULL", "HDRS"; "" when unsaid */
bool dsn_envid_add(struct slice envid, struct buf *out);
/* In ASCII whatever its type.  False, and nothing is added: it does not fit a command. */
bool dsn_orcpt_add(struct slice orcpt, struct buf *out);

/* ---- decoded: whether a value from another process is one ---- */
bool dsn_notify_is_valid(uint64_t notify);
bool dsn_envid_is_valid(struct slice envid); /* "" too */
bool dsn_orcpt_is_valid(struct slice orcpt); /* "" too */

/* ---- what is asked for ---- */
/* One of SUCCESS, FAILURE, DELAY; where nothing was said FAILURE and DELAY are meant. */
bool dsn_wants(uint64_t notify, enum dsn_notify what);
/* One recipient by two ways is told of what either asks for. */
uint64_t dsn_notify_join(uint64_t a, uint64_t b);
/* For the members of an alias: what is asked for of it but success (§5.2.7.2 (c)). */
uint64_t dsn_notify_of_member(uint64_t notify);

/* An address as utf-8-addr-xtext (RFC 6533 §3): ASCII; \x{...} for what is not, and for space, "+", "=" and "\".  It ends once
 * `max` octets are written.  What is no UTF-8 is written octet by octet, controls as '?'. */
void dsn_utf8_address_add(struct slice address, size_t max, struct buf *out);

/* A status of RFC 3463, class.subject.detail, of that class (2, 4 or 5). */
bool dsn_is_status(struct slice text, uint64_t class);

#endif
