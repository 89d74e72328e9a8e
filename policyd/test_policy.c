#include "policy.h"

#include "base/clock.h"
#include "conf/table_keys.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "test_conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const char text[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"table broken sqlite /nowhere/x.db \"select 1 where 1 = ?\"\n"
	"table boxes { alice@example.test; boss@example.test }\n"
	"transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"transport smarthost { smtp \"smtp.isp.example:587\" }\n"
	"policy helo {\n"
	"  tag connection refused if helo == \"bad.test\"\n"
	"  reject after 20s \"not your name\" if connection.refused\n"
	"  delay 7s if helo == \"slow.test\"\n"
	"}\n"
	"policy mail { tag message marked if sender == \"mark@x.test\" }\n"
	"policy rcpt {\n"
	"  reject 554 \"no thanks\" if sender == \"spam@x.test\"\n"
	"  defer \"not now\" if sender == \"later@x.test\"\n"
	"  drop \"away\" if sender == \"drop@x.test\"\n"
	"  reject \"unknown must not pass\" if sender == \"u@x.test\" and recipient not in broken\n"
	"  add-header \"X-Marked: {sender}\" if message.marked\n"
	"  accept if sender == \"yes@x.test\"\n"
	"  add-header \"X-Seen: {client}\"\n"
	"}\n"
	"route {\n"
	"  deliver virtual if recipient in boxes\n"
	"  deliver home if recipient.domain == \"mx.example.test\"\n"
	"  deliver virtual if recipient.domain == \"broken.test\" and recipient in broken\n"
	"  relay smarthost if recipient.domain == \"elsewhere.test\"\n"
	"  relay smarthost as relay-domain if recipient.domain == \"backup.test\"\n"
	"  reject \"no bulk\" if recipient.domain == \"heads.test\" and header \"X-Bulk\" present\n"
	"  deliver virtual if recipient == \"plain@heads.test\"\n"
	"  deliver virtual if recipient == \"marked@heads.test\" and header \"X-Mark\" present and not header \"X-Other\" present\n"
	"  deliver virtual if recipient == \"never@heads.test\" and header \"X-Mark\" present and not header \"X-Mark\" present\n"
	"  relay smarthost if recipient == \"away@heads.test\" and header \"X-Away\" present\n"
	"  deliver virtual if recipient == \"unsure@heads.test\" and header \"X-Mark\" present and recipient in broken\n"
	"  deliver home if recipient == \"dave@heads.test\" and header \"X-Mark\" present\n"
	"  deliver virtual if recipient == \"slow@heads.test\" and header \"X-Bulk\" present and recipient in boxes\n"
	"  deliver virtual if recipient == \"slow@heads.test\" and header \"X-Mark\" present and recipient in boxes\n"
	"  deliver virtual if recipient == \"slow@heads.test\" and header \"X-Other\" present and recipient in boxes\n"
	"  deliver virtual if recipient == \"slow@heads.test\" and header \"X-Away\" present and recipient in boxes\n"
	"  deliver virtual if recipient == \"slow@heads.test\" and header \"X-5\" present and recipient in boxes\n"
	"  deliver virtual if recipient == \"slow@heads.test\" and header \"X-6\" present and recipient in boxes\n"
	"}\n";

static struct conf *conf;

static unsigned slow_answers;

/* As a pattern is that somebody has crafted. */
static void be_slow(void)
{
	uint64_t until = clock_cpu_us() + 50000;

	slow_answers++;
	while (clock_cpu_us() < until)
		;
}

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	(void)arg;
	(void)value_out;
	if (table->kind != TABLE_INLINE)
		return ANSWER_UNKNOWN;
	if (slice_eq(key, slice_of("slow@heads.test")))
		be_slow();
	for (size_t i = 0; i < table->entry_count; i++)
		if (slice_eq(slice_of(table->entries[i].key), key))
			return ANSWER_YES;
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
	(void)arg;
	if (slice_eq(name, slice_of("dave")))
		return ANSWER_PENDING;
	return slice_eq(name, slice_of("carol")) ? ANSWER_YES : ANSWER_NO;
}

static const struct lookups lookups = {find_in_table, find_alias, NULL, find_account, NULL, NULL, find_name, NULL};
static const struct tags no_tags = {"", 0};

static struct policy_request request_of(enum conf_stage stage, const char *sender, const char *recipient)
{
	struct policy_request r = {.stage = stage, .facts = facts_make(), .tags = &no_tags, .owner = {.login = {"", 0}, .uid = OWNER_NO_UID}};

	r.facts.value[FACT_SENDER].text = slice_of(sender);
	r.facts.value[FACT_RECIPIENT].text = slice_of(recipient);
	r.facts.value[FACT_HOSTNAME].text = slice_of("mx.example.test");
	r.facts.value[FACT_CLIENT].text = slice_of("192.0.2.1");
	r.facts.value[FACT_LISTENER_ROLE].text = slice_of("mx");
	return r;
}

static const struct {
	const char *name, *sender, *recipient;
	bool may_relay, pending, close;
	enum outcome oc;
	unsigned code;
	const char *text; /* NULL: that of the outcome */
} cases[] = {
	{"to a mailbox", "a@x.test", "alice@example.test", false, false, false, OC_DONE, 250, NULL},
	{"no mailbox", "a@x.test", "nobody@example.test", false, false, false, OC_NO_MAILBOX, 550, NULL},
	{"postmaster", "a@x.test", "postmaster", false, false, false, OC_DONE, 250, NULL},
	{"a refusal by rule", "spam@x.test", "alice@example.test", false, false, false, OC_POLICY_REJECT, 554, "no thanks"},
	{"a deferral by rule", "later@x.test", "alice@example.test", false, false, false, OC_UNAVAILABLE, 450, "not now"},
	{"a drop", "drop@x.test", "alice@example.test", false, false, true, OC_POLICY_REJECT, 554, "away"},
	{"unknown is 451", "u@x.test", "alice@example.test", false, false, false, OC_LOOKUP_UNKNOWN, 451, NULL},
	{"relaying without a right", "a@x.test", "b@elsewhere.test", false, false, false, OC_NO_RELAY, 550, NULL},
	{"accept is no right to relay", "yes@x.test", "b@elsewhere.test", false, false, false, OC_NO_RELAY, 550, NULL},
	{"relaying with a right", "a@x.test", "b@elsewhere.test", true, false, false, OC_DONE, 250, NULL},
	{"a relay domain", "a@x.test", "b@backup.test", false, false, false, OC_DONE, 250, NULL},
	{"accept is no mailbox", "yes@x.test", "nobody@example.test", false, false, false, OC_NO_MAILBOX, 550, NULL},
	{"an unknown route", "a@x.test", "b@broken.test", false, false, false, OC_ROUTE_UNKNOWN, 451, NULL},
	{"an unknown route, with a right", "a@x.test", "b@broken.test", true, false, false, OC_ROUTE_UNKNOWN, 451, NULL},
	{"a system user", "a@x.test", "carol@mx.example.test", false, false, false, OC_DONE, 250, NULL},
	{"a system user not known yet", "a@x.test", "dave@mx.example.test", false, true, false, OC_DONE, 0, NULL},
	{"by the header: with none", "a@x.test", "plain@heads.test", false, false, false, OC_DONE, 250, NULL},
	{"by the header: with one field and not the others", "a@x.test", "marked@heads.test", false, false, false, OC_DONE, 250, NULL},
	{"by the header: with no header at all", "a@x.test", "nobody@heads.test", false, false, false, OC_NO_MAILBOX, 550, NULL},
	{"by the header: one field is one answer", "a@x.test", "never@heads.test", false, false, false, OC_NO_MAILBOX, 550, NULL},
	{"by the header: away, without a right", "a@x.test", "away@heads.test", false, false, false, OC_NO_MAILBOX, 550, NULL},
	{"by the header: away", "a@x.test", "away@heads.test", true, false, false, OC_DONE, 250, NULL},
	{"by the header: refused, or not known", "a@x.test", "unsure@heads.test", false, false, false, OC_ROUTE_UNKNOWN, 451, NULL},
	{"by the header: to be asked for", "a@x.test", "dave@heads.test", false, true, false, OC_DONE, 0, NULL},
	{"a way around by percent", "a@x.test", "b%elsewhere.test@example.test", false, false, false, OC_NO_MAILBOX, 550, NULL},
};

static void test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy_request r = request_of(STAGE_RCPT, cases[i].sender, cases[i].recipient);
		const char *want = cases[i].text != NULL ? cases[i].text : outcome_info(cases[i].oc)->text;
		struct policy_answer a;
		bool same;

		r.may_relay = cases[i].may_relay;
		policy_run(conf, &r, &lookups, &a);
		same = cases[i].pending ? a.pending : !a.pending && a.oc == cases[i].oc && a.code == cases[i].code &&
							      a.close == cases[i].close && strcmp(a.text, want) == 0;
		if (!same)
			fail_msg("%s: %s %u \"%s\" rule %s cause %s", cases[i].name, outcome_info(a.oc)->name, (unsigned)a.code, a.text,
				 a.rule, a.cause);
		/* A code of ours fits the kind of the outcome, and every doubt has a cause. */
		if (!a.pending && a.code / 100 != (outcome_kind(a.oc) == KIND_OK ? 2 : outcome_kind(a.oc) == KIND_TEMP ? 4 : 5))
			fail_msg("%s: kind", cases[i].name);
		policy_answer_free(&a);
	}
}

static void test_rule_and_effects(void **state)
{
	struct policy_request r = request_of(STAGE_RCPT, "spam@x.test", "alice@example.test");
	struct rec_effect effect;
	struct policy_answer a;
	struct slice rest;

	(void)state;
	policy_run(conf, &r, &lookups, &a);
	assert_string_equal(a.rule, "t.conf:15");
	policy_answer_free(&a);

	r = request_of(STAGE_RCPT, "a@x.test", "alice@example.test");
	policy_run(conf, &r, &lookups, &a);
	rest = buf_slice(&a.effects);
	assert_true(rec_effect_next(&rest, &effect));
	assert_true(slice_eq(effect.kind, slice_of("add-header")));
	assert_true(slice_eq(effect.text, slice_of("X-Seen: 192.0.2.1")));
	assert_false(rec_effect_next(&rest, &effect));
	policy_answer_free(&a);
}

static bool say_helo(const char *name, struct tags *tags, uint64_t *delay_out)
{
	struct policy_request r = request_of(STAGE_HELO, "", "");
	struct policy_answer a;
	bool good;

	r.facts.value[FACT_HELO_NAME].text = slice_of(name);
	r.tags = tags;
	policy_run(conf, &r, &lookups, &a);
	policy_set_tags(&a, tags);
	good = a.oc == OC_DONE;
	*delay_out = a.delay_ms;
	policy_answer_free(&a);
	return good;
}

/* A refused HELO stays refused, whatever is said next. */
static void test_tags(void **state)
{
	struct tags tags = {"", 0};
	uint64_t delay;

	(void)state;
	assert_true(say_helo("good.test", &tags, &delay));
	assert_true(say_helo("slow.test", &tags, &delay));
	assert_int_equal(delay, 7000);
	(void)say_helo("bad.test", &tags, &delay);
	assert_true(tags_has(&tags, slice_of("connection.refused")));
	assert_false(say_helo("good.test", &tags, &delay));
	assert_int_equal(delay, 20000);
	tags_end_message(&tags);
	assert_false(say_helo("good.test", &tags, &delay));
}

static size_t looked_at;

static enum answer find_wide(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	const size_t *members = arg;

	(void)table;
	(void)base;
	looked_at++;
	if (!slice_starts(address, slice_of("all@")))
		return ANSWER_NO;
	for (size_t i = 0; i < *members; i++)
		buf_addf(value_out, "m%zu,", i);
	return ANSWER_YES;
}

static enum answer find_owned(void *arg, const struct conf_table *table, struct slice address)
{
	(void)arg;
	(void)table;
	return slice_starts(address, slice_of("all@owned")) || slice_starts(address, slice_of("owner-all@owned")) ? ANSWER_YES : ANSWER_NO;
}

/* Asking for a long list again and again must not be a walk over thousands each time, with an owner or without. */
static void test_long_lists(void **state)
{
	static const char lists_text[] = "hostname h.test\npostmaster boss@example.test\ntable aliases { x: y }\n"
					 "transport smarthost { smtp \"smtp.isp.example:587\" }\n"
					 "route {\n  alias aliases\n  reject \"gone\" if recipient == \"m7@l.test\"\n"
					 "  discard if recipient.domain == \"none.test\" and recipient.local != \"m9\"\n  relay smarthost\n}\n";
	static const struct {
		size_t members;
		const char *recipient;
		bool is_one;
		enum outcome oc;
	} rows[] = {
		{3, "all@l.test", false, OC_DONE}, {90, "all@l.test", false, OC_DONE}, {10000, "all@l.test", false, OC_DONE},
		{10000, "all@owned.test", false, OC_DONE}, {10001, "all@l.test", false, OC_ROUTE_UNKNOWN}, {20, "all@none.test", true, OC_DONE},
		{200, "all@none.test", false, OC_DONE},
	};
	struct conf *lists = conf_of_text(lists_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t members = rows[i].members;
		const struct lookups wide = {find_in_table, find_wide, NULL, find_account, &members, NULL, find_owned, NULL};
		struct policy_request r = request_of(STAGE_RCPT, "a@x.test", rows[i].recipient);
		struct policy_answer a;

		looked_at = 0;
		policy_run(lists, &r, &wide, &a);
		if (a.oc != rows[i].oc || a.pending || looked_at > 100 || (members < 100 && looked_at < members))
			fail_msg("%zu: %s, %zu asked for, %s", i, outcome_info(a.oc)->name, looked_at, a.cause);
		/* One of many that were not looked at is not where it goes. */
		assert_int_equal(a.transport[0] != '\0', rows[i].is_one);
		policy_answer_free(&a);
	}
	conf_free(&lists);
}

/* 64 headers may come; one recipient must not hold everybody for each of them. */
static void test_headers_that_take_too_long(void **state)
{
	struct policy_request r = request_of(STAGE_RCPT, "a@x.test", "slow@heads.test");
	struct policy_answer a;

	(void)state;
	slow_answers = 0;
	policy_run(conf, &r, &lookups, &a);
	assert_int_equal(a.oc, OC_LOOKUP_UNKNOWN);
	assert_int_equal(a.code, 451);
	assert_in_range(slow_answers, 1, 20);
	policy_answer_free(&a);
}

static void test_tag_words(void **state)
{
	struct tags tags = {"", 0};
	char name[40];
	unsigned added = 0;

	(void)state;
	assert_true(tags_add(&tags, slice_of("connection.a")));
	assert_true(tags_add(&tags, slice_of("message.b")));
	assert_true(tags_add(&tags, slice_of("message.b")));
	assert_false(tags_add(&tags, slice_of("")));
	assert_false(tags_add(&tags, slice_of("two words")));
	assert_true(tags_has(&tags, slice_of("message.b")));
	assert_false(tags_has(&tags, slice_of("message")));
	tags_end_message(&tags);
	assert_false(tags_has(&tags, slice_of("message.b")));
	assert_true(tags_has(&tags, slice_of("connection.a")));
	do {
		snprintf(name, sizeof(name), "connection.%u", added++);
	} while (tags_add(&tags, slice_of(name)));
	assert_true(tags.len <= TAGS_BYTES_MAX && added > 50);
	assert_true(tags_has(&tags, slice_of("connection.a")));
}

static void test_message_tag(void **state)
{
	struct tags tags = {"", 0};
	struct policy_request r = request_of(STAGE_MAIL, "mark@x.test", "");
	struct rec_effect effect;
	struct policy_answer a;
	struct slice rest;

	(void)state;
	policy_run(conf, &r, &lookups, &a);
	policy_set_tags(&a, &tags);
	policy_answer_free(&a);
	assert_true(tags_has(&tags, slice_of("message.marked")));
	r = request_of(STAGE_RCPT, "mark@x.test", "alice@example.test");
	r.tags = &tags;
	policy_run(conf, &r, &lookups, &a);
	rest = buf_slice(&a.effects);
	assert_true(rec_effect_next(&rest, &effect));
	assert_true(slice_eq(effect.text, slice_of("X-Marked: mark@x.test")));
	policy_answer_free(&a);
}

/* No rules at a stage: accepted, and nothing is looked up. */
static void test_stage_without_rules(void **state)
{
	struct policy_request r = request_of(STAGE_DATA, "spam@x.test", "");
	struct policy_answer a;

	(void)state;
	policy_run(conf, &r, &lookups, &a);
	assert_int_equal(a.oc, OC_DONE);
	assert_int_equal(a.effects.len, 0);
	policy_answer_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipients), cmocka_unit_test(test_rule_and_effects),  cmocka_unit_test(test_tags),
		cmocka_unit_test(test_long_lists),
		cmocka_unit_test(test_headers_that_take_too_long),
		cmocka_unit_test(test_tag_words),  cmocka_unit_test(test_message_tag),	     cmocka_unit_test(test_stage_without_rules),
	};
	int failed;

	conf = conf_of_text(text);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_free(&conf);
	return failed;
}
