/* Attacks on the protocol, by their number in the list of attacks. */
#include "session_fake.h"

#include "base/base64.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define ENVELOPE "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"

static void begin(struct fake *f, enum fake_kind kind, const char *text)
{
	fake_init(f, kind, false);
	f->conf.set.errors_max = 1000000;
	f->conf.set.commands_max = 10000000;
	fake_begin(f);
	fake_send(f, text);
}

static bool code_is(const struct fake *f, const char *codes)
{
	char code[5] = {0};

	if (fake_last(f).len < 3)
		return false;
	memcpy(code, fake_last(f).at, 3);
	return strstr(codes, code) != NULL;
}

static void n12_many_recipients(void **state)
{
	struct fake f;
	struct slice said;

	(void)state;
	begin(&f, FAKE_MX, "EHLO c\r\nMAIL FROM:<a@b>\r\n");
	buf_clear(&f.said);
	for (unsigned i = 0; i < 200000; i++)
		fake_send(&f, "RCPT TO:<c@d>\r\n");
	assert_int_equal(f.session.transaction->recipient_count, 1000);
	said = buf_slice(&f.said);
	for (unsigned i = 0; i < 200000; i++) {
		struct slice line;

		assert_true(slice_cut(&said, '\n', &line));
		assert_true(slice_starts(line, slice_of(i < 1000 ? "250 2.1.5" : "452 4.5.3")));
	}
	assert_true(fake_expect(&f, "DATA\r\nx\r\n.", "250 2.0.0 accepted"));
	fake_clear(&f);
	print_message("ROW N12 recipients pass\n");
}

static void n17_strange_arguments(void **state)
{
	static const char *const fillers[] = {"\"", " \"", "=", " = ",	"<> \"", "<>=\"", "",	" ",
					      "\t", "<",   ">", "<<>>", "<>>",	 "<\"",	  "<\\"};
	static const char *const verbs[] = {"MAIL FROM:", "RCPT TO:", "MAIL ", "RCPT ", "EHLO ",
					    "VRFY ",	  "AUTH ",    "HELP ", ""};

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(verbs); v++) {
		for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
			for (size_t times = 0; times < 300; times += 7) {
				struct fake f;
				struct buf line = buf_make(1 << 16);

				begin(&f, FAKE_SUBMISSIONS,
				      "EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nMAIL "
				      "FROM:<a@b>\r\n");
				buf_add_text(&line, verbs[v]);
				for (size_t t = 0; t < times; t++)
					buf_add_text(&line, fillers[i]);
				buf_add_text(&line, "\r\n");
				fake_feed(&f, buf_slice(&line), SIZE_MAX);
				assert_false(f.closed);
				if (!code_is(&f, "250 252 214 500 501 503 553 555"))
					fail_msg("%s%s: %.*s", verbs[v], fillers[i],
						 SLICE_ARG(fake_last(&f)));
				buf_free(&line);
				fake_clear(&f);
			}
		}
	}
	print_message("ROW N17 strange-arguments pass\n");
}

static void n18_command_history(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= 2000; n += 97) {
		struct fake f;

		begin(&f, FAKE_MX, "EHLO c\r\n");
		for (unsigned i = 0; i < n; i++)
			assert_true(fake_expect(&f, i % 2 ? "NOOP" : "WIZ", i % 2 ? "250" : "500"));
		assert_true(fake_expect(&f, "DATA", "503"));
		assert_true(fake_expect(&f, "RSET", "250"));
		assert_true(fake_expect(&f, "QUIT", "221"));
		fake_clear(&f);
	}
	print_message("ROW N18 command-history pass\n");
}

static void n21_envelope_lengths(void **state)
{
	static const size_t lengths[] = {1, 255, 4095, 16383, 16384, 16385, 65535};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct fake f;
		struct buf line = buf_make(1 << 17);

		begin(&f, FAKE_MX, "EHLO c\r\n");
		buf_add_text(&line, "MAIL FROM:<");
		for (size_t n = 0; n < lengths[i]; n++)
			buf_add_char(&line, 'x');
		buf_add_text(&line, "@example.test>\r\n");
		fake_feed(&f, buf_slice(&line), SIZE_MAX);
		assert_true(code_is(&f, lengths[i] == 1 ? "250" : "500 553"));
		assert_false(f.closed);
		buf_free(&line);
		fake_clear(&f);
	}
	print_message("ROW N21 envelope-lengths pass\n");
}

static void e03_long_ehlo(void **state)
{
	(void)state;
	for (size_t len = 512; len <= 1 << 20; len *= 2) {
		struct fake f;
		struct buf line = buf_make(1 << 21);

		begin(&f, FAKE_MX, "");
		buf_add_text(&line, "EHLO ");
		for (size_t n = 0; n < len; n++)
			buf_add_char(&line, 'x');
		buf_add_text(&line, "\r\n");
		fake_feed(&f, buf_slice(&line), 4096);
		assert_true(code_is(&f, len > COMMAND_SKIPPED_MAX ? "421" : "500 501"));
		assert_string_equal(f.session.helo, "");
		buf_free(&line);
		fake_clear(&f);
	}
	print_message("ROW E03 long-ehlo pass\n");
}

static void e04_base64(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 1025; len++) {
		for (unsigned kind = 0; kind < 4; kind++) {
			struct fake f;
			struct buf line = buf_make(4096);

			begin(&f, FAKE_SUBMISSIONS, "EHLO c\r\n");
			buf_add_text(&line, "AUTH PLAIN ");
			for (size_t n = 0; n < len; n++)
				buf_add_char(&line, kind == 1 && n == len / 2	? '='
						    : kind == 2 && n == len / 2 ? '!'
										: 'A');
			buf_add_text(&line, kind == 3 ? "=\r\n" : "\r\n");
			fake_feed(&f, buf_slice(&line), SIZE_MAX);
			assert_true(len == 0 || code_is(&f, "501") || (kind == 1 && len == 1));
			assert_int_equal(f.logins, 0);
			buf_free(&line);
			fake_clear(&f);
		}
	}
	print_message("ROW E04 base64 pass\n");
}

static void e12_ntlm(void **state)
{
	struct fake f;

	(void)state;
	begin(&f, FAKE_SUBMISSIONS, "EHLO c\r\n");
	assert_true(fake_expect(&f, "AUTH NTLM TlRMTVNTUAABAAAA", "504"));
	assert_true(fake_expect(&f, "AUTH SPA", "504"));
	assert_true(fake_expect(&f, "AUTH EXTERNAL =", "504"));
	fake_clear(&f);
	print_message("ROW E12 ntlm pass\n");
}

static void e13_many_fields(void **state)
{
	(void)state;
	for (unsigned fields = 0; fields <= 300; fields++) {
		struct fake f;
		struct buf plain = buf_make(4096), line = buf_make(8192);

		begin(&f, FAKE_SUBMISSIONS, "EHLO c\r\n");
		for (unsigned i = 0; i < fields; i++) {
			buf_add_text(&plain, i == 0 ? "" : "x");
			buf_add_char(&plain, '\0');
		}
		buf_add_text(&plain, "y");
		buf_add_text(&line, "AUTH PLAIN ");
		assert_true(base64_encode(buf_slice(&plain), &line));
		buf_add_text(&line, "\r\n");
		fake_feed(&f, buf_slice(&line), SIZE_MAX);
		assert_int_equal(f.logins, fields == 2);
		assert_true(code_is(&f, fields == 2 ? "535" : "501"));
		buf_free(&plain);
		buf_free(&line);
		fake_clear(&f);
	}
	print_message("ROW E13 many-fields pass\n");
}

static void f01_behind_starttls(void **state)
{
	static const char *const injected[] = {"EHLO x\r\nMAIL FROM:<evil@e>\r\n",
					       "\x16\x03\x01junk", "N",
					       "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(injected); i++) {
		struct fake f;
		struct buf sent = buf_make(1000);

		begin(&f, FAKE_MX, "EHLO c\r\n");
		buf_clear(&f.said);
		buf_addf(&sent, "STARTTLS\r\n%s", injected[i]);
		fake_feed(&f, buf_slice(&sent), SIZE_MAX);
		assert_true(f.closed);
		assert_true(slice_starts(buf_slice(&f.said), slice_of("421 ")));
		assert_int_equal(slice_index(buf_slice(&f.said), '\n') + 1, f.said.len);
		assert_int_equal(f.handshakes + f.logins, 0);
		buf_free(&sent);
		fake_clear(&f);
	}
	print_message("ROW F01 starttls-injection pass\nROW T01 behind-starttls pass\n");
}

static void f02_reused_sasl(void **state)
{
	struct fake f;

	(void)state;
	begin(&f, FAKE_SUBMISSIONS, "EHLO c\r\n");
	for (unsigned i = 0; i < 100; i++) {
		assert_true(fake_expect(&f, "AUTH LOGIN YWxpY2U=", "334"));
		assert_true(fake_expect(&f, "*", "501 5.7.0"));
		assert_false(f.session.sasl.open);
		assert_int_equal(f.session.sasl.response.len, 0);
		assert_true(fake_expect(&f, "AUTH PLAIN", "334"));
		assert_true(fake_expect(&f, "*", "501 5.7.0"));
		assert_true(fake_expect(&f, i % 2 ? "RSET" : "EHLO c", "250"));
	}
	assert_true(fake_expect(&f, "AUTH LOGIN", "334"));
	assert_true(fake_expect(&f, "c2VjcmV0", "334")); /* a name now, whatever was said before */
	assert_true(fake_expect(&f, "c2VjcmV0", "535"));
	assert_true(fake_expect(&f, "AUTH PLAIN AGFsaWNlAHNlY3JldA==", "235"));
	assert_true(fake_expect(&f, "AUTH LOGIN", "503"));
	fake_clear(&f);
	print_message("ROW F02 sasl-state pass\n");
}

static void f08_state_after_refusal(void **state)
{
	static const char *const bodies[] = {"X-Away: queue\r\n.\r\n", "X-Refuse: queue\r\n.\r\n",
					     "a\nb\r\n.\r\n", "a\rb\r\n.\r\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct fake f;

		begin(&f, FAKE_MX, ENVELOPE "DATA\r\n");
		fake_send(&f, bodies[i]);
		assert_true(code_is(&f, "451 550"));
		assert_true(fake_expect(&f, "RCPT TO:<c@d>", "503"));
		assert_true(fake_expect(&f, "DATA", "503"));
		assert_null(f.session.transaction);
		assert_int_equal(f.commits, 0);
		fake_clear(&f);
	}
	print_message("ROW F08 state-after-refusal pass\n");
}

static void f09_words_in_between(void **state)
{
	static const char *const session[] = {"EHLO c", "MAIL FROM:<a@b>", "RCPT TO:<c@d>",
					      "RCPT TO:<e@f>", "DATA"};
	static const char *const words[] = {
		"NOOP",	     "HELP",	     "VRFY x",		"EXPN x",
		"WIZ",	     "RCPT TO:<bad", "MAIL FROM:<x@y>", "AUTH PLAIN",
		"STARTTLS x"};

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(words); w++) {
		for (size_t at = 1; at < ARRAY_LEN(session); at++) {
			struct fake f;

			if (at == 1 && strncmp(words[w], "MAIL", 4) == 0)
				continue; /* there it is a mail */
			begin(&f, FAKE_MX, "");
			for (size_t i = 0; i < ARRAY_LEN(session); i++) {
				if (i == at)
					fake_expect(&f, words[w], "");
				assert_true(fake_expect(&f, session[i], i == 4 ? "354" : "250"));
			}
			assert_string_equal(f.session.transaction->sender.text, "a@b");
			assert_int_equal(f.session.transaction->recipient_count, 2);
			assert_true(fake_expect(&f, "x\r\n.", "250 2.0.0 accepted"));
			fake_clear(&f);
		}
	}
	print_message("ROW F09 words-in-between pass\n");
}

static void f11_endless_command(void **state)
{
	static char junk[4096];
	struct fake f;
	size_t sent = 0;

	(void)state;
	memset(junk, 'x', sizeof(junk));
	begin(&f, FAKE_MX, "EHLO c\r\n");
	while (sent < 10 << 20 && fake_feed(&f, slice_make(junk, sizeof(junk)), SIZE_MAX)) {
		sent += sizeof(junk);
		assert_true(f.session.line.text.cap <= 2 * COMMAND_LINE_MAX);
	}
	assert_true(f.closed && sent <= COMMAND_SKIPPED_MAX + 2 * sizeof(junk));
	assert_true(slice_find(buf_slice(&f.said), slice_of("500 5.5.2 line too long")) != SLICE_NONE);
	assert_true(slice_starts(fake_last(&f), slice_of("421 ")));
	fake_clear(&f);
	print_message("ROW F11 endless-command pass\n");
}

static void t03_state_at_starttls(void **state)
{
	struct fake f;

	(void)state;
	begin(&f, FAKE_MX, "EHLO before\r\n");
	assert_true(fake_expect(&f, "STARTTLS", "220"));
	assert_string_equal(f.session.helo, "");
	assert_true(fake_expect(&f, "MAIL FROM:<a@b>", "503"));
	assert_true(fake_expect(&f, "RCPT TO:<a@b>", "503"));
	assert_true(fake_expect(&f, "HELO after", "250"));
	assert_true(fake_expect(&f, "MAIL FROM:<a@b> SIZE=1",
				"555")); /* it was EHLO before, it is HELO now */
	fake_clear(&f);
	print_message("ROW T03 state-at-starttls pass\n");
}

static void t04_starttls_misplaced(void **state)
{
	struct fake f;

	(void)state;
	begin(&f, FAKE_MX, "EHLO c\r\n");
	assert_true(fake_expect(&f, "STARTTLS x", "501"));
	assert_true(fake_expect(&f, "MAIL FROM:<a@b>", "250"));
	assert_true(fake_expect(&f, "STARTTLS", "503"));
	assert_true(fake_expect(&f, "RSET", "250"));
	assert_true(fake_expect(&f, "STARTTLS", "220"));
	assert_true(fake_expect(&f, "STARTTLS", "503"));
	fake_clear(&f);
	begin(&f, FAKE_SUBMISSIONS, "");
	assert_true(fake_expect(&f, "EHLO c", "250"));
	assert_true(slice_find(buf_slice(&f.said), slice_of("STARTTLS")) == SLICE_NONE);
	assert_true(fake_expect(&f, "STARTTLS", "503"));
	fake_clear(&f);
	print_message("ROW T04 starttls-misplaced pass\n");
}

static void t06_no_login_in_clear(void **state)
{
	static const enum fake_kind kinds[] = {FAKE_MX, FAKE_SUBMISSION, FAKE_LOCAL};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct fake f;

		begin(&f, kinds[i], "EHLO c\r\n");
		assert_true(slice_find(buf_slice(&f.said), slice_of("AUTH")) == SLICE_NONE);
		assert_true(fake_expect(&f, "AUTH PLAIN AGFsaWNlAHNlY3JldA==", "538"));
		assert_true(fake_expect(&f, "AUTH PLAIN", "538"));
		assert_true(fake_expect(&f, "AUTH LOGIN", "538"));
		assert_true(fake_expect(&f, "YWxpY2U=", "500"));
		assert_int_equal(f.logins, 0);
		fake_clear(&f);
	}
	print_message("ROW T06 no-login-in-clear pass\n");
}

static void z05_nul(void **state)
{
	static const char text[] = "EHLO c\r\nNOOP\0\r\n";
	static const char body[] = "Subject: a\0b\r\n\r\n.\r\n";
	struct fake f;

	(void)state;
	begin(&f, FAKE_MX, "");
	fake_feed(&f, slice_make(text, sizeof(text) - 1), SIZE_MAX);
	assert_true(code_is(&f, "500"));
	fake_send(&f, ENVELOPE "DATA\r\n");
	fake_feed(&f, slice_make(body, sizeof(body) - 1), SIZE_MAX);
	assert_true(code_is(&f, "550"));
	fake_clear(&f);
	print_message("ROW Z05 nul pass\n");
}

static void z06_lines(void **state)
{
	(void)state;
	for (size_t len = 998; len <= 70000; len += len < 2000 ? 1 : 16000) {
		struct fake f;
		struct buf body = buf_make(1 << 18);

		begin(&f, FAKE_MX, ENVELOPE "DATA\r\nSubject: x\r\n\r\n");
		for (size_t i = 0; i < len; i++)
			buf_add_char(&body, '.');
		buf_add_text(&body, "\r\n.\r\n");
		fake_feed(&f, buf_slice(&body), SIZE_MAX);
		assert_true(code_is(&f, len <= 65537 ? "250" : "500"));
		if (code_is(&f, "250")) /* one dot was stuffing, and no line end came in */
			assert_int_equal(f.messages.len, strlen("Subject: x\r\n\r\n") + len - 1 +
								 strlen("\r\n\n--\n"));
		buf_free(&body);
		fake_clear(&f);
	}
	print_message("ROW Z06 lines pass\n");
}

static void z07_utf8_envelope(void **state)
{
	struct fake f;

	(void)state;
	begin(&f, FAKE_MX, "EHLO c\r\n");
	assert_true(fake_expect(&f, "MAIL FROM:<\xc3\xa4@b>", "553 5.6.7"));
	assert_true(fake_expect(&f, "MAIL FROM:<\xff@b> SMTPUTF8", "553"));
	assert_true(fake_expect(&f, "HELO M\xc3\xbcnchen", "501"));
	assert_true(fake_expect(&f, "\xc3\xa4", "500"));
	fake_clear(&f);
	print_message("ROW Z07 utf8-envelope pass\n");
}

static void s06_http(void **state)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1",	  "POST / HTTP/1.1",   "Host: mx",
		"Connection: close",	  "PUT /x HTTP/1.0",   "HEAD / HTTP/1.1",
		"CONNECT mx:25 HTTP/1.1", "OPTIONS * HTTP/1.1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct fake f;

		begin(&f, FAKE_MX, "");
		assert_true(fake_expect(&f, lines[i], "421"));
		assert_true(f.closed);
		fake_clear(&f);
	}
	print_message("ROW S06 http pass\n");
}

/* In every state that takes a command, in clear and in TLS; and in the dialogue of a login, where it is a bad answer. */
static void s06_http_in_all_states(void **state)
{
	static const struct {
		const char *variant;
		enum fake_kind kind;
		const char *before, *code;
	} cases[] = {
		{"get-greeted", FAKE_MX, "", "421"},
		{"get-ready", FAKE_MX, "EHLO c\r\n", "421"},
		{"get-mail", FAKE_MX, "EHLO c\r\nMAIL FROM:<a@b>\r\n", "421"},
		{"get-rcpt", FAKE_MX, "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "421"},
		{"get-after-starttls", FAKE_SUBMISSION, "EHLO c\r\nSTARTTLS\r\n", "421"},
		{"get-in-tls", FAKE_SUBMISSIONS, "", "421"},
		{"get-in-tls-ready", FAKE_SUBMISSIONS, "EHLO c\r\n", "421"},
		{"get-in-auth", FAKE_SUBMISSIONS, "EHLO c\r\nAUTH PLAIN\r\n", "501 535"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake f;
		bool ok;

		begin(&f, cases[i].kind, "");
		for (struct slice rest = slice_of(cases[i].before), line; slice_cut(&rest, '\n', &line);)
			fake_feed(&f, slice_make(line.at, line.len + 1), SIZE_MAX); /* STARTTLS stands alone */
		fake_send(&f, "GET / HTTP/1.1\r\n");
		ok = code_is(&f, cases[i].code) && (f.closed || cases[i].code[3] == ' ');
		print_message("ROW S06 %s %s\n", cases[i].variant, ok ? "pass" : "fail");
		assert_true(ok);
		fake_clear(&f);
	}
}

/* A ClientHello at a port that begins in clear, at once and byte by byte; in a later command it is a bad line as any other. */
static void s06_client_hello(void **state)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\nMAIL FROM:<a@b>\r\n";

	(void)state;
	for (size_t piece = 1; piece < 30; piece += 7) {
		struct fake f;

		begin(&f, FAKE_MX, "");
		fake_feed(&f, slice_make(hello, sizeof(hello) - 1), piece);
		assert_true(code_is(&f, "421"));
		assert_true(f.closed);
		fake_clear(&f);
	}
	print_message("ROW S06 client-hello pass\n");
}

/* Its first octet behind a line that was none: what is said does not depend on how the stream was cut. */
static void s06_no_client_hello(void **state)
{
	static const char *const streams[] = {"a\r\r\n\x16HELO c\r\n", "\r\x16\r\n", "x\n\r\n\x16\r\n", "\r\n\x16\r\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct fake whole, bytes;

		begin(&whole, FAKE_MX, "");
		begin(&bytes, FAKE_MX, "");
		fake_feed(&whole, slice_of(streams[i]), SIZE_MAX);
		fake_feed(&bytes, slice_of(streams[i]), 1);
		assert_true(slice_eq(buf_slice(&whole.said), buf_slice(&bytes.said)));
		assert_true(!whole.closed && !bytes.closed);
		fake_clear(&whole);
		fake_clear(&bytes);
	}
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

static void smuggle(struct slice payload, size_t piece)
{
	struct fake f;
	struct buf sent = buf_make(4096);

	begin(&f, FAKE_MX, ENVELOPE "DATA\r\n");
	buf_add_text(&sent, "Subject: outer\r\n\r\nbefore");
	buf_add_slice(&sent, payload);
	buf_add_text(
		&sent,
		"MAIL FROM:<evil@e>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n");
	buf_clear(&f.said);
	fake_feed(&f, buf_slice(&sent), piece);
	assert_true(f.commits <= 1);
	assert_int_equal(slice_index(buf_slice(&f.said), '\n') + 1, f.said.len); /* one reply */
	assert_true(code_is(&f, "250 550 500"));
	/* What was accepted is one message with all of it inside. */
	if (f.commits == 1)
		assert_true(slice_find(buf_slice(&f.messages), slice_of("Subject: smuggled")) !=
			    SLICE_NONE);
	buf_free(&sent);
	fake_clear(&f);
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
		for (size_t piece = 1; piece <= 4; piece++)
			smuggle(slice_make(payload, len), piece);
		smuggle(slice_make(payload, len), SIZE_MAX);
		count++;
	}
	fclose(file);
	assert_int_equal(count, 17);
	print_message("ROW Z01 payloads pass\nROW Z02 bare-ends pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(n12_many_recipients),	  cmocka_unit_test(n17_strange_arguments),
		cmocka_unit_test(n18_command_history),	  cmocka_unit_test(n21_envelope_lengths),
		cmocka_unit_test(e03_long_ehlo),	  cmocka_unit_test(e04_base64),
		cmocka_unit_test(e12_ntlm),		  cmocka_unit_test(e13_many_fields),
		cmocka_unit_test(f01_behind_starttls),	  cmocka_unit_test(f02_reused_sasl),
		cmocka_unit_test(f08_state_after_refusal), cmocka_unit_test(f09_words_in_between),
		cmocka_unit_test(f11_endless_command),	  cmocka_unit_test(t03_state_at_starttls),
		cmocka_unit_test(t04_starttls_misplaced), cmocka_unit_test(t06_no_login_in_clear),
		cmocka_unit_test(z01_smuggling),	  cmocka_unit_test(z05_nul),
		cmocka_unit_test(z06_lines),		  cmocka_unit_test(z07_utf8_envelope),
		cmocka_unit_test(s06_http),
		cmocka_unit_test(s06_http_in_all_states),
		cmocka_unit_test(s06_client_hello),
		cmocka_unit_test(s06_no_client_hello),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
