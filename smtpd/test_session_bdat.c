/* BDAT: chunks in every state and cut in every way, and the attacks that came with it, by their number in the list. */
#include "session_fake.h"

#include "base/mem.h"
#include "ipc/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define MAIL "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define BINARY_MAIL "MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n"

static void begin(struct fake *f, const char *text)
{
	fake_init(f, FAKE_MX, false);
	f->conf.set.errors_max = 1000000;
	f->conf.set.commands_max = 10000000;
	f->conf.set.messages_max = 1000000;
	fake_begin(f);
	fake_send(f, text);
}

static void add_chunk(struct buf *out, struct slice octets, bool last)
{
	buf_addf(out, "BDAT %zu%s\r\n", octets.len, last ? " LAST" : "");
	buf_add_slice(out, octets);
}

static void send_chunk(struct fake *f, struct slice octets, bool last)
{
	struct buf sent = buf_make(1 << 22);

	add_chunk(&sent, octets, last);
	fake_feed(f, buf_slice(&sent), SIZE_MAX);
	buf_free(&sent);
}

static bool last_is(const struct fake *f, const char *reply)
{
	if (slice_starts(fake_last(f), slice_of(reply)))
		return true;
	printf("expected %s, got %.*s\n", reply, SLICE_ARG(fake_last(f)));
	return false;
}

static bool message_is(const struct fake *f, struct slice body)
{
	struct slice all = buf_slice(&f->messages);

	return all.len >= 4 && slice_eq(slice_sub(all, 0, all.len - 4), body);
}

static void n14_misplaced(void **state)
{
	static const char *const ways[] = {"", "EHLO c\r\n", "EHLO c\r\nMAIL FROM:<a@b>\r\n",
					   "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<unknown@d>\r\n",
					   "EHLO c\r\n" MAIL "RSET\r\n", "EHLO c\r\n" MAIL "BDAT 0 LAST\r\n",
					   "EHLO c\r\n" MAIL "BDAT 1\r\n\n", "EHLO c\r\n" MAIL "DATA\r\n.\r\n"};
	static const char octets[] = "\r\n.\r\nQUIT\r\nMAIL FROM:<evil@e>\r\nBDAT 99999 LAST\r\nSTARTTLS\r\nGET / HTTP/1.0\r\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		for (unsigned last = 0; last < 2; last++) {
			struct fake f;

			begin(&f, ways[i]);
			buf_clear(&f.said);
			f.commits = 0;
			send_chunk(&f, slice_of(octets), last != 0);
			assert_true(last_is(&f, "503 5.5.1"));
			assert_int_equal(slice_index(buf_slice(&f.said), '\n') + 1, f.said.len); /* one reply */
			assert_null(f.session.transaction);
			assert_true(fake_expect(&f, "NOOP", "250"));
			assert_true(fake_expect(&f, "RCPT TO:<c@d>", "503"));
			assert_true(fake_expect(&f, "DATA", "503"));
			fake_send(&f, "EHLO c\r\n" MAIL);
			send_chunk(&f, slice_of("x\r\n"), true);
			assert_true(last_is(&f, "250 2.0.0 accepted"));
			assert_int_equal(f.commits, 1);
			fake_clear(&f);
		}
	}
	print_message("ROW N14 bdat-in-each-state pass\n");
}

/* Every way to cut a message into two chunks, and every way to cut what is sent into segments. */
static void n19_cuts(void **state)
{
	static const char body[] = "Subject: x\r\n\r\n.\r\n..\r\n\r\nline\r\n.";

	(void)state;
	for (size_t cut = 0; cut < sizeof(body); cut++) {
		for (size_t piece = 1; piece < 12; piece++) {
			struct buf sent = buf_make(4096);
			struct fake f;

			begin(&f, "EHLO c\r\n");
			buf_add_text(&sent, MAIL);
			add_chunk(&sent, slice_sub(slice_of(body), 0, cut), false);
			buf_add_text(&sent, "BDAT 0\r\n");
			add_chunk(&sent, slice_from(slice_of(body), cut), true);
			buf_add_text(&sent, "NOOP\r\n");
			buf_clear(&f.said);
			fake_feed(&f, buf_slice(&sent), piece);
			assert_true(slice_eq(buf_slice(&f.said), slice_of("250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
									  "250 2.0.0 chunk taken\r\n250 2.0.0 chunk taken\r\n"
									  "250 2.0.0 accepted as 0000000000001\r\n"
									  "250 2.0.0 ok\r\n")));
			assert_true(message_is(&f, slice_of("Subject: x\r\n\r\n.\r\n..\r\n\r\nline\r\n.\r\n")));
			buf_free(&sent);
			fake_clear(&f);
		}
	}
	print_message("ROW N19 bdat-cuts pass\n");
}

static void e05_dots_and_tiny_chunks(void **state)
{
	struct fake f;

	(void)state;
	begin(&f, "EHLO c\r\n" MAIL);
	send_chunk(&f, slice_of(".\r\n"), false);
	send_chunk(&f, slice_of(".\r\n"), true);
	assert_true(last_is(&f, "250 2.0.0 accepted"));
	assert_true(message_is(&f, slice_of(".\r\n.\r\n")));
	fake_clear(&f);

	fake_init(&f, FAKE_MX, false);
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\n" MAIL);
	for (unsigned i = 0; i < 1000000 && !f.closed; i++) {
		buf_clear(&f.said);
		fake_send(&f, "BDAT 1\r\nx");
		if (!f.closed)
			assert_true(last_is(&f, "250 2.0.0 chunk taken"));
	}
	assert_true(f.closed && last_is(&f, "421 4.7.0 too many commands"));
	assert_int_equal(f.session.commands, f.conf.set.commands_max + 1);
	assert_null(f.session.transaction);
	assert_int_equal(f.commits, 0);
	fake_clear(&f);

	/* Where so many commands are allowed, they cost what their octets cost. */
	begin(&f, "EHLO c\r\n");
	f.conf.set.line_max = f.conf.set.header_max = 2000000;
	fake_send(&f, MAIL);
	for (unsigned i = 0; i < 1000000; i++) {
		buf_clear(&f.said);
		fake_send(&f, i % 2 == 0 ? "BDAT 1\r\nx" : "BDAT 0\r\n");
		assert_true(f.session.transaction->piece.cap <= 2 * BODY_PIECE_MAX);
		assert_true(f.session.out.cap <= 4096 && f.session.line.text.cap <= 4096);
	}
	fake_clear(&f);
	print_message("ROW E05 bdat-dots pass\nROW E05 bdat-tiny-chunks pass\n");
}

static void f08_state_after_refusal(void **state)
{
	static const struct {
		const char *body, *reply;
	} rows[] = {{"X-Away: queue\r\n", "451"}, {"X-Refuse: queue\r\n", "550"}, {"a\nb\r\n", "550 5.6.11"},
		    {"a\rb\r\n", "550 5.6.11"},   {"a\r", "550 5.6.11"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake f;

		begin(&f, "EHLO c\r\n" MAIL);
		send_chunk(&f, slice_of(rows[i].body), true);
		assert_true(last_is(&f, rows[i].reply));
		assert_null(f.session.transaction);
		assert_true(fake_expect(&f, "RCPT TO:<c@d>", "503"));
		assert_true(fake_expect(&f, "DATA", "503"));
		send_chunk(&f, slice_of("x\r\n"), true);
		assert_true(last_is(&f, "503"));
		assert_int_equal(f.commits, 0);
		fake_clear(&f);
	}
	print_message("ROW F08 bdat-state-after-refusal pass\n");
}

/* What is thrown away is bounded, in one chunk and in all. */
static void f11_thrown_away(void **state)
{
	static char junk[65536];
	struct fake f;
	uint64_t sent = 0;

	(void)state;
	memset(junk, 'x', sizeof(junk));
	begin(&f, "EHLO c\r\n");
	assert_true(fake_expect(&f, "BDAT 10737418240", "503"));
	assert_true(f.closed);
	fake_clear(&f);

	begin(&f, "EHLO c\r\n");
	for (; sent < 10u << 20 && !f.closed; sent += sizeof(junk))
		send_chunk(&f, slice_make(junk, sizeof(junk)), false);
	assert_true(f.closed && last_is(&f, "503"));
	assert_true(sent <= f.conf.set.message_size_max + sizeof(junk));
	fake_clear(&f);
	print_message("ROW F11 bdat-thrown-away pass\n");
}

static void too_big(void **state)
{
	static char line[1000];
	struct fake f;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line + 998, "\r\n", 2);
	begin(&f, "EHLO c\r\n");
	f.conf.set.message_size_max = 2500;
	fake_send(&f, MAIL);
	send_chunk(&f, slice_make(line, 1000), false);
	send_chunk(&f, slice_make(line, 1000), false);
	assert_true(last_is(&f, "250 2.0.0 chunk"));
	send_chunk(&f, slice_make(line, 501), false);
	assert_true(last_is(&f, "552 5.3.4"));
	assert_null(f.session.transaction);
	send_chunk(&f, slice_make(line, 10), true);
	assert_true(last_is(&f, "503"));
	fake_send(&f, MAIL);
	assert_true(fake_expect(&f, "BDAT 2501", "552 5.3.4")); /* beyond what is thrown away */
	assert_true(f.closed);
	fake_clear(&f);

	begin(&f, "EHLO c\r\n");
	f.conf.set.message_size_max = 1000;
	fake_send(&f, MAIL);
	send_chunk(&f, slice_make(line, 1000), true);
	assert_true(last_is(&f, "250 2.0.0 accepted"));
	fake_clear(&f);
}

static void z08_sizes(void **state)
{
	static const char *const bad[] = {"BDAT",	   "BDAT ",	   "BDAT LAST",	       "BDAT -1",     "BDAT +5",
					  "BDAT 0x10",	   "BDAT 1 LAST LAST", "BDAT 18446744073709551616",
					  "BDAT 1LAST",	   "BDAT 1 LASTING", "BDAT 1 2",     "BDAT 1.0",    "BDAT 1e3",
					  "BDAT 000000000000000000001", "BDAT ,1", "BDAT 1,LAST"};
	static const char *const ways[] = {"", "EHLO c\r\n", "EHLO c\r\n" MAIL, "EHLO c\r\n" MAIL "BDAT 0\r\n"};

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			struct fake f;

			begin(&f, ways[w]);
			assert_true(fake_expect(&f, bad[i], "501 5.5.4"));
			assert_true(f.closed);
			fake_clear(&f);
		}
	}
	for (size_t w = 2; w < ARRAY_LEN(ways); w++) {
		struct fake f;

		begin(&f, ways[w]);
		assert_true(fake_expect(&f, "BDAT 18446744073709551615", "552"));
		assert_true(f.closed);
		fake_clear(&f);
	}
	print_message("ROW Z08 bdat-sizes pass\nROW Z08 bdat-and-data pass\n");
}

/* ---- lines ---- */

static void z04_bare_ends(void **state)
{
	static const struct {
		const char *body;
		size_t len;
	} bodies[] = {{"a\nb\r\n", 5}, {"a\rb\r\n", 5}, {"a\r\r\nb\r\n", 7}, {"a\n.\r\nb\r\n", 8}, {"\n", 1},
		      {"\r", 1},       {"a\0b\r\n", 5}, {"Subject: \0\r\n\r\n", 14}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct slice body = slice_make(bodies[i].body, bodies[i].len);
		struct fake f;

		begin(&f, "EHLO c\r\n" MAIL);
		send_chunk(&f, body, true);
		assert_true(last_is(&f, "550 5.6.11"));
		fake_send(&f, BINARY_MAIL);
		send_chunk(&f, slice_of("Subject: x\r\n\r\n"), false);
		assert_int_equal(transaction_needs(f.session.transaction), JOB_BINARY);
		send_chunk(&f, body, true);
		assert_true(last_is(&f, "250 2.0.0 accepted"));
		assert_int_equal(f.messages.len, 14 + body.len + 4);
		assert_memory_equal(f.messages.at + 14, body.at, body.len);
		/* But never in the header. */
		fake_send(&f, BINARY_MAIL);
		send_chunk(&f, slice_of("Subject: x\r\n"), false);
		send_chunk(&f, body, true);
		assert_true(last_is(&f, "550 5.6.11"));
		assert_int_equal(f.commits, 1);
		fake_clear(&f);
	}
	print_message("ROW Z04 bdat-bare-ends pass\n");
}

/* Bodies whose pieces end just where chunks do, with and without a line end. */
static void pieces(void **state)
{
	(void)state;
	for (size_t len = BODY_PIECE_MAX - 5; len <= BODY_PIECE_MAX + 5; len++) {
		for (unsigned way = 0; way < 8; way++) {
			struct buf body = buf_make(1 << 18);
			struct fake f;
			size_t cut = (way & 1) != 0 ? 10 : 0, tail = (way & 6) == 2 ? 2 : 0;

			for (size_t i = 0; i + tail < len; i++)
				buf_add_char(&body, (char)('a' + i % 26));
			buf_add_text(&body, tail == 2 ? "\r\n" : "");
			begin(&f, "EHLO c\r\n");
			f.conf.set.line_max = 1 << 20;
			f.conf.set.header_max = 1 << 20;
			fake_send(&f, MAIL);
			send_chunk(&f, slice_sub(buf_slice(&body), 0, len - cut), false);
			if ((way & 4) != 0)
				fake_send(&f, "BDAT 0\r\n");
			send_chunk(&f, slice_from(buf_slice(&body), len - cut), true);
			assert_true(last_is(&f, "250 2.0.0 accepted"));
			buf_add_text(&body, tail == 2 ? "" : "\r\n");
			assert_true(message_is(&f, buf_slice(&body)));
			buf_free(&body);
			fake_clear(&f);
		}
	}
}

static void same_faults_as_data(void **state)
{
	struct fake f;
	struct buf body = buf_make(1 << 18);

	(void)state;
	for (unsigned i = 0; i < 51; i++)
		buf_add_text(&body, "Received: from a\r\n");
	begin(&f, "EHLO c\r\n" MAIL);
	send_chunk(&f, buf_slice(&body), true);
	assert_true(last_is(&f, "554 5.4.6"));
	buf_clear(&body);
	for (unsigned i = 0; i < 66000; i++)
		buf_add_char(&body, 'x');
	fake_send(&f, MAIL);
	send_chunk(&f, buf_slice(&body), false);
	assert_true(last_is(&f, "500 5.5.2"));
	fake_send(&f, BINARY_MAIL);
	send_chunk(&f, slice_of("\r\n"), false);
	send_chunk(&f, buf_slice(&body), true); /* no line at all */
	assert_true(last_is(&f, "250 2.0.0 accepted"));
	buf_free(&body);
	fake_clear(&f);
}

static void limits_are_said(void **state)
{
	struct fake f;

	(void)state;
	fake_init(&f, FAKE_MX, false);
	f.conf.set.recipients_max = 7;
	f.conf.set.messages_max = 3;
	fake_begin(&f);
	fake_send(&f, "EHLO c\r\n");
	assert_true(slice_find(buf_slice(&f.said), slice_of("\r\n250-LIMITS RCPTMAX=7 MAILMAX=3\r\n")) != SLICE_NONE);
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_expect(&f, MAIL "BDAT 0 LAST", "250 2.0.0 accepted"));
	assert_true(fake_expect(&f, "MAIL FROM:<a@b>", "421 4.7.0 too many messages"));
	fake_clear(&f);
}

/* ---- smuggling ---- */

static const char *suites(void)
{
	const char *from_env = getenv("POSTERN_SUITES");

	return from_env != NULL ? from_env : POSTERN_SUITES_DEFAULT;
}

static int hex_digit(char c)
{
	return ascii_is_digit(c) ? c - '0' : ascii_lower(c) - 'a' + 10;
}

/* In one chunk, across two, and as the end of one: what is inside is never read as a command. */
static void smuggle(struct slice payload, size_t piece, bool binary)
{
	struct buf inner = buf_make(4096), sent = buf_make(8192);

	buf_add_text(&inner, "Subject: outer\r\n\r\nbefore");
	buf_add_slice(&inner, payload);
	buf_add_text(&inner, "MAIL FROM:<evil@e>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n");
	for (size_t cut = 24; cut <= 24 + payload.len; cut++) {
		struct fake f;

		begin(&f, "EHLO c\r\n");
		buf_clear(&sent);
		buf_add_text(&sent, binary ? BINARY_MAIL : MAIL);
		add_chunk(&sent, slice_sub(buf_slice(&inner), 0, cut), false);
		add_chunk(&sent, slice_from(buf_slice(&inner), cut), true);
		buf_clear(&f.said);
		fake_feed(&f, buf_slice(&sent), piece);
		assert_true(f.commits <= 1);
		assert_true(!binary || f.commits == 1);
		assert_true(last_is(&f, f.commits == 1 ? "250 2.0.0 accepted" : "5"));
		if (f.commits == 1)
			assert_true(message_is(&f, buf_slice(&inner)));
		fake_clear(&f);
	}
	buf_free(&inner);
	buf_free(&sent);
}

static void z01_smuggling(void **state)
{
	char path[4096], line[4096];
	unsigned count = 0;
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/smuggling/payloads.json", suites());
	file = fopen(path, "re");
	if (file == NULL) {
		print_message("skipped: not here\n");
		skip();
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		char payload[200];
		size_t len = 0;
		const char *hex = strstr(line, "\"hex\": \"");

		if (hex == NULL)
			continue;
		for (hex += 8; ascii_is_alnum(hex[0]) && len < sizeof(payload); hex += 2)
			payload[len++] = (char)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
		for (unsigned binary = 0; binary < 2; binary++) {
			smuggle(slice_make(payload, len), 1, binary != 0);
			smuggle(slice_make(payload, len), SIZE_MAX, binary != 0);
		}
		count++;
	}
	fclose(file);
	assert_int_equal(count, 17);
	print_message("ROW Z01 bdat-payloads pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(n14_misplaced),	    cmocka_unit_test(n19_cuts),
		cmocka_unit_test(e05_dots_and_tiny_chunks),
		cmocka_unit_test(f08_state_after_refusal),  cmocka_unit_test(f11_thrown_away),
		cmocka_unit_test(too_big),		    cmocka_unit_test(z08_sizes),
		cmocka_unit_test(z04_bare_ends),	    cmocka_unit_test(pieces),
		cmocka_unit_test(same_faults_as_data),	    cmocka_unit_test(limits_are_said),
		cmocka_unit_test(z01_smuggling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
