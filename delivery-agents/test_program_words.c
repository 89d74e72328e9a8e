#include "program.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct program_facts facts = {
	.recipient = {"bob+x@ours.test", 15},
	.original = {"-bs@ours.test", 13},
	.sender = {"$(id);`id`|x@a", 14},
};

static const struct {
	const char *text, *want; /* NULL: refused */
} words[] = {
	{"plain", "plain"},
	{"", ""},
	{"{recipient}", "bob+x@ours.test"},
	{"{local}", "bob+x"},
	{"{domain}", "ours.test"},
	{"--to={original}", "--to=-bs@ours.test"},
	{"-f{sender}", "-f$(id);`id`|x@a"},
	{"{sender}{sender}", "$(id);`id`|x@a$(id);`id`|x@a"},
	{"{original}", NULL},
	{"{unknown}", "{unknown}"},
	{"{", "{"},
	{"-x", "-x"},
};

static bool is_refused;
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return is_refused ? NULL : __real_malloc(bytes);
}

static void test_words(void **state)
{
	char got[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		bool ok = program_word(slice_of(words[i].text), &facts, got, sizeof(got)) == OC_DONE;

		if (ok != (words[i].want != NULL) || (ok && strcmp(got, words[i].want) != 0))
			fail_msg("%s: %s", words[i].text, got);
	}
	assert_int_equal(program_word(slice_of("{recipient}"), &facts, got, 10), OC_PROGRAM_FAILED);
	printf("ROW O01 words pass\n");
}

/* That is our fault: never a permanent answer. */
static void test_no_memory(void **state)
{
	char got[64];

	(void)state;
	is_refused = true;
	enum outcome outcome = program_word(slice_of("{recipient}"), &facts, got, sizeof(got));

	is_refused = false;
	assert_int_equal(outcome, OC_NO_MEMORY);
}

static void test_environment(void **state)
{
	static const char *const bad[] = {"() { :;}; id", "x() {", "()", "a\nb", "a\rb", "\x01", "\x7f"};
	static const char *const good[] = {"", "bob@ours.test", "\"a b\"@x", "\xc3\xbc@x", "a(b)c"};
	static char big[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(slice_eq(program_env_value(slice_of(bad[i])), slice_of("INVALID")));
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(slice_eq(program_env_value(slice_of(good[i])), slice_of(good[i])));
	memset(big, 'x', sizeof(big));
	assert_true(slice_eq(program_env_value(slice_make(big, sizeof(big))), slice_of("INVALID")));
	assert_int_equal(program_env_value(slice_make(big, 4096)).len, 4096);
	printf("ROW S11 values pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_no_memory), cmocka_unit_test(test_environment)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
