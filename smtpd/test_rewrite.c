#include "rewrite.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "rules/rules.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define ALL ((1u << REWRITE_FIELDS) - 1)
#define HEADERS (ALL & ~(1u << REWRITE_ENVELOPE_FROM))
#define ONLY(field) (1u << (field))

static const struct {
	const char *name;
	uint32_t fields;
	const char *sender, *in, *asked, *out, *new_sender;
} cases[] = {
	{"plain", ALL, "u@h.test", "From: u@h.test\r\nTo: v@x.test\r\n\r\n", "0 u@h.test,1 u@h.test,4 v@x.test,",
	 "From: u@new.test\r\nTo: v@x.test\r\n\r\n", "u@new.test"},
	{"<>", ALL, "", "From: u@h.test\r\n\r\n", "1 u@h.test,", "From: u@new.test\r\n\r\n", ""},
	{"names, comments, folds", HEADERS, "u@h.test",
	 "From: \"u@h.test\" <u@h.test> (u@h.test)\r\ncc : A B <a@h.test>,\r\n\tgroup: c@h.test, d@x.test;\r\nSubject: u@h.test\r\n\r\n",
	 "1 u@h.test,5 a@h.test,5 c@h.test,5 d@x.test,",
	 "From: \"u@h.test\" <u@new.test> (u@h.test)\r\ncc : A B <a@new.test>,\r\n\tgroup: c@new.test, d@x.test;\r\nSubject: u@h.test\r\n\r\n",
	 ""},
	{"only what is named", ONLY(REWRITE_SENDER), "u@h.test", "From: u@h.test\r\nSender: u@h.test\r\n", "2 u@h.test,",
	 "From: u@h.test\r\nSender: u@new.test\r\n", ""},
	{"in pieces", HEADERS, "", "To: u (c) @ (d) h.test, <@r.test:u@h.test>\r\n", "4 u@h.test,4 u@h.test,",
	 "To: u@new.test, <@r.test:u@new.test>\r\n", ""},
	{"without a domain", HEADERS, "", "To: u, v\r\n", "4 u@h.test,4 v@h.test,", "To: u@new.test, v@new.test\r\n", ""},
	{"no list", HEADERS, "", "To: u@h.test, <broken\r\nFrom: u@h.test\r\n", "1 u@h.test,", "To: u@h.test, <broken\r\nFrom: u@new.test\r\n", ""},
	{"resent", ONLY(REWRITE_RESENT), "", "Resent-To: u@h.test\r\nTo: u@h.test\r\nResent-Date: x\r\n", "7 u@h.test,",
	 "Resent-To: u@new.test\r\nTo: u@h.test\r\nResent-Date: x\r\n", ""},
	{"none", ALL, "", "Subject: x\r\n\r\n", "", "Subject: x\r\n\r\n", ""},
	{"a quoted local part", HEADERS, "", "To: \"a b\"@h.test\r\n", "4 \"a b\"@h.test,", "To: \"a b\"@new.test\r\n", ""},
};

static void answer(struct slice asked, struct buf *shown, struct buf *answers)
{
	struct rec_rewrite_address one;

	for (uint64_t i = 0; rec_rewrite_address_next(&asked, &one); i++) {
		size_t at = slice_rindex(one.address, '@');
		struct buf new = buf_make(300);

		buf_addf(shown, "%u %.*s,", (unsigned)one.field, SLICE_ARG(one.address));
		buf_addf(&new, "%.*s@new.test", (int)at, one.address.at);
		if (slice_eq(slice_from(one.address, at), slice_of("@h.test")))
			assert_true(rec_rewritten_add(answers, &(struct rec_rewritten){i, buf_slice(&new)}));
		buf_free(&new);
	}
}

static void test_rewrites(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rewrite r = {.fields = cases[i].fields, .host = "h.test", .records = buf_make(REWRITE_RECORDS_MAX)};
		struct buf shown = buf_make(4096), answers = buf_make(4096), out = buf_make(4096);
		struct slice sender = slice_empty();

		assert_true(rewrite_find(&r, slice_of(cases[i].sender), slice_of(cases[i].in)));
		answer(buf_slice(&r.records), &shown, &answers);
		if (strcmp(buf_text(&shown), cases[i].asked) != 0)
			fail_msg("%s: asked %s", cases[i].name, buf_text(&shown));
		assert_true(rewrite_apply(&r, slice_of(cases[i].in), buf_slice(&answers), &out, &sender));
		if (!slice_eq(buf_slice(&out), slice_of(cases[i].out)) || !slice_eq(sender, slice_of(cases[i].new_sender)))
			fail_msg("%s: %s %.*s", cases[i].name, buf_text(&out), SLICE_ARG(sender));
		buf_free(&shown);
		buf_free(&answers);
		buf_free(&out);
		rewrite_clear(&r);
	}
}

/* An answer to something else is none. */
static void test_wrong_answers(void **state)
{
	static const struct {
		uint64_t indexes[2];
		const char *address;
	} wrong[] = {{{2, 2}, "a@b.test"}, {{1, 0}, "a@b.test"}, {{0, 0}, "a@b.test"}, {{0, 1}, "no address"},
		     {{0, 1}, "a@b.test\r\nX: y"}, {{0, UINT64_MAX}, "a@b.test"}};
	struct slice header = slice_of("To: u@h.test, v@h.test\r\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct rewrite r = {.fields = HEADERS, .host = "h.test", .records = buf_make(REWRITE_RECORDS_MAX)};
		struct buf answers = buf_make(4096), out = buf_make(4096);
		struct slice sender = slice_empty();

		assert_true(rewrite_find(&r, slice_empty(), header));
		for (size_t k = 0; k < 2; k++)
			assert_true(rec_rewritten_add(&answers, &(struct rec_rewritten){wrong[i].indexes[k], slice_of(wrong[i].address)}));
		assert_false(rewrite_apply(&r, header, buf_slice(&answers), &out, &sender));
		buf_free(&answers);
		buf_free(&out);
		rewrite_clear(&r);
	}
}

static void test_too_many(void **state)
{
	struct rewrite r = {.fields = HEADERS, .host = "h.test", .records = buf_make(REWRITE_RECORDS_MAX)};
	struct buf header = buf_make(1 << 20);

	(void)state;
	buf_add_text(&header, "To: a");
	for (int i = 0; i < 20000; i++)
		buf_add_text(&header, ",a");
	assert_false(rewrite_find(&r, slice_empty(), buf_slice(&header)));
	rewrite_clear(&r);
	buf_free(&header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rewrites), cmocka_unit_test(test_wrong_answers),
					   cmocka_unit_test(test_too_many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
