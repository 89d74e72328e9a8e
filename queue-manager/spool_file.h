#ifndef POSTERN_QUEUE_SPOOL_FILE_H
#define POSTERN_QUEUE_SPOOL_FILE_H

#include "base/buf.h"

/*
 * The format of a message file.  Pure: bytes in, bytes out.
 *
 *   HDR       24 bytes: magic "PSTNMSG1", version, length of the envelope, id
 *   envelope  fields
 *   body      as received, CRLF; of a binary message, behind the header, octets of any kind (the critical field `raw` says so)
 *   trailer   fields, among them one for each final recipient
 *   slots     one byte a recipient, written in place, outside the checksum
 *   END       48 bytes: magic "PSTNEND1", id, lengths, number of slots, CRC-32C of all but the slots
 *
 * A field is a tag (2 bytes, big-endian), a length (4 bytes) and its bytes; nothing in it separates anything, so every
 * byte may stand in a value.  A tag this version does not know is skipped, unless its top bit says that whoever does not
 * understand it must leave the message alone (SPOOL_NEWER).  END is written last: a file without it was never accepted.
 */
#define SPOOL_HEAD_BYTES 24u
#define SPOOL_END_BYTES 48u
#define SPOOL_VERSION 1u
#define SPOOL_TAG_CRITICAL 0x8000u

#define SPOOL_TEXT_MAX 65535u
#define SPOOL_RECIPIENTS_MAX 200000u
#define SPOOL_ENVELOPE_MAX (1u << 20)
#define SPOOL_TRAILER_MAX (256u << 20)

/* State of a recipient: a slot's byte.  A byte that is none of these is read as SLOT_WAITING: twice, never lost. */
enum spool_slot {
	SLOT_WAITING = 'W',
	SLOT_WARNED = 'L', /* waiting; the sender has been told of the delay */
	SLOT_LET_GO = 'G', /* waiting; the operator let it go, so that it is tried although its route is queue-only */
	SLOT_LET_GO_WARNED = 'H', /* both */
	SLOT_DELIVERED = 'D',
	SLOT_DELIVERED_OWED = 'S', /* this and the next two: done with, but a report about it is due and not durable yet */
	SLOT_RELAYED_OWED = 'R',
	SLOT_EXPANDED_OWED = 'E',
	SLOT_REPORTED = 'B', /* failed, and a report about it is durable, or none was wanted */
	SLOT_FAILED = 'F', /* failed, and nobody to tell */
	SLOT_REMOVED = 'X', /* by the operator */
};

static inline bool slot_is_owed(char slot)
{
	return slot == SLOT_DELIVERED_OWED || slot == SLOT_RELAYED_OWED || slot == SLOT_EXPANDED_OWED;
}

static inline bool slot_is_let_go(char slot)
{
	return slot == SLOT_LET_GO || slot == SLOT_LET_GO_WARNED;
}

static inline bool slot_is_warned(char slot)
{
	return slot == SLOT_WARNED || slot == SLOT_LET_GO_WARNED;
}

/* Still to be tried. */
static inline bool slot_is_open(char slot)
{
	return slot != SLOT_DELIVERED && slot != SLOT_REPORTED && slot != SLOT_FAILED && slot != SLOT_REMOVED &&
	       !slot_is_owed(slot);
}

struct spool_rcpt {
	struct slice address; /* final: where it goes */
	struct slice original; /* as said in RCPT TO */
	struct slice orcpt; /* this and the next: mail/dsn.h */
	uint64_t notify;
	/* No recipient, but an address that stood for several: not to be tried, the sender is owed word of that. */
	uint64_t expanded;
	/* Refused by routing after it was accepted: not to be tried, the sender is owed a report.  0: not so. */
	uint64_t fail_code;
	struct slice fail_dsn, fail_text;
	/* mail/directive.h.  Critical: who does not know of it must not put a program's mail into a mailbox. */
	uint64_t directive;
	struct slice argument;
	struct slice bound_to; /* "transport nexthop": of a directive that only this destination may carry out; else "" */
	uint64_t queue_only; /* of the same, whose route is never asked again: it was queue-only */
};

/* All slices are borrowed from what the caller gave (encode) or from the head and tail bytes (decode). */
struct spool_mail {
	uint64_t id;
	/* envelope */
	struct slice sender, helo, client, protocol, tls, envid, auth, login;
	struct slice ancestors; /* mail/directive.h: addresses that were expanded on the way to this message */
	struct slice listener, hostname; /* where it came in: `listener.name` and `hostname` of rules, as they were then */
	struct slice local; /* this and local_port: where the client came to; "": nowhere, or the file is older than that */
	uint64_t session, generation, role, uid_plus_1, flags, ret, arrived_ms;
	uint64_t local_port;
	uint64_t raw; /* 1: BODY=BINARYMIME (RFC 3030); who does not know of it must not send it on as text */
	/* trailer */
	struct slice prepend, tags, rule;
	struct slice header_names; /* mail/header_names.h */
	uint64_t hold, parent; /* parent: the message this is a report about */
	struct spool_rcpt *rcpts; /* owned after decode (spool_mail_free) */
	size_t rcpt_count;
	/* where things lie in the file */
	uint64_t body_offset, body_length, slots_offset;
	struct slice slots; /* as read; empty when encoding: all waiting */
};

enum spool_verdict {
	SPOOL_OK,
	SPOOL_UNFINISHED, /* no END: never accepted */
	SPOOL_CORRUPT, /* has an END, but does not hold together: to be set aside */
	SPOOL_NEWER, /* of a version, or with a critical field, not known here: to be left alone */
	SPOOL_NO_MEMORY,
};

/* All texts empty (never NULL), all numbers zero. */
void spool_mail_init(struct spool_mail *mail);
/* HDR and envelope.  False: a value beyond its maximum, or no memory. */
bool spool_encode_head(const struct spool_mail *mail, struct buf *out);
/* Trailer, slots (all waiting) and END.  `crc` is that of head and body; sets the mail's offsets. */
bool spool_encode_tail(struct spool_mail *mail, uint32_t crc, struct buf *out);

/* What END says, checked against itself and the file's size. */
struct spool_end {
	uint64_t id, body_length;
	uint32_t head_length, trailer_length, slot_count, crc;
};
/* `bytes`: the last SPOOL_END_BYTES of a file of `file_size` bytes. */
enum spool_verdict spool_decode_end(struct slice bytes, uint64_t file_size, struct spool_end *out);
/* head: the first head_length bytes; tail: all after the body.  `crc`: of head and body, as computed from the file. */
enum spool_verdict spool_decode(const struct spool_end *end, struct slice head, struct slice tail, uint32_t crc,
				struct spool_mail *out);
/* A file that is in memory as a whole. */
enum spool_verdict spool_decode_whole(struct slice file, struct spool_mail *out);
void spool_mail_free(struct spool_mail *mail);

#endif
