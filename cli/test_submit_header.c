#include "submit_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void finds_the_end(void **state)
{
	static const struct {
		const char *text;
		size_t start, length, end;
	} cases[] = {
		{"A: 1\nB: 2\n\nbody", 0, 10, 11},
		{"A: 1\r\n\r\nbody", 0, 6, 8},
		{"A: 1\n b\n\tc\n\nbody", 0, 11, 12},
		{"A: 1\n", 0, 5, 5},
		{"A: 1", 0, 4, 4},
		{"", 0, 0, 0},
		{"\nbody", 0, 0, 1},
		{"no header\n", 0, 0, 0},
		{"A: 1\nno field\nmore", 0, 5, 5},
		{"From me Mon Jan 1\nA: 1\n\nb", 18, 5, 24},
		{">From me\nA: 1\n\nb", 9, 5, 15},
		{"From: me\n\nb", 0, 9, 10},
		{" leading\nA: 1\n", 0, 0, 0},
		{"A : 1\n\nb", 0, 6, 7},
		{": 1\n", 0, 0, 0},
		{"A: 1\n.\n", 0, 5, 5},
		{"A: 1\n \n\nb", 0, 7, 8},
		{"\xc3\xa4: 1\n", 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct submit_extent e;

		assert_true(submit_header_find(slice_of(cases[i].text), true, &e));
		if (e.start != cases[i].start || e.length != cases[i].length || e.end != cases[i].end)
			fail_msg("\"%s\": %zu %zu %zu", cases[i].text, e.start, e.length, e.end);
	}
}

/* What is said before all has been read is what is said then. */
static void waits_for_more(void **state)
{
	static const char text[] = "From me\nA: 1\n b\nC: 2\n\nbody\n";
	struct submit_extent whole, part;

	(void)state;
	assert_true(submit_header_find(slice_of(text), true, &whole));
	for (size_t n = 0; n < sizeof(text); n++)
		if (submit_header_find(slice_make(text, n), false, &part)) {
			assert_int_equal(part.end, whole.end);
			assert_int_equal(part.length, whole.length);
			assert_true(n >= whole.end);
		}
}

static bool add(struct slice address, void *arg)
{
	struct buf *b = arg;

	return (b->len == 0 || buf_add_char(b, '|')) && buf_add_slice(b, address);
}

#define ADDED "From: \"Al \\\"X\\\" B\" <al@h>\nDate: Mon, 21 Sep 2026 14:13:20 +0000\nMessage-ID: <1790000000.000000000002d@h>\n"

static void writes(void **state)
{
	static const struct {
		const char *fields;
		bool take;
		const char *out; /* NULL: refused */
		const char *recipients;
	} cases[] = {
		{"", false, ADDED, ""},
		{"Subject: x\n", false, ADDED "Subject: x\n", ""},
		{"from: a@b\nDATE: now\nmessage-id: <x>\nTo: c@d\n", true,
		 "from: a@b\nDATE: now\nmessage-id: <x>\nTo: c@d\n", "c@d"},
		{"From: a@b\nDate: x\nMessage-ID: <x>\nTo: c@d,\n e@f\nCc: G <g@h>\nBcc: i@j,\n\tk@l\nX: y\n", true,
		 "From: a@b\nDate: x\nMessage-ID: <x>\nTo: c@d,\n e@f\nCc: G <g@h>\nX: y\n", "c@d|e@f|g@h|i@j|k@l"},
		{"From: a@b\nDate: x\nMessage-ID: <x>\nBcc: i@j\n", false,
		 "From: a@b\nDate: x\nMessage-ID: <x>\nBcc: i@j\n", ""},
		{"From: a@b\nDate: x\nMessage-ID: <x>\nTo: old@b\nBcc: secret@b\nResent-To: new@b\nResent-Bcc: n2@b\n", true,
		 "From: a@b\nDate: x\nMessage-ID: <x>\nTo: old@b\nResent-To: new@b\n", "new@b|n2@b"},
		{"From: a@b\nDate: x\nMessage-ID: <x>\nReturn-Path: <evil@b>\n x\nY: z", false,
		 "From: a@b\nDate: x\nMessage-ID: <x>\nY: z\n", ""},
		{"From: a@b\nDate: x\nMessage-ID: <x>\nTo: a b c\n", true, NULL, ""},
		{"From: a@b\nDate: x\nMessage-ID: <x>\nTo: undisclosed-recipients:;\n", true,
		 "From: a@b\nDate: x\nMessage-ID: <x>\nTo: undisclosed-recipients:;\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = buf_make(4000), recipients = buf_make(4000);
		struct submit_header h = {cases[i].take, slice_of("al@h"), slice_of("Al \"X\" B"), slice_of("h"),
					  1790000000,	 77,		 add,			&recipients};
		const char *why;
		bool ok = submit_header_write(&h, slice_of(cases[i].fields), &out, &why);

		assert_int_equal(ok, cases[i].out != NULL);
		if (ok) {
			assert_string_equal(buf_text(&out), cases[i].out);
			assert_string_equal(buf_text(&recipients), cases[i].recipients);
		}
		buf_free(&out);
		buf_free(&recipients);
	}
}

/* A name from the command line never makes a line of its own. */
static void names(void **state)
{
	static const struct {
		const char *name, *from;
	} cases[] = {
		{"", "From: al@h\n"},
		{"Cron", "From: \"Cron\" <al@h>\n"},
		{"a\r\nBcc: x@y", "From: \"a  Bcc: x@y\" <al@h>\n"},
		{"J\xc3\xb6rg", "From: =?utf-8?B?SsO2cmc=?= <al@h>\n"},
		{"\x01", "From: al@h\n"},
		{"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x\xc3\xa4",
		 "From: =?utf-8?B?w6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpHg=?=\n =?utf-8?B?w6Q=?= <al@h>\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = buf_make(4000);
		struct submit_header h = {.from = slice_of("al@h"), .full_name = slice_of(cases[i].name), .host = slice_of("h")};
		const char *why;

		assert_true(submit_header_write(&h, slice_of("Date: x\nMessage-ID: <x>\n"), &out, &why));
		assert_true(slice_starts(buf_slice(&out), slice_of(cases[i].from)));
		assert_int_equal(out.len, strlen(cases[i].from) + 24);
		buf_free(&out);
	}
}

/* What stands between the quotes, with the backslashes taken away; false: it is no quoted string. */
static bool unquote(struct slice line, struct buf *out)
{
	struct slice rest = slice_from(line, strlen("From: \""));

	if (!slice_starts(line, slice_of("From: \"")))
		return false;
	while (rest.len > 0 && rest.at[0] != '"') {
		rest = slice_from(rest, rest.at[0] == '\\');
		buf_add_char(out, rest.at[0]);
		rest = slice_from(rest, 1);
	}
	return slice_eq(rest, slice_of("\" <al@h>"));
}

/* Phrases of every length, made of what ends one: what is written reads back as the phrase, as far as one is kept. */
static void phrases_of_every_length(void **state)
{
	static const char *const parts[] = {".(", "\"", "\\", "((((", ")", "a\"\\", "\r\n", "<x@y>"};
	static char phrase[4097];

	(void)state;
	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
		for (size_t len = 1; len < sizeof(phrase); len += len < 600 ? 1 : 331) {
			struct buf out = buf_make(8000), back = buf_make(1000);
			struct submit_header h = {.from = slice_of("al@h"), .host = slice_of("h")};
			struct slice rest, line;
			const char *why;

			phrase[0] = 'n';
			for (size_t i = 1; i < len; i++)
				phrase[i] = parts[p][i % strlen(parts[p])];
			h.full_name = slice_make(phrase, len);
			assert_true(submit_header_write(&h, slice_of("Date: x\nMessage-ID: <x>\n"), &out, &why));
			rest = buf_slice(&out);
			assert_true(slice_cut(&rest, '\n', &line) && unquote(line, &back));
			assert_true(back.len > 0 && back.len <= 256);
			for (size_t i = 0; i < back.len; i++)
				assert_true(back.at[i] == phrase[i] || (back.at[i] == ' ' && phrase[i] < ' '));
			assert_true(back.len == (len < 256 ? len : 256) || phrase[back.len] < ' ');
			buf_free(&out);
			buf_free(&back);
		}
	}
	printf("ROW N07 phrases pass\nROW N11 phrases-of-every-length pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_end),
		cmocka_unit_test(waits_for_more),
		cmocka_unit_test(writes),
		cmocka_unit_test(names),
		cmocka_unit_test(phrases_of_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
