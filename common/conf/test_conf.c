#include "conf/bundle.h"
#include "conf/conf.h"
#include "conf/print.h"
#include "conf/settings.h"
#include "ipc/message.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* What processes read from a compiled configuration.  calloc is wrapped: `fail_at` makes one of its
 * calls fail. */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
static size_t calls, fail_at = SIZE_MAX;

void *__wrap_calloc(size_t count, size_t size)
{
	return calls++ == fail_at ? NULL : __real_calloc(count, size);
}

static const char whole[] =
	"hostname mx1.example.org\n"
	"postmaster alice@example.org\n"
	"trusted 127.0.0.0/8 ::1 192.0.2.0/24\n"
	"message-size-max 20M\n"
	"idle_timeout 90s\n"
	"listen :25 { role mx }\n"
	"listen 127.0.0.1:587 { role submission hostname mail.example.org }\n"
	"listen [::1]:465 { role submission tls implicit isolation shared }\n"
	"tls { certificate /etc/{host}/cert.pem key \"/etc/{hostname}/key.pem\" }\n"
	"auth { sqlite /var/users.db file /etc/users }\n"
	"credentials /etc/credentials\n"
	"table here { Example.ORG  example.net: x }\n"
	"table there file /etc/there\n"
	"table db sqlite /var/tables/db \"select a from b where c = ?\"\n"
	"transport home { maildir ~/Maildir/ delivered-to no }\n"
	"transport virtual { maildir /var/mail/{domain}/{local}/ user vmail }\n"
	"transport dovecot { lmtp /run/dovecot/lmtp recipients 50 }\n"
	"transport isp { smtp \"smtp.isp.example:587\" login isp tls-ca /etc/ca.pem }\n"
	"transport out { smtp mx }\n"
	"policy rcpt { reject \"no\" if recipient.domain not in here and client not in trusted }\n"
	"route { alias there if recipient in there\n deliver home if recipient.domain in here\n relay "
	"out }\n";

static struct conf *compile(const char *text, const char *system)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf_mistakes mistakes;
	struct conf *conf;

	assert_true(bundle_add(&bundle, slice_of("postern.conf"), slice_of(text)));
	if (system != NULL)
		assert_true(bundle_add(&bundle, slice_of(BUNDLE_SYSTEM), slice_of(system)));
	conf = conf_compile(buf_slice(&bundle), &mistakes);
	if (conf == NULL)
		print_error("%s", buf_text(&mistakes.text));
	assert_non_null(conf);
	buf_free(&mistakes.text);
	memset(bundle.at, 'x', bundle.len); /* nothing of it is needed any more */
	buf_free(&bundle);
	return conf;
}

static void test_listeners(void **state)
{
	struct conf *c = compile(whole, NULL);

	(void)state;
	assert_int_equal(c->listener_count, 3);
	assert_string_equal(c->listeners[0].name, ":25");
	assert_string_equal(c->listeners[0].address, "");
	assert_int_equal(c->listeners[0].port, 25);
	assert_int_equal(c->listeners[0].tls, TLS_OPTIONAL);
	assert_int_equal(c->listeners[0].auth, AUTH_OFF);
	assert_int_equal(c->listeners[0].isolation, ISOLATION_SHARED);
	assert_string_equal(c->listeners[0].hostname, "mx1.example.org");
	assert_int_equal(c->listeners[1].role, LISTENER_SUBMISSION);
	assert_int_equal(c->listeners[1].tls, TLS_REQUIRED);
	assert_int_equal(c->listeners[1].auth, AUTH_REQUIRED);
	assert_int_equal(c->listeners[1].isolation, ISOLATION_CONNECTION);
	assert_string_equal(c->listeners[1].hostname, "mail.example.org");
	assert_string_equal(c->listeners[2].name, "[::1]:465");
	assert_string_equal(c->listeners[2].address, "::1");
	assert_int_equal(c->listeners[2].tls, TLS_IMPLICIT);
	assert_int_equal(c->listeners[2].isolation, ISOLATION_SHARED);
	assert_true(conf_is_local_name(c, slice_of("MX1.example.org")));
	assert_true(conf_is_local_name(c, slice_of("mail.example.org")));
	assert_false(conf_is_local_name(c, slice_of("example.org")));
	conf_free(&c);
	assert_null(c);
}

static void test_settings(void **state)
{
	struct conf *c = compile(whole, NULL);

	(void)state;
	assert_int_equal(c->set.message_size_max, 20u << 20);
	assert_int_equal(c->set.idle_timeout_ms, 90000);
	assert_int_equal(c->set.data_timeout_ms, 600000);
	assert_int_equal(c->set.line_max, 65536);
	assert_string_equal(c->set.spool, "/var/spool/postern");
	assert_string_equal(c->certificates[0].chain, "/etc/mx1.example.org/cert.pem");
	assert_string_equal(c->certificates[0].key, "/etc/mx1.example.org/key.pem");
	assert_true(conf_is_trusted(c, slice_of("127.9.9.9")));
	assert_true(conf_is_trusted(c, slice_of("::1")));
	assert_true(conf_is_trusted(c, slice_of("::ffff:192.0.2.1")));
	assert_false(conf_is_trusted(c, slice_of("192.0.3.1")));
	assert_false(conf_is_trusted(c, slice_of("::2")));
	assert_false(conf_is_trusted(c, slice_of("")));
	conf_free(&c);
}

/* Every initial value, minimum and maximum of settings.def is one that the language takes. */
static void test_bounds_of_settings(void **state)
{
	(void)state;
	for (size_t i = 0; i < settings_count(); i++) {
		const struct setting *s = setting_at(i);
		bool is_answer = s->kind == SETTING_BOOL;
		const char *const values[] = {s->initial, is_answer ? "no" : s->min, is_answer ? "yes" : s->max};

		for (size_t v = 0; v < ARRAY_LEN(values) && s->kind != SETTING_TEXT; v++) {
			struct buf text = buf_make(256);
			struct conf *c;

			buf_addf(&text, "%s %s\n", s->name, values[v]);
			c = compile(buf_text(&text), NULL);
			conf_free(&c);
			buf_free(&text);
		}
	}
}

static void test_hostname_of_the_system(void **state)
{
	static const struct {
		const char *system, *hostname;
	} rows[] = {
		{NULL, "localhost"},
		{"hostname \"box.example\"\n", "box.example"},
		{"hostname \"bad name\"\n", "localhost"},
		{"", "localhost"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *c = compile("log-level warn\n", rows[i].system);

		assert_string_equal(c->set.hostname, rows[i].hostname);
		conf_free(&c);
	}
}

static void test_tables(void **state)
{
	struct conf *c = compile(whole, NULL);
	const struct conf_table *t = conf_table_find(c, slice_of("here"));

	(void)state;
	assert_non_null(t);
	assert_int_equal(t->kind, TABLE_INLINE);
	assert_int_equal(t->entry_count, 2);
	assert_string_equal(t->entries[0].key, "example.org");
	assert_string_equal(t->entries[0].value, "");
	assert_string_equal(t->entries[1].value, "x");
	assert_string_equal(conf_table_find(c, slice_of("db"))->query, "select a from b where c = ?");
	assert_null(conf_table_find(c, slice_of("her")));
	conf_free(&c);
}

static void test_transports(void **state)
{
	struct conf *c = compile(whole, NULL);
	const struct conf_transport *t;

	(void)state;
	assert_int_equal(c->transport_count, 5);
	for (size_t i = 0; i < c->transport_count; i++)
		assert_int_equal(c->transports[i].index, i);
	t = conf_transport_find(c, slice_of("home"));
	assert_string_equal(t->maildir, "~/Maildir/");
	assert_null(t->user);
	assert_false(t->delivered_to);
	t = conf_transport_find(c, slice_of("virtual"));
	assert_string_equal(t->maildir, "/var/mail/{domain}/{local}/");
	assert_string_equal(t->user, "vmail");
	t = conf_transport_find(c, slice_of("dovecot"));
	assert_string_equal(t->path, "/run/dovecot/lmtp");
	assert_null(t->host);
	assert_int_equal(t->tls, TLS_OFF);
	assert_int_equal(t->recipients, 50);
	t = conf_transport_find(c, slice_of("isp"));
	assert_string_equal(t->host, "smtp.isp.example");
	assert_int_equal(t->port, 587);
	assert_int_equal(t->tls, TLS_VERIFIED);
	assert_true(t->tls_verify);
	assert_string_equal(t->login, "isp");
	t = conf_transport_find(c, slice_of("out"));
	assert_true(t->by_mx);
	assert_int_equal(t->port, 25);
	assert_int_equal(t->tls, TLS_OPTIONAL);
	assert_null(conf_transport_find(c, slice_of("nowhere")));
	conf_free(&c);
}

static void note_path(const struct conf_path *path, void *arg)
{
	static const char *const kinds[] = {
		[PATH_FILE] = "file", [PATH_FOLDER_OF] = "folder-of", [PATH_COPY] = "copy"};
	struct buf *out = arg;

	for (unsigned role = 0; role < ROLE_COUNT; role++)
		if (path->roles & (1u << role))
			buf_addf(out, "%s ", role_name((enum role)role));
	if (path->instance != CONF_EACH_INSTANCE)
		buf_addf(out, "%u ", (unsigned)path->instance);
	buf_addf(out, "%s %s\n", kinds[path->kind], path->path);
}

/* The private key and the passwords go to nobody but those who need them. */
static void test_paths(void **state)
{
	struct conf *c = compile(whole, NULL);
	struct buf out = buf_make(4096);

	(void)state;
	conf_each_path(c, note_path, &out);
	assert_string_equal(buf_text(&out), "policyd folder-of /etc/there\n"
					    "policyd folder-of /var/tables/db\n"
					    "authd folder-of /var/users.db\n"
					    "authd folder-of /etc/users\n"
					    "authd file /etc/credentials\n"
					    "smtpd keyd copy /etc/mx1.example.org/cert.pem\n"
					    "keyd copy /etc/mx1.example.org/key.pem\n"
					    "relay copy /etc/ca.pem\n"
					    "local folder-of /var/mail/.\n");
	buf_free(&out);
	conf_free(&c);
}

static void test_bases(void **state)
{
	static const struct {
		const char *maildir, *base, *part; /* NULL: none */
	} rows[] = {
		{"/var/mail/{domain}/{local}/", "/var/mail/.", NULL},
		{"/var/mail/x-{local}", "/var/mail/.", NULL},
		{"/{local}", "/.", NULL},
		{"/srv/all//", "/srv/all/.", NULL},
		{"~/Maildir/", NULL, "Maildir"},
		{"~/mail/in", NULL, "mail/in"},
		{"~/", NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct conf_transport t = {.kind = TRANSPORT_MAILDIR, .maildir = rows[i].maildir};
		char base[CONF_BASE_MAX];
		struct slice part;

		assert_int_equal(conf_transport_in_home(&t, &part), rows[i].part != NULL);
		if (rows[i].part != NULL)
			assert_true(slice_eq(part, slice_of(rows[i].part)));
		assert_int_equal(conf_transport_base(&t, base), rows[i].base != NULL);
		if (rows[i].base != NULL)
			assert_string_equal(base, rows[i].base);
	}
}

static void test_retry(void **state)
{
	/* 15m until 2h, then from 1h by 1.5 until 16h, then every 6h until 4d */
	static const struct {
		uint64_t age_s;
		unsigned tries;
		uint64_t next_s;
	} rows[] = {
		{0, 0, 1},	     {345600, 0, 1},
		{9999999, 0, 1}, /* never expired untried */
		{0, 1, 900},	     {7199, 8, 900},
		{7200, 9, 3600},     {10799, 10, 3600},
		{10800, 10, 5400},   {16199, 10, 5400},
		{16200, 11, 8100},   {24300, 12, 12150},
		{36450, 13, 18225},  {57599, 14, 27338 /* 54675 s on: rounded */},
		{57600, 15, 21600},  {300000, 20, 21600},
		{324000, 21, 21600}, {324001, 21, 21599},
		{345599, 22, 1},     {345600, 23, 0},
		{9999999, 23, 0},
	};
	struct conf *c = compile("hostname a.example\n", NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(conf_retry_next(&c->retry, rows[i].age_s, rows[i].tries),
				 rows[i].next_s);
	conf_free(&c);
}

/* Whatever the rule: attempts come to an end, and every wait is at least a second. */
static void test_retry_ends(void **state)
{
	static const char *const rules[] = {
		"retry { every 1s until 10m }",
		"retry { from 1s by 1.05 until 365d }",
		"retry { from 1s by 10 until 1w then every 1d until 2w }",
		"retry { every 2h until 1h }",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		struct conf *c = compile(rules[i], NULL);
		uint64_t age_s = 0, wait_s;
		unsigned tries = 1;

		while ((wait_s = conf_retry_next(&c->retry, age_s, tries)) != 0) {
			age_s += wait_s;
			tries++;
			assert_true(tries < 100000);
		}
		assert_int_equal(age_s, c->retry.steps[c->retry.count - 1].until_s);
		conf_free(&c);
	}
}

/* Each allocation fails in turn: no configuration, no mistake that is none, nothing leaked. */
static void test_no_memory(void **state)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf *c = NULL;

	(void)state;
	assert_true(bundle_add(&bundle, slice_of("postern.conf"), slice_of(whole)));
	for (size_t n = 0; c == NULL && n < 1000; n++) {
		struct conf_mistakes mistakes;

		calls = 0;
		fail_at = n;
		c = conf_compile(buf_slice(&bundle), &mistakes);
		fail_at = SIZE_MAX;
		assert_int_equal(mistakes.count, 0);
		buf_free(&mistakes.text);
	}
	assert_non_null(c);
	assert_true(calls > 3);
	conf_free(&c);
	buf_free(&bundle);
}

/* Bytes that are no bundle, or one with nothing in it, are refused and nothing else. */
static void test_bad_bundles(void **state)
{
	static const struct slice rows[] = {
		{"", 0}, {"x", 1}, {"\0\0\0\1\0\0\0\5xab", 11}, {"\0\0\0\0\0\0\0\1x", 9}};
	struct conf_mistakes mistakes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_null(conf_compile(rows[i], &mistakes));
		buf_free(&mistakes.text);
	}
}

/* Every truncation and every changed byte compiles or is refused with a mistake, and stays inside its
 * memory. */
static void test_damaged_texts(void **state)
{
	char text[sizeof(whole)];

	(void)state;
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		static const char bytes[] = {'\0', '\n', '{', '}', '"', '(', (char)0xff};

		for (size_t b = 0; b < sizeof(bytes) + 1; b++) {
			struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
			struct conf_mistakes mistakes;
			struct conf *c;

			memcpy(text, whole, sizeof(whole));
			if (b < sizeof(bytes))
				text[i] = bytes[b];
			assert_true(bundle_add(
				&bundle, slice_of("x"),
				slice_make(text, b < sizeof(bytes) ? sizeof(whole) - 1 : i)));
			c = conf_compile(buf_slice(&bundle), &mistakes);
			assert_true((c == NULL) == (mistakes.count > 0));
			buf_free(&mistakes.text);
			buf_free(&bundle);
			conf_free(&c);
		}
	}
}

/* Many mistakes are all counted; the first hundred are shown. */
static void test_many_mistakes(void **state)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), text = buf_make(1 << 20);
	struct conf_mistakes mistakes;

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_add_text(&text, "nonsense\n");
	assert_true(bundle_add(&bundle, slice_of("x"), buf_slice(&text)));
	assert_null(conf_compile(buf_slice(&bundle), &mistakes));
	assert_int_equal(mistakes.count, 5000);
	assert_non_null(strstr(buf_text(&mistakes.text), "and 4900 more\n"));
	buf_free(&mistakes.text);
	buf_free(&text);
	buf_free(&bundle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_bounds_of_settings),
		cmocka_unit_test(test_hostname_of_the_system),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_transports),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_bases),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_retry_ends),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_bad_bundles),
		cmocka_unit_test(test_damaged_texts),
		cmocka_unit_test(test_many_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
