#include "session_private.h"

#include "base/mem.h"
#include "mail/xtext.h"

/* MAIL FROM:<...> and RCPT TO:<...> with their parameters (RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2). */

struct parameter {
	struct slice keyword, value;
	bool has_value;
};

/* The parameters of one command as they were read. */
struct parameters {
	uint64_t size, ret, notify;
	bool smtputf8, body_8bit, body_binary;
	char auth[MAIL_ADDRESS_MAX + 1];
	char envid[DSN_ENVID_MAX + 1], orcpt[DSN_ORCPT_MAX + 1];
	unsigned seen; /* bits by row of the command's table */
};

enum parameter_verdict { PARAMETER_OK, PARAMETER_BAD, PARAMETER_UNKNOWN, PARAMETER_TOO_BIG };

/* ---- reading ---- */

/* esmtp-keyword */
static bool is_keyword(struct slice s)
{
	if (s.len == 0 || !ascii_is_alnum(s.at[0]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

/* esmtp-value: %d33-60 / %d62-126; within SMTPUTF8 also UTF-8 (RFC 6531 §3.3). */
static bool is_value(struct slice s, bool utf8)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c <= ' ' || c == 0x7f || c == '=' || (c > 0x7f && !utf8))
			return false;
	}
	return s.len > 0;
}

static bool read_parameter(struct slice word, bool utf8, struct parameter *out)
{
	size_t equals = slice_index(word, '=');

	out->has_value = equals != SLICE_NONE;
	out->keyword = slice_sub(word, 0, equals);
	out->value = out->has_value ? slice_from(word, equals + 1) : slice_empty();
	return is_keyword(out->keyword) && (!out->has_value || is_value(out->value, utf8));
}

/* "FROM:" or "TO:", then the path; spaces between them are forgiven (RFC 5321 §3.3 knows those
 * clients).  *rest_out: the parameters. */
static bool read_path(struct slice args, const char *prefix, struct slice *path_out,
		      struct slice *rest_out)
{
	if (!slice_starts_nocase(args, slice_of(prefix)))
		return false;
	args = slice_trim(slice_from(args, strlen(prefix)));
	if (!mail_path_cut(&args, path_out))
		return false;
	*rest_out = args;
	return args.len == 0 || args.at[0] == ' ';
}

/* ---- the parameters of MAIL ---- */

static enum parameter_verdict read_size(struct session *s, const struct parameter *p,
					struct parameters *out)
{
	if (p->value.len > 20 || !slice_u64(p->value, UINT64_MAX, &out->size))
		return PARAMETER_BAD;
	return out->size > s->place.conf->set.message_size_max ? PARAMETER_TOO_BIG : PARAMETER_OK;
}

static enum parameter_verdict read_body(struct session *s, const struct parameter *p,
					struct parameters *out)
{
	out->body_8bit = slice_eq_nocase(p->value, slice_of("8BITMIME"));
	out->body_binary = slice_eq_nocase(p->value, slice_of("BINARYMIME"));
	if (out->body_binary && !offers_binarymime(s))
		return PARAMETER_UNKNOWN;
	if (out->body_8bit || out->body_binary)
		return PARAMETER_OK;
	return slice_eq_nocase(p->value, slice_of("7BIT")) ? PARAMETER_OK : PARAMETER_BAD;
}

static enum parameter_verdict read_smtputf8(struct session *s, const struct parameter *p,
					    struct parameters *out)
{
	(void)s;
	out->smtputf8 = !p->has_value;
	return p->has_value ? PARAMETER_BAD : PARAMETER_OK;
}

/* RFC 4954 §5.  Only a client that logged in is believed; from anybody else it is as if <> stood
 * there. */
static enum parameter_verdict read_auth(struct session *s, const struct parameter *p,
					struct parameters *out)
{
	struct buf text = buf_make(MAIL_ADDRESS_MAX);
	struct mail_address address;
	bool good = xtext_decode(p->value, &text);
	bool null = good && slice_eq(buf_slice(&text), slice_of("<>"));

	good = null ||
	       (good && mail_address_parse(buf_slice(&text), MAIL_ALLOW_UTF8, &address) == MAIL_OK);
	if (good)
		(void)slice_copy(null || s->login[0] == '\0' ? slice_of("<>")
							     : mail_address_text(&address),
				 out->auth, sizeof(out->auth));
	buf_free(&text);
	return good ? PARAMETER_OK : PARAMETER_BAD;
}

static enum parameter_verdict read_ret(struct session *s, const struct parameter *p, struct parameters *out)
{
	(void)s;
	return dsn_ret_parse(p->value, &out->ret) ? PARAMETER_OK : PARAMETER_BAD;
}

static enum parameter_verdict keep_text(bool good, struct buf *text, char *out, size_t size)
{
	good = good && slice_copy(buf_slice(text), out, size);
	buf_free(text);
	return good ? PARAMETER_OK : PARAMETER_BAD;
}

static enum parameter_verdict read_envid(struct session *s, const struct parameter *p, struct parameters *out)
{
	struct buf text = buf_make(DSN_ENVID_MAX);

	(void)s;
	return keep_text(dsn_envid_parse(p->value, &text), &text, out->envid, sizeof(out->envid));
}

static enum parameter_verdict read_notify(struct session *s, const struct parameter *p, struct parameters *out)
{
	(void)s;
	return dsn_notify_parse(p->value, &out->notify) ? PARAMETER_OK : PARAMETER_BAD;
}

static enum parameter_verdict read_orcpt(struct session *s, const struct parameter *p, struct parameters *out)
{
	struct buf text = buf_make(DSN_ORCPT_MAX);

	return keep_text(dsn_orcpt_parse(p->value, s->transaction->smtputf8, &text), &text, out->orcpt,
			 sizeof(out->orcpt));
}

static bool always(const struct session *s)
{
	(void)s;
	return true;
}

static bool has_auth(const struct session *s)
{
	return s->place.takes_logins;
}

struct parameter_row {
	const char *keyword;
	bool needs_value;
	bool (*offered)(const struct session *s);
	enum parameter_verdict (*read)(struct session *s, const struct parameter *p, struct parameters *out);
};

static const struct parameter_row mail_rows[] = {
	{"SIZE", true, always, read_size},	   {"BODY", true, always, read_body},
	{"SMTPUTF8", false, offers_smtputf8, read_smtputf8}, {"AUTH", true, has_auth, read_auth},
	{"RET", true, offers_dsn, read_ret},	   {"ENVID", true, offers_dsn, read_envid},
};

static const struct parameter_row rcpt_rows[] = {
	{"NOTIFY", true, offers_dsn, read_notify},
	{"ORCPT", true, offers_dsn, read_orcpt},
};

struct parameter_table {
	const struct parameter_row *rows;
	size_t count;
};

static const struct parameter_table mail_table = {mail_rows, ARRAY_LEN(mail_rows)};
static const struct parameter_table rcpt_table = {rcpt_rows, ARRAY_LEN(rcpt_rows)};

/* Each at most once. */
static enum parameter_verdict read_known(struct session *s, const struct parameter_table *table,
					 const struct parameter *p, struct parameters *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct parameter_row *row = &table->rows[i];

		if (!slice_eq_nocase(p->keyword, slice_of(row->keyword)) || !row->offered(s))
			continue;
		if ((out->seen & (1u << i)) != 0 || p->has_value < row->needs_value)
			return PARAMETER_BAD;
		out->seen |= 1u << i;
		return row->read(s, p, out);
	}
	return PARAMETER_UNKNOWN;
}

static void reply_parameter(struct session *s, enum parameter_verdict verdict)
{
	static const struct {
		unsigned code;
		const char *dsn, *text;
	} replies[] = {
		[PARAMETER_BAD] = {501, "5.5.4", "bad parameter"},
		[PARAMETER_UNKNOWN] = {555, "5.5.4", "parameter not recognized"},
		[PARAMETER_TOO_BIG] = {552, "5.3.4", "message is too big"},
	};

	reply(s, replies[verdict].code, replies[verdict].dsn, "%s", replies[verdict].text);
}

/* The first mistake is told; a syntax error before a size that is too big. */
static enum parameter_verdict read_parameters(struct session *s, const struct parameter_table *table,
					      struct slice rest, struct parameters *out)
{
	enum parameter_verdict verdict = PARAMETER_OK;
	bool utf8 = s->transaction != NULL && s->transaction->smtputf8;
	struct slice word;

	while (slice_word(&rest, &word)) {
		struct parameter p;
		enum parameter_verdict got = read_parameter(word, utf8, &p) ? PARAMETER_UNKNOWN : PARAMETER_BAD;

		if (got == PARAMETER_UNKNOWN && s->esmtp)
			got = read_known(s, table, &p, out);
		if (verdict == PARAMETER_OK || (verdict == PARAMETER_TOO_BIG && got != PARAMETER_OK))
			verdict = got;
	}
	return verdict;
}

/* ---- MAIL ---- */

static struct body_limits limits_of(const struct conf *conf)
{
	return (struct body_limits){conf->set.message_size_max, conf->set.line_max,
				    conf->set.header_max, conf->set.received_max};
}

static void begin_transaction(struct session *s, const struct mail_address *sender,
			      const struct parameters *p)
{
	const struct body_limits limits = limits_of(s->place.conf);
	struct transaction *t = transaction_new(&limits, s->place.conf->set.recipients_max);

	if (t == NULL) {
		reply_outcome(s, OC_NO_MEMORY);
		return;
	}
	t->sender = *sender;
	t->smtputf8 = p->smtputf8;
	t->body_8bit = p->body_8bit;
	t->body_binary = p->body_binary;
	t->utf8_address = sender->utf8;
	t->size_declared = p->size;
	memcpy(t->auth, p->auth, sizeof(t->auth));
	memcpy(t->envid, p->envid, sizeof(t->envid));
	t->ret = p->ret;
	if (session_is_bound(s))
		transaction_watch_from(t);
	s->transaction = t;
	s->transactions++;
	if (session_is_ours(s) || s->place.trusted)
		transaction_rewrite(t, s->place.rewrites, s->place.hostname);
	if (session_is_ours(s))
		transaction_complete(t, &(struct completion){s->place.hostname, s->wall_s, s->place.number, s->transactions});
	session_consult(s, STAGE_MAIL, SESSION_MAIL, SESSION_READY);
}

static void reply_address(struct session *s, enum mail_verdict verdict, const char *dsn)
{
	reply(s, 553, verdict == MAIL_NEEDS_UTF8 ? "5.6.7" : dsn, "%s", mail_verdict_text(verdict));
}

void envelope_mail(struct session *s, struct slice args)
{
	struct slice path, rest;
	struct parameters p = {0};
	struct mail_address sender;
	enum parameter_verdict read;
	enum mail_verdict verdict;

	if (!read_path(args, "FROM:", &path, &rest)) {
		reply(s, 501, "5.5.4", "syntax: MAIL FROM:<address>");
		return;
	}
	read = read_parameters(s, &mail_table, rest, &p);
	if (read != PARAMETER_OK) {
		reply_parameter(s, read);
		return;
	}
	verdict = mail_address_parse(
		path, MAIL_ALLOW_NULL | (p.smtputf8 ? (unsigned)MAIL_ALLOW_UTF8 : 0), &sender);
	if (verdict != MAIL_OK)
		reply_address(s, verdict, "5.1.7");
	else
		begin_transaction(s, &sender, &p);
}

/* ---- RCPT ---- */

static bool read_rcpt_parameters(struct session *s, struct slice rest)
{
	struct transaction *t = s->transaction;
	struct parameters p = {0};
	enum parameter_verdict verdict = read_parameters(s, &rcpt_table, rest, &p);

	if (verdict != PARAMETER_OK) {
		reply_parameter(s, verdict); /* it may be the last error of the session: nothing is left of `t` then */
		return false;
	}
	t->candidate_notify = p.notify;
	memcpy(t->candidate_orcpt, p.orcpt, sizeof(t->candidate_orcpt));
	return true;
}

void envelope_rcpt(struct session *s, struct slice args)
{
	struct transaction *t = s->transaction;
	struct slice path, rest;
	enum mail_verdict verdict;

	t->recipient_tried = true;
	t->candidate = (struct mail_address){0};
	if (!read_path(args, "TO:", &path, &rest)) {
		reply(s, 501, "5.5.4", "syntax: RCPT TO:<address>");
		return;
	}
	if (!read_rcpt_parameters(s, rest))
		return;
	verdict = mail_address_parse(
		path, MAIL_ALLOW_POSTMASTER | (t->smtputf8 ? (unsigned)MAIL_ALLOW_UTF8 : 0),
		&t->candidate);
	if (verdict != MAIL_OK)
		reply_address(s, verdict, "5.1.3");
	else if (mail_address_is_routed(&t->candidate))
		reply(s, 553, "5.1.3", "routes within a local part are not accepted");
	else if (t->recipient_count >= s->place.conf->set.recipients_max)
		reply(s, 452, "4.5.3", "too many recipients");
	else
		session_consult(s, STAGE_RCPT, SESSION_RCPT, s->state);
}
