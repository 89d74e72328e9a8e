#include "mail/address.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void test_forms(void **state)
{
	static const struct {
		const char *text;
		unsigned options;
		enum mail_verdict verdict;
		const char *canonical, *plain, *domain;
	} cases[] = {
		{"alice@Example.TEST", 0, MAIL_OK, "alice@example.test", "alice", "example.test"},
		{"Alice@example.test", 0, MAIL_OK, "Alice@example.test", "Alice", "example.test"},
		{"\"alice\"@example.test", 0, MAIL_OK, "alice@example.test", "alice",
		 "example.test"},
		{"\"a\\lice\"@example.test", 0, MAIL_OK, "alice@example.test", "alice",
		 "example.test"},
		{"\"al ice\"@example.test", 0, MAIL_OK, "\"al ice\"@example.test", "al ice",
		 "example.test"},
		{"\"a\\\"\\\\b\"@x", 0, MAIL_OK, "\"a\\\"\\\\b\"@x", "a\"\\b", "x"},
		{"\"\"@x", 0, MAIL_OK, "\"\"@x", "", "x"},
		{"\".a\"@x", 0, MAIL_OK, "\".a\"@x", ".a", "x"},
		{"\"a@b\"@x", 0, MAIL_OK, "\"a@b\"@x", "a@b", "x"},
		{"\"a>b\"@x", 0, MAIL_OK, "\"a>b\"@x", "a>b", "x"},
		{"a@[192.0.2.1]", 0, MAIL_OK, "a@[192.0.2.1]", "a", "[192.0.2.1]"},
		{"a@[ipv6:2001:DB8:0:0:0:0:0:1]", 0, MAIL_OK, "a@[IPv6:2001:db8::1]", "a",
		 "[IPv6:2001:db8::1]"},
		{"a@[tag:thing]", 0, MAIL_BAD_DOMAIN, "", "", ""},
		{"a@[192.0.2.01]", 0, MAIL_BAD_DOMAIN, "", "", ""},
		{"", MAIL_ALLOW_NULL, MAIL_OK, "", "", ""},
		{"", 0, MAIL_EMPTY, "", "", ""},
		{"PostMaster", MAIL_ALLOW_POSTMASTER, MAIL_OK, "PostMaster", "PostMaster", ""},
		{"postmaster", 0, MAIL_NO_DOMAIN, "", "", ""},
		{"alice", MAIL_ALLOW_POSTMASTER, MAIL_NO_DOMAIN, "", "", ""},
		{"alice", MAIL_ALLOW_BARE, MAIL_OK, "alice", "alice", ""},
		{"alice@", MAIL_ALLOW_BARE, MAIL_BAD_DOMAIN, "", "", ""},
		{"@a,@b:c@d", 0, MAIL_SOURCE_ROUTE, "", "", ""},
		{"a@b@c", 0, MAIL_BAD_DOMAIN, "", "", ""},
		{"a..b@c", 0, MAIL_BAD_LOCAL, "", "", ""},
		{"a b@c", 0, MAIL_BAD_LOCAL, "", "", ""},
		{"a@b_c", 0, MAIL_BAD_DOMAIN, "", "", ""},
		{"a@b.", 0, MAIL_BAD_DOMAIN, "", "", ""},
		{"\xc3\xa4@example.test", 0, MAIL_NEEDS_UTF8, "", "", ""},
		{"\xc3\xa4@example.test", MAIL_ALLOW_UTF8, MAIL_OK, "\xc3\xa4@example.test",
		 "\xc3\xa4", "example.test"},
		{"\xff@example.test", MAIL_ALLOW_UTF8, MAIL_BAD_LOCAL, "", "", ""},
		{"\xc0\xae@example.test", MAIL_ALLOW_UTF8, MAIL_BAD_LOCAL, "", "", ""},
		{"\xed\xa0\x80@example.test", MAIL_ALLOW_UTF8, MAIL_BAD_LOCAL, "", "", ""},
		{"\xc2\x85@example.test", MAIL_ALLOW_UTF8, MAIL_BAD_LOCAL, "", "", ""},
		{"a@M\xc3\xbcnchen.example", MAIL_ALLOW_UTF8, MAIL_OK, "a@xn--mnchen-3ya.example",
		 "a", "xn--mnchen-3ya.example"},
		{"a@XN--MNCHEN-3YA.example", 0, MAIL_OK, "a@xn--mnchen-3ya.example", "a",
		 "xn--mnchen-3ya.example"},
		{"a@m\xc3\xbcnchen.example", 0, MAIL_NEEDS_UTF8, "", "", ""},
		/* fullwidth '@' and '/' must not become what a domain cannot have */
		{"a@b\xef\xbc\xa0"
		 "c.example",
		 MAIL_ALLOW_UTF8, MAIL_BAD_DOMAIN, "", "", ""},
		{"a@b\xef\xbc\x8f"
		 "c.example",
		 MAIL_ALLOW_UTF8, MAIL_BAD_DOMAIN, "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mail_address a = {0};
		enum mail_verdict got =
			mail_address_parse(slice_of(cases[i].text), cases[i].options, &a);

		if (got != cases[i].verdict)
			fail_msg("%s: %s", cases[i].text, mail_verdict_text(got));
		if (got != MAIL_OK)
			continue;
		assert_string_equal(a.text, cases[i].canonical);
		assert_string_equal(a.plain, cases[i].plain);
		assert_true(slice_eq(mail_address_domain(&a), slice_of(cases[i].domain)));
	}
	print_message("ROW Z07 address-utf8 pass\n");
}

/* U-label and A-label of a domain are one key, wherever it stands. */
static void test_keys(void **state)
{
	static const struct {
		const char *key, *canonical; /* NULL: nothing to be done */
	} rows[] = {
		{"m\xc3\xbcnchen.example", "xn--mnchen-3ya.example"},
		{"M\xc3\x9cNCHEN.example", "xn--mnchen-3ya.example"},
		{"@m\xc3\xbcnchen.example", "@xn--mnchen-3ya.example"},
		{"info@m\xc3\xbcnchen.example", "info@xn--mnchen-3ya.example"},
		{"j\xc3\xb6rg@m\xc3\xbcnchen.example", "j\xc3\xb6rg@xn--mnchen-3ya.example"},
		{"xn--mnchen-3ya.example", NULL},
		{"example.org", NULL},
		{"", NULL},
		{"*", NULL},
		{"\xff.example", NULL},
		{"two words \xc3\xbc", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[MAIL_KEY_MAX + 1];
		bool done = mail_key_canonical(slice_of(rows[i].key), out);

		if (done != (rows[i].canonical != NULL) || (done && strcmp(out, rows[i].canonical) != 0))
			fail_msg("%s: %s", rows[i].key, done ? out : "nothing");
	}
}

/* A canonical text is its own canonical text. */
static void test_canonical_is_stable(void **state)
{
	static const char *const texts[] = {"\"a\\\"\\\\b\"@X.y", "\"a b\"@[ipv6:::1]", "\"\"@x",
					    "\"a\"@b", "\"\xc3\xa4 \"@x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct mail_address a, b;

		assert_int_equal(mail_address_parse(slice_of(texts[i]), MAIL_ALLOW_UTF8, &a), MAIL_OK);
		assert_int_equal(mail_address_parse(mail_address_text(&a), MAIL_ALLOW_UTF8, &b),
				 MAIL_OK);
		assert_string_equal(a.text, b.text);
		assert_string_equal(a.plain, b.plain);
	}
}

static void test_lengths(void **state)
{
	char text[400];
	struct mail_address a;

	(void)state;
	for (size_t local = 1; local <= 70; local++) {
		memset(text, 'a', local);
		memcpy(text + local, "@x", 3);
		assert_int_equal(mail_address_parse(slice_of(text), 0, &a),
				 local <= MAIL_LOCAL_MAX ? MAIL_OK : MAIL_LOCAL_TOO_LONG);
	}
	for (size_t len = 3; len < sizeof(text); len++) {
		for (size_t i = 0; i < len; i++)
			text[i] = i == 1 ? '@' : i % 50 == 49 && i + 1 < len ? '.' : 'b';
		assert_int_equal(mail_address_parse(slice_make(text, len), 0, &a),
				 len <= MAIL_ADDRESS_MAX ? MAIL_OK : MAIL_TOO_LONG);
	}
}

/* Every octet at every place of a good address: never a control, a space or an angle bracket in
 * what comes out. */
static void test_every_octet(void **state)
{
	static const char good[] = "ab.cd@ef.gh";

	(void)state;
	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		for (unsigned c = 0; c < 256; c++) {
			char text[sizeof(good)];
			struct mail_address a;

			memcpy(text, good, sizeof(good));
			text[at] = (char)c;
			if (mail_address_parse(slice_make(text, sizeof(good) - 1), MAIL_ALLOW_UTF8,
					       &a) != MAIL_OK)
				continue;
			assert_true(c > ' ' && c < 0x7f && strchr("<>()[]\\,;:\"", (int)c) == NULL);
			assert_int_equal(strlen(a.text), sizeof(good) - 1);
		}
	}
}

static void test_routed(void **state)
{
	static const struct {
		const char *text;
		bool routed;
	} cases[] = {
		{"user%host@x", true},	      {"user%a%host.example@x", true}, {"host!user@x", true},
		{"a.b!c!user@x", true},	      {"\"user@host\"@x", true},       {"user@x", false},
		{"!#$%&'*+/=?^`{|}~@x", false}, {"100%@x", false},	       {"%host@x", false},
		{"wow!@x", false},	      {"\"50% off\"@x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mail_address a;

		assert_int_equal(mail_address_parse(slice_of(cases[i].text), 0, &a), MAIL_OK);
		if (mail_address_is_routed(&a) != cases[i].routed)
			fail_msg("%s", cases[i].text);
	}
}

static void test_paths(void **state)
{
	static const struct {
		const char *text, *inside, *rest;
	} cases[] = {
		{"<>", "", ""},
		{"<a@b> SIZE=1", "a@b", " SIZE=1"},
		{"<\"a>b\"@c>x", "\"a>b\"@c", "x"},
		{"<\"a\\\">b\"@c>", "\"a\\\">b\"@c", ""},
		{"<a@b", NULL, NULL},
		{"<\"a>b", "\"a", "b"},
		{"a@b>", NULL, NULL},
		{"", NULL, NULL},
		{"<", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice rest = slice_of(cases[i].text), inside;
		bool got = mail_path_cut(&rest, &inside);

		assert_int_equal(got, cases[i].inside != NULL);
		if (!got)
			continue;
		assert_true(slice_eq(inside, slice_of(cases[i].inside)));
		assert_true(slice_eq(rest, slice_of(cases[i].rest)));
	}
}

static const char *suites(void)
{
	const char *from_env = getenv("POSTERN_SUITES");

	return from_env != NULL ? from_env : POSTERN_SUITES_DEFAULT;
}

static int hex_digit(char c)
{
	return ascii_is_digit(c) ? c - '0' : ascii_lower(c) - 'a' + 10;
}

static size_t unhex(const char *text, char *out, size_t size)
{
	size_t len = 0;

	for (; ascii_is_alnum(text[0]) && len < size; text += 2)
		out[len++] = (char)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
	return len;
}

/* 164 verdicts of an outside suite: which of them may stand in an envelope. */
static void test_suite(void **state)
{
	char path[4096], line[4096], address[2048];
	size_t len = 0, count = 0, wrong = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/addresses/rfc5321_verdicts.json", suites());
	f = fopen(path, "re");
	if (f == NULL) {
		print_message("skipped: not here\n");
		skip();
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		struct mail_address a;
		bool accept = strstr(line, "\"accept\"") != NULL;

		if (strncmp(line, "\"hex\": \"", 8) == 0)
			len = unhex(line + 8, address, sizeof(address));
		if (strncmp(line, "\"envelope\"", 10) != 0)
			continue;
		count++;
		if ((mail_address_parse(slice_make(address, len), 0, &a) == MAIL_OK) != accept) {
			print_message("disagrees: %.*s\n", (int)len, address);
			wrong++;
		}
	}
	fclose(f);
	assert_int_equal(wrong, 0);
	assert_int_equal(count, 164);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	    cmocka_unit_test(test_keys),
		cmocka_unit_test(test_canonical_is_stable),
		cmocka_unit_test(test_lengths),	    cmocka_unit_test(test_every_octet),
		cmocka_unit_test(test_routed),	    cmocka_unit_test(test_paths),
		cmocka_unit_test(test_suite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
