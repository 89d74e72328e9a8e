#include "authd_pam.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <security/pam_appl.h>
#include <stdlib.h>

static void test_outcomes(void **state)
{
	static const struct {
		int code;
		enum outcome outcome;
	} cases[] = {
		{PAM_SUCCESS, OC_AUTHENTICATED},
		{PAM_AUTH_ERR, OC_AUTH_FAILED},
		{PAM_USER_UNKNOWN, OC_AUTH_FAILED},
		{PAM_ACCT_EXPIRED, OC_AUTH_FAILED},
		{PAM_NEW_AUTHTOK_REQD, OC_AUTH_FAILED},
		{PAM_PERM_DENIED, OC_AUTH_FAILED},
		/* ours */
		{PAM_SYSTEM_ERR, OC_AUTH_UNAVAILABLE},
		{PAM_AUTHINFO_UNAVAIL, OC_AUTH_UNAVAILABLE},
		{PAM_CRED_INSUFFICIENT, OC_AUTH_UNAVAILABLE},
		{PAM_SERVICE_ERR, OC_AUTH_UNAVAILABLE},
		{PAM_OPEN_ERR, OC_AUTH_UNAVAILABLE},
		{PAM_SYMBOL_ERR, OC_AUTH_UNAVAILABLE},
		{PAM_BUF_ERR, OC_AUTH_UNAVAILABLE},
		{PAM_CONV_ERR, OC_AUTH_UNAVAILABLE},
		{PAM_ABORT, OC_AUTH_UNAVAILABLE},
		{PAM_IGNORE, OC_AUTH_UNAVAILABLE},
		{PAM_MODULE_UNKNOWN, OC_AUTH_UNAVAILABLE},
		{PAM_INCOMPLETE, OC_AUTH_UNAVAILABLE},
		{-1, OC_AUTH_UNAVAILABLE},
		{99, OC_AUTH_UNAVAILABLE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (pam_outcome(cases[i].code) != cases[i].outcome)
			fail_msg("code %d", cases[i].code);
}

#define MESSAGES_MAX 64

static int converse(int count, const int *styles, struct pam_response **responses, struct pam_answers *a)
{
	static struct pam_message messages[MESSAGES_MAX];
	static const struct pam_message *pointers[MESSAGES_MAX];

	for (int i = 0; i < count; i++) {
		messages[i] = (struct pam_message){styles[i], "say something: "};
		pointers[i] = &messages[i];
	}
	return pam_converse(count, pointers, responses, a);
}

static void forget(struct pam_response *responses, int count)
{
	for (int i = 0; i < count; i++)
		free(responses[i].resp);
	free(responses);
}

static void test_prompts_are_answered(void **state)
{
	static const int styles[] = {PAM_TEXT_INFO, PAM_PROMPT_ECHO_OFF, PAM_ERROR_MSG, PAM_PROMPT_ECHO_ON};
	struct pam_answers a = {"alice", "wonder land", 0, false};
	struct pam_response *responses;

	(void)state;
	assert_int_equal(converse(4, styles, &responses, &a), PAM_SUCCESS);
	assert_null(responses[0].resp);
	assert_string_equal(responses[1].resp, "wonder land");
	assert_null(responses[2].resp);
	assert_string_equal(responses[3].resp, "alice");
	assert_false(a.broken);
	forget(responses, 4);
}

/* E21: no count and no style frees what is not ours, or leaves something to be freed. */
static void test_odd_conversations(void **state)
{
	int off[MESSAGES_MAX], texts[MESSAGES_MAX];
	static const int binary[] = {PAM_PROMPT_ECHO_OFF, PAM_BINARY_PROMPT}, unknown[] = {PAM_PROMPT_ECHO_OFF, 77},
			 radio[] = {PAM_PROMPT_ECHO_ON, PAM_RADIO_TYPE};
	const struct {
		int count;
		const int *styles;
		int code;
	} cases[] = {
		{0, off, PAM_CONV_ERR},	     {1, off, PAM_SUCCESS},	  {(int)PAM_PROMPTS_MAX, off, PAM_SUCCESS},
		{17, off, PAM_CONV_ERR},     {32, off, PAM_CONV_ERR},	  {64, off, PAM_CONV_ERR},
		{32, texts, PAM_SUCCESS},    {33, texts, PAM_CONV_ERR},	  {64, texts, PAM_CONV_ERR},
		{2, binary, PAM_CONV_ERR},   {2, unknown, PAM_CONV_ERR},  {2, radio, PAM_CONV_ERR},
	};

	(void)state;
	for (size_t i = 0; i < MESSAGES_MAX; i++) {
		off[i] = PAM_PROMPT_ECHO_OFF;
		texts[i] = i % 2 == 0 ? PAM_TEXT_INFO : PAM_ERROR_MSG;
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pam_answers a = {"alice", "wonder land", 0, false};
		struct pam_response *responses = (struct pam_response *)&a;
		int code = converse(cases[i].count, cases[i].styles, &responses, &a);

		if (code != cases[i].code || a.broken != (code != PAM_SUCCESS) || (responses == NULL) != (code != PAM_SUCCESS))
			fail_msg("case %zu: %d", i, code);
		if (code == PAM_SUCCESS)
			forget(responses, cases[i].count);
	}
	print_message("ROW E21 conversation pass\n");
}

static void test_counts_below_zero(void **state)
{
	struct pam_answers a = {"alice", "wonder land", 0, false};
	struct pam_response *responses = (struct pam_response *)&a;

	(void)state;
	assert_int_equal(pam_converse(-1, NULL, &responses, &a), PAM_CONV_ERR);
	assert_null(responses);
	assert_int_equal(pam_converse(1, NULL, &responses, &a), PAM_CONV_ERR);
}

static void test_logins(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"alice", true}, {"alice@example.test", true}, {"a_b-c.d", true}, {"\xc3\xa4", true}, {"", false}, {"-alice", false},
		{"../shadow", false}, {".x", false}, {"a/b", false}, {"a b", false}, {"a\nb", false}, {"a:b", false}, {"a\x7f", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (pam_is_login(slice_of(cases[i].text)) != cases[i].good)
			fail_msg("\"%s\"", cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),	  cmocka_unit_test(test_prompts_are_answered),
		cmocka_unit_test(test_odd_conversations), cmocka_unit_test(test_counts_below_zero),
		cmocka_unit_test(test_logins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
