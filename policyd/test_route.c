#include "route.h"

#include "base/mem.h"
#include "conf/table_keys.h"
#include "ipc/message.h"
#include "mail/directive.h"
#include "mail/header_names.h"
#include "test_conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const char text[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"sub-address \"+-\"\n"
	"table domains { example.test }\n"
	"table broken sqlite /nowhere/x.db \"select 1 where 1 = ?\"\n"
	"table boxes { alice@example.test; bob@example.test; boss@example.test; self@example.test; meta@example.test; again@example.test; watched@example.test; ping@example.test; spied@example.test }\n"
	"table aliases {\n"
	"  sales@example.test: \"alice, bob\"\n"
	"  both@example.test: \"sales, boss\"\n"
	"  self@example.test: \"self, alice\"\n"
	"  one@example.test: two\n"
	"  two@example.test: one\n"
	"  out@example.test: friend@elsewhere.test\n"
	"  local-only: bob\n"
	"  again-list@example.test: again\n"
	"  stale@example.test: \"alice, gone\"\n"
	"  program@example.test: \"|/bin/sh\"\n"
	"  file@example.test: /etc/passwd\n"
	"  include@example.test: \":include:/etc/passwd\"\n"
	"  staff@example.test: \":include:/lists/staff\"\n"
	"  empty@example.test: \" , \"\n"
	"  meta@example.test: \"meta, ${run{id}}@elsewhere.test\"\n"
	"  d0@example.test: d1\n  d1@example.test: d2\n  d2@example.test: d3\n  d3@example.test: d4\n"
	"  d4@example.test: d5\n  d5@example.test: d6\n  d6@example.test: d7\n  d7@example.test: d8\n"
	"  d8@example.test: d9\n  d9@example.test: d10\n  d10@example.test: d11\n  d11@example.test: alice\n"
	"  \"@catch.test\": alice@example.test\n"
	"  known@catch.test: bob@example.test\n"
	"  exact+tag@example.test: alice\n"
	"  exact@example.test: bob\n"
	"  moved-away@example.test: \":fail: {x} moved, ask alice\"\n"
	"  moved-too@example.test: \"alice, moved-away\"\n"
	"  moving@example.test: \":defer: back on monday\"\n"
	"  hole@example.test: \":blackhole:\"\n"
	"  most@example.test: \"/dev/null, alice\"\n"
	"  own@example.test: \"\\\\alice\"\n"
	"}\n"
	"table scripts {\n"
	"  run@example.test: \"\\\"|/bin/run -x '{a} ;id;'\\\", alice\"\n"
	"  save@example.test: \"/var/log/saved\"\n"
	"  hand@example.test: \"run\"\n"
	"}\n"
	"transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
	"transport runner { pipe  user nobody }\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"transport smarthost { smtp \"smtp.isp.example:587\" }\n"
	"transport mx { smtp mx }\n"
	"transport dovecot { lmtp /run/dovecot/lmtp }\n"
	"transport tcp { lmtp \"127.0.0.1:24\"; allow-local yes; tls off }\n"
	"route {\n"
	"  reject 551 \"moved away\" if recipient == \"moved@example.test\"\n"
	"  discard if recipient == \"void@example.test\"\n"
	"  hold if recipient.local == \"held\"\n"
	"  deliver virtual if recipient.local == \"held\" and recipient.domain in domains\n"
	"  rewrite \"{recipient.local}@example.test\" if recipient.domain == \"old.test\"\n"
	"  copy \"copies@elsewhere.test\" if recipient.local == \"watched\" or recipient.local == \"copies\"\n"
	"  copy \"{recipient.local}@{sender.domain}\" if recipient == \"spied@example.test\"\n"
	"  copy \"alice@example.test\" if recipient == \"ping@example.test\"\n"
	"  queue-only if sender == \"mallory@elsewhere.test\" and recipient.local == \"dialup\"\n"
	"  rewrite \"{recipient.base}\" if recipient.domain == \"tags.test\" and recipient.detail == \"gone\"\n"
	"  deliver virtual if recipient.domain == \"tags.test\" and recipient.user == \"bob\"\n"
	"  deliver home if recipient.domain == \"users.test\" and recipient.is-user\n"
	"  alias scripts programs runner if recipient.domain in domains\n"
	"  alias broken if recipient.domain == \"broken.test\"\n"
	"  alias aliases if recipient.domain in domains or recipient.domain == \"catch.test\"\n"
	"  deliver virtual if recipient in boxes\n"
	"  deliver home if recipient.domain == \"mx.example.test\"\n"
	"  deliver dovecot if recipient.domain == \"lmtp.test\"\n"
	"  deliver tcp if recipient.domain == \"tcp.test\"\n"
	"  relay mx as relay-domain if recipient.domain == \"backup.test\"\n"
	"  reject \"not in this domain\" if recipient.domain == \"strict.test\"\n"
	"  deliver home if recipient.domain == \"unknown.test\" and recipient in broken\n"
	"  relay smarthost if recipient.domain == \"elsewhere.test\" or recipient.domain == \"isp.test\"\n"
	"}\n";

static struct conf *conf;

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	(void)arg;
	if (table->kind != TABLE_INLINE)
		return ANSWER_UNKNOWN;
	for (size_t i = 0; i < table->entry_count; i++)
		if (slice_eq(slice_of(table->entries[i].key), key)) {
			if (value_out != NULL)
				buf_add_text(value_out, table->entries[i].value);
			return ANSWER_YES;
		}
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

static bool read_include(void *arg, const struct conf_table *table, struct slice path, struct buf *text_out, struct buf *why)
{
	(void)arg;
	(void)table;
	if (slice_eq(path, slice_of("/lists/staff")))
		return buf_add_text(text_out, "alice\n# nobody else:\nbob@example.test\n");
	return buf_add_text(why, "there is no such file") && false;
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
	if (slice_eq(name, slice_of("carol")))
		return ANSWER_YES;
	if (slice_eq(name, slice_of("later")))
		return ANSWER_PENDING;
	return slice_eq(name, slice_of("unsure")) ? ANSWER_UNKNOWN : ANSWER_NO;
}

static const struct lookups lookups = {find_in_table, find_alias, read_include, find_account, NULL, NULL, find_name, NULL};

/* "transport nexthop[*!+=] ..." : * leaves, ! relay domain, + held, = the mailbox itself */
static void print_targets(const struct route_result *r, struct buf *out)
{
	struct slice rest = buf_slice(&r->records);
	struct rec_route_target t;

	while (rec_route_target_next(&rest, &t))
	{
		buf_addf(out, "%s%.*s:%.*s%s%s%s%s", out->len > 0 ? " " : "", SLICE_ARG(t.transport), SLICE_ARG(t.nexthop),
			 t.leaves ? "*" : "", t.relay_domain ? "!" : "", t.hold ? "+" : "", t.directive == DIRECTIVE_INBOX ? "=" : "");
		buf_add_text(out, t.queue_only ? "~" : "");
		if (t.argument.len > 0)
			buf_addf(out, "%s(", directive_name(t.directive));
		for (size_t i = 0; i < t.argument.len; i++)
			buf_add_char(out, t.argument.at[i] == '\0' ? '|' : t.argument.at[i]);
		buf_add_text(out, t.argument.len > 0 ? ")" : "");
	}
}

static void run_in(const struct conf *c, const char *recipient, bool final, struct route_result *r)
{
	struct facts facts = facts_make();

	facts.value[FACT_RECIPIENT].text = slice_of(recipient);
	facts.value[FACT_HOSTNAME].text = slice_of("mx.example.test");
	facts.value[FACT_LISTENER_ROLE].text = slice_of("mx");
	facts.value[FACT_CLIENT].text = slice_of("192.0.2.1");
	facts.value[FACT_SENDER].text = slice_of("mallory@elsewhere.test");
	facts.ancestors = slice_of("x@example.test\nAGAIN@example.test\na@elsewhere.test");
	route_run(&(struct route_question){.conf = c, .facts = &facts, .lookups = &lookups, .final = final}, r);
}

static void run(const char *recipient, bool final, struct route_result *r)
{
	run_in(conf, recipient, final, r);
}

#define V "virtual:/var/mail/example.test/"

/* The setting sub-address-kept: an alias that was found without the tag leads on with it. */
static void test_kept_tags(void **state)
{
	static const char kept[] = "postmaster boss@example.test\nsub-address \"+-\"\nsub-address-kept yes\n"
				   "table aliases {\n  sales@example.test: \"alice, bob-own\"\n  team@example.test: sales\n  exact+tag@example.test: alice\n"
				   "  exact@example.test: bob\n  self@example.test: self\n  \"@catch.test\": alice@example.test\n}\n"
				   "transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
				   "route {\n  alias aliases\n  deliver virtual if recipient.domain == \"example.test\"\n}\n";
	static const struct {
		const char *recipient, *want;
	} rows[] = {
		{"sales@example.test", V "alice/! " V "bob-own/!"},
		{"sales+x@example.test", V "alice+x/! " V "bob-own/!"},
		{"team-x+y@example.test", V "alice-x+y/! " V "bob-own/!"},
		{"exact+tag@example.test", V "alice/!"},
		{"exact+other@example.test", V "bob+other/!"},
		{"self+x@example.test", V "self+x/!="},
		{"who+x@catch.test", V "alice+x/!"},
	};
	struct conf *c = conf_of_text(kept);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf got = buf_make(1000);
		struct route_result r;

		run_in(c, rows[i].recipient, false, &r);
		print_targets(&r, &got);
		assert_string_equal(buf_text(&got), rows[i].want);
		route_result_free(&r);
		buf_free(&got);
	}
	conf_free(&c);
}

static const struct {
	const char *name, *recipient;
	bool final;
	enum route_outcome outcome;
	const char *want; /* targets; of a refusal code and text */
} cases[] = {
	{"a mailbox", "alice@example.test", false, ROUTE_TARGETS, V "alice/"},
	{"a list", "sales@example.test", false, ROUTE_TARGETS, V "alice/! " V "bob/!"},
	{"a list of lists", "both@example.test", false, ROUTE_TARGETS, V "boss/! " V "alice/! " V "bob/!"},
	{"names itself", "self@example.test", false, ROUTE_TARGETS, V "self/!= " V "alice/!"},
	{"names itself, case aside", "SELF@example.test", false, ROUTE_TARGETS, V "self/!= " V "alice/!"},
	{"a circle leads to the postmaster", "one@example.test", false, ROUTE_TARGETS, V "boss/!"},
	{"twelve deep", "d0@example.test", false, ROUTE_DEFERRED, ""},
	{"ten deep", "d2@example.test", false, ROUTE_TARGETS, V "alice/!"},
	{"out of the house by our table", "out@example.test", false, ROUTE_TARGETS, "smarthost:smtp.isp.example:587*!"},
	{"a key without a domain", "local-only@example.test", false, ROUTE_TARGETS, V "bob/!"},
	{"a stale member goes to the postmaster", "stale@example.test", false, ROUTE_TARGETS, V "alice/! " V "boss/!"},
	{"a program is no address", "program@example.test", false, ROUTE_DEFERRED, ""},
	{"a file is no address", "file@example.test", false, ROUTE_DEFERRED, ""},
	{"an include is no address", "include@example.test", false, ROUTE_DEFERRED, ""},
	{"an empty alias", "empty@example.test", false, ROUTE_DEFERRED, ""},
	{"the whole domain", "anybody@catch.test", false, ROUTE_TARGETS, V "alice/!"},
	{"the address before the domain", "known@catch.test", false, ROUTE_TARGETS, V "bob/!"},
	{"a value is never evaluated", "meta@example.test", false, ROUTE_TARGETS, V "meta/!= smarthost:smtp.isp.example:587*!"},
	{"a sub-address is its user", "sales+x@example.test", false, ROUTE_TARGETS, V "alice/! " V "bob/!"},
	{"but itself first", "exact+tag@example.test", false, ROUTE_TARGETS, V "alice/!"},
	{"any other one", "exact-other@example.test", false, ROUTE_TARGETS, V "bob/!"},
	{"a system user's", "carol+lists@mx.example.test", false, ROUTE_TARGETS, "home:carol"},
	{"a user of the fact", "Carol-x@users.test", false, ROUTE_TARGETS, "home:carol"},
	{"none of the fact", "dave@users.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"one that is asked for", "later@users.test", false, ROUTE_PENDING, ""},
	{"one nobody can tell of", "unsure@users.test", false, ROUTE_DEFERRED, ""},
	{"the part before the tag", "bob+a@tags.test", false, ROUTE_TARGETS, "virtual:/var/mail/tags.test/bob+a/"},
	{"the address before the tag", "bob+gone@tags.test", false, ROUTE_TARGETS, "virtual:/var/mail/tags.test/bob/"},
	{"an alias that refuses", "moved-away@example.test", false, ROUTE_REFUSED, "550 {x} moved, ask alice"},
	{"one whose member does", "moved-too@example.test", false, ROUTE_TARGETS, V "alice/! " V "boss/!"},
	{"an alias that defers", "moving@example.test", false, ROUTE_DEFERRED, ""},
	{"an alias that throws away", "hole@example.test", false, ROUTE_TARGETS, ""},
	{"a part of it", "most@example.test", false, ROUTE_TARGETS, V "alice/!"},
	{"without her own forward", "own@example.test", false, ROUTE_TARGETS, V "alice/!="},
	{"a program, and an address", "run@example.test", false, ROUTE_TARGETS, "runner:runnerpipe(/bin/run|-x|{a} ;id;|) " V "alice/!"},
	{"a file", "save@example.test", false, ROUTE_TARGETS, "runner:runnerfile(/var/log/saved)"},
	{"by another alias", "hand@example.test", false, ROUTE_TARGETS, "runner:runner!pipe(/bin/run|-x|{a} ;id;|) " V "alice/!"},
	{"kept in the queue", "dialup@elsewhere.test", false, ROUTE_TARGETS, "smarthost:smtp.isp.example:587*~"},
	{"final: still", "dialup@elsewhere.test", true, ROUTE_TARGETS, "smarthost:smtp.isp.example:587*~"},
	{"kept, and nobody says where to", "dialup@nowhere.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"a copy", "watched@example.test", false, ROUTE_TARGETS, V "watched/ smarthost:smtp.isp.example:587*!"},
	{"of itself it makes none", "copies@elsewhere.test", false, ROUTE_TARGETS, "smarthost:smtp.isp.example:587*"},
	{"a copy that is here", "ping@example.test", false, ROUTE_TARGETS, V "ping/ " V "alice/!"},
	{"final: no copy", "watched@example.test", true, ROUTE_TARGETS, V "watched/"},
	{"a copy where a stranger says where gives him no right", "spied@example.test", false, ROUTE_TARGETS,
	 V "spied/ smarthost:smtp.isp.example:587*"},
	{"nobody", "nobody@example.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"nowhere", "x@nowhere.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"a refusal with words", "moved@example.test", false, ROUTE_REFUSED, "551 moved away"},
	{"discarded", "void@example.test", false, ROUTE_TARGETS, ""},
	{"held", "held@example.test", false, ROUTE_TARGETS, V "held/+"},
	{"held once only", "held@example.test", true, ROUTE_TARGETS, V "held/"},
	{"held, and leads nowhere", "held@nowhere.test", false, ROUTE_TARGETS, ":+"},
	{"rewritten", "alice@old.test", false, ROUTE_TARGETS, V "alice/"},
	{"rewritten, then an alias", "sales@old.test", false, ROUTE_TARGETS, V "alice/! " V "bob/!"},
	{"a system user", "Carol@mx.example.test", false, ROUTE_TARGETS, "home:carol"},
	{"root has no mailbox", "root@mx.example.test", false, ROUTE_TARGETS, V "boss/!"},
	{"nor where there are none of users", "root@example.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"final: root has none", "root@mx.example.test", true, ROUTE_REFUSED, "550 no such mailbox here"},
	{"no system user", "dave@mx.example.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"no name of a user", "../x@mx.example.test", false, ROUTE_REFUSED, "550 no such mailbox here"},
	{"a user not known yet", "later@mx.example.test", false, ROUTE_PENDING, ""},
	{"a user nobody can tell of", "unsure@mx.example.test", false, ROUTE_DEFERRED, ""},
	{"an unreadable alias table", "a@broken.test", false, ROUTE_DEFERRED, ""},
	{"an unreadable table in a rule never falls through", "a@unknown.test", false, ROUTE_DEFERRED, ""},
	{"a relay domain", "a@backup.test", false, ROUTE_TARGETS, "mx:backup.test*!"},
	{"a smarthost", "a@elsewhere.test", false, ROUTE_TARGETS, "smarthost:smtp.isp.example:587*"},
	{"lmtp over a path", "a@lmtp.test", false, ROUTE_TARGETS, "dovecot:/run/dovecot/lmtp"},
	{"lmtp over tcp", "a@tcp.test", false, ROUTE_TARGETS, "tcp:127.0.0.1:24"},
	{"postmaster alone", "postmaster", false, ROUTE_TARGETS, V "boss/!"},
	{"postmaster of a domain", "PostMaster@example.test", false, ROUTE_TARGETS, V "boss/!"},
	{"postmaster where a rule refuses", "postmaster@strict.test", false, ROUTE_TARGETS, V "boss/!"},
	{"others where a rule refuses", "x@strict.test", false, ROUTE_REFUSED, "550 not in this domain"},
	{"expanded before: the mailbox", "again@example.test", false, ROUTE_TARGETS, V "again/="},
	{"expanded before, by an alias", "again-list@example.test", false, ROUTE_TARGETS, V "again/!="},
	{"final: expanded before", "again@example.test", true, ROUTE_TARGETS, V "again/="},
	{"final: no alias", "alice@example.test", true, ROUTE_TARGETS, V "alice/"},
	{"final: an alias is not expanded again", "self@example.test", true, ROUTE_TARGETS, V "self/"},
	{"final: and one without a mailbox is gone", "sales@example.test", true, ROUTE_REFUSED, "550 no such mailbox here"},
	{"final: the smarthost", "a@elsewhere.test", true, ROUTE_TARGETS, "smarthost:smtp.isp.example:587*"},
};

static void test_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf got = buf_make(4096);
		struct route_result r;

		run(cases[i].recipient, cases[i].final, &r);
		if (r.outcome == ROUTE_TARGETS)
			print_targets(&r, &got);
		else if (r.outcome == ROUTE_REFUSED)
			buf_addf(&got, "%u %s", (unsigned)r.code, r.text);
		if (r.outcome != cases[i].outcome || !slice_eq(buf_slice(&got), slice_of(cases[i].want)))
			fail_msg("%s: outcome %d, \"%s\", cause %s", cases[i].name, (int)r.outcome, buf_text(&got), r.cause);
		if (r.outcome == ROUTE_DEFERRED && (r.cause[0] == '\0' || outcome_kind(r.oc) != KIND_TEMP))
			fail_msg("%s: no cause", cases[i].name);
		route_result_free(&r);
		buf_free(&got);
	}
	print_message("ROW E09 alias-values-are-text pass\n");
	print_message("ROW O01 alias-programs-are-words pass\n");
}

static const char lists_text[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"sub-address \"+-\"\n"
	"table domains { example.test }\n"
	"table boxes { alice@example.test; bob@example.test; boss@example.test }\n"
	"table aliases {\n"
	"  crew@example.test: \"alice, friend@elsewhere.test\"\n"
	"  owner-crew@example.test: boss\n"
	"  all-crew@example.test: \"crew, bob\"\n"
	"  owner-all-crew: boss\n"
	"  round@example.test: \"round-two, alice\"\n"
	"  owner-round@example.test: boss\n"
	"  round-two@example.test: \"round, bob\"\n"
	"  owner-round-two@example.test: boss\n"
	"  held-crew@example.test: \"alice, friend@elsewhere.test\"\n"
	"  owner-held-crew@example.test: boss\n"
	"  owner-known@nowhere.test: boss\n"
	"  \"@catch.test\": alice@example.test\n"
	"}\n"
	"transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
	"transport smarthost { smtp \"smtp.isp.example:587\" }\n"
	"route {\n"
	"  hold if header \"X-Hold\" present or recipient.local == \"friend\" and sender.local == \"owner-held-crew\"\n"
	"  queue-only if sender == \"owner-crew@example.test\" and recipient.local == \"friend\"\n"
	"  copy \"copies@elsewhere.test\" if recipient == \"crew@example.test\" and sender == \"copied@example.test\"\n"
	"  alias aliases if recipient.domain in domains or recipient.domain == \"catch.test\"\n"
	"  deliver virtual if recipient in boxes\n"
	"  relay smarthost if recipient.domain == \"elsewhere.test\"\n"
	"}\n";

#define S "smarthost:smtp.isp.example:587*!"

/* Lists with an owner: as a message to one is kept, as its members are found, and as people see it. */
static void test_lists(void **state)
{
	enum { KEPT, MEMBERS, SEEN };
	static const struct {
		const char *name, *recipient, *sender;
		int how;
		const char *ancestors, *want;
	} rows[] = {
		{"kept as one", "crew@example.test", "a@x.test", KEPT, "", ":list(owner-crew@example.test)"},
		{"by a tag too", "Crew+x@example.test", "a@x.test", KEPT, "", ":list(owner-Crew@example.test)"},
		{"which may be a list itself", "all-crew@example.test", "a@x.test", KEPT, "", ":list(owner-all-crew@example.test)"},
		{"its members, by its owner", "crew@example.test", "a@x.test", MEMBERS, "crew@example.test", V "alice/! " S "~"},
		{"what was copied before is not again", "crew@example.test", "copied@example.test", MEMBERS, "crew@example.test",
		 V "alice/! " S "~"},
		{"a list in it has an owner of its own", "all-crew@example.test", "a@x.test", MEMBERS, "all-crew@example.test",
		 ":!list(owner-crew@example.test) " V "bob/!"},
		{"seen through, with each list's owner", "all-crew@example.test", "a@x.test", SEEN, "",
		 V "bob/! " V "alice/! " S "~"},
		{"the null sender stays", "crew@example.test", "", KEPT, "", V "alice/! " S},
		{"so does its owner", "crew@example.test", "Owner-Crew@example.test", KEPT, "", V "alice/! " S "~"},
		{"and who comes back to it", "crew@example.test", "a@x.test", KEPT, "crew@example.test", V "alice/! " S},
		{"a circle of two: the first", "round@example.test", "a@x.test", MEMBERS, "round@example.test",
		 ":!list(owner-round-two@example.test) " V "alice/!"},
		{"a circle of two: the second goes no further", "round-two@example.test", "owner-round@example.test", MEMBERS,
		 "round@example.test\nround-two@example.test", V "bob/! " V "alice/! " V "boss/!"},
		{"a default names nobody's owner", "anybody@catch.test", "a@x.test", KEPT, "", V "alice/!"},
		{"one that is a list no more", "alice@example.test", "a@x.test", MEMBERS, "alice@example.test", "deferred"},
		{"held as one", "crew@example.test", "held@x.test", KEPT, "", ":+list(owner-crew@example.test)"},
		{"and not by the same rule again, once it was let go", "crew@example.test", "held@x.test", MEMBERS, "crew@example.test", V "alice/! " S "~"},
		{"nor what is a list in it", "all-crew@example.test", "held@x.test", MEMBERS, "all-crew@example.test",
		 ":!list(owner-crew@example.test) " V "bob/!"},
		{"but a member by what is said of it alone", "held-crew@example.test", "a@x.test", MEMBERS, "held-crew@example.test", V "alice/! " S "+"},
	};

	struct conf *lists = conf_of_text(lists_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct facts facts = facts_make();
		struct buf got = buf_make(4096), owner = buf_make(256);
		struct header_names names = header_names_make();
		struct route_result r;

		buf_addf(&owner, "owner-%s", rows[i].recipient);
		facts.value[FACT_RECIPIENT].text = slice_of(rows[i].recipient);
		facts.value[FACT_SENDER].text = slice_of(rows[i].sender);
		facts.ancestors = slice_of(rows[i].ancestors);
		header_names_add_header(&names, slice_of(strcmp(rows[i].sender, "held@x.test") == 0 ? "X-Hold: x\r\n" : "Subject: x\r\n"));
		facts.header_names = header_names_text(&names);
		route_run(&(struct route_question){.conf = lists, .facts = &facts, .lookups = &lookups, .keeps_lists = rows[i].how != SEEN,
						   .is_list = rows[i].how == MEMBERS, .owner = buf_slice(&owner)}, &r);
		if (r.outcome == ROUTE_TARGETS)
			print_targets(&r, &got);
		else if (r.outcome == ROUTE_DEFERRED)
			buf_add_text(&got, "deferred");
		if (!slice_eq(buf_slice(&got), slice_of(rows[i].want)))
			fail_msg("%s: outcome %d, \"%s\", cause %s", rows[i].name, (int)r.outcome, buf_text(&got), r.cause);
		route_result_free(&r);
		buf_free(&got);
		buf_free(&owner);
		header_names_free(&names);
	}
	conf_free(&lists);
}

static void test_leaves(void **state)
{
	static const struct {
		const char *recipient;
		bool leaves;
	} rows[] = {
		{"alice@example.test", false}, {"a@elsewhere.test", true}, {"a@backup.test", false}, {"out@example.test", false},
		{"a@lmtp.test", false}, {"spied@example.test", true}, {"watched@example.test", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct route_result r;

		run(rows[i].recipient, false, &r);
		if (r.leaves != rows[i].leaves)
			fail_msg("%s", rows[i].recipient);
		route_result_free(&r);
	}
}

/* What people put into addresses to be expanded stays what it is (E01). */
static void test_metas(void **state)
{
	static const char *const locals[] = {"root+${run{id}}", "$(id)", "`id`", "%s%n", "{{x}}", "{recipient}", "a|b", "a&b", "'x'"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(locals); i++) {
		struct buf address = buf_make(256), got = buf_make(1024);
		struct slice rest;
		struct rec_route_target t;
		struct route_result r;

		buf_addf(&address, "%s@isp.test", locals[i]);
		run(buf_text(&address), false, &r);
		assert_int_equal(r.outcome, ROUTE_TARGETS);
		rest = buf_slice(&r.records);
		assert_true(rec_route_target_next(&rest, &t));
		assert_true(slice_eq(t.recipient, buf_slice(&address)));
		route_result_free(&r);
		buf_free(&address);
		buf_free(&got);
	}
	print_message("ROW E01 recipients pass\n");
}

static enum answer find_wide(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	size_t count = *(const size_t *)arg;

	if (!slice_eq(slice_of(table->name), slice_of("aliases")))
		return find_in_table(NULL, table, key, value_out);
	if (!slice_eq(key, slice_of("wide@example.test")) || value_out == NULL)
		return ANSWER_NO;
	for (size_t i = 0; i < count; i++)
		buf_addf(value_out, "u%zu@isp.test,", i);
	return ANSWER_YES;
}

static enum answer find_wide_alias(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	struct table_keys keys;
	enum answer answer = ANSWER_NO;

	if (!table_keys_alias(table->kind, address, base, &keys))
		return ANSWER_UNKNOWN;
	for (size_t i = 0; answer == ANSWER_NO && i < keys.count; i++)
		answer = find_wide(arg, table, keys.at[i], value_out);
	return answer;
}

/* By pages, none of which is more than one answer holds, or cuts a record. */
static size_t count_in_pages(struct slice records)
{
	size_t count = 0;

	while (records.len > 0) {
		struct slice page = route_page(records);
		struct rec_route_target t;

		assert_true(page.len > 0 && page.len <= ROUTE_PAGE_MAX);
		records = slice_from(records, page.len);
		while (rec_route_target_next(&page, &t))
			count++;
		assert_int_equal(page.len, 0);
	}
	return count;
}

static void test_width(void **state)
{
	static const struct {
		size_t count;
		enum route_outcome outcome;
	} rows[] = {{10, ROUTE_TARGETS}, {1000, ROUTE_TARGETS}, {10000, ROUTE_TARGETS}, {10001, ROUTE_DEFERRED}, {30000, ROUTE_DEFERRED}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t count = rows[i].count;
		const struct lookups wide = {find_wide, find_wide_alias, read_include, find_account, &count, NULL, NULL, NULL};
		struct facts facts = facts_make();
		struct route_result r;

		facts.value[FACT_RECIPIENT].text = slice_of("wide@example.test");
		route_run(&(struct route_question){.conf = conf, .facts = &facts, .lookups = &wide}, &r);
		if (r.outcome != rows[i].outcome || (r.outcome == ROUTE_TARGETS && r.count != count))
			fail_msg("%zu: outcome %d, %zu targets, %s", count, (int)r.outcome, r.count, r.cause);
		if (r.outcome == ROUTE_DEFERRED)
			assert_string_equal(r.text, "it leads to more than 10000 addresses");
		else
			assert_int_equal(count_in_pages(buf_slice(&r.records)), count);
		route_result_free(&r);
	}
}

/* <postmaster> never leaves for a smarthost by a rule: it goes to the setting, or is refused, and a refusal is one. */
struct portions {
	size_t count, known, asked;
};

static enum answer find_later(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	struct portions *p = arg;
	size_t i = 0;

	if (slice_eq(slice_of(table->name), slice_of("aliases")) && slice_eq(key, slice_of("wide@example.test")))
		return find_wide(&p->count, table, key, value_out);
	if (!slice_eq(slice_of(table->name), slice_of("aliases")) || key.len < 2 || key.at[0] != 'u')
		return find_in_table(NULL, table, key, value_out);
	for (size_t at = 1; at < key.len && key.at[at] != '@'; at++)
		i = i * 10 + (size_t)(key.at[at] - '0');
	if (i < p->known)
		return ANSWER_NO;
	p->asked++;
	return ANSWER_PENDING;
}

static enum answer find_later_alias(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	(void)base;
	return find_later(arg, table, address, value_out);
}

/* Members that are not known yet are asked for some at a time, each once, and in the end all are there. */
static void test_width_in_portions(void **state)
{
	struct portions p = {.count = ROUTE_WIDTH_MAX};
	const struct lookups wide = {find_later, find_later_alias, read_include, find_account, &p, NULL, NULL, NULL};
	struct facts facts = facts_make();
	struct route_result r = {.outcome = ROUTE_PENDING};
	size_t rounds = 0;

	(void)state;
	facts.value[FACT_RECIPIENT].text = slice_of("wide@example.test");
	while (r.outcome == ROUTE_PENDING && rounds++ < ROUTE_WIDTH_MAX) {
		p.known += p.asked;
		p.asked = 0;
		route_run(&(struct route_question){.conf = conf, .facts = &facts, .lookups = &wide}, &r);
		assert_true(p.asked <= ROUTE_PENDING_MAX);
		if (r.outcome == ROUTE_PENDING)
			route_result_free(&r);
	}
	assert_int_equal(r.outcome, ROUTE_TARGETS);
	assert_int_equal(r.count, ROUTE_WIDTH_MAX);
	assert_true(rounds <= ROUTE_WIDTH_MAX / ROUTE_PENDING_MAX + 2);
	route_result_free(&r);
}

static void test_our_postmaster_stays(void **state)
{
	static const struct {
		const char *text;
		enum route_outcome outcome;
		const char *want;
	} rows[] = {
		{"hostname h.test\ntransport s { smtp \"s.test:25\" }\nroute { relay s }\n", ROUTE_REFUSED, "550"},
		{"hostname h.test\npostmaster x@y.test\ntransport s { smtp \"s.test:25\" }\nroute { relay s }\n", ROUTE_TARGETS,
		 "s:s.test:25*!"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *c = conf_of_text(rows[i].text);
		struct buf got = buf_make(1024);
		struct route_result r;

		run_in(c, "postmaster", false, &r);
		if (r.outcome == ROUTE_TARGETS)
			print_targets(&r, &got);
		else
			buf_addf(&got, "%u", (unsigned)r.code);
		if (r.outcome != rows[i].outcome || !slice_eq(buf_slice(&got), slice_of(rows[i].want)))
			fail_msg("%zu: outcome %d, %s", i, (int)r.outcome, buf_text(&got));
		if (r.outcome == ROUTE_REFUSED)
			assert_int_equal(outcome_kind(r.oc), KIND_PERM);
		route_result_free(&r);
		buf_free(&got);
		conf_free(&c);
	}
}

/* What an alias says of a deferral is for the client. */
static void test_deferral_has_its_words(void **state)
{
	struct route_result r;

	(void)state;
	run("moving@example.test", false, &r);
	assert_string_equal(r.text, "back on monday");
	route_result_free(&r);
	run("unsure@mx.example.test", false, &r);
	assert_string_equal(r.text, "");
	route_result_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deferral_has_its_words),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_kept_tags),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_metas),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_width_in_portions),
		cmocka_unit_test(test_our_postmaster_stays),
	};
	int failed;

	conf = conf_of_text(text);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_free(&conf);
	return failed;
}
