#include "base/mem.h"
#include "filter/view.h"
#include "filter/view_date.h"
#include "filter/view_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static ssize_t read_body(void *arg, uint64_t offset, char *out, size_t size)
{
	struct slice piece = slice_sub(*(struct slice *)arg, offset, size < 7 ? size : 7);

	memcpy(out, piece.at, piece.len);
	return (ssize_t)piece.len;
}

static struct view *view_of(struct filter_message *m, const char *header, struct slice *body)
{
	struct view *v = NULL;

	*m = (struct filter_message){.header = slice_of(header), .body = read_body, .arg = body};
	assert_int_equal(view_new(m, 65536, &v), VIEW_MADE);
	return v;
}

static void assert_text(struct slice got, const char *expected)
{
	if (slice_eq(got, slice_of(expected)))
		return;
	print_error("got \"%.*s\", expected \"%s\"\n", SLICE_ARG(got), expected);
	fail();
}

static void test_fields(void **state)
{
	struct slice body = slice_empty(), text;
	struct filter_message m;
	struct view *v = view_of(&m,
				 "Subject: one\r\nno field\r\n nor this\r\nX-Folded :\r\n a\r\n\tb \r\n"
				 "SUBJECT: =?utf-8?q?zw=C3=B6lf?=\r\nEmpty:\r\n: nameless\r\nLast: x",
				 &body);
	static const struct {
		const char *name, *raw, *decoded;
	} expected[] = {
		{"Subject", " one", "one"},
		{"X-Folded", "\r\n a\r\n\tb ", "a b"},
		{"SUBJECT", " =?utf-8?q?zw=C3=B6lf?=", "zw\u00f6lf"},
		{"Empty", "", ""},
		{"Last", " x", "x"},
	};

	(void)state;
	assert_int_equal(view_field_count(v), ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_text(view_field_at(v, i)->name, expected[i].name);
		assert_text(view_field_at(v, i)->raw, expected[i].raw);
		assert_true(view_field_decoded(v, i, &text));
		assert_text(text, expected[i].decoded);
	}
	assert_int_equal(view_field_next(v, slice_of("subject"), 0), 0);
	assert_int_equal(view_field_next(v, slice_of("subject"), 1), 2);
	assert_int_equal(view_field_next(v, slice_of("subject"), 3), SLICE_NONE);
	assert_true(view_first(v, slice_of("x-folded"), &text));
	assert_text(text, "a b");
	assert_true(view_first(v, slice_of("absent"), &text));
	assert_text(text, "");
	view_free(&v);
}

static void test_too_many_fields(void **state)
{
	struct buf header = buf_make(1u << 20);
	struct filter_message m = {0};
	struct view *v = NULL;

	(void)state;
	for (size_t i = 0; i < VIEW_FIELDS_MAX; i++)
		buf_add_text(&header, "a:\n");
	m.header = buf_slice(&header);
	assert_int_equal(view_new(&m, 0, &v), VIEW_MADE);
	assert_int_equal(view_field_count(v), VIEW_FIELDS_MAX);
	view_free(&v);
	buf_add_text(&header, "b:\n");
	m.header = buf_slice(&header);
	assert_int_equal(view_new(&m, 0, &v), VIEW_TOO_MANY_FIELDS);
	assert_null(v);
	buf_free(&header);
}

static void test_encoded_words(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain", "plain"},
		{"=?US-ASCII?Q?Keith_Moore?= <moore@cs>", "Keith Moore <moore@cs>"},
		{"=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?=", "Patrik F\u00e4ltstr\u00f6m"},
		{"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\t =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
		 "If you can read this you understand the example."},
		{"(=?ISO-8859-1?Q?a?= b)", "(a b)"}, /* RFC 2047 section 8 */
		{"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"(=?ISO-8859-1?Q?a_b?=)", "(a b)"},
		{"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"},
		{"=?utf-8?b?4oI=?= =?utf-8?b?rA==?=", "\u20ac"}, /* one character, two words */
		{"=?utf-8*en?q?x?=", "x"},
		{"=?windows-1252?q?=80=81?=", "\u20ac\ufffd"},
		{"=?iso-8859-15?q?=A4?=", "\u20ac"},
		{"=?koi8-r?b?8NLJ18XU?=", "\u041f\u0440\u0438\u0432\u0435\u0442"},
		{"=?x-unknown?q?=80?= =?utf-8?q?a?=", "=?x-unknown?q?=80?= a"},
		{"=?utf-8?x?abc?=", "=?utf-8?x?abc?="},
		{"=?utf-8?q?no end", "=?utf-8?q?no end"},
		{"=?utf-8?q?a b?=", "=?utf-8?q?a b?="},
		{"=?utf-8?q?=FF=41?=", "\ufffdA"},
		{"=?utf-8?q?a=0D=0ABcc:_x=00?=", "a\ufffd\ufffdBcc: x\ufffd"}, /* no new line comes out */
		{"a=?utf-8?q?b?=c", "abc"},
		{"=?=?=?=?utf-8?q?\?=", "=?=?=?"},
		{"=?", "=?"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000);

		assert_true(view_decode_words(slice_of(cases[i].in), &out));
		assert_text(buf_slice(&out), cases[i].out);
		buf_free(&out);
	}
}

static void test_words_are_encoded(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain =text=", "plain =text="},
		{"\u00e9t\u00e9", "=?utf-8?b?w6l0w6k=?="},
		{"a\nb", "=?utf-8?b?YQpi?="},
		{"=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?="},
		{"", ""},
		{"0123456789012345678901234567890123456789012\u20ac\u20ac",
		 "=?utf-8?b?MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMg==?=\n =?utf-8?b?4oKs4oKs?="},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000);

		assert_true(view_encode_words(slice_of(cases[i].in), &out));
		assert_text(buf_slice(&out), cases[i].out);
		buf_free(&out);
	}
}

/* As "name|local|domain|address" each; what is no address: "!|address". */
static void say_addresses(const struct view_addresses *list, struct buf *out)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct view_address *a = &list->at[i];

		if (a->good)
			buf_addf(out, "%.*s|%.*s|%.*s|%.*s;", SLICE_ARG(a->name), SLICE_ARG(a->local), SLICE_ARG(a->domain),
				 SLICE_ARG(a->address));
		else
			buf_addf(out, "!%.*s|%.*s;", SLICE_ARG(a->name), SLICE_ARG(a->address));
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a@b.example", "|a|b.example|a@b.example;"},
		{"Hans Meier <h@x.example>, b@c", "Hans Meier|h|x.example|h@x.example;|b|c|b@c;"},
		{"\"Meier, \\\"H\\\"\" <h@x>", "Meier, \"H\"|h|x|h@x;"},
		{"=?utf-8?q?J=C3=B6rg?= <j@x>", "J\u00f6rg|j|x|j@x;"},
		{"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|pete|silly.test|pete@silly.test;"},
		{"john . doe @ x . example (John Doe)", "John Doe|john.doe|x.example|john.doe@x.example;"},
		{"A Group:Ed Jones <joe@where.test>,john@one.test;", "Ed Jones|joe|where.test|joe@where.test;|john|one.test|john@one.test;"},
		{"Undisclosed recipients:;", ""},
		{"list: a@b; , c@d", "|a|b|a@b;|c|d|c@d;"},
		{",, a@b ,,", "|a|b|a@b;"},
		{"<@route.example,@two:joe@where.test>", "|joe|where.test|joe@where.test;"},
		{"\"a b\\\"c\"@x", "|a b\"c|x|\"a b\\\"c\"@x;"},
		{"\"a@b\"@x", "|a@b|x|\"a@b\"@x;"},
		{"a@[192.0.2.1]", "|a|[192.0.2.1]|a@[192.0.2.1];"},
		{"x <a@[IPv6:2001:db8::1]>", "x|a|[IPv6:2001:db8::1]|a@[IPv6:2001:db8::1];"},
		{"a@b@c", "!|a@b@c;"},
		{"nobody", "!|nobody;"},
		{"two words", "!|two words;"},
		{"two words@x", "!|two words@x;"},
		{"a@", "!|a@;"},
		{"@b", "!|@b;"},
		{"a@.b", "!|a@.b;"},
		{"<>", ""},
		{"a@b, \"", "|a|b|a@b;"},
		{"=?utf-8?q?\?= <>, a@b", "|a|b|a@b;"},
		{"Mailer <>", "!Mailer|;"},
		{"x <a@b", "x|a|b|a@b;"},
		{"\"open <a@b", "!|open <a@b;"},
		{"(((((open a@b", ""},
		{"fran\u00e7ois@caf\u00e9.example", "|fran\u00e7ois|caf\u00e9.example|fran\u00e7ois@caf\u00e9.example;"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *arena = arena_new(1u << 20);
		struct buf out = buf_make(10000);
		struct view_addresses list;

		assert_true(view_addresses_parse(arena, slice_of(cases[i].in), &list));
		say_addresses(&list, &out);
		assert_text(buf_slice(&out), cases[i].out);
		buf_free(&out);
		arena_free(&arena);
	}
}

static void test_addresses_are_bounded(void **state)
{
	struct arena *arena = arena_new(64u << 20);
	struct buf text = buf_make(1u << 20), nested = buf_make(1u << 20);
	struct view_addresses list;

	(void)state;
	for (size_t i = 0; i < VIEW_ADDRESSES_MAX + 5; i++)
		buf_add_text(&text, "a@b,");
	assert_true(view_addresses_parse(arena, buf_slice(&text), &list));
	assert_int_equal(list.count, VIEW_ADDRESSES_MAX);
	for (size_t i = 0; i < 500000; i++)
		buf_add_char(&nested, '(');
	assert_true(view_addresses_parse(arena, buf_slice(&nested), &list));
	assert_int_equal(list.count, 0);
	buf_free(&text);
	buf_free(&nested);
	arena_free(&arena);
}

static void test_header_of_commas_is_no_error(void **state)
{
	struct buf header = buf_make(1u << 20);
	struct slice body = slice_empty();
	struct filter_message m;
	struct view *v;
	const struct view_addresses *list;

	(void)state;
	buf_add_text(&header, "To: ");
	for (size_t i = 0; i < 100000; i++)
		buf_add_text(&header, "a,");
	v = view_of(&m, buf_text(&header), &body);
	assert_true(view_field_addresses(v, 0, &list));
	assert_int_equal(list->count, VIEW_ADDRESSES_MAX);
	view_free(&v);
	buf_free(&header);
}

static void test_dates(void **state)
{
	static const struct {
		const char *in;
		bool good;
		int64_t at;
		int zone;
	} cases[] = {
		{"Fri, 21 Nov 1997 09:55:06 -0600", true, 880127706, -360},
		{"Thu, 13\tFeb 1969 23:32 -0330 (Newfoundland Time)", true, -27723480, -210},
		{"21 Nov 97 09:55:06 GMT", true, 880106106, 0},
		{"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", true, 880127706, -360},
		{"1 Jan 49 00:00 EST", true, 2493090000, -300},
		{"1 Jan 50 00:00 Z", true, -631152000, 0},
		{"1 Jan 103 00:00 +0000", true, 1041379200, 0},
		{"29 Feb 2024 23:59:60 +0000", true, 1709251200, 0},
		{"29 Feb 2023 00:00 +0000", false, 0, 0},
		{"31 Apr 2023 00:00 +0000", false, 0, 0},
		{"0 Jan 2023 00:00 +0000", false, 0, 0},
		{"1 Jan 2023 24:00 +0000", false, 0, 0},
		{"1 Jan 2023 00:60 +0000", false, 0, 0},
		{"1 Jan 2023 00:00:61 +0000", false, 0, 0},
		{"1 Jan 2023 00:00 +0060", false, 0, 0},
		{"1 Jan 2023 00:00 +2400", false, 0, 0},
		{"1 Jan 2023 00:00 +000", false, 0, 0},
		{"1 Jan 2023 00:00", true, 1672531200, 0},
		{"1 Jan 12345 00:00 +0000", false, 0, 0},
		{"Foo, 1 Jan 2023 00:00 +0000", false, 0, 0},
		{"1 Jan 2023 00:00 +0000 rest", false, 0, 0},
		{"", false, 0, 0},
		{"yesterday", false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct view_date date = {0};

		if (view_date_parse(slice_of(cases[i].in), &date) != cases[i].good || date.at != cases[i].at ||
		    date.zone_minutes != cases[i].zone) {
			print_error("%s: %lld %d\n", cases[i].in, (long long)date.at, date.zone_minutes);
			fail();
		}
	}
}

static void test_calendar(void **state)
{
	static const struct {
		int64_t at;
		int zone;
		const char *expected; /* year-month-day hour:minute:second weekday julian */
	} cases[] = {
		{0, 0, "1970-1-1 0:0:0 4 40587"},
		{-1, 0, "1969-12-31 23:59:59 3 40586"},
		{951782400, 0, "2000-2-29 0:0:0 2 51603"},
		{951782400, -60, "2000-2-28 23:0:0 1 51602"},
		{1796083199, 330, "2026-12-1 5:29:59 2 61375"},
		{-62135596800, 0, "1-1-1 0:0:0 1 -678575"},
		{253402300799, 0, "9999-12-31 23:59:59 5 2973483"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct view_calendar c = view_calendar(cases[i].at, cases[i].zone);
		struct buf out = buf_make(200);

		buf_addf(&out, "%lld-%u-%u %u:%u:%u %u %lld", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second, c.weekday,
			 (long long)c.julian);
		assert_text(buf_slice(&out), cases[i].expected);
		buf_free(&out);
	}
}

/* Each part as "depth type [content]", of a multipart with what is behind it. */
static void say_parts(const char *header, const char *text, struct buf *out)
{
	struct slice body = slice_of(text);
	struct filter_message m;
	struct view *v = view_of(&m, header, &body);
	const struct view_part *parts;
	size_t count;

	assert_true(view_parts(v, &parts, &count));
	for (size_t i = 0; i < count; i++)
		buf_addf(out, "%u %.*s [%.*s][%.*s]\n", parts[i].depth, SLICE_ARG(parts[i].type), SLICE_ARG(parts[i].content),
			 SLICE_ARG(parts[i].epilogue));
	view_free(&v);
}

static void test_parts(void **state)
{
	static const struct {
		const char *header, *body, *parts;
	} cases[] = {
		{"Subject: x\n", "hello\n", "0 text/plain [hello\n][]\n"},
		{"Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n", "caf=E9=\n!=20\n=3\n",
		 "0 text/html [caf\u00e9! \n=3\n][]\n"},
		{"Content-Type: TEXT/Plain (comment); charset=\"windows-1252\"\nContent-Transfer-Encoding: BASE64\n", "gG\n E=\n",
		 "0 text/plain [\u20aca][]\n"},
		{"Content-Type: text/plain; charset=x-unknown\n", "\xff", "0 text/plain [\xff][]\n"},
		{"Content-Type: application/pdf; charset=utf-8\n", "\xff", "0 application/pdf [\xff][]\n"},
		{"Content-Type: nonsense\n", "a", "0 text/plain [a][]\n"},
		{"Content-Type: multipart/mixed; boundary=\"b 1\"\n",
		 "before\n--b 1\n\none\n--b 1x\n--b 1 \t\nContent-Type: image/png\n\ntwo\n\n--b 1--\nafter\n",
		 "0 multipart/mixed [before][after\n]\n1 text/plain [one\n--b 1x][]\n1 image/png [two\n][]\n"},
		{"Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\none\r\n--b\r\nX: 1\r\n--b--\r\n",
		 "0 multipart/mixed [][]\n1 text/plain [one][]\n1 text/plain [][]\n"},
		{"Content-Type: multipart/mixed\n", "--b\n\none\n--b--\n", "0 multipart/mixed [--b\n\none\n--b--\n][]\n"},
		{"Content-Type: multipart/mixed; boundary=b\n", "no end\n--b\n\none", "0 multipart/mixed [no end][]\n1 text/plain [one][]\n"},
		{"Content-Type: multipart/mixed; boundary=a\n",
		 "--a\nContent-Type: multipart/alternative; boundary=aa\n\n--aa\n\nx\n--aa--\n--a\n\ny\n--a--\n",
		 "0 multipart/mixed [][]\n1 multipart/alternative [][]\n2 text/plain [x][]\n1 text/plain [y][]\n"},
		{"Content-Type: message/rfc822\n", "Subject: in\nContent-Type: text/csv\n\n1,2\n",
		 "0 message/rfc822 [Subject: in\nContent-Type: text/csv\n][]\n1 text/csv [1,2\n][]\n"},
		{"Content-Type: multipart/digest; boundary=b\n", "--b\n\nSubject: d\n\ntext\n--b--\n",
		 "0 multipart/digest [][]\n1 message/rfc822 [Subject: d\n][]\n2 text/plain [text][]\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(10000);

		say_parts(cases[i].header, cases[i].body, &out);
		assert_text(buf_slice(&out), cases[i].parts);
		buf_free(&out);
	}
}

/* Each message in the other: taken apart down to the bound, then text. */
static void test_nesting_is_bounded(void **state)
{
	struct buf text = buf_make(1u << 20), out = buf_make(4u << 20);
	struct slice body;
	struct filter_message m;
	const struct view_part *parts;
	struct view *v;
	size_t count;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		buf_add_text(&text, "Content-Type: message/rfc822\n\n");
	body = buf_slice(&text);
	v = view_of(&m, "Content-Type: message/rfc822\n", &body);
	assert_true(view_parts(v, &parts, &count));
	assert_int_equal(count, VIEW_NESTING_MAX + 1);
	view_free(&v);
	buf_clear(&text);
	for (size_t i = 0; i < VIEW_PARTS_MAX * 3; i++)
		buf_add_text(&text, "--b\n\n\n");
	body = buf_slice(&text);
	v = view_of(&m, "Content-Type: multipart/mixed; boundary=b\n", &body);
	assert_true(view_parts(v, &parts, &count));
	assert_int_equal(count, VIEW_PARTS_MAX);
	view_free(&v);
	buf_free(&text);
	buf_free(&out);
}

static ssize_t no_body(void *arg, uint64_t offset, char *out, size_t size)
{
	(void)arg;
	(void)out;
	(void)size;
	return offset < 10 ? 5 : -1;
}

static void test_body(void **state)
{
	struct slice body = slice_of("0123456789"), got;
	struct filter_message m = {.body = read_body, .arg = &body};
	struct view *v;

	(void)state;
	assert_int_equal(view_new(&m, 8, &v), VIEW_MADE);
	assert_true(view_body(v, &got));
	assert_text(got, "01234567");
	view_free(&v);
	m.body = no_body;
	assert_int_equal(view_new(&m, 100, &v), VIEW_MADE);
	assert_false(view_body(v, &got));
	view_free(&v);
	assert_int_equal(view_new(&m, 0, &v), VIEW_MADE);
	assert_true(view_body(v, &got));
	assert_text(got, "");
	view_free(&v);
}

static void test_html(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"<p>a<b class='x'>b</b></p>", "ab"},
		{"1 < 2 &amp; 3 &gt; 2 &#8364;&#x41;&nope; &", "1 < 2 & 3 > 2 \u20acA&nope; &"},
		{"a<!-- <b> no -->b<script>if (a < b) x();</script>c<STYLE>p{}</Style>d", "abcd"},
		{"a<!-- open", "a"},
		{"a<script>open", "a"},
		{"a<b", "a"},
		{"<scripted>x", "x"},
		{"&#0;&#10;", "&#0;\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000);

		assert_true(view_html_text(slice_of(cases[i].in), &out));
		assert_text(buf_slice(&out), cases[i].out);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_too_many_fields),
		cmocka_unit_test(test_encoded_words),
		cmocka_unit_test(test_words_are_encoded),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_are_bounded),
		cmocka_unit_test(test_header_of_commas_is_no_error),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_html),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
