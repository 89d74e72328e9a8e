#ifndef POSTERN_LOOKUP_SOCKETMAP_H
#define POSTERN_LOOKUP_SOCKETMAP_H

#include "base/buf.h"

/*
 * The socketmap protocol of Sendmail and Postfix: netstrings, "MAP KEY" to the server, "OK VALUE", "NOTFOUND ", "TEMP WHY", "TIMEOUT WHY"
 * or "PERM WHY" back.  Pure.
 */
#define SOCKETMAP_REPLY_MAX 65600u

bool socketmap_request(struct slice map, struct slice key, struct buf *out);

enum socketmap_end {
	SOCKETMAP_MORE, /* it is not whole yet */
	SOCKETMAP_BAD,
	SOCKETMAP_YES, /* `text_out` (borrowed) is the value */
	SOCKETMAP_NO,
	SOCKETMAP_UNKNOWN, /* the reason */
};
/* `*used_out` bytes of `bytes` were the reply. */
enum socketmap_end socketmap_reply(struct slice bytes, struct slice *text_out, size_t *used_out);

#endif
