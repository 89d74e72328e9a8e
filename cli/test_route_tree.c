#include "route_tree.h"

#include "ipc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* "key=value|key=value|..." */
static void add_row(struct buf *records, const char *line)
{
	struct buf fields = buf_make(8192);
	struct slice rest = slice_of(line), pair, key;

	while (slice_cut(&rest, '|', &pair)) {
		assert_true(slice_cut(&pair, '=', &key));
		assert_true(rec_control_field_add(&fields, &(struct rec_control_field){key, pair}));
	}
	assert_true(rec_control_row_add(records, &(struct rec_control_row){buf_slice(&fields)}));
	buf_free(&fields);
}

static void test_tree(void **state)
{
	struct buf records = buf_make(65536), out = buf_make(65536);

	(void)state;
	add_row(&records, "kind=address|number=0|parent=|address=sales@x.test|by=");
	add_row(&records, "kind=rule|number=0|rule=c:3|statement=alias aliases|matches=yes|because=");
	add_row(&records, "kind=lookup|number=0|rule=c:3|table=aliases|found=yes|value=alice, bob");
	add_row(&records, "kind=address|number=1|parent=0|address=alice@x.test|by=c:3");
	add_row(&records, "kind=rule|number=1|rule=c:4|statement=deliver m if recipient in t|matches=yes|because=recipient in t: yes (alice@x.test)");
	add_row(&records, "kind=target|number=1|rule=c:4|recipient=alice@x.test|transport=m|nexthop=/m/alice/|user=vmail|user-by=table t|held=yes|leaves=no");
	add_row(&records, "kind=address|number=2|parent=0|address=b\x1b[2Job@x.test|by=c:3");
	add_row(&records, "kind=refused|number=2|rule=|code=550|text=no such mailbox here");
	add_row(&records, "kind=result|outcome=accepted|code=250|dsn=2.0.0|text=done|rule=|targets=1|relay=not needed|not-shown=7");
	assert_int_equal(route_tree_print(buf_slice(&records), &out), ROUTE_END_ACCEPTED);
	assert_string_equal(buf_text(&out), "sales@x.test\n"
					    "  yes     c:3  alias aliases\n"
					    "            table aliases: yes: alice, bob\n"
					    "  alice@x.test  (from c:3)\n"
					    "    yes     c:4  deliver m if recipient in t\n"
					    "              recipient in t: yes (alice@x.test)\n"
					    "          --> m /m/alice/, as user vmail (table t), held for the operator\n"
					    "  b\\x1b[2Job@x.test  (from c:3)\n"
					    "          --> refused 550: no such mailbox here\n"
					    "  and 7 more addresses, which are not shown\n"
					    "accepted, targets: 1: 250 2.0.0 done\n");
	buf_free(&records);
	buf_free(&out);
}

static void test_ends(void **state)
{
	static const struct {
		const char *row;
		enum route_end_word word;
	} rows[] = {
		{"kind=result|outcome=accepted|relay=not needed", ROUTE_END_ACCEPTED},
		{"kind=result|outcome=refused|relay=refused", ROUTE_END_REFUSED},
		{"kind=result|outcome=deferred|relay=not needed", ROUTE_END_DEFERRED},
		{"kind=address|number=0|parent=|address=x", ROUTE_END_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf records = buf_make(4096);

		add_row(&records, rows[i].row);
		assert_int_equal(route_tree_print(buf_slice(&records), NULL), rows[i].word);
		buf_free(&records);
	}
}

/* An address that is its own ancestor, or numbers that are none, end too. */
static void test_malformed(void **state)
{
	struct buf records = buf_make(4096), out = buf_make(65536);

	(void)state;
	add_row(&records, "kind=address|number=0|parent=0|address=x");
	add_row(&records, "kind=address|number=1|parent=|address=y");
	add_row(&records, "kind=address|number=1|parent=1|address=z");
	add_row(&records, "kind=address|number=|parent=|address=w");
	add_row(&records, "kind=what|number=1");
	add_row(&records, "kind=result|outcome=accepted|relay=");
	assert_int_equal(route_tree_print(buf_slice(&records), &out), ROUTE_END_ACCEPTED);
	assert_true(buf_ok(&out));
	assert_int_equal(route_tree_print(slice_of("nonsense"), &out), ROUTE_END_NONE);
	buf_free(&records);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tree), cmocka_unit_test(test_ends), cmocka_unit_test(test_malformed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
