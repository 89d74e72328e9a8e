#include "dialogue.h"

#include "client.h"

#include "base/mem.h"
#include "mail/dsn.h"

#define RECIPIENTS 8

struct play {
	struct client *client;
	struct client_config config;
	struct conf_settings set;
	enum client_want want;
	struct client_mail mail;
	struct client_recipient recipients[RECIPIENTS];
	struct slice body;
	bool has_mail, shown_failure;
	struct buf said; /* S+ lines, waiting for the S: line */
	size_t piece;
	struct buf *out;
};

static void show_verdict(struct buf *out, const struct client_verdict *v)
{
	buf_addf(out, "%s %u %s %s %s\n", v->decided ? outcome_info(v->outcome)->name : "-", v->reply.code,
		 v->reply.dsn[0] != '\0' ? v->reply.dsn : "-", v->decided ? v->phase : "-", v->reply.text);
}

static void show_mail(struct play *p)
{
	for (size_t i = 0; p->has_mail && i < p->mail.recipient_count; i++) {
		buf_addf(p->out, "V: %.*s ", SLICE_ARG(p->recipients[i].address));
		show_verdict(p->out, &p->recipients[i].verdict);
		if (p->recipients[i].passed_on)
			buf_addf(p->out, "V: %.*s notifications passed on\n", SLICE_ARG(p->recipients[i].address));
	}
	p->has_mail = false;
}

static void show_said(struct play *p)
{
	struct slice rest = buf_slice(client_out(p->client)), line;

	while (slice_cut(&rest, '\n', &line)) {
		if (line.len > 0 && line.at[line.len - 1] == '\r')
			line.len--;
		buf_addf(p->out, "C: %.*s\n", SLICE_ARG(line));
	}
	buf_clear(client_out(p->client));
}

static const char *const want_names[] = {
	[CLIENT_WANT_READ] = NULL,   [CLIENT_WANT_TLS] = "tls",	  [CLIENT_WANT_CREDENTIAL] = "credential",
	[CLIENT_WANT_MAIL] = "mail", [CLIENT_WANT_BODY] = "body", [CLIENT_CLOSED] = "closed",
};

static void show(struct play *p, enum client_want want)
{
	p->want = want;
	show_said(p);
	if (want_names[want] != NULL)
		buf_addf(p->out, "= %s\n", want_names[want]);
	if (want == CLIENT_WANT_BODY) {
		for (size_t at = 0; at < p->body.len; at++)
			want = client_body(p->client, slice_sub(p->body, at, 1));
		show(p, want == CLIENT_WANT_BODY ? client_body_end(p->client) : want);
		return;
	}
	if (want == CLIENT_WANT_MAIL || want == CLIENT_CLOSED)
		show_mail(p);
	if (want == CLIENT_CLOSED && !p->shown_failure) {
		p->shown_failure = true;
		buf_add_text(p->out, "F: ");
		show_verdict(p->out, client_failure(p->client));
	}
}

/* ---- the lines of a script ---- */

static void set_tls(struct play *p, struct slice mode)
{
	static const char *const modes[] = {"off", "optional", "required", "implicit", "verified"};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (slice_eq(mode, slice_of(modes[i])))
			p->config.tls = (enum conf_tls_mode)i;
}

static void on_set(struct play *p, struct slice rest)
{
	struct slice word;

	while (slice_word(&rest, &word)) {
		if (slice_starts(word, slice_of("tls=")))
			set_tls(p, slice_from(word, 4));
		p->config.lmtp |= slice_eq(word, slice_of("lmtp"));
		p->config.found_by_mx |= slice_eq(word, slice_of("mx"));
		p->config.login |= slice_eq(word, slice_of("login"));
		p->config.login_in_clear |= slice_eq(word, slice_of("in-clear"));
	}
}

/* What is asked for of notifications: of the mail, or of the recipient named last. */
static bool take_notification(struct play *p, struct slice word)
{
	struct client_recipient *r = p->mail.recipient_count > 0 ? &p->recipients[p->mail.recipient_count - 1] : NULL;
	struct slice name, value = word;

	if (!slice_cut(&value, '=', &name) || name.len == word.len)
		return false;
	if (slice_eq(name, slice_of("envid")))
		p->mail.envid = value;
	else if (slice_eq(name, slice_of("ret")))
		(void)dsn_ret_parse(value, &p->mail.ret);
	else if (r != NULL && slice_eq(name, slice_of("notify")))
		(void)dsn_notify_parse(value, &r->notify);
	else if (r != NULL && slice_eq(name, slice_of("orcpt")))
		r->orcpt = value;
	else if (r != NULL && slice_eq(name, slice_of("original")))
		r->original = value;
	else
		return false;
	return true;
}

static void on_mail(struct play *p, struct slice rest)
{
	struct slice word;

	memset(p->recipients, 0, sizeof(p->recipients));
	p->mail = (struct client_mail){.size = 100, .recipients = p->recipients};
	slice_word(&rest, &p->mail.sender);
	if (slice_eq(p->mail.sender, slice_of("<>")))
		p->mail.sender = slice_empty();
	while (slice_word(&rest, &word)) {
		if (slice_eq(word, slice_of("8bit")))
			p->mail.has_8bit = true;
		else if (slice_eq(word, slice_of("utf8")))
			p->mail.has_utf8 = true;
		else if (slice_eq(word, slice_of("binary")))
			p->mail.is_binary = true;
		else if (take_notification(p, word))
			continue;
		else if (p->mail.recipient_count < RECIPIENTS)
			p->recipients[p->mail.recipient_count++].address = word;
	}
	if (p->mail.is_binary)
		p->mail.size = p->body.len;
	p->has_mail = true;
	show(p, client_mail(p->client, &p->mail));
}

static void on_again(struct play *p, struct slice rest)
{
	(void)rest;
	p->has_mail = true;
	show(p, client_mail(p->client, &p->mail));
}

static void on_body(struct play *p, struct slice rest)
{
	p->body = rest;
}

static void on_server(struct play *p, struct slice rest)
{
	enum client_want want = CLIENT_WANT_READ;
	struct slice all;

	buf_addf(&p->said, "%.*s\r\n", SLICE_ARG(rest));
	all = buf_slice(&p->said);
	while (all.len > 0) {
		struct slice piece = slice_sub(all, 0, p->piece == 0 ? SIZE_MAX : p->piece);

		want = client_input(p->client, piece);
		all = slice_from(all, piece.len);
	}
	buf_clear(&p->said);
	show(p, want);
}

static void on_server_more(struct play *p, struct slice rest)
{
	buf_addf(&p->said, "%.*s\r\n", SLICE_ARG(rest));
}

static void on_tls(struct play *p, struct slice rest)
{
	(void)rest;
	show(p, client_tls_open(p->client));
}

static void on_login(struct play *p, struct slice rest)
{
	struct slice user = slice_empty(), secret = slice_empty();

	slice_word(&rest, &user);
	slice_word(&rest, &secret);
	show(p, client_credential(p->client, user, secret, "no credential"));
}

static void on_quit(struct play *p, struct slice rest)
{
	(void)rest;
	show(p, client_quit(p->client));
}

static void on_lost(struct play *p, struct slice rest)
{
	(void)rest;
	show(p, client_lost(p->client, OC_CONNECTION_LOST, "connection closed by the remote"));
}

static const struct {
	const char *word;
	void (*run)(struct play *p, struct slice rest);
} lines[] = {
	{"set ", on_set}, {"mail ", on_mail},  {"body ", on_body}, {"S: ", on_server}, {"S+ ", on_server_more},
	{"again", on_again},
	{"tls", on_tls},  {"login", on_login}, {"quit", on_quit},  {"lost", on_lost},
};

static bool is_found_out(struct slice line)
{
	return slice_starts(line, slice_of("C: ")) || slice_starts(line, slice_of("= ")) ||
	       slice_starts(line, slice_of("V: ")) || slice_starts(line, slice_of("F: "));
}

static void run_line(struct play *p, struct slice line)
{
	buf_addf(p->out, "%.*s\n", SLICE_ARG(line));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct slice word = slice_of(lines[i].word);

		if (!slice_starts(line, word))
			continue;
		if (p->client == NULL && lines[i].run != on_set && lines[i].run != on_body) {
			p->client = client_new(&p->config);
			show(p, client_start(p->client));
		}
		lines[i].run(p, slice_from(line, word.len));
		return;
	}
}

void dialogue_play(struct slice script, size_t piece, struct buf *transcript)
{
	struct play p = {.piece = piece, .out = transcript, .said = buf_make(1 << 20)};
	struct slice line;

	p.config.set = &p.set;
	p.config.hostname = "client.example.test";
	p.body = slice_of("Subject: hello\r\n\r\nbody\r\n");
	while (slice_cut(&script, '\n', &line))
		if (!is_found_out(line))
			run_line(&p, line);
	buf_free(&p.said);
	client_free(&p.client);
}
