#include "filter/filter.h"

#include "base/mem.h"
#include "filter/sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/*
 * Each request for memory fails in turn: that is our fault, never the filter's nor the message's, so the mail waits.  Nothing is half
 * done, and nothing is lost of the memory there was (the sanitizers see that).
 */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);

static size_t left = SIZE_MAX; /* requests that are granted; then one is refused, and the rest is granted again */

static bool is_refused(void)
{
	if (left == SIZE_MAX)
		return false;
	return left-- == 0;
}

void *__wrap_malloc(size_t bytes)
{
	return is_refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __real_calloc(count, size);
}

static enum filter_read read_text(void *arg, struct slice path, struct buf *out)
{
	(void)arg;
	(void)path;
	return buf_add_text(out, "carol@example.net # $h_subject:\n") ? FILTER_READ_DONE : FILTER_READ_LATER;
}

/* Which of compiling and running was cut short, or neither. */
static bool try_with(const char *text, size_t granted)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_sample sample;
	struct filter_message m = {
		.sender = slice_of("alice@example.test"),
		.recipient = slice_of("bob@example.org"),
		.address = slice_of("bob@example.org"),
		.home = slice_of("/home/bob"),
		.host = slice_of("mx1.example.test"),
		.separators = slice_of("+"),
		.now = 1764417600,
		.read = read_text,
	};
	struct filter_mistake mistake;
	struct filter_result r = {.outcome = FILTER_LATER};
	struct filter *f;
	bool cut;

	filter_sample_set(&sample, slice_of("From: A <a@b.example>\nTo: bob@example.org\nSubject: =?utf-8?q?a=C3=A4?= (x)\nX-A: 1\n\nbody\n"), &m);
	left = granted;
	f = filter_compile(slice_of(text), FILTER_KIND_ANY, &mistake);
	if (f != NULL)
		filter_run(f, &m, &limits, NULL, &r);
	cut = left == SIZE_MAX;
	left = SIZE_MAX;
	if (f == NULL && (!cut || mistake.line != 0 || mistake.why[0] != '\0'))
		fail_msg("%s, %zu: %u:%u: %s", text, granted, mistake.line, mistake.column, mistake.why);
	if (f == NULL)
		return true;
	if (r.outcome != FILTER_DONE && (!cut || r.outcome != FILTER_LATER || r.count > 0 || r.why[0] == '\0'))
		fail_msg("%s, %zu: %s", text, granted, r.why);
	filter_result_free(&r);
	filter_free(&f);
	return cut;
}

static void test_each_request(void **state)
{
	static const char *const texts[] = {
		"# Exim filter\nif $h_subject: contains \"\\xc3\" and not (\"$h_from:\" matches \"^(x)|(A)\" and $1 is x) then save \"M/$2\" 640 endif\n",
		"# Exim filter\nif foranyaddress \"$h_to:,$h_from:\" ($thisaddress contains b.example) then deliver $thisaddress endif\n",
		"# Exim filter\nif personal alias x@y then pipe \"/bin/x '$h_subject:' \\\"${if eqi{a}{A}{${uc:$h_x-a:}}}\\\"\" headers add \"X: $message_headers\" endif\n",
		"# Exim filter\nmail to \"C <c@d.example>, e@f.example\" cc g@h.example subject $h_subject: extra_headers X:y text $message_body expand file a return message once b\nvacation once_repeat 2d\n",
		("# Sieve filter\nrequire [\"fileinto\", \"variables\", \"regex\", \"imap4flags\", \"copy\", \"encoded-character\"];\n"
		 "set :lower \"a\" \"${hex: 41}B\"; if allof (header :matches \"subject\" \"*\", header :regex \"from\" \"^${2}a\",\n"
		 "address :domain :contains [\"to\", \"from\"] \"${a}${nope}b.EX\") { fileinto :copy :flags [\"\\\\Seen ${a}\"] \"x/${1}\"; }\n"
		 "if address :contains \"from\" \"a@\" { redirect \"${a}@example.net\"; }\n"),
		("# Sieve filter\nrequire [\"body\", \"date\", \"relational\", \"envelope\", \"reject\", \"imap4flags\", \"environment\"];\n"
		 "addflag [\"x\", \"y z\"]; removeflag \"y\"; if anyof (body :contains \"nope\", body :raw :matches \"x*\", hasflag \"y\",\n"
		 "date \"subject\" \"hour\" \"1\", currentdate :value \"lt\" \"year\" \"1970\", header :count \"gt\" \"x-a\" \"5\",\n"
		 "envelope \"to\" \"x\", environment \"host\" \"x\") { discard; } else { reject text:\nno\n.\n; }\n"),
		("# Sieve filter\nrequire [\"vacation\", \"variables\"]; set \"s\" \"\u00e4\";\n"
		 "vacation :subject \"${s}\" :from \"\u00e4 <bob@example.org>\" :addresses [\"x@y.example\"] :handle \"${s}\" \"${s}\";\n"),
		"carol@example.net, \\dave, |/bin/cat x, /a/b\n:include:/x\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t granted = 0;

		assert_false(try_with(texts[i], SIZE_MAX - 1)); /* once as it is: what a library keeps for ever is there then */
		while (try_with(texts[i], granted))
			granted++;
		assert_true(granted > 5 && granted < 2000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_request)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
