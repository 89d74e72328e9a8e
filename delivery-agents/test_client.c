#include "client.h"
#include "client_auth.h"
#include "dialogue.h"

#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Golden dialogues: `POSTERN_REWRITE=1 test_client` writes down what happens now, and git shows the difference. */
#ifndef POSTERN_GOLDEN
#define POSTERN_GOLDEN "golden"
#endif

static void read_whole(int dir, const char *name, struct buf *out)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char *room = buf_room(out, 1 << 16);
	ssize_t n = read(fd, room, 1 << 16);

	assert_in_range(n, 1, (1 << 16) - 1);
	buf_grew(out, (size_t)n);
	close(fd);
}

static void rewrite(int dir, const char *name, struct slice text)
{
	int fd = openat(dir, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_equal(write(fd, text.at, text.len), (ssize_t)text.len);
	close(fd);
}

/* Whole, and byte by byte: the same. */
static void check_dialogue(int dir, const char *name)
{
	static const size_t pieces[] = {0, 1, 3};
	struct buf script = buf_make(1 << 17);

	read_whole(dir, name, &script);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct buf transcript = buf_make(1 << 17);

		dialogue_play(buf_slice(&script), pieces[i], &transcript);
		if (i == 0 && getenv("POSTERN_REWRITE") != NULL) {
			rewrite(dir, name, buf_slice(&transcript));
			buf_clear(&script);
			read_whole(dir, name, &script);
		}
		if (!slice_eq(buf_slice(&script), buf_slice(&transcript)))
			fail_msg("%s, in pieces of %zu:\n%s", name, pieces[i], buf_text(&transcript));
		buf_free(&transcript);
	}
	buf_free(&script);
}

static void test_dialogues(void **state)
{
	DIR *d = opendir(POSTERN_GOLDEN);
	struct dirent *e;
	unsigned count = 0;

	(void)state;
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (!slice_ends_nocase(slice_of(e->d_name), slice_of(".dialogue")))
			continue;
		check_dialogue(dirfd(d), e->d_name);
		count++;
	}
	closedir(d);
	assert_true(count >= 25);
}

/* ---- a hostile server, at each phase of a session ---- */

static const struct conf_settings settings = {.greeting_timeout_ms = 1,
					      .command_timeout_ms = 2,
					      .data_command_timeout_ms = 3,
					      .data_block_timeout_ms = 4,
					      .data_end_timeout_ms = 5};

static const struct {
	const char *phase, *answer;
	uint64_t timeout_ms;
} phases[] = {
	{"greeting", "220 mx\r\n", 1}, {"EHLO", "250 mx\r\n", 2}, {"MAIL", "250 ok\r\n", 2},
	{"RCPT", "250 ok\r\n", 2},     {"DATA", "354 go\r\n", 3}, {"end of data", "250 ok\r\n", 5},
};

static const struct {
	const char *name;
	struct slice said;
} hostile[] = {
#define SAID(text) \
	{ \
		text, sizeof(text) - 1 \
	}
	{"short-lf", SAID("553-\n553\n")},
	{"digit", SAID("5\r\n")},
	{"digits", SAID("55\r\n")},
	{"code-lf", SAID("553\n")},
	{"code-change", SAID("250-a\r\n550 b\r\n")},
	{"nul", SAID("250 \0\r\n")},
	{"bare-cr", SAID("250 a\rb\r\n")},
	{"words", SAID("what do you mean\r\n")},
	{"class-three", SAID("399 x\r\n")},
	{"class-one", SAID("199 x\r\n")},
	{"crlf", SAID("\r\n\r\n\r\n")},
};

struct session {
	struct client *client;
	struct client_recipient to;
	struct client_mail mail;
	enum client_want want;
};

static void serve(struct session *s)
{
	if (s->want == CLIENT_WANT_MAIL && !s->to.verdict.decided)
		s->want = client_mail(s->client, &s->mail);
	if (s->want == CLIENT_WANT_BODY) {
		client_body(s->client, slice_of("x\r\n"));
		s->want = client_body_end(s->client);
	}
}

/* A session that has come to this phase in good order. */
static void come_to(struct session *s, size_t phase)
{
	const struct client_config config = {.hostname = "client.example.test", .set = &settings};

	memset(s, 0, sizeof(*s));
	s->to.address = slice_of("b@example.test");
	s->mail = (struct client_mail){.sender = slice_of("a@example.test"),
				       .recipients = &s->to,
				       .recipient_count = 1};
	s->client = client_new(&config);
	s->want = client_start(s->client);
	for (size_t i = 0; i < phase; i++) {
		s->want = client_input(s->client, slice_of(phases[i].answer));
		serve(s);
	}
	assert_string_equal(client_phase(s->client), phases[phase].phase);
	assert_int_equal(client_timeout_ms(s->client), phases[phase].timeout_ms);
}

static void check_temporary(struct session *s, const char *name, size_t phase)
{
	const struct client_verdict *v = s->to.verdict.decided ? &s->to.verdict : client_failure(s->client);

	if (s->want != CLIENT_CLOSED || !v->decided || outcome_kind(v->outcome) != KIND_TEMP)
		fail_msg("%s at %s", name, phases[phase].phase);
	for (const char *t = v->reply.text; *t != '\0'; t++)
		assert_in_range(*t, ' ', '~');
	assert_int_equal(client_mail_is_in_doubt(s->client), phase == 5);
	client_free(&s->client);
}

static void test_hostile_at_each_phase(void **state)
{
	(void)state;
	for (size_t phase = 0; phase < ARRAY_LEN(phases); phase++)
		for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
			struct session s;

			come_to(&s, phase);
			s.want = client_input(s.client, hostile[i].said);
			check_temporary(&s, hostile[i].name, phase);
		}
}

static void test_unbounded_at_each_phase(void **state)
{
	(void)state;
	for (size_t phase = 0; phase < ARRAY_LEN(phases); phase++) {
		struct session s;
		char line[REPLY_LINE_MAX + 2];

		come_to(&s, phase);
		for (unsigned i = 0; i <= REPLY_LINES_MAX && s.want != CLIENT_CLOSED; i++)
			s.want = client_input(s.client, slice_of("250-again\r\n"));
		check_temporary(&s, "continuation", phase);

		memset(line, '2', sizeof(line));
		come_to(&s, phase);
		s.want = client_input(s.client, slice_make(line, sizeof(line)));
		check_temporary(&s, "long line", phase);
	}
}

static void test_lost_at_each_phase(void **state)
{
	(void)state;
	for (size_t phase = 0; phase < ARRAY_LEN(phases); phase++) {
		struct session s;

		come_to(&s, phase);
		client_input(s.client, slice_of("25"));
		s.want = client_lost(s.client, OC_CONNECTION_LOST, "gone");
		check_temporary(&s, "lost", phase);
	}
}

static void test_hostile_at_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		struct session s;

		come_to(&s, 5);
		assert_int_equal(client_input(s.client, slice_of("250 ok\r\n")), CLIENT_WANT_MAIL);
		assert_int_equal(client_quit(s.client), CLIENT_WANT_READ);
		client_input(s.client, hostile[i].said);
		assert_int_equal(client_lost(s.client, OC_CONNECTION_LOST, "gone"), CLIENT_CLOSED);
		/* What was decided stands. */
		assert_int_equal(s.to.verdict.outcome, OC_DONE);
		client_free(&s.client);
	}
}

static void test_refused_in_the_middle_of_the_message(void **state)
{
	struct session s;

	(void)state;
	come_to(&s, 4);
	s.want = client_input(s.client, slice_of("354 go\r\n"));
	assert_int_equal(s.want, CLIENT_WANT_BODY);
	assert_int_equal(client_timeout_ms(s.client), 4);
	client_body(s.client, slice_of("begun"));
	s.want = client_input(s.client, slice_of("552 5.3.4 too big\r\n"));
	assert_int_equal(s.want, CLIENT_CLOSED);
	assert_int_equal(client_failure(s.client)->outcome, OC_REMOTE_PERM);
	assert_string_equal(client_failure(s.client)->reply.dsn, "5.3.4");
	assert_false(client_mail_is_in_doubt(s.client));
	/* Nothing is said any more, least of all the dot. */
	buf_clear(client_out(s.client));
	assert_int_equal(client_body_end(s.client), CLIENT_CLOSED);
	assert_int_equal(client_out(s.client)->len, 0);
	client_free(&s.client);
}

static void test_addresses_cannot_carry_commands(void **state)
{
	static const char *const bad[] = {"a@b\r\nDATA", "a\nb@c", "a\x7f@b", "\x01@b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct session s;

		come_to(&s, 1);
		s.to.address = slice_of(bad[i]);
		s.want = client_input(s.client, slice_of("250 mx\r\n"));
		buf_clear(client_out(s.client));
		serve(&s);
		assert_int_equal(s.to.verdict.outcome, OC_UNAVAILABLE);
		assert_int_equal(client_out(s.client)->len, 0);
		client_free(&s.client);
	}
}

static void test_a_stale_connection_is_told_apart(void **state)
{
	struct session s;

	(void)state;
	come_to(&s, 2);
	assert_false(client_mail_was_heard(s.client));
	client_lost(s.client, OC_CONNECTION_LOST, "gone");
	assert_false(client_mail_was_heard(s.client));
	client_free(&s.client);
	come_to(&s, 3);
	assert_true(client_mail_was_heard(s.client));
	client_free(&s.client);
}

/* Many recipients with PIPELINING: what is under way has a bound, and all are asked. */
static void test_pipelining_is_bounded(void **state)
{
	enum { COUNT = 2000 };
	static struct client_recipient to[COUNT];
	struct client_mail mail = {.sender = slice_of("a@example.test"), .recipients = to, .recipient_count = COUNT};
	const struct client_config config = {.hostname = "client.example.test", .set = &settings};
	struct client *c = client_new(&config);
	enum client_want want;
	size_t most = 0;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		to[i].address = slice_of("a-recipient-with-a-name-of-some-length@example.test");
	client_start(c);
	client_input(c, slice_of("220 mx\r\n250-mx\r\n250 PIPELINING\r\n"));
	want = client_mail(c, &mail);
	for (unsigned i = 0; i < COUNT + 2 && want == CLIENT_WANT_READ; i++) {
		most = client_out(c)->len > most ? client_out(c)->len : most;
		buf_clear(client_out(c));
		want = client_input(c, i == COUNT + 1 ? slice_of("354 go\r\n") : slice_of("250 ok\r\n"));
	}
	assert_int_equal(want, CLIENT_WANT_BODY);
	assert_in_range(most, 30 << 10, 40 << 10);
	client_free(&c);
}

static void test_a_bare_line_end_is_never_sent_as_whole(void **state)
{
	static const char *const bodies[] = {"a\n.\nb\r\n", "a\r.\r\n", "a\r"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct session s;

		come_to(&s, 4);
		assert_int_equal(client_input(s.client, slice_of("354 go\r\n")), CLIENT_WANT_BODY);
		client_body(s.client, slice_of(bodies[i]));
		assert_int_equal(client_body_end(s.client), CLIENT_CLOSED);
		assert_int_equal(client_out(s.client)->len, 0);
		assert_int_equal(client_failure(s.client)->outcome, OC_UNAVAILABLE);
		client_free(&s.client);
	}
}

/* A client in the body of a binary mail of `size` octets; its BDAT has been said. */
static struct client *in_chunk(struct client_mail *mail, uint64_t size)
{
	static const struct client_config config = {.hostname = "client.example.test", .set = &settings};
	struct client *c = client_new(&config);

	mail->size = size;
	client_start(c);
	client_input(c, slice_of("220 mx\r\n250-mx\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"));
	client_mail(c, mail);
	client_input(c, slice_of("250 ok\r\n"));
	buf_clear(client_out(c));
	assert_int_equal(client_input(c, slice_of("250 ok\r\n")), size > 0 ? CLIENT_WANT_BODY : CLIENT_WANT_READ);
	return c;
}

static void test_octets_go_as_they_are(void **state)
{
	static const char octets[] = "Subject: x\r\n\r\n.\n.\r\n\0\r\xff\n.";
	struct client_recipient to = {.address = slice_of("b@example.test")};
	struct client_mail mail = {
		.sender = slice_of("a@example.test"), .is_binary = true, .recipients = &to, .recipient_count = 1};
	struct slice all = slice_make(octets, sizeof(octets) - 1);
	struct client *c = in_chunk(&mail, all.len);

	(void)state;
	assert_true(slice_eq(buf_slice(client_out(c)), slice_of("BDAT 24 LAST\r\n")));
	buf_clear(client_out(c));
	assert_int_equal(client_body(c, slice_sub(all, 0, 9)), CLIENT_WANT_BODY);
	/* With its last octet the host has it: from here on the answer counts, and nothing more is said. */
	assert_int_equal(client_body(c, slice_from(all, 9)), CLIENT_WANT_READ);
	assert_true(slice_eq(buf_slice(client_out(c)), all));
	assert_int_equal(client_input(c, slice_of("250 2.0.0 kept\r\n")), CLIENT_WANT_MAIL);
	assert_int_equal(to.verdict.outcome, OC_DONE);
	client_free(&c);
	printf("ROW Z03 binary-by-bdat pass\n");
}

/* What was announced is what is sent, or the connection ends with the chunk open: the host has no mail then. */
static void test_a_chunk_of_another_length(void **state)
{
	struct client_recipient to = {.address = slice_of("b@example.test")};
	struct client_mail mail = {
		.sender = slice_of("a@example.test"), .is_binary = true, .recipients = &to, .recipient_count = 1};
	struct client *c = in_chunk(&mail, 10);

	(void)state;
	assert_int_equal(client_body(c, slice_of("123456789")), CLIENT_WANT_BODY);
	assert_int_equal(client_body_end(c), CLIENT_CLOSED);
	assert_int_equal(outcome_kind(client_failure(c)->outcome), KIND_TEMP);
	assert_false(client_mail_is_in_doubt(c));
	client_free(&c);

	to.verdict = (struct client_verdict){.decided = false};
	c = in_chunk(&mail, 10);
	buf_clear(client_out(c));
	assert_int_equal(client_body(c, slice_of("12345678901")), CLIENT_CLOSED);
	assert_int_equal(client_out(c)->len, 0);
	client_free(&c);

	/* Refused in the middle: what follows cannot be taken back. */
	c = in_chunk(&mail, 10);
	client_body(c, slice_of("12345"));
	assert_int_equal(client_input(c, slice_of("552 5.3.4 too big\r\n")), CLIENT_CLOSED);
	assert_int_equal(client_failure(c)->outcome, OC_REMOTE_PERM);
	client_free(&c);

	/* Taken before it was all there: that is no SMTP. */
	c = in_chunk(&mail, 10);
	client_body(c, slice_of("12345"));
	assert_int_equal(client_input(c, slice_of("250 kept\r\n")), CLIENT_CLOSED);
	assert_int_equal(client_failure(c)->outcome, OC_REMOTE_PROTOCOL);
	client_free(&c);

	c = in_chunk(&mail, 0);
	assert_int_equal(client_input(c, slice_of("250 kept\r\n")), CLIENT_WANT_MAIL);
	assert_int_equal(to.verdict.outcome, OC_DONE);
	client_free(&c);
}

/* RFC 9422: in as many transactions as it takes, each recipient once. */
static void test_no_more_recipients_than_it_takes(void **state)
{
	enum { COUNT = 25 };
	struct client_recipient to[COUNT] = {{.slot = 0}};
	struct client_mail mail = {.sender = slice_of("a@example.test"), .recipients = to, .recipient_count = COUNT};
	const struct client_config config = {.hostname = "client.example.test", .set = &settings};
	struct client *c = client_new(&config);
	unsigned mails = 0, rcpts = 0;
	enum client_want want;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		to[i].address = slice_of("b@example.test");
	client_start(c);
	want = client_input(c, slice_of("220 mx\r\n250-mx\r\n250 LIMITS RCPTMAX=10 MAILMAX=3\r\n"));
	while (want == CLIENT_WANT_MAIL && (mails == 0 || client_mail_is_left(&mail))) {
		assert_false(client_is_spent(c));
		mails++;
		for (want = client_mail(c, &mail); want == CLIENT_WANT_READ;) {
			bool data = slice_starts(buf_slice(client_out(c)), slice_of("DATA"));

			rcpts += slice_starts(buf_slice(client_out(c)), slice_of("RCPT"));
			buf_clear(client_out(c));
			want = client_input(c, slice_of(data ? "354 go\r\n" : "250 ok\r\n"));
		}
		assert_int_equal(want, CLIENT_WANT_BODY);
		client_body_end(c);
		buf_clear(client_out(c));
		want = client_input(c, slice_of("250 kept\r\n"));
	}
	assert_int_equal(mails, 3);
	assert_int_equal(rcpts, COUNT);
	assert_true(client_is_spent(c));
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(to[i].verdict.outcome, OC_DONE);
	client_free(&c);
}

static int failed(const struct CMUnitTest *tests, size_t count)
{
	return _cmocka_run_group_tests("client", tests, count, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest dialogues[] = {cmocka_unit_test(test_dialogues)};
	const struct CMUnitTest hostiles[] = {
		cmocka_unit_test(test_hostile_at_each_phase),
		cmocka_unit_test(test_unbounded_at_each_phase),
		cmocka_unit_test(test_lost_at_each_phase),
		cmocka_unit_test(test_hostile_at_the_end),
	};
	const struct CMUnitTest rest[] = {
		cmocka_unit_test(test_refused_in_the_middle_of_the_message),
		cmocka_unit_test(test_addresses_cannot_carry_commands),
		cmocka_unit_test(test_a_stale_connection_is_told_apart),
		cmocka_unit_test(test_pipelining_is_bounded),
		cmocka_unit_test(test_a_bare_line_end_is_never_sent_as_whole),
		cmocka_unit_test(test_octets_go_as_they_are),
		cmocka_unit_test(test_a_chunk_of_another_length),
		cmocka_unit_test(test_no_more_recipients_than_it_takes),
	};
	int bad_dialogues, bad_hostiles;

	auth_prepare();
	log_set_level(LEVEL_ERROR);
	bad_dialogues = failed(dialogues, ARRAY_LEN(dialogues));
	bad_hostiles = failed(hostiles, ARRAY_LEN(hostiles));
	printf("ROW O02 client-phases %s\n", bad_hostiles == 0 ? "pass" : "fail");
	for (size_t i = 0; i < 4; i++)
		printf("ROW %s client-dialogue %s\n", ((const char *[]){"T02", "T05", "A07", "E20"})[i],
		       bad_dialogues == 0 ? "pass" : "fail");
	return bad_dialogues + bad_hostiles + failed(rest, ARRAY_LEN(rest));
}
