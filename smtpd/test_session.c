/* The protocol: golden dialogues, each cut in every way; states times verbs; limits; what the
 * others answer. */
#include "session_fake.h"

#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/* ---- dialogues: files of "S: " and "C: " lines; "B: " bytes with escapes; "M: " lines of the
 * messages; "W:" waits ---- */

struct dialogue {
	enum fake_kind kind;
	bool rules;
	struct buf client; /* pieces that may be sent without waiting, each ended by WAIT */
	struct buf server, messages;
};
#define WAIT '\x1d'

static char unescape(const char **at)
{
	char c = *(*at)++;
	char hex[3] = {0};

	if (c != '\\')
		return c;
	c = *(*at)++;
	if (c != 'x')
		return c == 'r' ? '\r' : c == 'n' ? '\n' : '\0';
	memcpy(hex, *at, 2);
	*at += 2;
	return (char)strtol(hex, NULL, 16);
}

static void take_line(struct dialogue *d, const char *line)
{
	const char *text = line[2] == ' ' ? line + 3 : line + 2;

	if (line[0] == 'S')
		buf_addf(&d->server, "%s\r\n", text);
	else if (line[0] == 'C')
		buf_addf(&d->client, "%s\r\n", text);
	else if (line[0] == 'M')
		buf_addf(&d->messages, "%s\r\n", text);
	else if (line[0] == 'W')
		buf_add_char(&d->client, WAIT);
	while (line[0] == 'B' && *text != '\0')
		buf_add_char(&d->client, unescape(&text));
}

static void take_first_line(struct dialogue *d, const char *line)
{
	static const char *const kinds[] = {"listener mx", "listener submission",
					    "listener submissions", "listener local"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strncmp(line, kinds[i], strlen(kinds[i])) == 0)
			d->kind = (enum fake_kind)i;
	d->rules = strstr(line, " rules") != NULL;
}

static struct dialogue dialogue_read(const char *name)
{
	struct dialogue d = {FAKE_MX, false, buf_make(1 << 20), buf_make(1 << 20), buf_make(1 << 20)};
	char path[4096], line[4096];
	bool first = true;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", DIALOGUES, name);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (first)
			take_first_line(&d, line);
		else
			take_line(&d, line);
		first = false;
	}
	fclose(f);
	if (d.messages.len > 0)
		buf_add_text(&d.messages, "\n--\n");
	return d;
}

static void run_dialogue(const char *name, const struct dialogue *d, size_t piece)
{
	struct slice rest = buf_slice(&d->client), part;
	struct fake f;

	fake_init(&f, d->kind, d->rules);
	fake_begin(&f);
	while (slice_cut(&rest, WAIT, &part))
		fake_feed(&f, part, piece);
	if (!slice_eq(buf_slice(&f.said), buf_slice(&d->server)))
		fail_msg("%s, pieces of %zu:\n%.*s", name, piece, SLICE_ARG(buf_slice(&f.said)));
	if (d->messages.len > 0 && !slice_eq(buf_slice(&f.messages), buf_slice(&d->messages)))
		fail_msg("%s, pieces of %zu: message is\n%.*s", name, piece,
			 SLICE_ARG(buf_slice(&f.messages)));
	fake_clear(&f);
}

/* The whole at once, by lines, and in pieces of 1, 2, 3, 5 and 7 bytes: the replies never differ. */
static void test_dialogues(void **state)
{
	static const size_t pieces[] = {SIZE_MAX, 0, 1, 2, 3, 5, 7};
	DIR *dir = opendir(DIALOGUES);
	unsigned count = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		struct dialogue d;

		if (strstr(e->d_name, ".txt") == NULL)
			continue;
		d = dialogue_read(e->d_name);
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
			run_dialogue(e->d_name, &d, pieces[i]);
		buf_free(&d.client);
		buf_free(&d.server);
		buf_free(&d.messages);
		count++;
	}
	closedir(dir);
	assert_true(count >= 10);
	print_message("ROW segmentation dialogues pass\n");
}

/* ---- every verb in every state ---- */

static const char *const ways[] = {
	[SESSION_CONNECT] = "",
	[SESSION_GREETED] = "",
	[SESSION_READY] = "EHLO c\r\n",
	[SESSION_MAIL] = "EHLO c\r\nMAIL FROM:<a@b>\r\n",
	[SESSION_RCPT] = "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
	[SESSION_CHUNKED] = "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 0\r\n",
};

static void test_verbs_and_states(void **state)
{
	static const struct {
		const char *line;
		const char *reply[5]; /* greeted, ready, mail, rcpt, chunked */
		enum session_state end[5];
	} rows[] = {
		{"EHLO c",
		 {"250", "250", "250", "250", "250"},
		 {SESSION_READY, SESSION_READY, SESSION_READY, SESSION_READY,
		  SESSION_READY}},
		{"HELO c",
		 {"250", "250", "250", "250", "250"},
		 {SESSION_READY, SESSION_READY, SESSION_READY, SESSION_READY,
		  SESSION_READY}},
		{"MAIL FROM:<a@b>",
		 {"503", "250", "503", "503", "503"},
		 {SESSION_GREETED, SESSION_MAIL, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"RCPT TO:<c@d>",
		 {"503", "503", "250", "250", "503"},
		 {SESSION_GREETED, SESSION_READY, SESSION_RCPT, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"DATA",
		 {"503", "503", "503", "354", "503"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_BODY,
		  SESSION_CHUNKED}},
		{"RSET",
		 {"250", "250", "250", "250", "250"},
		 {SESSION_GREETED, SESSION_READY, SESSION_READY, SESSION_READY,
		  SESSION_READY}},
		{"NOOP",
		 {"250", "250", "250", "250", "250"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"VRFY a",
		 {"252", "252", "252", "252", "252"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"HELP",
		 {"214", "214", "214", "214", "214"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"EXPN a",
		 {"502", "502", "502", "502", "502"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"WIZ",
		 {"500", "500", "500", "500", "500"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"STARTTLS",
		 {"220", "220", "503", "503", "503"},
		 {SESSION_GREETED, SESSION_GREETED, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"AUTH PLAIN",
		 {"503", "538", "503", "503", "503"},
		 {SESSION_GREETED, SESSION_READY, SESSION_MAIL, SESSION_RCPT,
		  SESSION_CHUNKED}},
		{"QUIT",
		 {"221", "221", "221", "221", "221"},
		 {SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING,
		  SESSION_CLOSING}},
		{"GET /",
		 {"421", "421", "421", "421", "421"},
		 {SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING,
		  SESSION_CLOSING}},
		{"BDAT 2\r\n",
		 {"503", "503", "503", "250 2.0.0 chunk", "250 2.0.0 chunk"},
		 {SESSION_GREETED, SESSION_READY, SESSION_READY, SESSION_CHUNKED, SESSION_CHUNKED}},
		{"BDAT 2 LAST\r\n",
		 {"503", "503", "503", "250 2.0.0 accepted", "250 2.0.0 accepted"},
		 {SESSION_GREETED, SESSION_READY, SESSION_READY, SESSION_READY, SESSION_READY}},
		{"BDAT 99999999 LAST",
		 {"503", "503", "503", "552", "552"},
		 {SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING}},
		{"BDAT x",
		 {"501", "501", "501", "501", "501"},
		 {SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING, SESSION_CLOSING}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (unsigned at = 0; at < 5; at++) {
			struct fake f;

			fake_init(&f, FAKE_MX, false);
			fake_begin(&f);
			fake_send(&f, ways[SESSION_GREETED + at]);
			assert_int_equal(f.session.state, SESSION_GREETED + at);
			assert_true(fake_expect(&f, rows[i].line, rows[i].reply[at]));
			if (f.session.state != rows[i].end[at])
				fail_msg("%s in %u: %s", rows[i].line, at,
					 session_state_name(f.session.state));
			fake_clear(&f);
		}
	}
}

/* ---- limits ---- */

static void test_limits(void **state)
{
	struct fake f;

	(void)state;
	fake_init(&f, FAKE_MX, false);
	f.conf.set.errors_max = 3;
	fake_begin(&f);
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_expect(&f, "WHAT", "500"));
	assert_true(fake_expect(&f, "WHAT", "421 4.7.0 too many errors"));
	assert_true(f.closed);
	fake_clear(&f);

	fake_init(&f, FAKE_MX, false);
	f.conf.set.commands_max = 5;
	fake_begin(&f);
	for (unsigned i = 0; i < 5; i++)
		assert_true(fake_expect(&f, "NOOP", "250"));
	assert_true(fake_expect(&f, "NOOP", "421 4.7.0 too many commands"));
	fake_clear(&f);

	fake_init(&f, FAKE_MX, false);
	f.conf.set.messages_max = 1;
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_true(fake_expect(&f, ".", "250"));
	assert_true(fake_expect(&f, "MAIL FROM:<a@b>", "421 4.7.0 too many messages"));
	fake_clear(&f);

	fake_init(&f, FAKE_SUBMISSIONS, false);
	f.conf.set.auth_attempts_max = 2;
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\n");
	assert_true(fake_expect(&f, "AUTH PLAIN AGFsaWNlAHdyb25n", "535 5.7.8"));
	assert_true(fake_expect(&f, "AUTH PLAIN AGFsaWNlAHdyb25n", "535 5.7.8"));
	assert_true(fake_expect(&f, "AUTH PLAIN AGFsaWNlAHNlY3JldA==", "421 4.7.0"));
	assert_int_equal(f.logins, 2);
	fake_clear(&f);
}

static void begin_data(struct fake *f, enum fake_kind kind)
{
	fake_init(f, kind, false);
	fake_begin(f);
	fake_send(f, "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_int_equal(f->session.state, SESSION_BODY);
}

static void test_body_limits(void **state)
{
	struct fake f;

	(void)state;
	begin_data(&f, FAKE_MX);
	for (unsigned i = 0; i < 20000; i++)
		fake_send(&f, "0123456789012345678901234567890123456789012345678901234567890123\r\n");
	assert_true(fake_expect(&f, ".", "552 5.3.4 message is too big"));
	assert_true(fake_expect(&f, "RCPT TO:<c@d>", "503"));
	assert_int_equal(f.commits, 0);
	fake_clear(&f);

	begin_data(&f, FAKE_MX);
	for (unsigned i = 0; i < 51; i++)
		fake_send(&f, "Received: from a\r\n");
	assert_true(fake_expect(&f, "\r\n.", "554 5.4.6 mail loop"));
	fake_clear(&f);

	begin_data(&f, FAKE_MX);
	for (unsigned i = 0; i < 5000; i++)
		fake_send(&f, "X-Header: 012345678901234567890123456789012345678901234567890\r\n");
	assert_true(fake_expect(&f, "\r\n.", "552 5.3.4 header section"));
	fake_clear(&f);

	begin_data(&f, FAKE_MX);
	for (unsigned i = 0; i < 6600; i++)
		fake_send(&f, "0123456789");
	assert_true(fake_expect(&f, "\r\n.", "500 5.5.2 a line of the message is too long"));
	fake_clear(&f);
}

/* More than a piece goes through WANT_STORE, and comes out whole. */
static void test_large_body(void **state)
{
	static char line[] = "0123456789abcdefghijklmnopqrstuvwxyz\r\n";
	struct fake f;
	struct buf sent = buf_make(1 << 21);

	(void)state;
	begin_data(&f, FAKE_MX);
	buf_add_text(&sent, "Subject: large\r\n\r\n");
	for (unsigned i = 0; i < 8000; i++) {
		line[0] = (char)('a' + i % 26);
		buf_add_text(&sent, line);
	}
	fake_feed(&f, buf_slice(&sent), 10007);
	assert_true(fake_expect(&f, ".", "250 2.0.0 accepted as"));
	assert_true(f.stores >= 4);
	buf_add_text(&sent, "\n--\n");
	assert_true(slice_eq(buf_slice(&f.messages), buf_slice(&sent)));
	buf_free(&sent);
	fake_clear(&f);
}

static void test_needs_and_protocol(void **state)
{
	struct fake f;

	(void)state;
	begin_data(&f, FAKE_MX);
	fake_send(&f, "Subject: M\xc3\xbcnchen\r\n");
	assert_int_equal(transaction_needs(f.session.transaction), 1); /* JOB_8BIT */
	assert_string_equal(session_protocol(&f.session), "ESMTP");
	fake_clear(&f);

	fake_init(&f, FAKE_SUBMISSIONS, false);
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nMAIL FROM:<a@b> "
		      "SMTPUTF8\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_int_equal(transaction_needs(f.session.transaction), 0); /* declared, and not used */
	fake_send(&f, "Subject: M\xc3\xbcnchen\r\n");
	assert_int_equal(transaction_needs(f.session.transaction), 3);
	assert_string_equal(session_protocol(&f.session), "UTF8SMTPSA");
	fake_clear(&f);
}

/* ---- the others are away, or it is time to go ---- */

static void test_policy_away(void **state)
{
	struct fake f;

	(void)state;
	fake_init(&f, FAKE_MX, false);
	f.policy_away = true;
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\nMAIL FROM:<a@b>\r\n");
	assert_true(fake_expect(&f, "RCPT TO:<c@d>", "451 4.3.0"));
	assert_true(fake_expect(&f, "DATA", "503 5.5.1 no valid"));
	fake_clear(&f);
	print_message("ROW policy-away rcpt pass\n");
}

static void test_tls_away(void **state)
{
	struct fake f;

	(void)state;
	fake_init(&f, FAKE_MX, false);
	fake_begin(&f);
	f.session.tls_ready = false;
	fake_send(&f, "EHLO c\r\n");
	assert_true(fake_expect(&f, "STARTTLS", "454 4.7.0 TLS not available now"));
	assert_true(fake_expect(&f, "NOOP", "250"));
	fake_clear(&f);
}

static void test_queue_refuses(void **state)
{
	struct fake f;

	(void)state;
	begin_data(&f, FAKE_MX);
	assert_true(fake_expect(&f, "X-Refuse: queue\r\n.", "550 5.7.1 relaying denied"));
	assert_true(fake_expect(&f, "DATA", "503"));
	fake_clear(&f);
}

static void test_leaving(void **state)
{
	struct fake f;

	(void)state;
	fake_init(&f, FAKE_MX, false);
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\n");
	session_leave(&f.session);
	assert_int_equal(f.session.state, SESSION_CLOSING);
	assert_true(slice_starts(buf_slice(&f.session.out), slice_of("421 4.3.2 ")));
	fake_clear(&f);

	begin_data(&f, FAKE_MX);
	session_leave(&f.session);
	assert_int_equal(f.session.state, SESSION_BODY);
	fake_send(&f, "x\r\n.\r\nMAIL FROM:<a@b>\r\n");
	assert_true(f.closed);
	assert_int_equal(f.commits, 1);
	assert_true(slice_starts(fake_last(&f), slice_of("421 4.3.2 ")));
	fake_clear(&f);
}

static void test_ends(void **state)
{
	static const struct {
		enum session_end why;
		const char *reply;
	} rows[] = {
		{END_IDLE, "421 4.4.2 "},	  {END_SESSION_LONG, "421 4.4.2 "},
		{END_MESSAGE_LONG, "421 4.4.2 "}, {END_SHUTDOWN, "421 4.3.2 "},
		{END_GATE_GONE, "421 4.3.0 "},	  {END_LOGIN_LOST, "421 4.3.0 "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake f;

		begin_data(&f, FAKE_MX);
		session_end(&f.session, rows[i].why);
		assert_int_equal(session_want(&f.session), WANT_CLOSE);
		assert_null(f.session.transaction);
		assert_true(slice_starts(buf_slice(&f.session.out), slice_of(rows[i].reply)));
		session_end(&f.session, rows[i].why); /* said once */
		assert_int_equal(slice_index(buf_slice(&f.session.out), '\n') + 1, f.session.out.len);
		fake_clear(&f);
	}
}

/* An answer that comes too late, or twice, changes nothing. */
static void test_late_answers(void **state)
{
	struct fake f;
	const struct session_verdict refused = session_verdict_of(OC_POLICY_REJECT),
				     done = session_verdict_of(OC_DONE);
	const struct session_login root = {OC_AUTHENTICATED, slice_of("root"), slice_empty(), slice_empty()};

	(void)state;
	fake_init(&f, FAKE_MX, false);
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\nMAIL FROM:<a@b>\r\n");
	session_policy_answered(&f.session, &refused);
	session_login_answered(&f.session, &root);
	session_committed(&f.session, &done, 1);
	session_stored(&f.session, OC_DONE);
	session_resume(&f.session);
	assert_int_equal(f.session.state, SESSION_MAIL);
	assert_int_equal(f.session.out.len, 0);
	assert_string_equal(f.session.login, "");
	fake_clear(&f);
}

/* RFC 5321 §4.1.4: the state is the one before it. */
static void test_a_refused_hello_changes_nothing(void **state)
{
	static const char *const refused[] = {"EHLO unknown\r\n", "HELO unknown\r\n", "EHLO later\r\n", "HELO <c>\r\n"};
	struct fake f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		fake_init(&f, FAKE_MX, true);
		fake_begin(&f);
		fake_send(&f, refused[i]);
		assert_int_equal(f.session.state, SESSION_GREETED);
		assert_string_equal(session_helo(&f.session), "");
		fake_send(&f, "EHLO c\r\n");
		assert_int_equal(f.session.state, SESSION_READY);
		fake_send(&f, refused[i]);
		assert_int_equal(f.session.state, SESSION_READY);
		fake_send(&f, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
		fake_send(&f, refused[i]);
		assert_int_equal(f.session.state, SESSION_RCPT);
		assert_string_equal(session_helo(&f.session), "c");
		assert_string_equal(session_protocol(&f.session), "ESMTP");
		fake_send(&f, "HELO d\r\n");
		assert_int_equal(f.session.state, SESSION_READY);
		assert_string_equal(session_helo(&f.session), "d");
		assert_string_equal(session_protocol(&f.session), "SMTP");
		fake_clear(&f);
	}
}

static void test_effects(void **state)
{
	struct fake f;

	(void)state;
	begin_data(&f, FAKE_MX);
	for (unsigned i = 0; i < 2000; i++) {
		assert_true(session_effect(&f.session, slice_of("add-header"),
					   slice_of("X-Spam: yes")));
		assert_true(session_effect(&f.session, slice_of("tag"), slice_of("message.spam")));
		assert_true(session_effect(&f.session, slice_of("tag"), slice_of("connection.slow")));
	}
	assert_true(session_effect(&f.session, slice_of("hold"), slice_empty()));
	assert_false(
		session_effect(&f.session, slice_of("add-header"), slice_of("X-Bad: a\r\nBcc: b")));
	assert_false(session_effect(&f.session, slice_of("add-header"), slice_of("no colon")));
	assert_true(slice_eq(buf_slice(&f.session.transaction->prepend), slice_of("X-Spam: yes\r\n")));
	assert_true(slice_eq(buf_slice(&f.session.transaction->tags), slice_of("message.spam")));
	assert_true(slice_eq(buf_slice(&f.session.tags), slice_of("connection.slow")));
	assert_true(f.session.transaction->hold);
	for (unsigned i = 0; i < 1400; i++) {
		char line[32];

		snprintf(line, sizeof(line), "X-Number: %u", i);
		if (!session_effect(&f.session, slice_of("add-header"), slice_of(line)))
			break;
		assert_true(i < 1300);
	}
	assert_true(f.session.transaction->prepend.len <= PREPEND_MAX);
	fake_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),	cmocka_unit_test(test_verbs_and_states),
		cmocka_unit_test(test_limits),		cmocka_unit_test(test_body_limits),
		cmocka_unit_test(test_large_body),	cmocka_unit_test(test_needs_and_protocol),
		cmocka_unit_test(test_policy_away),	cmocka_unit_test(test_tls_away),
		cmocka_unit_test(test_queue_refuses),	cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_ends),		cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_effects),		cmocka_unit_test(test_a_refused_hello_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
