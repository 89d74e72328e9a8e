#include "complete.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define DATE "Date: Thu, 1 Jan 1970 00:01:40 +0000\r\n"
#define ID "Message-ID: <100.0000000000007.3@mx.example.test>\r\n"

static const struct {
	const char *name, *in, *out;
} cases[] = {
	{"whole", "Date: x\r\nMessage-Id: <y>\r\nFrom: a\r\n\r\n", "Date: x\r\nMessage-Id: <y>\r\nFrom: a\r\n\r\n"},
	{"nothing", "\r\n", DATE ID "\r\n"},
	{"not even an empty line", "", DATE ID},
	{"no date", "message-ID : <y>\r\n\r\n", DATE "message-ID : <y>\r\n\r\n"},
	{"no id", "DATE: x\r\n\r\n", ID "DATE: x\r\n\r\n"},
	{"bcc", "Bcc: a@b.c\r\nDate: x\r\nbCC : a,\r\n\tb\r\nMessage-ID: <y>\r\nResent-Bcc: z\r\nTo: c\r\n\r\n",
	 "Date: x\r\nMessage-ID: <y>\r\nTo: c\r\n\r\n"},
	{"not quite bcc", "Date: x\r\nMessage-ID: <y>\r\nX-Bcc: a\r\nBcc2: b\r\n Bcc: c\r\n\r\n",
	 "Date: x\r\nMessage-ID: <y>\r\nX-Bcc: a\r\nBcc2: b\r\n Bcc: c\r\n\r\n"},
	{"what is no field stays", "Date: x\r\nMessage-ID: <y>\r\nno field\r\nBcc\r\nTo: c", "Date: x\r\nMessage-ID: <y>\r\nno field\r\nBcc\r\nTo: c"},
	{"a line that goes on with nothing", " From: a\r\n\r\n", " From: a\r\n\r\n"},
	{"a line that goes on at the top", " Bcc: a\r\nDate: x\r\nMessage-ID: <y>\r\n", " Bcc: a\r\nDate: x\r\nMessage-ID: <y>\r\n"},
};

static void test_completes(void **state)
{
	const struct completion c = {"mx.example.test", 100, 7, 3};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000);

		assert_true(complete_header(&c, slice_of(cases[i].in), &out));
		if (!slice_eq(buf_slice(&out), slice_of(cases[i].out)))
			fail_msg("%s: %s", cases[i].name, buf_text(&out));
		buf_free(&out);
	}
}

static void test_no_room(void **state)
{
	const struct completion c = {"mx.example.test", 100, 7, 3};
	struct buf out = buf_make(60);

	(void)state;
	assert_false(complete_header(&c, slice_of("To: a\r\n\r\n"), &out));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_completes), cmocka_unit_test(test_no_room)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
