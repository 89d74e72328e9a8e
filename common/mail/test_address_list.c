#include "mail/address_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct found {
	char text[2000];
	size_t len;
	size_t count, most;
};

static bool add(struct slice address, void *arg)
{
	struct found *f = arg;

	if (f->count == f->most)
		return false;
	f->count++;
	assert_true(f->len + address.len + 2 < sizeof(f->text));
	if (f->len > 0)
		f->text[f->len++] = '|';
	memcpy(f->text + f->len, address.at, address.len);
	f->len += address.len;
	f->text[f->len] = '\0';
	return true;
}

static const struct {
	const char *in, *out; /* out NULL: bad */
} cases[] = {
	{"", ""},
	{"a@b", "a@b"},
	{"a", "a"},
	{"a@b, c@d", "a@b|c@d"},
	{"a@b,,c@d,", "a@b|c@d"},
	{"<a@b>", "a@b"},
	{"John Smith <j@d.example>", "j@d.example"},
	{"John Q. Smith <j@d>", "j@d"},
	{"\"Smith, John\" <j@d>, b@c", "j@d|b@c"},
	{"j@d (John, Smith)", "j@d"},
	{"(a (nested \\) comment) here) j @ (x) d . (y) example", "j@d.example"},
	{"\"a b\"@d", "\"a b\"@d"},
	{"\"a\\\"b\"@d", "\"a\\\"b\"@d"},
	{"friends: a@b, Bob <c@d>;", "a@b|c@d"},
	{"undisclosed-recipients:;", ""},
	{"x: a@b;, c@d", "a@b|c@d"},
	{"x: a@b; , y: c@d;", "a@b|c@d"},
	{"<@r1,@r2:a@b>", "a@b"},
	{"<@r1:a@b>", "a@b"},
	{"a@[192.0.2.1]", "a@[192.0.2.1]"},
	{"a@[IPv6:::1]", "a@[IPv6:::1]"},
	{"a@b,\r\n\tc@d\r\n", "a@b|c@d"},
	{"\"a\r\n b\"@d", "\"a b\"@d"},
	{"=?utf-8?Q?J=C3=B6rg?= <j@d>", "j@d"},
	{"J\xc3\xb6rg <j\xc3\xb6rg@d>", "j\xc3\xb6rg@d"},
	{"root, MAILER-DAEMON", "root|MAILER-DAEMON"},
	{"a.b.c@d", "a.b.c@d"},

	{"a b@c", NULL},
	{"John Smith", NULL},
	{"<>", NULL},
	{"<a@b", NULL},
	{"a@b>", NULL},
	{"a@b <c@d>", NULL},
	{"<a@b> c", NULL},
	{"<a@b> <c@d>", NULL},
	{"<a@b>.c", NULL},
	{"(open", NULL},
	{"\"open", NULL},
	{"\"open\\", NULL},
	{"\"a\\\n\"", NULL},
	{"\"a\\\n\"@b", NULL},
	{"[open", NULL},
	{"a@b)", NULL},
	{"a@b]", NULL},
	{"a\\b", NULL},
	{"a@b@c", NULL},
	{"@b", NULL},
	{"a@", NULL},
	{"g: a@b", NULL},
	{"g: h: a@b;;", NULL},
	{"a@b;", NULL},
	{"a@b: c@d;", NULL},
	{"a\x01@b", NULL},
	{"\"a\x01\"@b", NULL},
	{"a@b\x7f", NULL},
	{"<<a@b>>", NULL},
};

static void parses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct found f = {.most = 100};
		enum address_list_end end = address_list_parse(slice_of(cases[i].in), add, &f);

		if ((end == ADDRESS_LIST_DONE) != (cases[i].out != NULL))
			fail_msg("\"%s\" -> %d \"%s\"", cases[i].in, (int)end, f.text);
		if (cases[i].out != NULL)
			assert_string_equal(f.text, cases[i].out);
	}
}

/* Each address found says the same when it is parsed again by itself, at every truncation too. */
static bool again(struct slice address, void *arg)
{
	struct found f = {.most = 2};

	(void)arg;
	assert_true(address.len >= 1 && address.len <= ADDRESS_LIST_ONE_MAX);
	assert_int_equal(address_list_parse(address, add, &f), ADDRESS_LIST_DONE);
	assert_int_equal(f.count, 1);
	assert_true(slice_eq(slice_make(f.text, f.len), address));
	return true;
}

static void truncations_and_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];
		size_t len = strlen(cases[i].in);

		for (size_t n = 0; n <= len; n++)
			(void)address_list_parse(slice_make(cases[i].in, n), again, NULL);
		memcpy(text, cases[i].in, len);
		for (size_t n = 0; n < len; n++) {
			static const char changes[] = "\0(<>\",:;@\\ \x80";

			for (size_t c = 0; c < sizeof(changes); c++) {
				text[n] = changes[c];
				(void)address_list_parse(slice_make(text, len), again, NULL);
			}
			text[n] = cases[i].in[n];
		}
	}
}

static void bounds(void **state)
{
	static char text[100000];
	struct found f = {.most = 3};

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(address_list_parse(slice_make(text, ADDRESS_LIST_ONE_MAX), add, &f), ADDRESS_LIST_DONE);
	assert_int_equal(address_list_parse(slice_make(text, ADDRESS_LIST_ONE_MAX + 1), add, &f), ADDRESS_LIST_BAD);
	memset(text, '(', sizeof(text));
	assert_int_equal(address_list_parse(slice_make(text, sizeof(text)), add, &f), ADDRESS_LIST_BAD);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 == 0 ? 'a' : ',';
	f = (struct found){.most = 3};
	assert_int_equal(address_list_parse(slice_make(text, sizeof(text)), add, &f), ADDRESS_LIST_STOPPED);
	assert_int_equal(f.count, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(truncations_and_changes),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
