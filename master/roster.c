#include "roster.h"

#include "base/mem.h"

const struct roster_row roster[ROSTER_COUNT] = {
	{ROLE_LOG, ROOT_EMPTY, 4},   {ROLE_KEYD, ROOT_EMPTY, 3},     {ROLE_AUTHD, ROOT_EMPTY, 3}, {ROLE_RESOLVER, ROOT_EMPTY, 3},
	{ROLE_DIAL, ROOT_EMPTY, 3},  {ROLE_POLICYD, ROOT_EMPTY, 3},  {ROLE_LOCAL, ROOT_EMPTY, 3}, {ROLE_RELAY, ROOT_EMPTY, 3},
	{ROLE_LOOKUP, ROOT_EMPTY, 3},
	{ROLE_QUEUE, ROOT_SPOOL, 2}, {ROLE_SMTPD, ROOT_EMPTY, 1},    {ROLE_GATE, ROOT_EMPTY, 0},
};

/* The trust graph.  A message that is not along one of these lines cannot be sent. */
static const struct trust_pair pairs[] = {
	{ROLE_GATE, ROLE_SMTPD}, /* hands over connections */
	{ROLE_GATE, ROLE_QUEUE}, /* attests sessions */
	{ROLE_GATE, ROLE_POLICYD},
	{ROLE_GATE, ROLE_AUTHD},
	{ROLE_GATE, ROLE_KEYD},
	{ROLE_SMTPD, ROLE_QUEUE}, /* drafts */
	{ROLE_SMTPD, ROLE_POLICYD}, /* policy */
	{ROLE_SMTPD, ROLE_AUTHD}, /* logins */
	{ROLE_SMTPD, ROLE_KEYD}, /* handshakes */
	{ROLE_QUEUE, ROLE_POLICYD}, /* routes */
	{ROLE_QUEUE, ROLE_AUTHD}, /* who has logged in; grants */
	{ROLE_QUEUE, ROLE_RELAY}, /* jobs */
	{ROLE_QUEUE, ROLE_LOCAL},
	{ROLE_POLICYD, ROLE_AUTHD}, /* who has logged in; accounts */
	{ROLE_POLICYD, ROLE_RESOLVER}, /* names */
	{ROLE_POLICYD, ROLE_DIAL},
	{ROLE_RELAY, ROLE_AUTHD}, /* credentials */
	{ROLE_RELAY, ROLE_RESOLVER}, /* names */
	{ROLE_RELAY, ROLE_DIAL}, /* connections */
	{ROLE_LOCAL, ROLE_AUTHD}, /* accounts */
	{ROLE_LOCAL, ROLE_POLICYD}, /* mailboxes that are full */
	{ROLE_AUTHD, ROLE_DIAL}, /* a directory that knows the passwords */
	{ROLE_AUTHD, ROLE_LOOKUP}, /* passwords in a directory */
	{ROLE_POLICYD, ROLE_LOOKUP}, /* tables that other servers keep */
	{ROLE_LOOKUP, ROLE_RESOLVER}, /* names */
	{ROLE_LOOKUP, ROLE_DIAL}, /* connections */
};

const struct roster_row *roster_find(enum role role)
{
	for (size_t i = 0; i < ARRAY_LEN(roster); i++)
		if (roster[i].role == role)
			return &roster[i];
	return NULL;
}

bool trust_has(enum role a, enum role b)
{
	if (a != b && (a == ROLE_LOG || b == ROLE_LOG))
		return roster_find(a) != NULL && roster_find(b) != NULL;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if ((pairs[i].a == a && pairs[i].b == b) || (pairs[i].a == b && pairs[i].b == a))
			return true;
	return false;
}

/* 0: speaks with strangers, and does what they want done; 1: hears their words; 2: neither. */
static unsigned standing(enum role role)
{
	if (role == ROLE_SMTPD || role == ROLE_RELAY)
		return 0;
	return role == ROLE_RESOLVER || role == ROLE_LOOKUP ? 1 : 2;
}

bool trust_believes(enum role accuser, enum role accused)
{
	return standing(accuser) >= standing(accused);
}

static bool is_parent(enum role role, uint64_t instance)
{
	return role == ROLE_SMTPD && instance >= ROSTER_SMTPD_PARENT;
}

uint64_t roster_place(uint64_t instance)
{
	return instance - instance % (2 * ROSTER_TURN) + instance % ROSTER_TURN;
}

uint64_t roster_other(uint64_t instance)
{
	return instance == roster_place(instance) ? instance + ROSTER_TURN : roster_place(instance);
}

bool trust_has_instance(enum role a, uint64_t instance_a, enum role b, uint64_t instance_b)
{
	if (is_parent(a, instance_a) && b != ROLE_GATE && b != ROLE_LOG)
		return false;
	if (is_parent(b, instance_b) && a != ROLE_GATE && a != ROLE_LOG)
		return false;
	return trust_has(a, b);
}
