#ifndef POSTERN_FILTER_MAIL_H
#define POSTERN_FILTER_MAIL_H

#include "filter/filter.h"

/*
 * The text of a mail that a filter sends (FILTER_MAIL): RFC 5322, lines with LF.  It always says that a machine wrote it (RFC 3834 §5)
 * and, where it answers, what it answers.  What is put into a field never ends it: line ends and other controls become blanks.
 */
struct filter_mail {
	struct slice from, reply_to; /* "" of reply_to: no such field */
	struct slice to, cc; /* lists of mailboxes, ready for a field; "" no such field */
	struct slice subject; /* UTF-8 */
	struct slice extra; /* whole fields with a LF behind each, of names that are not ours; "" none */
	struct slice text; /* the body, UTF-8; a LF is added where its end has none */
	bool mime; /* the text begins with the fields of a MIME part, and an empty line */
	bool answers; /* In-Reply-To and References name the message, and the thread it is in */
	struct slice copy; /* a whole message behind the text; "" none */
	uint32_t number; /* of the mail among those of this run: makes its Message-ID its own */
};

#define FILTER_MAIL_MAX (256u << 10) /* bytes of such a mail */

/* False: `out` was too small, or there is no memory. */
bool filter_mail_write(const struct filter_mail *mail, const struct filter_message *message, struct buf *out);

/* `"Carl, B." <carl@example.org>`, a name that is not ASCII as encoded words; without a name the address alone.  A comma before it where
 * `out` is not empty. */
bool filter_mail_add_mailbox(struct slice name, struct slice address, struct buf *out);

#endif
