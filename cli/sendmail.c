/*
 * sendmail: takes a message from a program and hands it to Postern over the submission socket.  It has no rights, writes no file
 * and holds no more of the message than its header.
 */
#include "control.h"
#include "program.h"
#include "rows.h"
#include "runtime.h"
#include "sendmail_options.h"
#include "submit_header.h"
#include "submit_session.h"
#include "submit_smtp.h"
#include "submit_text.h"

#include "base/clock.h"
#include "base/mem.h"
#include "mail/dsn.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 *	options --> header read --> recipients known --> session opened --> MAIL, RCPT... --> DATA, header, body --> accepted
 *
 * All recipients or none: when one is refused, nobody gets the message, and the exit code says so.
 */
#define RECIPIENTS_MAX 100000u
#define PIECE_BYTES 65536u

struct submission {
	struct sendmail_options options;
	struct buf recipients; /* each with a NUL behind it */
	size_t recipient_count;
	struct buf head; /* what was read so far: the header, and the body's beginning behind it */
	struct submit_extent extent;
	bool eof;
	struct submit_text text;
	struct submit_smtp smtp;
	struct buf mail_parameters, rcpt_parameters;
	char login[128], full_name[128];
};

static int complain(int exit, const char *what)
{
	fprintf(stderr, "sendmail: %s\n", what);
	return exit;
}

/* ---- input ---- */

static bool read_more(struct submission *s, struct buf *into)
{
	char *room = buf_room(into, PIECE_BYTES);
	ssize_t n;

	if (room == NULL)
		return false;
	do
		n = read(STDIN_FILENO, room, PIECE_BYTES);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		buf_grew(into, (size_t)n);
	else
		s->eof = true;
	return n >= 0;
}

static int read_header(struct submission *s)
{
	while (!submit_header_find(buf_slice(&s->head), s->eof, &s->extent)) {
		if (s->head.len > SUBMIT_HEADER_MAX)
			return complain(SUBMIT_EX_DATAERR, "the header of the message is too long, or a line of it is");
		if (!read_more(s, &s->head))
			return complain(SUBMIT_EX_OSERR, "cannot read the message from standard input");
	}
	return SUBMIT_EX_OK;
}

/* ---- recipients ---- */

static bool add_recipient(struct slice address, void *arg)
{
	struct submission *s = arg;

	if (s->recipient_count == RECIPIENTS_MAX)
		return false;
	s->recipient_count++;
	return buf_add_slice(&s->recipients, address) && buf_add_char(&s->recipients, '\0');
}

static int take_arguments(struct submission *s)
{
	for (size_t i = 0; i < s->options.recipient_count; i++) {
		const char *argument = s->options.recipients[i];

		if (address_list_parse(slice_of(argument), add_recipient, s) != ADDRESS_LIST_DONE) {
			fprintf(stderr, "sendmail: %.200s: this is no recipient's address\n", argument);
			return SUBMIT_EX_USAGE;
		}
	}
	return SUBMIT_EX_OK;
}

static bool nothing_found(struct slice address, void *arg)
{
	(void)address;
	(void)arg;
	return true;
}

/* The header's recipients must be known before a session is begun; its text is made once the server's name is known. */
static int take_header_recipients(struct submission *s)
{
	struct submit_header h = {.take_recipients = true, .on_recipient = add_recipient, .arg = s};
	struct buf none = buf_make(2 * SUBMIT_HEADER_MAX);
	struct slice fields = slice_sub(buf_slice(&s->head), s->extent.start, s->extent.length);
	const char *why;
	bool ok = submit_header_write(&h, fields, &none, &why);

	buf_free(&none);
	return ok ? SUBMIT_EX_OK : complain(SUBMIT_EX_DATAERR, why);
}

static int find_recipients(struct submission *s)
{
	int exit = take_arguments(s);

	if (exit == SUBMIT_EX_OK && s->options.take_recipients)
		exit = take_header_recipients(s);
	if (exit != SUBMIT_EX_OK || s->recipient_count > 0)
		return exit;
	if (s->options.take_recipients)
		return complain(SUBMIT_EX_DATAERR, "the message names no recipient in To, Cc or Bcc");
	return complain(SUBMIT_EX_USAGE, "no recipient: name one, or use -t to take them from the message");
}

/* ---- the session ---- */

static int failed(const struct submission *s)
{
	return complain(s->smtp.exit, s->smtp.why);
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] >= 0x80)
			return false;
	return true;
}

/* "alice" is alice at the server's own name. */
static const char *domain_part(const struct submission *s, const char *address)
{
	return strchr(address, '@') != NULL || address[0] == '\0' ? "" : s->smtp.host;
}

/* What the sender is to be told (RFC 3461), as parameters of MAIL, and of each RCPT. */
static void make_parameters(struct submission *s)
{
	buf_clear(&s->mail_parameters);
	buf_clear(&s->rcpt_parameters);
	if (!s->smtp.has_dsn)
		return;
	if (s->options.ret != 0)
		buf_addf(&s->mail_parameters, " RET=%s", dsn_ret_text(s->options.ret));
	if (s->options.envid[0] != '\0') {
		buf_add_text(&s->mail_parameters, " ENVID=");
		dsn_envid_add(slice_of(s->options.envid), &s->mail_parameters);
	}
	if (s->options.notify != 0) {
		buf_add_text(&s->rcpt_parameters, " NOTIFY=");
		dsn_notify_add(s->options.notify, &s->rcpt_parameters);
	}
}

static bool say_mail(struct submission *s)
{
	const char *from = s->options.has_sender ? s->options.sender : s->login;
	const char *domain = domain_part(s, from);
	/* A header beyond ASCII alone asks for nothing: old programs write such, and their mail must not come back for it. */
	bool utf8 = !is_ascii(slice_of(from)) || !is_ascii(buf_slice(&s->recipients));

	return submit_smtp_say(&s->smtp, "the sender was refused", 2, "MAIL FROM:<%s%s%s>%s%s%s", from, domain[0] != '\0' ? "@" : "",
			       domain, s->smtp.has_8bitmime ? " BODY=8BITMIME" : "",
			       utf8 && s->smtp.has_smtputf8 ? " SMTPUTF8" : "", buf_text(&s->mail_parameters));
}

static bool say_recipients(struct submission *s)
{
	struct slice rest = buf_slice(&s->recipients), one;

	while (slice_cut(&rest, '\0', &one)) {
		const char *domain = domain_part(s, one.at);
		char about[ADDRESS_LIST_ONE_MAX + 32];

		snprintf(about, sizeof(about), "%.*s was refused", SLICE_ARG(one));
		if (!submit_smtp_say(&s->smtp, about, 2, "RCPT TO:<%.*s%s%s>%s", SLICE_ARG(one),
				     domain[0] != '\0' ? "@" : "", domain, buf_text(&s->rcpt_parameters)))
			return false;
	}
	return true;
}

/* In steps, so that what waits to be sent stays small. */
static bool send_text(struct submission *s, struct slice in)
{
	bool ok = true;

	for (; ok && in.len > 0; in = slice_from(in, PIECE_BYTES))
		ok = submit_text_add(&s->text, slice_sub(in, 0, PIECE_BYTES), &s->smtp.out) && submit_smtp_send(&s->smtp, false);
	return ok;
}

static bool send_header(struct submission *s)
{
	char from[512];
	const char *address = s->options.has_sender && s->options.sender[0] != '\0' ? s->options.sender : s->login;
	const char *domain = domain_part(s, address);
	struct submit_header h = {.take_recipients = s->options.take_recipients,
				  .full_name = slice_of(s->options.full_name[0] != '\0' ? s->options.full_name : s->full_name),
				  .host = slice_of(s->smtp.host),
				  .wall_s = clock_wall_s(),
				  .on_recipient = nothing_found};
	struct buf out = buf_make(2 * SUBMIT_HEADER_MAX);
	const char *why;
	bool ok;

	snprintf(from, sizeof(from), "%s%s%s", address, domain[0] != '\0' ? "@" : "", domain);
	h.from = slice_of(from);
	mem_random(&h.random, sizeof(h.random));
	ok = submit_header_write(&h, slice_sub(buf_slice(&s->head), s->extent.start, s->extent.length), &out, &why) &&
	     buf_add_char(&out, '\n') && send_text(s, buf_slice(&out));
	buf_free(&out);
	return ok;
}

/* What was read behind the header first, then the rest as it comes. */
static bool send_body(struct submission *s)
{
	struct buf piece = buf_make(2 * PIECE_BYTES);
	bool ok = send_text(s, slice_from(buf_slice(&s->head), s->extent.end));

	while (ok && !s->eof && !s->text.ended) {
		buf_clear(&piece);
		ok = read_more(s, &piece) && send_text(s, buf_slice(&piece));
	}
	buf_free(&piece);
	return ok;
}

static int send_message(struct submission *s)
{
	s->text = submit_text_begin(!s->options.ignore_dots);
	if (!submit_smtp_say(&s->smtp, "the message was refused", 3, "DATA"))
		return failed(s);
	s->smtp.exit = 0;
	if (!send_header(s) || !send_body(s))
		/* without the final dot: the server forgets it */
		return s->smtp.exit != 0 ? failed(s) : complain(SUBMIT_EX_OSERR, "the message could not be read to its end");
	if (!submit_text_end(&s->text, &s->smtp.out) || !submit_smtp_finish(&s->smtp))
		return failed(s);
	(void)submit_smtp_say(&s->smtp, "QUIT", 2, "QUIT");
	return SUBMIT_EX_OK;
}

static int talk(struct submission *s)
{
	char path[CLI_PATH_MAX];
	const struct runtime_order where = {NULL, NULL};

	if (!runtime_socket(&where, "submission", path))
		return complain(SUBMIT_EX_USAGE, "the path of the submission socket is too long");
	if (!submit_smtp_open(&s->smtp, path))
		return failed(s);
	make_parameters(s);
	if (!say_mail(s) || !say_recipients(s))
		return failed(s);
	return send_message(s);
}

/* ---- who sends ---- */

static bool is_plain_sender(const char *sender)
{
	for (const char *c = sender; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '<' || *c == '>')
			return false;
	return strlen(sender) <= ADDRESS_LIST_ONE_MAX;
}

struct one_address {
	char *out; /* [ADDRESS_LIST_ONE_MAX + 1] */
	size_t count;
};

static bool keep_one(struct slice address, void *arg)
{
	struct one_address *one = arg;

	return one->count++ == 0 && slice_copy(address, one->out, ADDRESS_LIST_ONE_MAX + 1);
}

/* -f takes what a From field may say: "Name <a@b>" too. */
static bool take_sender(struct submission *s)
{
	static char address[ADDRESS_LIST_ONE_MAX + 1];
	struct one_address one = {address, 0};

	if (!s->options.has_sender || s->options.sender[0] == '\0')
		return true;
	if (address_list_parse(slice_of(s->options.sender), keep_one, &one) != ADDRESS_LIST_DONE || one.count != 1)
		return false;
	s->options.sender = address;
	return address[0] == '"' || is_plain_sender(address);
}

static void find_user(struct submission *s)
{
	const struct passwd *pw = getpwuid(getuid());
	struct slice name;

	if (pw == NULL || !is_plain_sender(pw->pw_name) || !slice_copy(slice_of(pw->pw_name), s->login, sizeof(s->login)))
		snprintf(s->login, sizeof(s->login), "uid-%u", (unsigned)getuid());
	name = slice_of(pw == NULL || pw->pw_gecos == NULL ? "" : pw->pw_gecos);
	(void)slice_copy(slice_sub(name, 0, slice_index(name, ',')), s->full_name, sizeof(s->full_name));
}

static int submit(struct submission *s)
{
	int exit;

	s->recipients = buf_make(RECIPIENTS_MAX * (ADDRESS_LIST_ONE_MAX + 1));
	s->head = buf_make(SUBMIT_HEADER_MAX + 2 * PIECE_BYTES);
	s->mail_parameters = buf_make(256);
	s->rcpt_parameters = buf_make(64);
	if (!take_sender(s))
		return complain(SUBMIT_EX_USAGE, "the sender after -f is no address");
	find_user(s);
	exit = read_header(s);
	if (exit == SUBMIT_EX_OK)
		exit = find_recipients(s);
	if (exit == SUBMIT_EX_OK) {
		exit = talk(s);
		submit_smtp_close(&s->smtp);
	}
	buf_free(&s->recipients);
	buf_free(&s->head);
	buf_free(&s->mail_parameters);
	buf_free(&s->rcpt_parameters);
	return exit;
}

/* ---- -bs ---- */

static int speak_smtp(struct submission *s)
{
	const struct runtime_order where = {NULL, NULL};
	char path[CLI_PATH_MAX];
	int fd;
	bool ok;

	if (!runtime_socket(&where, "submission", path))
		return complain(SUBMIT_EX_USAGE, "the path of the submission socket is too long");
	fd = submit_smtp_connect(&s->smtp, path);
	if (fd == -1)
		return failed(s);
	ok = submit_session_run(fd, STDIN_FILENO, STDOUT_FILENO);
	close(fd);
	return ok ? SUBMIT_EX_OK : complain(SUBMIT_EX_OSERR, "the session ended before its end: cannot write to standard output");
}

/* ---- mailq, -q ---- */

static int show_queue(struct control *c)
{
	struct buf out = buf_make(16u << 20);
	struct rows rows = rows_begin(ROWS_TABLE, &out);
	const struct msg_CONTROL_ANSWER *a;
	char cursor[65] = "";
	bool ok = true;

	do {
		a = control_ask(c, "queue.list", slice_of(cursor), slice_empty(), 30);
		ok = a != NULL && outcome_kind(a->outcome) == KIND_OK && slice_copy(a->cursor, cursor, sizeof(cursor)) &&
		     rows_page(&rows, a->control_row_records);
		if (ok)
			ok = fwrite(out.at == NULL ? "" : out.at, 1, out.len, stdout) == out.len;
		buf_clear(&out);
	} while (ok && cursor[0] != '\0');
	if (ok && rows.count == 0)
		ok = puts("Mail queue is empty") >= 0;
	buf_free(&out);
	if (ok)
		return fflush(stdout) == 0 ? SUBMIT_EX_OK : SUBMIT_EX_OSERR;
	return complain(a == NULL ? c->exit : SUBMIT_EX_TEMPFAIL, a == NULL ? c->why : "the queue cannot be listed now");
}

static int retry_queue(struct control *c)
{
	const struct rec_control_field all = {slice_of("id"), slice_of("all")};
	struct buf fields = buf_make(256);
	const struct msg_CONTROL_ANSWER *a = NULL;

	if (rec_control_field_add(&fields, &all))
		a = control_ask(c, "queue.retry", slice_empty(), buf_slice(&fields), 30);
	buf_free(&fields);
	if (a == NULL)
		return complain(c->exit, c->why);
	if (outcome_kind(a->outcome) == KIND_OK)
		return SUBMIT_EX_OK;
	return complain(a->outcome == OC_NOT_ALLOWED ? SUBMIT_EX_NOPERM : SUBMIT_EX_TEMPFAIL,
			a->outcome == OC_NOT_ALLOWED ? "only root may have the queue tried now" : "the queue cannot be tried now");
}

static int ask_queue(int (*ask)(struct control *c))
{
	const struct runtime_order where = {NULL, NULL};
	char path[CLI_PATH_MAX];
	struct control c = {.fd = -1, .exit = SUBMIT_EX_USAGE, .why = "the path of the control socket is too long"};
	int exit;

	if (runtime_socket(&where, "control", path) && control_open(&c, path))
		exit = ask(&c);
	else
		exit = complain(c.exit, c.why);
	control_close(&c);
	return exit;
}

/* No database of aliases exists, so nothing is built; but who changed the file wants to hear of a mistake in it.  Who may not read the
 * configuration is told no more. */
static int check_aliases(void)
{
	if (puts("There is nothing to build: tables are read as they are, and again when they change.") < 0 || fflush(stdout) != 0)
		return SUBMIT_EX_OSERR;
	return access(CLI_CONFIG_DEFAULT, R_OK) == 0 ? program_check_tables(CLI_CONFIG_DEFAULT) : SUBMIT_EX_OK;
}

int main(int argc, char **argv)
{
	static struct submission s;
	char why[256];

	cli_begin();
	if (!sendmail_options_parse(argc, argv, &s.options, why, sizeof(why)))
		return complain(SUBMIT_EX_USAGE, why);
	switch (s.options.mode) {
	case SENDMAIL_SUBMIT:
		return submit(&s);
	case SENDMAIL_LIST:
		return ask_queue(show_queue);
	case SENDMAIL_RETRY:
		return ask_queue(retry_queue);
	case SENDMAIL_SESSION:
		return speak_smtp(&s);
	case SENDMAIL_ALIASES:
		return check_aliases();
	}
	return SUBMIT_EX_USAGE;
}
