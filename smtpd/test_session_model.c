/*
 * A session against a small model of RFC 5321 and RFC 3030: random commands, valid and not, in any order.  What the model says of each reply's
 * code, of the transaction and of the messages kept, the session must say too; and the same bytes cut otherwise must be answered
 * the same.  MODEL_STEPS (commands), MODEL_SEED.
 */
#include "session_fake.h"

#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define STEPS_DEFAULT 400000u
#define SESSION_STEPS 80u
#define ERRORS_MAX 20u
#define RECIPIENTS_MAX 4u
#define LOGINS_MAX 3u

enum place { GREETED, READY, MAIL, RCPT, CHUNKED, OVER };

struct model {
	enum place at;
	bool offers_tls, needs_tls, needs_login, has_login, rules;
	bool tls, login, extended;
	bool binary; /* the mail: BODY=BINARYMIME */
	unsigned recipients, errors, errors_max, logins, kept;
	const char *next; /* what is said when the reply invites it: a body, a SASL response; NULL: nothing */
};

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* ---- the model ---- */

static unsigned end(struct model *m, unsigned code)
{
	m->at = OVER;
	return code;
}

static unsigned refused(struct model *m, unsigned code)
{
	return code >= 500 && ++m->errors > m->errors_max ? end(m, 421) : code;
}

static unsigned ready(struct model *m, unsigned code)
{
	m->at = READY;
	m->recipients = 0;
	m->binary = false;
	return code;
}

static bool in_mail(const struct model *m)
{
	return m->at == MAIL || m->at == RCPT || m->at == CHUNKED;
}

static bool takes_recipients(const struct model *m)
{
	return m->at == MAIL || m->at == RCPT;
}

static unsigned always_250(struct model *m)
{
	(void)m;
	return 250;
}

static unsigned always_252(struct model *m)
{
	(void)m;
	return 252;
}

static unsigned always_214(struct model *m)
{
	(void)m;
	return 214;
}

static unsigned bad_500(struct model *m)
{
	return refused(m, 500);
}

static unsigned bad_501(struct model *m)
{
	return refused(m, 501);
}

static unsigned bad_502(struct model *m)
{
	return refused(m, 502);
}

static unsigned helo(struct model *m)
{
	m->extended = false;
	return ready(m, 250);
}

static unsigned ehlo(struct model *m)
{
	m->extended = true;
	return ready(m, 250);
}

static unsigned ehlo_unknown(struct model *m)
{
	return m->rules ? refused(m, 550) : ehlo(m);
}

static unsigned helo_drop(struct model *m)
{
	return m->rules ? end(m, 554) : helo(m);
}

static unsigned mail_begins(struct model *m, unsigned by_rules)
{
	if (m->at != READY)
		return refused(m, 503);
	if ((m->needs_tls && !m->tls) || (m->needs_login && !m->login))
		return refused(m, 530);
	if (m->rules && by_rules == 554)
		return end(m, 554);
	if (m->rules && by_rules != 250)
		return refused(m, by_rules);
	m->at = MAIL;
	return 250;
}

static unsigned mail(struct model *m)
{
	return mail_begins(m, 250);
}

/* Parameters are ESMTP's (RFC 5321 §4.1.1.11). */
static unsigned mail_extended(struct model *m)
{
	if (m->extended || m->at != READY || (m->needs_tls && !m->tls) || (m->needs_login && !m->login))
		return mail(m);
	return refused(m, 555);
}

static unsigned mail_binary(struct model *m)
{
	unsigned code = mail_extended(m);

	m->binary = m->binary || code == 250;
	return code;
}

static unsigned mail_unknown(struct model *m)
{
	return mail_begins(m, 550);
}

static unsigned mail_later(struct model *m)
{
	return mail_begins(m, 451);
}

static unsigned mail_drop(struct model *m)
{
	return mail_begins(m, 554);
}

static unsigned mail_wrong(struct model *m)
{
	if (m->at != READY)
		return refused(m, 503);
	if ((m->needs_tls && !m->tls) || (m->needs_login && !m->login))
		return refused(m, 530);
	return refused(m, 501);
}

static unsigned recipient(struct model *m, unsigned code)
{
	if (!takes_recipients(m))
		return refused(m, 503);
	if (m->recipients == RECIPIENTS_MAX)
		return 452;
	if (code == 554)
		return end(m, 554);
	if (code != 250)
		return refused(m, code);
	m->recipients++;
	m->at = RCPT;
	return 250;
}

static unsigned rcpt(struct model *m)
{
	return recipient(m, 250);
}

static unsigned rcpt_unknown(struct model *m)
{
	return recipient(m, 550);
}

static unsigned rcpt_later(struct model *m)
{
	return recipient(m, 451);
}

static unsigned rcpt_drop(struct model *m)
{
	return recipient(m, 554);
}

static unsigned rcpt_wrong(struct model *m)
{
	return refused(m, takes_recipients(m) ? 501 : 503);
}

static unsigned rcpt_strange(struct model *m)
{
	return refused(m, takes_recipients(m) ? 555 : 503);
}

static unsigned rcpt_bad_notify(struct model *m)
{
	return refused(m, !takes_recipients(m) ? 503 : m->extended ? 501 : 555);
}

static unsigned reset(struct model *m)
{
	if (m->at != GREETED)
		ready(m, 250);
	return 250;
}

static unsigned quit(struct model *m)
{
	return end(m, 221);
}

static unsigned not_smtp(struct model *m)
{
	return end(m, 421);
}

static unsigned starttls(struct model *m)
{
	if (in_mail(m) || m->tls)
		return refused(m, 503);
	if (!m->offers_tls)
		return refused(m, 502);
	m->tls = true;
	m->extended = false;
	m->at = GREETED;
	return 220;
}

/* ---- bodies: what follows 354 ---- */

struct body {
	const char *text;
	unsigned code;
};

static const struct body bodies[] = {
	{"Subject: x\r\n\r\nhello\r\n.\r\n", 250},
	{".\r\n", 250},
	{"Subject: x\r\n\r\n..\r\n..stuffed\r\n.\r\n", 250},
	{"QUIT\r\nRSET\r\nMAIL FROM:<a@b>\r\n.\r\n", 250},
	{"X-Away: queue\r\n\r\nhello\r\n.\r\n", 451},
	{"X-Refuse: queue\r\n\r\nhello\r\n.\r\n", 550},
	{"bare\nfeed\r\n.\r\n", 550},
	{"bare\rreturn\r\n.\r\n", 550},
	{"look\n.\nalike\r\n.\r\n", 550},
	{"look\r.\ralike\r\n.\r\n", 550},
};

static unsigned body_ends(struct model *m)
{
	const struct body *b = &bodies[draw(ARRAY_LEN(bodies))];

	m->next = b->text;
	ready(m, 0);
	m->kept += b->code == 250;
	return refused(m, b->code);
}

static unsigned data(struct model *m)
{
	return m->at == RCPT && !m->binary ? 354 : refused(m, 503);
}

/* ---- chunks: their octets are never commands, and a refused one ends the mail ---- */

static unsigned refused_chunk(struct model *m, unsigned code)
{
	if (m->at != GREETED)
		ready(m, 0);
	return refused(m, code);
}

static bool takes_chunks(const struct model *m)
{
	return m->at == RCPT || m->at == CHUNKED;
}

static unsigned last_chunk(struct model *m, unsigned code)
{
	if (!takes_chunks(m))
		return refused_chunk(m, 503);
	m->kept += code == 250;
	ready(m, 0);
	return refused(m, code);
}

static unsigned bdat(struct model *m)
{
	if (!takes_chunks(m))
		return refused_chunk(m, 503);
	m->at = CHUNKED;
	return 250;
}

/* A bare LF behind an empty line: only a binary body may have it. */
static unsigned bdat_bare(struct model *m)
{
	return !takes_chunks(m) || m->binary ? bdat(m) : refused_chunk(m, 550);
}

static unsigned bdat_last(struct model *m)
{
	return last_chunk(m, 250);
}

static unsigned bdat_last_bare(struct model *m)
{
	return last_chunk(m, m->binary ? 250 : 550);
}

static unsigned bdat_last_away(struct model *m)
{
	return last_chunk(m, 451);
}

static unsigned bdat_last_refused(struct model *m)
{
	return last_chunk(m, 550);
}

static unsigned bdat_nonsense(struct model *m)
{
	return end(m, 501);
}

/* More than would be thrown away. */
static unsigned bdat_huge(struct model *m)
{
	return end(m, takes_chunks(m) ? 552 : 503);
}

/* ---- logins ---- */

static unsigned may_log_in(struct model *m)
{
	if (m->at != READY)
		return refused(m, 503);
	if (!m->tls)
		return refused(m, 538);
	if (!m->has_login)
		return refused(m, 502);
	if (m->login)
		return refused(m, 503);
	return m->logins >= LOGINS_MAX ? end(m, 421) : 0;
}

static unsigned login(struct model *m, unsigned code)
{
	unsigned before = may_log_in(m);

	if (before != 0)
		return before;
	m->logins += code == 235 || code == 535 || code == 454;
	m->login = code == 235;
	return refused(m, code);
}

static unsigned auth_good(struct model *m)
{
	return login(m, 235);
}

static unsigned auth_bad(struct model *m)
{
	return login(m, 535);
}

static unsigned auth_away(struct model *m)
{
	return login(m, 454);
}

static unsigned auth_nonsense(struct model *m)
{
	return login(m, 501);
}

static unsigned auth_strange(struct model *m)
{
	return login(m, 504);
}

static unsigned auth_asks(struct model *m)
{
	unsigned before = may_log_in(m);

	return before != 0 ? before : 334;
}

static unsigned auth_goes_on(struct model *m)
{
	static const struct body responses[] = {
		{"*\r\n", 501}, {"AGFsaWNlAHNlY3JldA==\r\n", 235}, {"AGFsaWNlAHdyb25nIQ==\r\n", 535}, {"%%%\r\n", 501}, {"\r\n", 501}};
	const struct body *b = &responses[draw(ARRAY_LEN(responses))];

	m->next = b->text;
	return login(m, b->code);
}

/* ---- what is said ---- */

static const struct {
	const char *text;
	unsigned (*run)(struct model *m);
	unsigned (*goes_on)(struct model *m); /* after 354 or 334 */
	unsigned weight;
} said[] = {
	{"EHLO c.example\r\n", ehlo, NULL, 6},
	{"helo c.example\r\n", helo, NULL, 2},
	{"EHLO unknown.example\r\n", ehlo_unknown, NULL, 1},
	{"HELO drop.example\r\n", helo_drop, NULL, 1},
	{"EHLO\r\n", bad_501, NULL, 1},
	{"EHLO a b\r\n", bad_501, NULL, 1},
	{"MAIL FROM:<a@b.example>\r\n", mail, NULL, 10},
	{"mail from:<>\r\n", mail, NULL, 2},
	{"MAIL FROM:<slow@b.example> BODY=8BITMIME SIZE=100\r\n", mail_extended, NULL, 1},
	{"MAIL FROM:<unknown@b.example>\r\n", mail_unknown, NULL, 1},
	{"MAIL FROM:<later@b.example>\r\n", mail_later, NULL, 1},
	{"MAIL FROM:<drop@b.example>\r\n", mail_drop, NULL, 1},
	{"MAIL FROM:a@b.example\r\n", mail_wrong, NULL, 1},
	{"MAIL\r\n", bad_501, NULL, 1},
	{"RCPT TO:<c@d.example>\r\n", rcpt, NULL, 12},
	{"RCPT TO:<slow@d.example>\r\n", rcpt, NULL, 1},
	{"RCPT TO:<unknown@d.example>\r\n", rcpt_unknown, NULL, 2},
	{"RCPT TO:<later@d.example>\r\n", rcpt_later, NULL, 1},
	{"RCPT TO:<drop@d.example>\r\n", rcpt_drop, NULL, 1},
	{"RCPT TO:<c@d.example> X-NEW=1\r\n", rcpt_strange, NULL, 1},
	{"RCPT TO:<c@d.example> NOTIFY=NEVER,SUCCESS\r\n", rcpt_bad_notify, NULL, 1},
	{"RCPT TO:c@d.example\r\n", rcpt_wrong, NULL, 1},
	{"DATA\r\n", data, body_ends, 10},
	{"DATA now\r\n", bad_501, NULL, 1},
	{"BDAT 10 LAST\r\nRSET\r\n.\r\nx", bdat_last, NULL, 6},
	{"bdat 0 last\r\n", bdat_last, NULL, 1},
	{"BDAT 17 LAST\r\nX-Away: queue\r\n\r\n", bdat_last_away, NULL, 1},
	{"BDAT 19 LAST\r\nX-Refuse: queue\r\n\r\n", bdat_last_refused, NULL, 1},
	{"BDAT 6 LAST\r\n\r\n\na\r\n", bdat_last_bare, NULL, 1},
	{"BDAT 9\r\nQUIT\r\n.\r\n", bdat, NULL, 4},
	{"BDAT 0\r\n", bdat, NULL, 1},
	{"BDAT 7\r\n\r\na\nb\r\n", bdat_bare, NULL, 1},
	{"BDAT\r\n", bdat_nonsense, NULL, 1},
	{"BDAT 5 LAST now\r\n", bdat_nonsense, NULL, 1},
	{"BDAT 99999999999\r\n", bdat_huge, NULL, 1},
	{"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n", mail_binary, NULL, 4},
	{"RSET\r\n", reset, NULL, 2},
	{"RSET now\r\n", bad_501, NULL, 1},
	{"NOOP\r\n", always_250, NULL, 2},
	{"NOOP still here\r\n", always_250, NULL, 1},
	{"VRFY root\r\n", always_252, NULL, 1},
	{"HELP\r\n", always_214, NULL, 1},
	{"EXPN list\r\n", bad_502, NULL, 1},
	{"ETRN example\r\n", bad_502, NULL, 1},
	{"XYZZY\r\n", bad_500, NULL, 1},
	{"\r\n", bad_500, NULL, 1},
	{"NOOP \n MAIL\r\n", bad_500, NULL, 1},
	{"NOOP \r x\r\n", bad_500, NULL, 1},
	{"GET / HTTP/1.1\r\n", not_smtp, NULL, 1},
	{"QUIT\r\n", quit, NULL, 1},
	{"STARTTLS\r\n", starttls, NULL, 4},
	{"STARTTLS now\r\n", bad_501, NULL, 1},
	{"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", auth_good, NULL, 4},
	{"AUTH PLAIN AGFsaWNlAHdyb25nIQ==\r\n", auth_bad, NULL, 1},
	{"AUTH PLAIN AGF3YXkAeA==\r\n", auth_away, NULL, 1},
	{"AUTH PLAIN !\r\n", auth_nonsense, NULL, 1},
	{"AUTH NTLM\r\n", auth_strange, NULL, 1},
	{"AUTH PLAIN\r\n", auth_asks, auth_goes_on, 2},
	{"AUTH\r\n", bad_501, NULL, 1},
};

static size_t draw_command(void)
{
	uint64_t total = 0, at;

	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		total += said[i].weight;
	at = draw(total);
	for (size_t i = 0;; i++) {
		if (at < said[i].weight)
			return i;
		at -= said[i].weight;
	}
}

static size_t find_command(const char *begin)
{
	size_t i = 0;

	while (!slice_starts(slice_of(said[i].text), slice_of(begin)))
		i++;
	return i;
}

/* What a client would say next; else most sessions would never come as far as a message. */
static size_t sensible_command(const struct model *m)
{
	static const char *const next[] = {[GREETED] = "EHLO", [READY] = "MAIL", [MAIL] = "RCPT", [RCPT] = "DATA", [CHUNKED] = "BDAT"};

	if (m->at == READY && m->needs_tls && !m->tls)
		return find_command("STARTTLS");
	if (m->at == READY && m->needs_login && !m->login)
		return find_command("AUTH PLAIN");
	return find_command(m->binary && m->at == RCPT ? "BDAT" : next[m->at]);
}

/* ---- the session beside it ---- */

struct pair {
	struct fake fake;
	struct model model;
	struct buf bytes; /* all that was said, owned */
	enum fake_kind kind;
};

/* The code of what was said behind `from`: exactly one whole reply. */
static unsigned code_behind(const struct fake *f, size_t from)
{
	struct slice rest = slice_from(buf_slice(&f->said), from), line;
	unsigned code = 0, replies = 0;

	while (slice_cut(&rest, '\n', &line) && line.len > 3) {
		code = (unsigned)atoi(line.at);
		replies += line.at[3] == ' ';
	}
	return replies == 1 ? code : 1000 + replies;
}

static void say(struct pair *p, const char *text, unsigned expected)
{
	size_t from = p->fake.said.len;
	unsigned code;

	buf_add_text(&p->bytes, text);
	fake_send(&p->fake, text);
	code = code_behind(&p->fake, from);
	if (code != expected || p->fake.closed != (p->model.at == OVER))
		fail_msg("the model says %u%s, the session %u%s, after:\n%.*s", expected, p->model.at == OVER ? ", closed" : "", code,
			 p->fake.closed ? ", closed" : "", SLICE_ARG(buf_slice(&p->bytes)));
}

static void step(struct pair *p)
{
	size_t i = draw(2) == 0 ? draw_command() : sensible_command(&p->model);
	unsigned code = said[i].run(&p->model);

	say(p, said[i].text, code);
	if ((code == 354 || code == 334) && said[i].goes_on != NULL) {
		code = said[i].goes_on(&p->model);
		say(p, p->model.next, code);
	}
}

static void check_end(const struct pair *p)
{
	struct slice rest = buf_slice(&p->fake.messages);
	unsigned kept = 0;
	size_t at;

	while ((at = slice_find(rest, slice_of("\n--\n"))) != SLICE_NONE) {
		rest = slice_from(rest, at + 4);
		kept++;
	}
	assert_int_equal(kept, p->model.kept);
	assert_int_equal(p->fake.session.transaction != NULL, in_mail(&p->model));
	if (p->fake.session.transaction != NULL)
		assert_int_equal(p->fake.session.transaction->recipient_count, p->model.recipients);
	assert_int_equal(p->fake.session.login[0] != '\0', p->model.login);
	assert_int_equal(p->fake.session.tls.active, p->model.tls);
}

static void begin_fake(struct fake *f, const struct pair *p)
{
	fake_init(f, p->kind, p->model.rules);
	f->conf.set.errors_max = p->model.errors_max;
	f->conf.set.recipients_max = RECIPIENTS_MAX;
	f->conf.set.auth_attempts_max = LOGINS_MAX;
	fake_begin(f);
}

/* What stands behind STARTTLS in one piece is refused by design; by lines and by bytes nothing does. */
static void feed_cut(struct fake *f, struct slice bytes, unsigned how, bool handshakes)
{
	if (how < 2 || handshakes) {
		fake_feed(f, bytes, how == 0 ? 0 : 1);
		return;
	}
	while (bytes.len > 0) {
		size_t n = 1 + draw(how == 2 ? 40 : bytes.len);

		fake_feed(f, slice_sub(bytes, 0, n < bytes.len ? n : bytes.len), SIZE_MAX);
		bytes = slice_from(bytes, n < bytes.len ? n : bytes.len);
	}
}

static void check_cuts(struct pair *p)
{
	for (unsigned how = 0; how < 4; how++) {
		struct fake other;

		begin_fake(&other, p);
		feed_cut(&other, buf_slice(&p->bytes), how, p->fake.handshakes > 0);
		if (!slice_eq(buf_slice(&other.said), buf_slice(&p->fake.said)) ||
		    !slice_eq(buf_slice(&other.messages), buf_slice(&p->fake.messages)))
			fail_msg("cut otherwise (%u) it is answered otherwise:\n%.*s", how, SLICE_ARG(buf_slice(&p->bytes)));
		fake_clear(&other);
	}
}

static void begin(struct pair *p)
{
	static const struct model kinds[] = {
		[FAKE_MX] = {.offers_tls = true},
		[FAKE_SUBMISSION] = {.offers_tls = true, .needs_tls = true, .needs_login = true, .has_login = true},
		[FAKE_SUBMISSIONS] = {.needs_login = true, .has_login = true, .tls = true},
		[FAKE_LOCAL] = {.at = GREETED},
	};

	*p = (struct pair){.kind = (enum fake_kind)draw(ARRAY_LEN(kinds)), .bytes = buf_make(1 << 20)};
	p->model = kinds[p->kind];
	p->model.rules = draw(2) == 0;
	p->model.errors_max = draw(4) == 0 ? ERRORS_MAX : 1000000;
	begin_fake(&p->fake, p);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text != NULL && slice_u64(slice_of(text), UINT64_MAX, &n) && n > 0 ? n : otherwise;
}

static void be_quiet(enum log_level level, const char *event, struct slice fields)
{
	(void)level;
	(void)event;
	(void)fields;
}

static void test_random_sessions(void **state)
{
	uint64_t steps = number_of("MODEL_STEPS", STEPS_DEFAULT), done = 0, sessions = 0, kept = 0;

	(void)state;
	seed = number_of("MODEL_SEED", 20260131);
	print_message("seed %llu\n", (unsigned long long)seed);
	log_set_sink(be_quiet);
	while (done < steps) {
		struct pair p;

		begin(&p);
		for (unsigned i = 0; i < SESSION_STEPS && p.model.at != OVER; i++, done++)
			step(&p);
		check_end(&p);
		check_cuts(&p);
		kept += p.model.kept;
		sessions++;
		fake_clear(&p.fake);
		buf_free(&p.bytes);
	}
	assert_true(kept > sessions / 2);
	print_message("%llu commands in %llu sessions, %llu messages kept\n", (unsigned long long)done, (unsigned long long)sessions,
		      (unsigned long long)kept);
	print_message("ROW F07 model pass\nROW F08 model pass\nROW F09 model pass\nROW N19 segmentation pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_sessions)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
