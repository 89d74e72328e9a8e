#include "target.h"

#include "base/mem.h"
#include "conf/net.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static struct conf_transport transports[] = {
	{.name = "home", .kind = TRANSPORT_MAILDIR},
	{.name = "mx", .kind = TRANSPORT_SMTP, .by_mx = true, .port = 25},
	{.name = "smarthost", .kind = TRANSPORT_SMTP, .host = "smtp.example.test", .port = 587},
	{.name = "literal", .kind = TRANSPORT_SMTP, .host = "192.0.2.25", .port = 2525},
	{.name = "dovecot", .kind = TRANSPORT_LMTP, .path = "/run/dovecot/lmtp"},
	{.name = "lmtp", .kind = TRANSPORT_LMTP, .host = "127.0.0.1", .port = 24, .allow_local = true},
	{.name = "local-lmtp", .kind = TRANSPORT_LMTP, .host = "127.0.0.1", .port = 24},
};

static struct conf_ldap_server servers[] = {{"ldap.example.test", NULL, 636}, {"127.0.0.1", NULL, 389}, {NULL, "/run/slapd/ldapi", 0}};
static struct conf_ldap ldap = {.servers = servers, .server_count = ARRAY_LEN(servers)};

static const struct conf conf = {.transports = transports, .transport_count = ARRAY_LEN(transports), .auth = {.dovecot = "/run/dovecot/auth-client", .ldap = &ldap}};

static const struct {
	uint64_t number;
	const char *address;
	enum outcome outcome;
	const char *text;
} cases[] = {
	{0, "192.0.2.1", OC_UNAVAILABLE, NULL},
	{7, "192.0.2.1", OC_UNAVAILABLE, NULL},
	{UINT64_MAX, "", OC_UNAVAILABLE, NULL},
	{1, "192.0.2.1", OC_DONE, "192.0.2.1 port 25"},
	{1, "2001:db8::1", OC_DONE, "2001:db8::1 port 25"},
	{1, "", OC_UNAVAILABLE, NULL},
	{1, "mx.example.test", OC_UNAVAILABLE, NULL},
	{1, "/run/dovecot/lmtp", OC_UNAVAILABLE, NULL},
	{1, "127.0.0.1", OC_CONNECT_FAILED, NULL},
	{1, "127.8.8.8", OC_CONNECT_FAILED, NULL},
	{1, "::1", OC_CONNECT_FAILED, NULL},
	{1, "::ffff:127.0.0.1", OC_CONNECT_FAILED, NULL},
	{1, "0.0.0.0", OC_CONNECT_FAILED, NULL},
	{1, "::", OC_CONNECT_FAILED, NULL},
	{1, "192.0.2.99", OC_CONNECT_FAILED, NULL}, /* our own */
	{1, "255.255.255.255", OC_CONNECT_FAILED, NULL},
	{1, "fe80::1", OC_CONNECT_FAILED, NULL},
	{2, "192.0.2.1", OC_DONE, "192.0.2.1 port 587"},
	{2, "127.0.0.1", OC_CONNECT_FAILED, NULL},
	{2, "", OC_UNAVAILABLE, NULL},
	{3, "", OC_DONE, "192.0.2.25 port 2525"},
	{3, "192.0.2.25", OC_DONE, "192.0.2.25 port 2525"},
	{3, "192.0.2.26", OC_UNAVAILABLE, NULL},
	{3, "nonsense", OC_UNAVAILABLE, NULL},
	{4, "", OC_DONE, "/run/dovecot/lmtp"},
	{4, "192.0.2.1", OC_UNAVAILABLE, NULL},
	{5, "", OC_DONE, "127.0.0.1 port 24"},
	{5, "127.0.0.2", OC_UNAVAILABLE, NULL},
	{6, "", OC_CONNECT_FAILED, NULL},
};

static void test_cases(void **state)
{
	struct here here = {.count = 0};
	struct in6_addr own;

	(void)state;
	assert_true(net_address(slice_of("192.0.2.99"), &own));
	here_add(&here, &own);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target t;
		char why[TARGET_WHY_BYTES];
		enum outcome oc = target_find(&conf, &here, ROLE_RELAY, cases[i].number, slice_of(cases[i].address), &t, why);

		if (oc != cases[i].outcome)
			fail_msg("%u %s: %s", (unsigned)cases[i].number, cases[i].address, outcome_info(oc)->name);
		assert_true(oc == OC_DONE || (why[0] != '\0' && outcome_kind(oc) == KIND_TEMP));
		if (oc == OC_DONE)
			assert_string_equal(t.text, cases[i].text);
	}
}

/* Each has its own: authd no transport, nobody else the directory of passwords. */
static void test_who_asks(void **state)
{
	static const enum role others[] = {ROLE_RELAY, ROLE_POLICYD, ROLE_LOOKUP};
	struct here here = {.count = 0};
	char why[TARGET_WHY_BYTES];
	struct target t;

	(void)state;
	assert_int_equal(target_find(&conf, &here, ROLE_AUTHD, CONF_TARGET_DOVECOT, slice_empty(), &t, why), OC_DONE);
	assert_string_equal(t.text, "/run/dovecot/auth-client");
	assert_int_equal(target_find(&conf, &here, ROLE_AUTHD, CONF_TARGET_DOVECOT, slice_of("192.0.2.1"), &t, why), OC_UNAVAILABLE);
	for (uint64_t number = 0; number < ARRAY_LEN(transports); number++)
		assert_int_equal(target_find(&conf, &here, ROLE_AUTHD, number, slice_of("192.0.2.1"), &t, why), OC_UNAVAILABLE);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(target_find(&conf, &here, others[i], CONF_TARGET_DOVECOT, slice_empty(), &t, why), OC_UNAVAILABLE);
}

static void test_a_directory(void **state)
{
	static const struct {
		uint64_t number;
		const char *address, *text; /* NULL: refused */
	} wanted[] = {
		{0, "192.0.2.1", "192.0.2.1 port 636"}, {0, "", NULL}, {0, "255.255.255.255", NULL}, {1, "", "127.0.0.1 port 389"},
		{1, "192.0.2.1", NULL},			{2, "", "/run/slapd/ldapi"}, {2, "192.0.2.1", NULL}, {3, "192.0.2.1", NULL},
	};
	struct here here = {.count = 0};
	char why[TARGET_WHY_BYTES];
	struct target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		enum outcome oc = target_find(&conf, &here, ROLE_LOOKUP, wanted[i].number, slice_of(wanted[i].address), &t, why);

		if ((oc == OC_DONE) != (wanted[i].text != NULL) || (oc == OC_DONE && strcmp(t.text, wanted[i].text) != 0))
			fail_msg("case %zu: %s", i, outcome_info(oc)->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_who_asks), cmocka_unit_test(test_a_directory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
