/* A body in pieces of any length gives the same bytes and the same fault. */
#include "transaction.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const struct body_limits limits = {
	.size_max = 60, .line_max = 20, .header_max = 40, .received_max = 2};

struct outcome_of {
	enum body_fault fault;
	size_t used;
	uint64_t bytes;
	struct buf body;
};

static struct outcome_of run(struct slice in, size_t piece)
{
	struct transaction *t = transaction_new(&limits, 10);
	struct outcome_of r = {BODY_GOOD, 0, 0, buf_make(4096)};

	while (r.used < in.len && !transaction_is_over(t))
		r.used += transaction_body(t, slice_sub(in, r.used, piece));
	header_walk_end(&t->header);
	r.fault = transaction_fault(t);
	r.bytes = t->body_bytes;
	buf_add_slice(&r.body, buf_slice(&t->piece));
	transaction_free(&t);
	return r;
}

static void test_faults(void **state)
{
	static const struct {
		const char *in;
		enum body_fault fault;
	} rows[] = {
		{"A: b\r\n\r\nbody\r\n.\r\n", BODY_GOOD},
		{"A: b\r\n\r\nbo\ndy\r\n.\r\n", BODY_BARE_LF},
		{"A: b\r\n\r\nbo\rd\ny\r\n.\r\n", BODY_BARE_CR},
		{"A: b\r\n\r\n01234567890123456789x\r\n.\r\n", BODY_LONG_LINE},
		{"A: "
		 "b\r\n\r\n1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n."
		 "\r\n",
		 BODY_TOO_BIG},
		{"A: 4567890\r\nB: 4567890\r\nC: 4567890\r\nD: 4567890\r\n\r\n.\r\n",
		 BODY_LONG_HEADER},
		{"Received: \r\nReceived: \r\nReceived: \r\n\r\n.\r\n", BODY_LOOP},
		/* two at once: the same one is told, whichever was seen first */
		{"A: "
		 "b\r\n\r\n1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\n1234567890\r\na"
		 "\nb\r\n.\r\n",
		 BODY_BARE_LF},
		{"A: 4567890\r\nB: 4567890\r\nC: 4567890\r\nD: 4567890\r\nE: 4567890\r\nF: "
		 "4567890\r\n\r\n.\r\n",
		 BODY_TOO_BIG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice in = slice_of(rows[i].in);
		struct outcome_of whole = run(in, SIZE_MAX);

		if (whole.fault != rows[i].fault || whole.used != in.len)
			fail_msg("row %zu: fault %d", i, (int)whole.fault);
		for (size_t piece = 1; piece < in.len; piece++) {
			struct outcome_of part = run(in, piece);

			assert_int_equal(part.fault, whole.fault);
			assert_int_equal(part.used, whole.used);
			assert_int_equal(part.bytes, whole.bytes);
			assert_true(whole.fault != BODY_GOOD ||
				    slice_eq(buf_slice(&part.body), buf_slice(&whole.body)));
			buf_free(&part.body);
		}
		buf_free(&whole.body);
	}
}

static void test_recipients(void **state)
{
	static const struct {
		const char *address;
		uint64_t notify;
		const char *orcpt;
	} rows[] = {{"a@b", 0, ""}, {"b@b", DSN_SUCCESS | DSN_DELAY, "rfc822;x"}, {"c@b", DSN_NEVER, ""}};
	struct transaction *t = transaction_new(&limits, ARRAY_LEN(rows));
	struct transaction_recipient got;
	size_t at = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(mail_address_parse(slice_of(rows[i].address), 0, &t->candidate), MAIL_OK);
		t->candidate_notify = rows[i].notify;
		assert_true(slice_copy(slice_of(rows[i].orcpt), t->candidate_orcpt, sizeof(t->candidate_orcpt)));
		assert_true(transaction_add_recipient(t));
	}
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(transaction_next_recipient(t, &at, &got));
		assert_true(slice_eq(got.address, slice_of(rows[i].address)));
		assert_true(slice_eq(got.orcpt, slice_of(rows[i].orcpt)));
		assert_int_equal(got.notify, rows[i].notify);
	}
	assert_false(transaction_next_recipient(t, &at, &got));
	transaction_free(&t);
}

/* The longest of each, as many as may be. */
static void test_longest_recipients(void **state)
{
	struct transaction *t = transaction_new(&limits, 10);
	char text[MAIL_ADDRESS_MAX + 1];

	(void)state;
	memset(text, 'a', MAIL_ADDRESS_MAX);
	text[MAIL_ADDRESS_MAX] = '\0';
	for (size_t i = 64; i < MAIL_ADDRESS_MAX; i += 50)
		text[i] = i == 64 ? '@' : '.';
	assert_int_equal(mail_address_parse(slice_of(text), 0, &t->candidate), MAIL_OK);
	memset(t->candidate_orcpt, 'x', DSN_ORCPT_MAX);
	for (unsigned i = 0; i < 10; i++)
		assert_true(transaction_add_recipient(t));
	transaction_free(&t);
}

/* A piece never grows beyond what one message between processes carries; what was put away is
 * counted. */
static void test_pieces(void **state)
{
	const struct body_limits wide = {1 << 30, 1 << 30, 1 << 30, 100};
	struct transaction *t = transaction_new(&wide, 3);
	static char text[200000];
	struct slice in = slice_make(text, sizeof(text));
	unsigned stores = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	while (in.len > 0) {
		in = slice_from(in, transaction_body(t, in));
		assert_true(t->piece.len <= BODY_PIECE_MAX);
		if (transaction_is_full(t)) {
			transaction_stored(t, OC_DONE);
			stores++;
		}
	}
	assert_int_equal(stores, 3);
	assert_int_equal(t->stored_bytes + t->piece.len, sizeof(text));
	transaction_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_longest_recipients),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
