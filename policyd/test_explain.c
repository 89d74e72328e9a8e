#include "explain.h"

#include "base/mem.h"
#include "conf/table_keys.h"
#include "ipc/message.h"
#include "test_conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const char text[] = "hostname mx.example.test\n"
			   "postmaster boss@example.test\n"
			   "trusted 192.0.2.0/24\n"
			   "listen 127.0.0.1:25 { role mx }\n"
			   "listen :2525 { role mx }\n"
			   "listen 127.0.0.1:587 { role submission  name door  tls required }\n"
			   "tls { certificate /c key /k }\n"
			   "auth { sqlite /u }\n"
			   "table boxes { alice@example.test; bob@example.test; boss@example.test }\n"
			   "table aliases {\n"
			   "  sales@example.test: \"alice, bob\"\n"
			   "  gone@example.test: nobody\n"
			   "  \"${x}@example.test\": \"alice\"\n"
			   "}\n"
			   "transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
			   "transport home { maildir \"~/Maildir/\" }\n"
			   "transport out { smtp mx }\n"
			   "route {\n"
			   "  reject \"moved\" if recipient == \"moved@example.test\"\n"
			   "  discard if recipient == \"void@example.test\"\n"
			   "  rewrite \"{recipient.local}@example.test\" if recipient.domain == \"old.test\"\n"
			   "  hold if sender == \"odd@x.test\" or size > 10K\n"
			   "  alias aliases\n"
			   "  deliver virtual if recipient in boxes\n"
			   "  deliver home if recipient.domain == \"mx.example.test\"\n"
			   "  relay out if recipient.domain == \"far.test\"\n"
			   "  discard if header \"X-Bulk\" present or listener.port == 587 and listener.address in 127.0.0.0/8\n"
			   "}\n";

static struct conf *conf;

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	(void)arg;
	for (size_t i = 0; i < table->entry_count; i++)
		if (slice_eq(slice_of(table->entries[i].key), key))
			return value_out == NULL || buf_add_text(value_out, table->entries[i].value) ? ANSWER_YES : ANSWER_UNKNOWN;
	return ANSWER_NO;
}

static enum answer find_alias(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	(void)base;
	return find_in_table(arg, table, address, value_out);
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
	if (slice_eq(name, slice_of("later")))
		return ANSWER_PENDING;
	return slice_eq(name, slice_of("carol")) ? ANSWER_YES : ANSWER_NO;
}

static const struct lookups lookups = {find_in_table, find_alias, NULL, find_account, NULL, NULL, find_name, NULL};

static void add_field(struct buf *fields, const char *key, const char *value)
{
	assert_true(rec_control_field_add(fields, &(struct rec_control_field){slice_of(key), slice_of(value)}));
}

/* "kind number|key=value|..." a line for each row, without what is empty. */
static void write_rows(struct slice records, struct buf *out)
{
	struct rec_control_row row;
	struct rec_control_field f;

	while (rec_control_row_next(&records, &row)) {
		while (rec_control_field_next(&row.control_field_records, &f))
			if (f.value.len > 0)
				buf_addf(out, "%.*s=%.*s|", SLICE_ARG(f.key), SLICE_ARG(f.value));
		buf_add_char(out, '\n');
	}
}

static enum route_outcome explain(const char *address, const char *key, const char *value, struct buf *out)
{
	struct buf fields = buf_make(8192), why = buf_make(1024);
	struct explain_question q;
	enum route_outcome outcome;
	size_t skip = 0;
	bool more = true;

	add_field(&fields, "address", address);
	if (key != NULL)
		add_field(&fields, key, value);
	if (!explain_read(conf, buf_slice(&fields), &q, &why))
		fail_msg("%s: %s", address, buf_text(&why));
	for (outcome = ROUTE_PENDING; more;) {
		struct explain e = explain_begin(conf, NULL, skip);

		outcome = explain_run(&e, &q, &lookups);
		write_rows(buf_slice(&e.rows), out);
		more = e.full;
		skip = e.next;
		explain_free(&e);
	}
	buf_free(&fields);
	buf_free(&why);
	return outcome;
}

static const struct {
	const char *name, *address, *key, *value;
	enum route_outcome outcome;
	const char *has[4]; /* each stands in a row */
} cases[] = {
	{"a rule that matched, and what it found", "alice@example.test", NULL, NULL, ROUTE_TARGETS,
	 {"kind=rule|number=0|rule=t.conf:24|statement=deliver virtual if recipient in boxes|matches=yes|because=recipient in boxes: yes "
	  "(alice@example.test)|",
	  "kind=target|number=0|rule=t.conf:24|recipient=alice@example.test|transport=virtual|nexthop=/var/mail/example.test/alice/|"
	  "user=vmail|directive=none|held=no|queue-only=no|leaves=no|",
	  "kind=result|outcome=accepted|code=250|", "targets=1|relay=not needed|"}},
	{"one that did not", "alice@example.test", NULL, NULL, ROUTE_TARGETS,
	 {"statement=hold if sender == \"odd@x.test\" or size > 10K|matches=no|because=sender == \"odd@x.test\": no (); size > 10K: no (0)|"}},
	{"what an alias gave, and each of it", "sales@example.test", NULL, NULL, ROUTE_TARGETS,
	 {"kind=lookup|number=0|rule=t.conf:23|table=aliases|found=yes|value=alice, bob|",
	  "kind=address|number=1|parent=0|address=alice@example.test|by=t.conf:23|",
	  "kind=address|number=2|parent=0|address=bob@example.test|by=t.conf:23|", "targets=2|"}},
	{"no entry", "bob@example.test", NULL, NULL, ROUTE_TARGETS,
	 {"kind=lookup|number=0|rule=t.conf:23|table=aliases|found=no|"}},
	{"a stale member", "gone@example.test", NULL, NULL, ROUTE_TARGETS,
	 {"kind=refused|number=1|code=550|", "kind=address|number=2|parent=1|address=boss@example.test|by=the setting postmaster|"}},
	{"a refusal", "moved@example.test", NULL, NULL, ROUTE_REFUSED,
	 {"kind=refused|number=0|rule=t.conf:19|code=550|text=moved|", "outcome=refused|code=550|dsn=5.1.1|text=moved|rule=t.conf:19|"}},
	{"thrown away", "void@example.test", NULL, NULL, ROUTE_TARGETS, {"kind=discarded|number=0|rule=t.conf:20|", "targets=0|"}},
	{"rewritten", "alice@old.test", NULL, NULL, ROUTE_TARGETS, {"kind=rewrite|number=0|rule=t.conf:21|address=alice@example.test|"}},
	{"held for its sender", "bob@example.test", "from", "odd@x.test", ROUTE_TARGETS, {"held=yes|"}},
	{"held for its size", "bob@example.test", "size", "20000", ROUTE_TARGETS, {"size > 10K: yes (20000)|", "held=yes|"}},
	{"a system user", "carol@mx.example.test", NULL, NULL, ROUTE_TARGETS, {"transport=home|nexthop=carol|user=carol|directive=none|"}},
	{"one nobody knows yet", "later@mx.example.test", NULL, NULL, ROUTE_PENDING, {NULL}},
	{"a stranger may not", "x@far.test", NULL, NULL, ROUTE_TARGETS, {"outcome=refused|code=550|dsn=5.7.1|", "relay=refused|"}},
	{"a login may", "x@far.test", "as", "alice@example.test", ROUTE_TARGETS, {"outcome=accepted|", "relay=allowed|"}},
	{"a trusted client may", "x@far.test", "client", "192.0.2.9", ROUTE_TARGETS, {"relay=allowed|"}},
	{"another client may not", "x@far.test", "client", "198.51.100.1", ROUTE_TARGETS, {"relay=refused|"}},
	{"the local socket may", "x@far.test", "listener", "local", ROUTE_TARGETS, {"relay=allowed|"}},
	{"a listener by its name", "x@far.test", "listener", "door", ROUTE_TARGETS, {"relay=refused|"}},
	{"a field that is there", "x@other.test", "header", "x-BULK", ROUTE_TARGETS, {"because=header \"x-bulk\" present: yes|", "targets=0|"}},
	{"one that is not", "x@other.test", "header", "From", ROUTE_REFUSED,
	 {"header \"x-bulk\" present: no; listener.port == 587: no (25)|"}},
	{"a listener by its address", "x@other.test", "listener", "127.0.0.1:587", ROUTE_TARGETS,
	 {"listener.port == 587: yes (587); listener.address in (127.0.0.0/8): yes (127.0.0.1)|", "targets=0|"}},
	{"one for every address", "x@other.test", "listener", "127.0.0.3:2525", ROUTE_REFUSED, {"listener.port == 587: no (2525)|"}},
	{"what looks like a program of ours is text", "${x}@example.test", NULL, NULL, ROUTE_TARGETS,
	 {"address=${x}@example.test|", "table=aliases|found=yes|value=alice|"}},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf got = buf_make(1 << 20);
		enum route_outcome outcome = explain(cases[i].address, cases[i].key, cases[i].value, &got);

		for (size_t k = 0; k < ARRAY_LEN(cases[i].has) && cases[i].has[k] != NULL; k++)
			if (slice_find(buf_slice(&got), slice_of(cases[i].has[k])) == SLICE_NONE)
				fail_msg("%s: \"%s\" is not in\n%s", cases[i].name, cases[i].has[k], buf_text(&got));
		if (outcome != cases[i].outcome)
			fail_msg("%s: outcome %d\n%s", cases[i].name, (int)outcome, buf_text(&got));
		buf_free(&got);
	}
}

static void test_bad_questions(void **state)
{
	static const struct {
		const char *key, *value, *why;
	} rows[] = {
		{"address", "a@b@c", "bad domain"}, {"address", "alice", "address without a domain"},
		{"address", "", "empty address"},	{"from", "@a:b@c.test", "source routes"},
		{"client", "nobody", "an IP address"},	{"listener", "backdoor", "no such listener"},
		{"size", "5x", "a number of bytes"},	{"header", "Sub:ject", "no name of a field"},
			{"colour", "red", "not asked here"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf fields = buf_make(1024), why = buf_make(1024);
		struct explain_question q;

		add_field(&fields, rows[i].key, rows[i].value);
		assert_false(explain_read(conf, buf_slice(&fields), &q, &why));
		if (slice_find(buf_slice(&why), slice_of(rows[i].why)) == SLICE_NONE)
			fail_msg("%s %s: %s", rows[i].key, rows[i].value, buf_text(&why));
		buf_free(&fields);
		buf_free(&why);
	}
}

static enum answer find_wide(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	if (!slice_eq(address, slice_of("wide@example.test")))
		return find_alias(arg, table, address, base, value_out);
	for (int i = 0; i < 10000; i++)
		buf_addf(value_out, "u%d@far.test,", i);
	return ANSWER_YES;
}

/* Page by page it is the same as at once: every row once, in order. */
static void test_pages(void **state)
{
	const struct lookups wide = {find_in_table, find_wide, NULL, find_account, NULL, NULL, find_name, NULL};
	struct buf fields = buf_make(8192), why = buf_make(1024), all = buf_make(8 << 20);
	struct explain_question q;
	size_t skip = 0, pages = 0, rows = 0;
	bool more = true;

	(void)state;
	add_field(&fields, "address", "wide@example.test");
	assert_true(explain_read(conf, buf_slice(&fields), &q, &why));
	for (; more; pages++) {
		struct explain e = explain_begin(conf, NULL, skip);

		assert_int_equal(explain_run(&e, &q, &wide), ROUTE_TARGETS);
		assert_true(e.rows.len <= EXPLAIN_PAGE_MAX);
		write_rows(buf_slice(&e.rows), &all);
		more = e.full;
		skip = e.next;
		rows = e.seen;
		explain_free(&e);
	}
	assert_true(pages > 2 && pages < 10); /* each is a walk over all of it */
	for (size_t i = 0; i < all.len; i++)
		rows -= all.at[i] == '\n';
	assert_int_equal(rows, 0);
	assert_true(slice_find(buf_slice(&all), slice_of("kind=address|number=99|parent=0|address=u98@far.test|")) != SLICE_NONE);
	assert_true(slice_find(buf_slice(&all), slice_of("u99@far.test|")) == SLICE_NONE);
	assert_true(slice_find(buf_slice(&all), slice_of("targets=10000|relay=not needed|not-shown=9901|")) != SLICE_NONE);
	buf_free(&fields);
	buf_free(&why);
	buf_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bad_questions),
		cmocka_unit_test(test_pages),
	};
	int failed;

	conf = conf_of_text(text);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_free(&conf);
	return failed;
}
