#include "session_private.h"

/*
 * BDAT (RFC 3030 §2): a chunk is so many octets, whatever they are.
 *
 *   rcpt, chunked --BDAT--> chunk --its octets are over--> chunked      (LAST: as the end of data)
 *   anywhere      --BDAT, refused--> chunk, thrown away --> told, and no mail is left
 *
 * Always: what follows a BDAT that was understood is never read as a command, and what follows one that was not is not read at
 * all, also where CHUNKING is not offered; a refused BDAT ends the mail it was meant for, so that no chunk is ever missing from the middle of one; and what is
 * thrown away in a session is bounded by the size of one message.
 */

struct refusal {
	unsigned code;
	const char *dsn, *text;
};

static bool read_arguments(struct slice args, struct session_chunk *out)
{
	struct slice size, word;

	if (!slice_word(&args, &size) || !slice_u64(size, UINT64_MAX, &out->left))
		return false;
	out->last = slice_word(&args, &word);
	return !out->last || (slice_eq_nocase(word, slice_of("LAST")) && !slice_word(&args, &word));
}

static struct refusal misplaced(const struct session *s)
{
	if (!offers_chunking(s))
		return (struct refusal){502, "5.5.1", "BDAT is not offered here"};
	if (s->state == SESSION_GREETED)
		return (struct refusal){503, "5.5.1", "say EHLO or HELO first"};
	if (s->state == SESSION_READY)
		return (struct refusal){503, "5.5.1", "say MAIL first"};
	if (s->state == SESSION_MAIL)
		return (struct refusal){503, "5.5.1", s->transaction->recipient_tried ? "no valid recipients" : "no recipients"};
	return (struct refusal){0, "", ""};
}

/* Code 0: it is taken. */
static struct refusal judge(const struct session *s, uint64_t octets)
{
	struct refusal r = misplaced(s);
	uint64_t max = s->place.conf->set.message_size_max;

	if (r.code == 0 && (octets > max || s->transaction->received_bytes > max - octets))
		r = (struct refusal){552, "5.3.4", "message is too big"};
	return r;
}

static bool may_throw_away(const struct session *s, uint64_t octets)
{
	uint64_t max = s->place.conf->set.message_size_max;

	return octets <= max && s->thrown_away <= max - octets;
}

static void begin_refused(struct session *s, struct refusal r)
{
	if (!may_throw_away(s, s->chunk.left)) {
		refuse_and_close(s, r.code, r.dsn, r.text);
		return;
	}
	s->thrown_away += s->chunk.left;
	s->bodies++;
	s->chunk.refusal = r.code;
	s->chunk.dsn = r.dsn;
	s->chunk.text = r.text;
}

static void begin_taken(struct session *s)
{
	if (s->state != SESSION_RCPT)
		return;
	transaction_by_chunks(s->transaction);
	s->messages++;
	s->bodies++;
}

void bdat_begin(struct session *s, struct slice args)
{
	struct refusal r;

	s->chunk = (struct session_chunk){.left = 0};
	if (!read_arguments(args, &s->chunk)) {
		refuse_and_close(s, 501, "5.5.4", "syntax: BDAT octets [LAST]");
		return;
	}
	r = judge(s, s->chunk.left);
	if (r.code != 0)
		begin_refused(s, r);
	else
		begin_taken(s);
	if (s->state == SESSION_CLOSING)
		return;
	s->after = s->state;
	session_enter(s, SESSION_CHUNK);
	bdat_go_on(s);
}

/* ---- its end ---- */

static void end_refused(struct session *s)
{
	session_enter(s, s->after == SESSION_GREETED ? SESSION_GREETED : SESSION_READY);
	reply(s, s->chunk.refusal, s->chunk.dsn, "%s", s->chunk.text);
	session_reset(s);
}

static void end_taken(struct session *s)
{
	if (s->chunk.last) {
		transaction_end(s->transaction);
		session_end_of_data(s);
	} else if (session_body_is_good(s)) {
		session_enter(s, SESSION_CHUNKED);
		reply(s, 250, "2.0.0", "chunk taken");
	}
}

void bdat_go_on(struct session *s)
{
	bool taken = s->chunk.refusal == 0;

	if (taken && session_asks_rewrite(s))
		return;
	if (taken && transaction_is_full(s->transaction)) {
		s->after = SESSION_CHUNK;
		session_enter(s, SESSION_STORE);
	} else if (s->chunk.left == 0 && taken) {
		end_taken(s);
	} else if (s->chunk.left == 0) {
		end_refused(s);
	}
}

size_t bdat_input(struct session *s, struct slice in)
{
	struct slice part = s->chunk.left < in.len ? slice_sub(in, 0, (size_t)s->chunk.left) : in;
	size_t used = s->chunk.refusal == 0 ? transaction_body(s->transaction, part) : part.len;

	s->chunk.left -= used;
	bdat_go_on(s);
	return used;
}
