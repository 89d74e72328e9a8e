#include "client_internal.h"

#include "base/log.h"
#include "mail/dsn.h"

#include <inttypes.h>

/*
 * One mail: two cursors walk the same row of commands, RSET MAIL RCPT... DATA.  `next` is what is to be said, `awaited` whose
 * answer comes next.  With PIPELINING (RFC 2920) `next` runs ahead; without it, both move together.  Recipients that were
 * decided before the first command, or are beyond what the host takes at once, are not in the row.
 *
 * A binary mail goes by one BDAT with LAST (RFC 3030): its size is known, and octets need no marks.  BDAT is said once all
 * recipients are answered, for its octets follow it without a word from the host.  A text goes by DATA, to a host with
 * CHUNKING too: BDAT would save it one round trip, and would be a second way on which the same mail must come out the same.
 */
#define PIPELINE_BYTES (32u << 10) /* said without waiting for an answer */

static void decide(struct client_verdict *v, enum outcome outcome, const struct reply *reply, const char *phase)
{
	if (v->decided)
		return;
	v->decided = true;
	v->outcome = outcome;
	v->phase = phase;
	v->reply = *reply;
}

/* What the remote's 4xx or 5xx means.  That the configured next hop wants a login is not the message's fault (RFC 4954 §6). */
static enum outcome outcome_of(const struct client *c, const struct reply *r)
{
	bool wants_login = r->code == 530 || r->code == 534 || r->code == 535 || r->code == 538;

	if (reply_class(r) == 2)
		return OC_DONE;
	if (wants_login && !c->config.found_by_mx)
		return OC_REMOTE_LOGIN;
	return reply_class(r) == 5 ? OC_REMOTE_PERM : OC_REMOTE_TEMP;
}

/* ---- what cannot be sent to this host at all ---- */

static bool is_plain(struct slice address)
{
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.at[i] < ' ' || address.at[i] == 0x7f)
			return false;
	return true;
}

static bool is_ascii(struct slice address)
{
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.at[i] > 0x7f)
			return false;
	return true;
}

static bool needs_utf8(const struct client_mail *m)
{
	return m->has_utf8 || !is_ascii(m->sender);
}

/* OC_DONE: it can be sent. */
static enum outcome check_recipient(const struct client *c, const struct client_mail *m, struct slice address)
{
	if (!is_plain(address) || !is_plain(m->sender))
		return OC_UNAVAILABLE; /* no address that was accepted looks like that */
	if ((needs_utf8(m) || !is_ascii(address)) && (c->capabilities & CAP_SMTPUTF8) == 0)
		return OC_NEEDS_SMTPUTF8;
	if (m->is_binary && (~c->capabilities & (CAP_CHUNKING | CAP_BINARYMIME)) != 0)
		return OC_NEEDS_BINARYMIME;
	if (!m->is_binary && m->has_8bit && (c->capabilities & CAP_8BITMIME) == 0)
		return OC_NEEDS_8BITMIME;
	if (c->limits.size != 0 && m->size > c->limits.size)
		return OC_REMOTE_TOO_SMALL;
	return OC_DONE;
}

static bool decide_before(struct client *c, struct client_mail *m)
{
	uint64_t taken = 0;

	for (size_t i = 0; i < m->recipient_count; i++) {
		struct client_recipient *r = &m->recipients[i];
		enum outcome oc = check_recipient(c, m, r->address);
		struct reply ours = {.code = 0};

		r->accepted = false;
		reply_sanitise(slice_of(outcome_info(oc)->text), ours.text, sizeof(ours.text));
		if (oc != OC_DONE)
			decide(&r->verdict, oc, &ours, "EHLO");
		r->left = !r->verdict.decided && c->limits.recipients != 0 && taken == c->limits.recipients;
		taken += !r->verdict.decided && !r->left;
	}
	return taken > 0;
}

/* ---- the row of commands ---- */

static struct client_step rcpt_from(const struct client_mail *m, size_t i)
{
	while (i < m->recipient_count && (m->recipients[i].verdict.decided || m->recipients[i].left))
		i++;
	return i < m->recipient_count ? (struct client_step){STEP_RCPT, i} : (struct client_step){STEP_DATA, 0};
}

static struct client_step step_after(const struct client *c, struct client_step s)
{
	switch (s.kind) {
	case STEP_RSET:
		return (struct client_step){STEP_MAIL, 0};
	case STEP_MAIL:
		return rcpt_from(c->mail, 0);
	case STEP_RCPT:
		return rcpt_from(c->mail, s.recipient + 1);
	case STEP_DATA:
	case STEP_OVER:
		break;
	}
	return (struct client_step){STEP_OVER, 0};
}

static bool same_step(struct client_step a, struct client_step b)
{
	return a.kind == b.kind && a.recipient == b.recipient;
}

static bool utf8_is_due(const struct client *c)
{
	bool due = needs_utf8(c->mail);

	for (size_t i = 0; i < c->mail->recipient_count && !due; i++)
		due = !c->mail->recipients[i].verdict.decided && !is_ascii(c->mail->recipients[i].address);
	return due;
}

static void say_return(struct client *c)
{
	const struct client_mail *m = c->mail;

	if (dsn_ret_text(m->ret)[0] != '\0')
		buf_addf(&c->out, " RET=%s", dsn_ret_text(m->ret));
	if (m->envid.len > 0 && dsn_envid_is_valid(m->envid)) {
		buf_add_text(&c->out, " ENVID=");
		dsn_envid_add(m->envid, &c->out);
	}
}

static void say_mail(struct client *c)
{
	buf_addf(&c->out, "MAIL FROM:<%.*s>", SLICE_ARG(c->mail->sender));
	if ((c->capabilities & CAP_SIZE) != 0)
		buf_addf(&c->out, " SIZE=%" PRIu64, c->mail->size);
	if (c->mail->is_binary)
		buf_add_text(&c->out, " BODY=BINARYMIME");
	else if (c->mail->has_8bit)
		buf_add_text(&c->out, " BODY=8BITMIME");
	if (utf8_is_due(c))
		buf_add_text(&c->out, " SMTPUTF8");
	if ((c->capabilities & CAP_DSN) != 0)
		say_return(c);
	buf_add_text(&c->out, "\r\n");
}

/* Where none was given, the address that the sender used, if it is another by now (RFC 3461 §5.2.1): so it will know whom a
 * report is about. */
static void say_orcpt(struct client *c, const struct client_recipient *r)
{
	struct buf value = buf_make(DSN_ORCPT_MAX), made = buf_make(DSN_ORCPT_MAX);
	struct slice orcpt = r->orcpt;

	if (orcpt.len == 0 && r->original.len > 0 && !slice_eq(r->original, r->address)) {
		buf_add_text(&made, is_ascii(r->original) ? "rfc822;" : "utf-8;");
		buf_add_slice(&made, r->original);
		orcpt = buf_slice(&made);
	}
	if (orcpt.len > 0 && dsn_orcpt_is_valid(orcpt) && dsn_orcpt_add(orcpt, &value)) {
		buf_add_text(&c->out, " ORCPT=");
		buf_add_slice(&c->out, buf_slice(&value));
	}
	buf_free(&value);
	buf_free(&made);
}

static void say_rcpt(struct client *c, struct client_recipient *r)
{
	r->passed_on = (c->capabilities & CAP_DSN) != 0;
	buf_addf(&c->out, "RCPT TO:<%.*s>", SLICE_ARG(r->address));
	if (r->passed_on) {
		if (r->notify != 0 && dsn_notify_is_valid(r->notify)) {
			buf_add_text(&c->out, " NOTIFY=");
			dsn_notify_add(r->notify, &c->out);
		}
		say_orcpt(c, r);
	}
	buf_add_text(&c->out, "\r\n");
}

static void say_step(struct client *c, struct client_step s)
{
	switch (s.kind) {
	case STEP_RSET:
		buf_add_text(&c->out, "RSET\r\n");
		break;
	case STEP_MAIL:
		say_mail(c);
		break;
	case STEP_RCPT:
		say_rcpt(c, &c->mail->recipients[s.recipient]);
		break;
	case STEP_DATA:
		buf_add_text(&c->out, "DATA\r\n");
		break;
	case STEP_OVER:
		break;
	}
}

/* Nothing is given of it any more: the answer comes. */
static enum client_want note_given(struct client *c)
{
	if (c->chunk_left > 0)
		return CLIENT_WANT_BODY;
	client_enter(c, ST_END);
	return CLIENT_WANT_READ;
}

static enum client_want say_chunk(struct client *c)
{
	buf_addf(&c->out, "BDAT %" PRIu64 " LAST\r\n", c->mail->size);
	c->chunk_left = c->mail->size;
	client_enter(c, ST_BODY);
	return note_given(c);
}

static bool runs_ahead(const struct client *c)
{
	bool is_chunk = c->next.kind == STEP_DATA && c->mail->is_binary;

	return (c->capabilities & CAP_PIPELINING) != 0 && c->next.kind != STEP_OVER && !is_chunk;
}

static enum client_want say_next(struct client *c)
{
	size_t before = c->out.len;

	if (c->next.kind == STEP_DATA && c->mail->is_binary)
		return say_chunk(c);
	do {
		say_step(c, c->next);
		c->next = step_after(c, c->next);
	} while (runs_ahead(c) && c->out.len - before < PIPELINE_BYTES);
	return CLIENT_WANT_READ;
}

/* Every recipient of this transaction gets its verdict; the session is ready for the next mail. */
static enum client_want finish(struct client *c)
{
	for (size_t i = 0; c->refusal.decided && i < c->mail->recipient_count; i++)
		if (!c->mail->recipients[i].left)
			decide(&c->mail->recipients[i].verdict, c->refusal.outcome, &c->refusal.reply, c->refusal.phase);
	c->mail = NULL;
	c->next.kind = c->awaited.kind = STEP_OVER;
	return client_ready(c);
}

enum client_want client_mail(struct client *c, struct client_mail *mail)
{
	if (c->state != ST_READY)
		return CLIENT_CLOSED;
	c->heard = c->in_doubt = false;
	if (!reply_is_between(&c->parser))
		return client_fail(c, OC_REMOTE_PROTOCOL, "half a reply to nothing");
	c->refusal = (struct client_verdict){.decided = false};
	c->accepted = c->told = 0;
	c->dots = (struct dotted_encoder){.in_line = false};
	if (!decide_before(c, mail))
		return CLIENT_WANT_MAIL;
	c->mail = mail;
	c->begun++;
	c->next = (struct client_step){c->needs_rset ? STEP_RSET : STEP_MAIL, 0};
	c->awaited = c->next;
	c->needs_rset = true;
	client_enter(c, ST_ENVELOPE);
	return say_next(c);
}

/* ---- the answers to it ---- */

static enum client_want misfit(struct client *c)
{
	return client_fail(c, OC_REMOTE_PROTOCOL, "a reply that does not fit the command");
}

static void refuse(struct client *c, const char *phase)
{
	decide(&c->refusal, outcome_of(c, &c->parser.reply), &c->parser.reply, phase);
}

static void on_rcpt(struct client *c)
{
	struct client_recipient *r = &c->mail->recipients[c->awaited.recipient];
	const struct reply *reply = &c->parser.reply;
	enum outcome oc = outcome_of(c, reply);

	if (c->refusal.decided)
		return; /* what it says to RCPT after it refused MAIL tells nothing */
	/* RFC 5321 §4.5.3.1.10: it means "too many recipients". */
	if (reply->code == 552)
		oc = OC_REMOTE_TEMP;
	r->accepted = oc == OC_DONE;
	if (r->accepted)
		c->accepted++;
	else
		decide(&r->verdict, oc, reply, "RCPT");
}

static enum client_want on_data(struct client *c)
{
	bool to_anybody = c->accepted > 0 && !c->refusal.decided;

	if (c->parser.reply.code == 354 && to_anybody) {
		client_enter(c, ST_BODY);
		return CLIENT_WANT_BODY;
	}
	if (c->parser.reply.code == 354) {
		/* RFC 2920 §3.1: DATA was in the same batch; end it with nothing in it. */
		buf_add_text(&c->out, ".\r\n");
		client_enter(c, ST_VOID);
		return CLIENT_WANT_READ;
	}
	if (reply_class(&c->parser.reply) < 4)
		return misfit(c);
	refuse(c, "DATA");
	return finish(c);
}

/* False: it fits no command of this kind. */
static bool on_step(struct client *c)
{
	unsigned class = reply_class(&c->parser.reply);

	if (class == 3)
		return false;
	if (c->awaited.kind == STEP_RCPT)
		on_rcpt(c);
	else if (c->awaited.kind == STEP_MAIL && class != 2)
		refuse(c, "MAIL");
	return true;
}

enum client_want client_on_envelope(struct client *c)
{
	c->heard = true;
	if (c->awaited.kind == STEP_DATA)
		return on_data(c);
	if (c->awaited.kind == STEP_RSET && reply_class(&c->parser.reply) != 2)
		return client_fail_by_reply(c, OC_REMOTE_TEMP);
	if (!on_step(c))
		return misfit(c);
	c->awaited = step_after(c, c->awaited);
	if (!same_step(c->awaited, c->next))
		return CLIENT_WANT_READ;
	/* All that was said is answered. */
	if (c->refusal.decided || (c->next.kind == STEP_DATA && c->accepted == 0))
		return finish(c);
	return say_next(c);
}

/* ---- the body and its end ---- */

/* The host has the mail with the last octet, not with a word after it: from then on its answer counts. */
static enum client_want give_octets(struct client *c, struct slice piece)
{
	if (piece.len > c->chunk_left)
		return client_fail(c, OC_IO_ERROR, "the message is longer than was announced");
	if (!buf_add_slice(&c->out, piece))
		return client_fail(c, OC_NO_MEMORY, "no room for the message");
	c->chunk_left -= piece.len;
	return note_given(c);
}

enum client_want client_body(struct client *c, struct slice piece)
{
	if (c->state != ST_BODY)
		return CLIENT_CLOSED;
	if (c->mail->is_binary)
		return give_octets(c, piece);
	if (!dotted_encode(&c->dots, piece, &c->out))
		return client_fail(c, OC_NO_MEMORY, "no room for the message");
	return CLIENT_WANT_BODY;
}

enum client_want client_body_end(struct client *c)
{
	if (c->state != ST_BODY)
		return CLIENT_CLOSED;
	if (c->mail->is_binary)
		return client_fail(c, OC_IO_ERROR, "the message is shorter than was announced");
	if (!dotted_encode_end(&c->dots, &c->out))
		return client_fail(c, OC_NO_MEMORY, "no room for the message");
	if (c->dots.bare) {
		/* What one reader takes for a line end and another does not can hide a second message: never ours to pass on. */
		buf_clear(&c->out);
		return client_fail(c, OC_UNAVAILABLE, "the stored message has a bare CR or LF");
	}
	client_enter(c, ST_END);
	return CLIENT_WANT_READ;
}

/* It refuses before it has heard all: the rest cannot be taken back, so the connection ends. */
enum client_want client_on_early(struct client *c)
{
	if (reply_class(&c->parser.reply) < 4)
		return misfit(c);
	return client_fail_by_reply(c, outcome_of(c, &c->parser.reply));
}

static struct client_recipient *next_accepted(struct client *c)
{
	while (c->told < c->mail->recipient_count) {
		struct client_recipient *r = &c->mail->recipients[c->told++];

		if (r->accepted)
			return r;
	}
	return NULL;
}

/* SMTP: one verdict for all.  LMTP: one for each that was accepted, in their order (RFC 2033 §4.2). */
enum client_want client_on_end(struct client *c)
{
	const struct reply *reply = &c->parser.reply;
	struct client_recipient *r;

	if (reply_class(reply) == 3)
		return misfit(c);
	do {
		r = next_accepted(c);
		if (r == NULL)
			break;
		decide(&r->verdict, outcome_of(c, reply), reply, "end of data");
		c->accepted--;
	} while (!c->config.lmtp);
	if (c->accepted > 0)
		return CLIENT_WANT_READ;
	/* RFC 3030 §2: what state a failed BDAT leaves is not known. */
	c->needs_rset = c->mail->is_binary && reply_class(reply) != 2;
	return finish(c);
}

bool client_mail_is_left(const struct client_mail *mail)
{
	for (size_t i = 0; i < mail->recipient_count; i++)
		if (mail->recipients[i].left && !mail->recipients[i].verdict.decided)
			return true;
	return false;
}

bool client_is_spent(const struct client *c)
{
	return c->limits.messages != 0 && c->begun >= c->limits.messages;
}

enum client_want client_on_void(struct client *c)
{
	return finish(c);
}
