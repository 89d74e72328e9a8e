#include "rdata.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void add_u16(struct buf *b, unsigned v)
{
	buf_add_char(b, (char)(v >> 8));
	buf_add_char(b, (char)v);
}

static void add_name(struct buf *b, const char *name)
{
	struct slice rest = slice_of(name), label;

	while (slice_cut(&rest, '.', &label)) {
		buf_add_char(b, (char)label.len);
		buf_add_slice(b, label);
	}
	buf_add_char(b, '\0');
}

static void add_head(struct buf *b, unsigned flags, unsigned answers, const char *name, unsigned type)
{
	add_u16(b, 0x1234);
	add_u16(b, 0x8180 | flags);
	add_u16(b, 1);
	add_u16(b, answers);
	add_u16(b, 0);
	add_u16(b, 0);
	add_name(b, name);
	add_u16(b, type);
	add_u16(b, 1);
}

/* owner NULL: a pointer to the question's name. */
static void add_record(struct buf *b, const char *owner, unsigned type, struct slice data)
{
	if (owner == NULL)
		add_u16(b, 0xc00c);
	else
		add_name(b, owner);
	add_u16(b, type);
	add_u16(b, 1);
	add_u16(b, 0);
	add_u16(b, 60);
	add_u16(b, (unsigned)data.len);
	buf_add_slice(b, data);
}

static void add_name_record(struct buf *b, const char *owner, unsigned type, int preference, const char *target)
{
	struct buf data = buf_make(300);

	if (preference >= 0)
		add_u16(&data, (unsigned)preference);
	add_name(&data, target);
	add_record(b, owner, type, buf_slice(&data));
	buf_free(&data);
}

static struct buf example(void)
{
	static const struct slice pointer = {"\0\5\3mx2\xc0\x0c", 8};
	struct buf b = buf_make(4096);

	add_head(&b, 0, 3, "Example.Test", RDATA_MX);
	add_name_record(&b, NULL, RDATA_MX, 10, "MX1.example.test");
	add_record(&b, "eXample.test", RDATA_MX, pointer);
	add_name_record(&b, "other.test", RDATA_MX, 1, "evil.test");
	return b;
}

static void test_mx(void **state)
{
	struct buf b = example();
	struct rdata a;

	(void)state;
	assert_true(rdata_read(buf_slice(&b), RDATA_MX, &a));
	assert_true(a.exists);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.records[0].preference, 10);
	assert_string_equal(a.records[0].name, "mx1.example.test");
	assert_int_equal(a.records[1].preference, 5);
	assert_string_equal(a.records[1].name, "mx2.example.test");
	assert_true(rdata_read(buf_slice(&b), RDATA_A, &a));
	assert_int_equal(a.count, 0);
	buf_free(&b);
}

static void test_aliases(void **state)
{
	struct buf b = buf_make(4096);
	struct rdata a;

	(void)state;
	add_head(&b, 0, 5, "www.example.test", RDATA_A);
	add_name_record(&b, NULL, RDATA_CNAME, -1, "a.example.test");
	add_name_record(&b, "a.example.test", RDATA_CNAME, -1, "b.example.test");
	add_record(&b, "b.example.test", RDATA_A, (struct slice){"\300\0\2\1", 4});
	add_record(&b, "www.example.test", RDATA_A, (struct slice){"\300\0\2\2", 4});
	add_record(&b, "b.example.test", RDATA_A, (struct slice){"\300\0\2", 3});
	assert_true(rdata_read(buf_slice(&b), RDATA_A, &a));
	assert_int_equal(a.count, 1);
	assert_memory_equal(&a.records[0].address.s6_addr[10], "\xff\xff\300\0\2\1", 6);
	buf_free(&b);
}

static void test_names_no_host_has(void **state)
{
	static const struct slice odd[] = {{"\0\1\3a.b\0", 7},
					   {"\0\1\3a\0b\0", 7},
					   {"\0\1\3a b\0", 7},
					   {"\0\1\3a\rb\0", 7}};
	struct buf b = buf_make(4096);
	struct rdata a;

	(void)state;
	add_head(&b, 0, 5, "example.test", RDATA_MX);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		add_record(&b, NULL, RDATA_MX, odd[i]);
	add_name_record(&b, NULL, RDATA_MX, 0, "");
	assert_true(rdata_read(buf_slice(&b), RDATA_MX, &a));
	assert_int_equal(a.count, 1);
	assert_string_equal(a.records[0].name, "");
	buf_free(&b);
}

static void test_codes(void **state)
{
	static const struct {
		unsigned flags;
		bool read, exists;
	} cases[] = {{0, true, true}, {3, true, false}, {2, false, false}, {5, false, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = buf_make(4096);
		struct rdata a;

		add_head(&b, cases[i].flags, 0, "example.test", RDATA_MX);
		assert_int_equal(rdata_read(buf_slice(&b), RDATA_MX, &a), cases[i].read);
		if (cases[i].read)
			assert_int_equal(a.exists, cases[i].exists);
		b.at[2] = 0; /* a question, not an answer */
		assert_false(rdata_read(buf_slice(&b), RDATA_MX, &a));
		buf_free(&b);
	}
}

static void test_pointers_that_lead_nowhere(void **state)
{
	static const struct slice bad[] = {
		{"\0\1\xc0\x27", 4}, /* itself */
		{"\0\1\xc0\xff", 4}, /* ahead */
		{"\0\1\xff\xff", 4},
		{"\0\1\x80\x01", 4},
		{"\0\1\xc0", 3},
		{"\0\1\x3f"
		 "abc",
		 6},
		{"\0", 1},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = buf_make(4096);
		struct rdata a;

		add_head(&b, 0, 1, "example.test", RDATA_MX);
		add_record(&b, NULL, RDATA_MX, bad[i]);
		rdata_read(buf_slice(&b), RDATA_MX, &a);
		assert_int_equal(a.count, 0);
		buf_free(&b);
	}
}

static void test_truncated(void **state)
{
	struct buf b = example();
	struct rdata a;

	(void)state;
	for (size_t len = 0; len < b.len; len++) {
		assert_false(rdata_read(slice_make(b.at, len), RDATA_MX, &a));
		assert_int_equal(a.count, 0);
	}
	buf_free(&b);
}

static void test_every_byte_changed(void **state)
{
	struct buf b = example();
	struct rdata a;

	(void)state;
	for (size_t at = 0; at < b.len; at++)
		for (int c = 0; c < 256; c++) {
			char was = b.at[at];

			b.at[at] = (char)c;
			rdata_read(buf_slice(&b), RDATA_MX, &a);
			assert_in_range(a.count, 0, 3);
			for (size_t i = 0; i < a.count; i++)
				assert_true(strlen(a.records[i].name) < 254);
			b.at[at] = was;
		}
	buf_free(&b);
}

static void test_more_than_there_is_room_for(void **state)
{
	struct buf b = buf_make(1 << 16);
	struct rdata a;

	(void)state;
	add_head(&b, 0, 100, "example.test", RDATA_A);
	for (unsigned i = 0; i < 100; i++)
		add_record(&b, NULL, RDATA_A, (struct slice){"\300\0\2\1", 4});
	assert_true(rdata_read(buf_slice(&b), RDATA_A, &a));
	assert_int_equal(a.count, RDATA_RECORDS_MAX);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mx),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_names_no_host_has),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_pointers_that_lead_nowhere),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
