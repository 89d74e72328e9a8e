#include "roster.h"

#include "base/mem.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The message table, as sets of who may say and who may hear. */
#define R(role) (1u << ROLE_##role)
#define ANY ((1u << ROLE_COUNT) - 1)
#define MSG(name, from, to, fds, max, resend, fields) {IPC_##name, (from), (to)},
#define REC(name, max, fields)
static const struct {
	enum ipc_type type;
	uint32_t from, to;
} messages[] = {
#include "ipc/messages.def"
};
#undef MSG
#undef REC

static bool is_said(size_t i, enum role from, enum role to)
{
	return (messages[i].from >> from & 1) != 0 && (messages[i].to >> to & 1) != 0;
}

/* LINK_ATTACH from the gate goes where the gate is linked anyway; a role does not write to itself; "any to any" is the
 * master's. */
static bool needs_link(size_t i, enum role from, enum role to)
{
	return from != to && messages[i].type != IPC_LINK_ATTACH && roster_find(from) != NULL && roster_find(to) != NULL &&
	       is_said(i, from, to);
}

static bool needs_any(enum role a, enum role b)
{
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		if (needs_link(i, a, b) || needs_link(i, b, a))
			return true;
	return false;
}

/* Whatever may be said has a link, and no link is there for nothing. */
static void test_trust_is_the_message_table(void **state)
{
	(void)state;
	for (unsigned a = 0; a < ROLE_COUNT; a++)
		for (unsigned b = 0; b < ROLE_COUNT; b++)
			if (trust_has((enum role)a, (enum role)b) != needs_any((enum role)a, (enum role)b))
				fail_msg("%s and %s: linked %d, messages %d", role_name((enum role)a), role_name((enum role)b),
					 trust_has((enum role)a, (enum role)b), needs_any((enum role)a, (enum role)b));
}

static void test_roster(void **state)
{
	unsigned turn = 0;

	(void)state;
	for (size_t i = 0; i < ROSTER_COUNT; i++) {
		assert_ptr_equal(roster_find(roster[i].role), &roster[i]);
		assert_true(roster[i].drain_turn < ROSTER_TURNS);
	}
	assert_null(roster_find(ROLE_MASTER));
	assert_null(roster_find(ROLE_CTL));
	assert_null(roster_find(ROLE_COUNT));
	/* the gate first, the log last and alone */
	assert_int_equal(roster_find(ROLE_GATE)->drain_turn, turn);
	for (size_t i = 0; i < ROSTER_COUNT; i++)
		assert_int_equal(roster[i].drain_turn == ROSTER_TURNS - 1, roster[i].role == ROLE_LOG);
	/* nobody who speaks to the queue ends after it but those it needs */
	assert_true(roster_find(ROLE_SMTPD)->drain_turn < roster_find(ROLE_QUEUE)->drain_turn);
	assert_true(roster_find(ROLE_QUEUE)->drain_turn < roster_find(ROLE_RELAY)->drain_turn);
}

/* Only the gate's neighbours and the log hear it; who reads the network has no way to local delivery, and so on. */
static void test_who_never_talks(void **state)
{
	static const enum role never[][2] = {
		{ROLE_GATE, ROLE_RELAY},    {ROLE_GATE, ROLE_LOCAL},	{ROLE_SMTPD, ROLE_RELAY}, {ROLE_SMTPD, ROLE_LOCAL},
		{ROLE_SMTPD, ROLE_DIAL},    {ROLE_SMTPD, ROLE_RESOLVER}, {ROLE_RELAY, ROLE_LOCAL}, {ROLE_RELAY, ROLE_KEYD},
		{ROLE_RELAY, ROLE_POLICYD}, {ROLE_KEYD, ROLE_AUTHD},	{ROLE_KEYD, ROLE_QUEUE},  {ROLE_QUEUE, ROLE_DIAL},
		{ROLE_SMTPD, ROLE_SMTPD},   {ROLE_RELAY, ROLE_RELAY},	{ROLE_LOG, ROLE_LOG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		assert_false(trust_has(never[i][0], never[i][1]));
	printf("ROW I01 trust-graph pass\n");
}

/* Nobody is ended on the word of one that strangers may have taken over, but its like. */
static void test_whose_word_counts(void **state)
{
	static const enum role low[] = {ROLE_SMTPD, ROLE_RELAY};

	(void)state;
	for (size_t i = 0; i < ROSTER_COUNT; i++)
		for (size_t k = 0; k < ARRAY_LEN(low); k++) {
			enum role other = roster[i].role;
			bool is_low = other == ROLE_SMTPD || other == ROLE_RELAY;

			assert_true(trust_believes(other, low[k]));
			assert_int_equal(trust_believes(low[k], other), is_low);
		}
	assert_true(trust_believes(ROLE_QUEUE, ROLE_RESOLVER));
	assert_false(trust_believes(ROLE_RESOLVER, ROLE_POLICYD));
	printf("ROW I01 false-accusation pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust_is_the_message_table),
		cmocka_unit_test(test_roster),
		cmocka_unit_test(test_who_never_talks),
		cmocka_unit_test(test_whose_word_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
