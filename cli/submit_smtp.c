#include "submit_smtp.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_BYTES 65536u

static bool fail(struct submit_smtp *s, int exit, const char *what, const char *detail)
{
	s->exit = exit;
	snprintf(s->why, sizeof(s->why), "%s%s%s", what, detail[0] != '\0' ? ": " : "", detail);
	return false;
}

static bool fail_errno(struct submit_smtp *s, int exit, const char *what)
{
	char detail[128];

	(void)slice_copy(log_errno_text(errno), detail, sizeof(detail));
	return fail(s, exit, what, detail);
}

/* ---- reading ---- */

static bool fill(struct submit_smtp *s)
{
	char *room = buf_room(&s->in, SUBMIT_LINE_MAX);
	ssize_t n;

	if (room == NULL)
		return fail(s, SUBMIT_EX_TEMPFAIL, "the mail server's answer is too long", "");
	do
		n = recv(s->fd, room, SUBMIT_LINE_MAX, 0);
	while (n == -1 && errno == EINTR);
	if (n == 0)
		return fail(s, SUBMIT_EX_TEMPFAIL, "the mail server ended the connection", "");
	if (n < 0)
		return fail_errno(s, SUBMIT_EX_TEMPFAIL, "no answer from the mail server");
	buf_grew(&s->in, (size_t)n);
	return true;
}

static bool read_line(struct submit_smtp *s, char line[SUBMIT_LINE_MAX], struct slice *out)
{
	for (;;) {
		struct slice have = buf_slice(&s->in);
		size_t end = slice_find(have, slice_of("\r\n"));

		if (end != SLICE_NONE && end < SUBMIT_LINE_MAX) {
			memcpy(line, have.at, end);
			*out = slice_make(line, end);
			buf_take(&s->in, end + 2);
			return true;
		}
		if (have.len >= SUBMIT_LINE_MAX)
			return fail(s, SUBMIT_EX_TEMPFAIL, "the mail server's answer is too long", "");
		if (!fill(s))
			return false;
	}
}

/* The extensions that matter here are keywords of the reply to EHLO (RFC 5321 §4.1.1.1). */
static void note_keyword(struct submit_smtp *s, struct slice line)
{
	struct slice rest = slice_from(line, 4), word;

	if (!slice_word(&rest, &word))
		return;
	s->has_8bitmime = s->has_8bitmime || slice_eq_nocase(word, slice_of("8BITMIME"));
	s->has_smtputf8 = s->has_smtputf8 || slice_eq_nocase(word, slice_of("SMTPUTF8"));
	s->has_dsn = s->has_dsn || slice_eq_nocase(word, slice_of("DSN"));
}

static bool read_reply(struct submit_smtp *s)
{
	char line[SUBMIT_LINE_MAX];
	struct slice text;

	s->reply = (struct submit_reply){0};
	for (unsigned i = 0; i < SUBMIT_REPLY_LINES_MAX && !s->reply.last; i++) {
		if (!read_line(s, line, &text))
			return false;
		if (!submit_reply_add(&s->reply, text))
			return fail(s, SUBMIT_EX_TEMPFAIL, "the mail server answers with something else than SMTP", "");
		note_keyword(s, text);
	}
	return s->reply.last || fail(s, SUBMIT_EX_TEMPFAIL, "the mail server's answer is too long", "");
}

static bool expect(struct submit_smtp *s, const char *about, unsigned hundred)
{
	char detail[SUBMIT_REPLY_TEXT_MAX + 16];
	int exit;

	if (!read_reply(s))
		return false;
	if (s->reply.code / 100 == hundred)
		return true;
	exit = submit_reply_exit(&s->reply);
	snprintf(detail, sizeof(detail), "%u %s", s->reply.code, s->reply.text);
	return fail(s, exit == SUBMIT_EX_OK ? SUBMIT_EX_TEMPFAIL : exit, about, detail);
}

/* ---- writing ---- */

/* A server that ends the connection has said why before. */
static bool fail_writing(struct submit_smtp *s)
{
	int err = errno;

	if (read_reply(s) && s->reply.code >= 400) {
		char detail[SUBMIT_REPLY_TEXT_MAX + 16];

		snprintf(detail, sizeof(detail), "%u %s", s->reply.code, s->reply.text);
		return fail(s, submit_reply_exit(&s->reply), "the mail server refused the message", detail);
	}
	errno = err;
	return fail_errno(s, SUBMIT_EX_TEMPFAIL, "cannot write to the mail server");
}

bool submit_smtp_send(struct submit_smtp *s, bool all)
{
	if (!buf_ok(&s->out))
		return fail(s, SUBMIT_EX_OSERR, "out of memory", "");
	while (s->out.len > 0 && (all || s->out.len >= SEND_BYTES)) {
		ssize_t n = send(s->fd, s->out.at, s->out.len, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_writing(s);
		buf_take(&s->out, (size_t)n);
	}
	return true;
}

bool submit_smtp_say(struct submit_smtp *s, const char *about, unsigned hundred, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_addv(&s->out, format, args);
	va_end(args);
	buf_add_text(&s->out, "\r\n");
	return submit_smtp_send(s, true) && expect(s, about, hundred);
}

bool submit_smtp_finish(struct submit_smtp *s)
{
	return submit_smtp_send(s, true) && expect(s, "the message was not accepted", 2);
}

/* ---- a session ---- */

static bool is_host_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '.' && s.at[i] != '-')
			return false;
	return s.len > 0;
}

/* The banner begins with the server's name: what an address without a domain is completed with. */
static void note_host(struct submit_smtp *s)
{
	struct slice rest = slice_of(s->reply.text), word;

	if (slice_word(&rest, &word) && is_host_name(word))
		(void)slice_copy(word, s->host, sizeof(s->host));
	if (s->host[0] == '\0')
		(void)slice_copy(slice_of("localhost"), s->host, sizeof(s->host));
}

bool submit_smtp_start(struct submit_smtp *s, int fd)
{
	const struct timeval wait = {SUBMIT_WAIT_S, 0};

	*s = (struct submit_smtp){.fd = fd, .in = buf_make(4 * SUBMIT_LINE_MAX), .out = buf_make(8 * SEND_BYTES)};
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (!expect(s, "the mail server does not take mail now", 2))
		return false;
	note_host(s);
	return submit_smtp_say(s, "EHLO", 2, "EHLO localhost");
}

int submit_smtp_connect(struct submit_smtp *s, const char *socket_path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char what[200];
	int fd;

	*s = (struct submit_smtp){.fd = -1};
	if (!slice_copy(slice_of(socket_path), to.sun_path, sizeof(to.sun_path))) {
		fail(s, SUBMIT_EX_USAGE, "the path of the submission socket is too long", "");
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		fail_errno(s, SUBMIT_EX_OSERR, "cannot make a socket");
		return -1;
	}
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == -1) {
		snprintf(what, sizeof(what), "cannot connect to %s (is Postern running?)", socket_path);
		fail_errno(s, SUBMIT_EX_TEMPFAIL, what);
		close(fd);
		return -1;
	}
	return fd;
}

bool submit_smtp_open(struct submit_smtp *s, const char *socket_path)
{
	int fd = submit_smtp_connect(s, socket_path);

	return fd != -1 && submit_smtp_start(s, fd);
}

void submit_smtp_close(struct submit_smtp *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	buf_free(&s->in);
	buf_free(&s->out);
}
