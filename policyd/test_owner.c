#include "owner.h"

#include "base/mem.h"
#include "conf/table_keys.h"
#include "policy.h"
#include "test_conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const char text[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"delegations shared\n"
	"listen :25 { role mx }\n"
	"listen :587 { role submission }\n"
	"listen :588 { role submission  senders any }\n"
	"tls { certificate /c.pem  key /k.pem }\n"
	"auth { file /etc/users }\n"
	"table shared { \"support@example.test\": alice@example.test, web; \"@shop.test\": bob@example.test }\n"
	"table broken sqlite /nowhere/x.db \"select 1 where 1 = ?\"\n"
	"table boxes { alice@example.test; bob@example.test; boss@example.test }\n"
	"table aliases { sales@example.test: alice@example.test, bob@example.test; info@example.test: sales@example.test; team@example.test: erin@example.test; erin@example.test: erin@far.test }\n"
	"transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"transport smarthost { smtp \"smtp.isp.example:587\" }\n"
	"route {\n"
	"  copy \"boss@example.test\"\n"
	"  deliver virtual if recipient.domain == \"broken.test\" and recipient in broken\n"
	"  alias aliases\n"
	"  deliver virtual if recipient in boxes\n"
	"  deliver home if recipient.domain == \"mx.example.test\"\n"
	"  reject \"none\" if recipient.domain == \"example.test\"\n"
	"  relay smarthost\n"
	"}\n";

static struct conf *conf;

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	(void)arg;
	if (table->kind != TABLE_INLINE)
		return ANSWER_UNKNOWN;
	for (size_t i = 0; i < table->entry_count; i++)
		if (slice_eq(slice_of(table->entries[i].key), key))
			return value_out == NULL || buf_add_text(value_out, table->entries[i].value) ? ANSWER_YES : ANSWER_UNKNOWN;
	return ANSWER_NO;
}

static enum answer find_alias(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	struct table_keys keys;
	enum answer answer = ANSWER_NO;

	if (!table_keys_alias(table->kind, address, base, &keys))
		return ANSWER_UNKNOWN;
	for (size_t i = 0; answer == ANSWER_NO && i < keys.count; i++)
		answer = find_in_table(arg, table, keys.at[i], value_out);
	return answer;
}

static const struct {
	const char *name;
	uint64_t uid;
} users[] = {{"carol", 1003}, {"web", 33}};

static enum answer find_uid(void *arg, struct slice name, uint64_t *uid_out)
{
	(void)arg;
	if (slice_eq(name, slice_of("dave")))
		return ANSWER_PENDING;
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		if (slice_eq(name, slice_of(users[i].name))) {
			*uid_out = users[i].uid;
			return ANSWER_YES;
		}
	return ANSWER_NO;
}

static enum answer find_name(void *arg, const struct conf_table *table, struct slice address)
{
	struct table_keys keys;
	enum answer answer = ANSWER_NO;

	if (!table_keys_alias(table->kind, address, slice_empty(), &keys))
		return ANSWER_NO;
	for (size_t i = 0; answer == ANSWER_NO && i < keys.own; i++)
		answer = find_in_table(arg, table, keys.at[i], NULL);
	return answer;
}

static enum answer find_account(void *arg, struct slice name)
{
	uint64_t uid;

	return find_uid(arg, name, &uid);
}

static const struct lookups lookups = {find_in_table, find_alias, NULL, find_account, NULL, find_uid, find_name, NULL};
static const struct tags no_tags = {"", 0};

static const struct {
	const char *name, *login;
	uint64_t uid;
	const char *address;
	enum answer has;
} cases[] = {
	{"the login itself", "alice@example.test", OWNER_NO_UID, "alice@example.test", ANSWER_YES},
	{"in other letters", "alice@example.test", OWNER_NO_UID, "Alice@EXAMPLE.test", ANSWER_YES},
	{"another's", "alice@example.test", OWNER_NO_UID, "bob@example.test", ANSWER_NO},
	{"a shared alias", "bob@example.test", OWNER_NO_UID, "sales@example.test", ANSWER_YES},
	{"an alias of an alias", "alice@example.test", OWNER_NO_UID, "info@example.test", ANSWER_YES},
	{"an alias on the way to another host", "erin@example.test", OWNER_NO_UID, "team@example.test", ANSWER_YES},
	{"where mail is forwarded to", "erin@example.test", OWNER_NO_UID, "erin@far.test", ANSWER_NO},
	{"an alias of others", "boss@example.test", OWNER_NO_UID, "sales@example.test", ANSWER_NO},
	{"given by key", "alice@example.test", OWNER_NO_UID, "support@example.test", ANSWER_YES},
	{"given to another", "bob@example.test", OWNER_NO_UID, "support@example.test", ANSWER_NO},
	{"given by domain", "bob@example.test", OWNER_NO_UID, "anything@shop.test", ANSWER_YES},
	{"nobody's", "alice@example.test", OWNER_NO_UID, "nobody@example.test", ANSWER_NO},
	{"elsewhere", "alice@example.test", OWNER_NO_UID, "alice@elsewhere.test", ANSWER_NO},
	{"not known now", "alice@example.test", OWNER_NO_UID, "x@broken.test", ANSWER_UNKNOWN},
	{"a login of this host", "carol", OWNER_NO_UID, "carol@mx.example.test", ANSWER_YES},
	{"a login that looks like an address's beginning", "alice", OWNER_NO_UID, "alice@example.test", ANSWER_NO},
	{"a local user", "", 1003, "carol@mx.example.test", ANSWER_YES},
	{"a local user, by his name alone", "", 1003, "carol", ANSWER_YES},
	{"a quoted name with an @ in it", "alice@example.test", OWNER_NO_UID, "\"x@example.test\"", ANSWER_NO},
	{"a local user as another", "", 1003, "web@mx.example.test", ANSWER_NO},
	{"a local user elsewhere", "", 1003, "carol@elsewhere.test", ANSWER_NO},
	{"a program that was given one", "", 33, "support@example.test", ANSWER_YES},
	{"a user who is not known yet", "", 1003, "dave@mx.example.test", ANSWER_PENDING},
};

static struct facts facts(void)
{
	struct facts f = facts_make();

	f.value[FACT_HOSTNAME].text = slice_of("mx.example.test");
	f.value[FACT_LISTENER_ROLE].text = slice_of("submission");
	return f;
}

static void test_owners(void **state)
{
	const struct facts f = facts();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct owner o = {slice_of(cases[i].login), cases[i].uid};
		enum answer has = owner_has(conf, &f, &o, slice_of(cases[i].address), &lookups);

		if (has != cases[i].has)
			fail_msg("%s: %d", cases[i].name, (int)has);
	}
}

static void test_who_is_bound(void **state)
{
	const struct owner nobody = {slice_empty(), OWNER_NO_UID}, alice = {slice_of("alice@example.test"), OWNER_NO_UID},
			   root = {slice_empty(), 0}, carol = {slice_empty(), 1003};

	(void)state;
	assert_false(owner_is_bound(conf, LISTENER_MX, 0, &nobody));
	assert_true(owner_is_bound(conf, LISTENER_SUBMISSION, 1, &alice));
	assert_false(owner_is_bound(conf, LISTENER_SUBMISSION, 2, &alice));
	assert_true(owner_is_bound(conf, LISTENER_SUBMISSION, UINT64_MAX, &alice)); /* a listener that is gone */
	assert_false(owner_is_bound(conf, LISTENER_LOCAL, UINT64_MAX, &root));
	assert_true(owner_is_bound(conf, LISTENER_LOCAL, UINT64_MAX, &carol));
}

/* ---- in a session ---- */

static const struct {
	const char *name;
	enum conf_stage stage;
	const char *login;
	uint64_t uid;
	const char *sender, *from, *from_sender;
	bool unclear, pending;
	enum outcome oc;
	const char *header; /* added; NULL: none */
} sessions[] = {
	{"own", STAGE_MAIL, "alice@example.test", OWNER_NO_UID, "alice@example.test", "", "", false, false, OC_DONE, NULL},
	{"<>", STAGE_MAIL, "alice@example.test", OWNER_NO_UID, "", "", "", false, false, OC_DONE, NULL},
	{"another's", STAGE_MAIL, "alice@example.test", OWNER_NO_UID, "bob@example.test", "", "", false, false, OC_NOT_OWN_SENDER, NULL},
	{"not known", STAGE_MAIL, "alice@example.test", OWNER_NO_UID, "x@broken.test", "", "", false, false, OC_LOOKUP_UNKNOWN, NULL},
	{"not yet", STAGE_MAIL, "", 1003, "dave@mx.example.test", "", "", false, true, OC_DONE, NULL},
	{"own From", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "", "alice@example.test", "", false, false, OC_DONE, NULL},
	{"several, all own", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "", "alice@example.test\nsales@example.test", "", false,
	 false, OC_DONE, NULL},
	{"several, not all own", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "", "alice@example.test\nboss@example.test", "", false,
	 false, OC_NOT_OWN_SENDER, NULL},
	{"no From", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "", "", "", false, false, OC_DONE, NULL},
	{"another's Sender", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "", "alice@example.test", "boss@example.test", false, false,
	 OC_NOT_OWN_SENDER, NULL},
	{"unclear", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "", "alice@example.test", "", true, false, OC_NOT_OWN_SENDER, NULL},
	{"cron", STAGE_DATA, "", 1003, "carol@mx.example.test", "root", "", false, false, OC_DONE, "Sender: <carol@mx.example.test>"},
	{"cron with another Sender", STAGE_DATA, "", 1003, "carol@mx.example.test", "root", "web@mx.example.test", false, false,
	 OC_NOT_OWN_SENDER, NULL},
	{"root elsewhere", STAGE_DATA, "", 1003, "carol@mx.example.test", "root@example.test", "", false, false, OC_NOT_OWN_SENDER, NULL},
	{"root, by a login", STAGE_DATA, "alice@example.test", OWNER_NO_UID, "alice@example.test", "root@mx.example.test", "", false, false,
	 OC_NOT_OWN_SENDER, NULL},
};

static void check_session(size_t i)
{
	struct policy_request r = {
		.stage = sessions[i].stage,
		.facts = facts(),
		.tags = &no_tags,
		.may_relay = true,
		.is_bound = true,
		.owner = {slice_of(sessions[i].login), sessions[i].uid},
		.from = slice_of(sessions[i].from),
		.from_sender = slice_of(sessions[i].from_sender),
		.from_unclear = sessions[i].unclear,
	};
	struct policy_answer a;
	bool header;

	r.facts.value[FACT_SENDER].text = slice_of(sessions[i].sender);
	policy_run(conf, &r, &lookups, &a);
	header = sessions[i].header == NULL ? a.effects.len == 0
					    : slice_find(buf_slice(&a.effects), slice_of(sessions[i].header)) != SLICE_NONE;
	if (a.pending != sessions[i].pending || (!a.pending && a.oc != sessions[i].oc) || !header)
		fail_msg("%s: %s %u \"%s\"", sessions[i].name, outcome_info(a.oc)->name, (unsigned)a.code, a.text);
	policy_answer_free(&a);
}

static void test_sessions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
		check_session(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_who_is_bound),
		cmocka_unit_test(test_sessions),
	};
	int failed;

	conf = conf_of_text(text);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_free(&conf);
	return failed;
}
