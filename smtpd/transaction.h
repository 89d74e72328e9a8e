#ifndef POSTERN_SMTPD_TRANSACTION_H
#define POSTERN_SMTPD_TRANSACTION_H

#include "base/outcome.h"
#include "complete.h"
#include "mail/address.h"
#include "mail/dotted.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "rewrite.h"

/*
 * One mail on its way in: envelope, body as it comes, and what the rules want done with it.  Pure.
 *
 * The body is collected in pieces of at most BODY_PIECE_MAX bytes; whoever drives takes a full
 * piece away (transaction_is_full) before more is put in.  A message that is one piece never leaves
 * memory before it is sent.
 */
#define BODY_PIECE_MAX 65536u /* as one DRAFT_DATA carries it */
#define PREPEND_MAX 16384u /* as DRAFT_COMMIT carries them */
#define TAGS_MAX 1024u
#define HELD_HEADER_MAX 60000u /* of a header that is completed: it is held in one piece */
#define FROM_MAX 1024u /* as POLICY_ASK carries it */

struct body_limits {
	uint64_t size_max, line_max, header_max, received_max;
};

/* Why a body cannot be taken; the first in this order is told. */
enum body_fault {
	BODY_GOOD,
	BODY_BARE_CR,
	BODY_BARE_LF,
	BODY_NUL,
	BODY_LONG_LINE,
	BODY_TOO_BIG,
	BODY_LONG_HEADER,
	BODY_LOOP,
};

struct transaction_recipient {
	struct slice address, orcpt; /* borrowed from the transaction, until a recipient is added */
	uint64_t notify;
};

struct transaction {
	struct mail_address sender;
	bool smtputf8; /* the client declared it */
	bool body_8bit; /* declared, too; the body may still be plain */
	bool body_binary; /* BODY=BINARYMIME: it comes by chunks, and goes on only so */
	bool utf8_address; /* the sender's or a recipient's */
	uint64_t size_declared;
	char auth[MAIL_ADDRESS_MAX + 1]; /* RFC 4954 §5: "", "<>" or an address */
	char envid[DSN_ENVID_MAX + 1]; /* this and the next: RFC 3461, as mail/dsn.h keeps them */
	uint64_t ret;
	struct buf recipients; /* owned; of each: address, NUL, NOTIFY, ORCPT, NUL */
	uint64_t recipient_count;
	bool recipient_tried;
	struct mail_address candidate; /* the recipient that is asked about */
	uint64_t candidate_notify;
	char candidate_orcpt[DSN_ORCPT_MAX + 1];

	struct dotted_decoder decoder;
	struct header_walk header; /* owned */
	struct header_names names; /* owned; of its fields, as they came */
	struct buf piece; /* owned */
	struct body_limits limits;
	uint64_t received_bytes; /* as it came: what the limit of its size is held against */
	uint64_t body_bytes; /* as it is stored: the header may be another by then */
	uint64_t stored_bytes; /* of pieces that were taken away */
	enum outcome store_outcome; /* of taking them away */

	bool holds_header; /* all of it is kept until it is here */
	bool completes; /* it is completed then */
	struct completion completion;
	struct rewrite rewrite; /* owned */
	bool asks_rewrite; /* the header is here, and it is not known yet how it is to be written */
	bool watches_from; /* the fields From and Sender are read */
	struct buf from; /* owned; the addresses of From, a LF between */
	char from_sender[MAIL_ADDRESS_MAX + 1]; /* the one of Sender */
	bool has_from, has_sender, from_unclear; /* there twice, too long, or no list of addresses */

	struct buf prepend; /* owned; header lines with CRLF */
	struct buf tags; /* owned; words, a space between */
	bool hold;
	char rule[513]; /* the last that said something about it */
};

/* NULL: no memory. */
struct transaction *transaction_new(const struct body_limits *limits, uint64_t recipients_max);
void transaction_free(struct transaction **tp);

/* Before the first octet of the body: who sends it is bound to his own addresses. */
void transaction_watch_from(struct transaction *t);
/* The same of mail whose header is to be completed. */
void transaction_complete(struct transaction *t, const struct completion *c);
/* And where rules may write addresses otherwise: `fields` as struct rewrite has them, 0 none. */
void transaction_rewrite(struct transaction *t, uint32_t fields, const char *host);
/* The answer, once asks_rewrite.  Not DONE: the mail is refused with that outcome at its end. */
void transaction_rewritten(struct transaction *t, enum outcome outcome, struct slice records);

/* Adds the candidate.  False: no memory. */
bool transaction_add_recipient(struct transaction *t);
/* Walks the recipients: *at starts at 0. */
bool transaction_next_recipient(const struct transaction *t, size_t *at, struct transaction_recipient *out);

/* Returns how many bytes of `in` it used: less than all where the data ended, or the piece is full. */
size_t transaction_body(struct transaction *t, struct slice in);
/* From here on it comes by chunks (RFC 3030): said before the first octet. */
void transaction_by_chunks(struct transaction *t);
/* All of it is here; not before. */
void transaction_finish(struct transaction *t);
/* The last chunk is over.  Not while it is full. */
void transaction_end(struct transaction *t);
bool transaction_is_full(const struct transaction *t);
bool transaction_is_over(const struct transaction *t);
enum body_fault transaction_fault(const struct transaction *t);
/* The piece was put away, or could not be: it is forgotten here. */
void transaction_stored(struct transaction *t, enum outcome outcome);

/* Adds a word, once.  False: no room. */
bool transaction_note_tag(struct buf *tags, struct slice tag);
/* What a rule wants: kind as in messages.def's record `effect`.  False: no room for it.  The
 * same thing twice is once: a stage is asked again for each recipient. */
bool transaction_effect(struct transaction *t, struct slice kind, struct slice text);

/* enum job_flag for the draft. */
uint64_t transaction_needs(const struct transaction *t);

#endif
