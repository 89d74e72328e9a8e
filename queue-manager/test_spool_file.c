#include "spool_file.h"

#include "base/mem.h"
#include "crc32c.h"
#include "spool_id.h"
#include "test.h"

#include <stdio.h>

/* A message with every field, as bytes. */
static void make_file(struct spool_mail *mail, struct slice body, struct buf *out)
{
	uint32_t crc;

	assert_true(spool_encode_head(mail, out));
	mail->body_offset = out->len;
	mail->body_length = body.len;
	buf_add_slice(out, body);
	crc = crc32c(0, buf_slice(out));
	assert_true(spool_encode_tail(mail, crc, out));
	assert_int_equal(out->len, mail->slots_offset + mail->rcpt_count + SPOOL_END_BYTES);
}

static struct spool_rcpt rcpts[] = {
	{.address = {"bob@example.test", 16}, .original = {"Bob@example.test", 16}, .orcpt = {"rfc822;Bob", 10}, .notify = 3, .expanded = 1, .queue_only = 1,
	 .fail_dsn = {"", 0}, .fail_text = {"", 0}, .directive = 4, .argument = {"/bin/x\0y\0", 9}, .bound_to = {"t bob", 5}},
	{.address = {"\"a\r\n\0b\"@x", 10}, .original = {"", 0}, .orcpt = {"", 0}, .fail_code = 550,
	 .fail_dsn = {"5.1.1", 5}, .fail_text = {"no such user", 12}, .argument = {"", 0}, .bound_to = {"", 0}},
};

static struct spool_mail sample(void)
{
	struct spool_mail m = {.id = 0x1234567890abcdef};

	m.sender = slice_of("alice@example.test");
	m.helo = slice_of("client.example");
	m.client = slice_of("192.0.2.1");
	m.protocol = slice_of("ESMTPS");
	m.tls = slice_of("TLSv1.3");
	m.envid = slice_of("e1");
	m.auth = slice_of("<>");
	m.login = slice_of("alice");
	m.session = 7;
	m.generation = 8;
	m.listener = slice_of("in");
	m.hostname = slice_of("mx.example.test");
	m.ancestors = slice_of("a@example.test\nb@example.test");
	m.local = slice_of("192.0.2.25");
	m.local_port = 25;
	m.header_names = slice_of(":from:");
	m.role = 1;
	m.uid_plus_1 = 1001;
	m.flags = 3;
	m.raw = 1;
	m.ret = 1;
	m.arrived_ms = 1700000000123;
	m.prepend = slice_of("Received: x\r\n");
	m.tags = slice_of("t");
	m.rule = slice_of("f:1");
	m.hold = 1;
	m.parent = 5;
	m.rcpts = rcpts;
	m.rcpt_count = 2;
	return m;
}

static void assert_slice(struct slice a, struct slice b)
{
	assert_true(slice_eq(a, b));
}

static void assert_same(const struct spool_mail *a, const struct spool_mail *b)
{
	const struct slice left[] = {a->sender, a->helo, a->client, a->protocol, a->tls, a->envid,
				     a->auth,   a->login, a->listener, a->hostname, a->ancestors, a->prepend, a->tags, a->rule,
				     a->local, a->header_names};
	const struct slice right[] = {b->sender, b->helo, b->client, b->protocol, b->tls, b->envid,
				      b->auth,   b->login, b->listener, b->hostname, b->ancestors, b->prepend, b->tags, b->rule,
				      b->local, b->header_names};

	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		assert_slice(left[i], right[i]);
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->session, b->session);
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->local_port, b->local_port);
	assert_int_equal(a->role, b->role);
	assert_int_equal(a->uid_plus_1, b->uid_plus_1);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->raw, b->raw);
	assert_int_equal(a->ret, b->ret);
	assert_int_equal(a->arrived_ms, b->arrived_ms);
	assert_int_equal(a->hold, b->hold);
	assert_int_equal(a->parent, b->parent);
	assert_int_equal(a->body_offset, b->body_offset);
	assert_int_equal(a->body_length, b->body_length);
	assert_int_equal(a->slots_offset, b->slots_offset);
	assert_int_equal(a->rcpt_count, b->rcpt_count);
	for (size_t i = 0; i < a->rcpt_count; i++) {
		assert_slice(a->rcpts[i].address, b->rcpts[i].address);
		assert_slice(a->rcpts[i].original, b->rcpts[i].original);
		assert_slice(a->rcpts[i].orcpt, b->rcpts[i].orcpt);
		assert_int_equal(a->rcpts[i].notify, b->rcpts[i].notify);
		assert_int_equal(a->rcpts[i].expanded, b->rcpts[i].expanded);
		assert_int_equal(a->rcpts[i].fail_code, b->rcpts[i].fail_code);
		assert_slice(a->rcpts[i].fail_dsn, b->rcpts[i].fail_dsn);
		assert_slice(a->rcpts[i].fail_text, b->rcpts[i].fail_text);
		assert_int_equal(a->rcpts[i].directive, b->rcpts[i].directive);
		assert_slice(a->rcpts[i].argument, b->rcpts[i].argument);
		assert_slice(a->rcpts[i].bound_to, b->rcpts[i].bound_to);
		assert_int_equal(a->rcpts[i].queue_only, b->rcpts[i].queue_only);
	}
}

static void test_round_trip(void **state)
{
	struct spool_mail mail = sample(), back;
	struct buf file = buf_make(1u << 20);

	(void)state;
	make_file(&mail, slice_of("Subject: x\r\n\r\nbody\r\n"), &file);
	assert_int_equal(spool_decode_whole(buf_slice(&file), &back), SPOOL_OK);
	assert_same(&mail, &back);
	assert_slice(slice_sub(buf_slice(&file), (size_t)back.body_offset, (size_t)back.body_length),
		     slice_of("Subject: x\r\n\r\nbody\r\n"));
	assert_slice(back.slots, slice_of("WW"));
	spool_mail_free(&back);
	buf_free(&file);
	printf("ROW N10 spool-fields-hold-cr-lf-nul pass\n");
}

/* A file that was cut short was never accepted, or is set aside: never read as a message. */
static void test_every_truncation(void **state)
{
	struct spool_mail mail = sample(), back;
	struct buf file = buf_make(1u << 20);

	(void)state;
	make_file(&mail, slice_of("b\r\n"), &file);
	for (size_t n = 0; n < file.len; n++)
		assert_int_not_equal(spool_decode_whole(slice_make(file.at, n), &back), SPOOL_OK);
	buf_free(&file);
}

/* Only the slots may change; a changed byte anywhere else is noticed, and never takes the file for an unfinished one. */
static void test_every_byte_changed(void **state)
{
	struct spool_mail mail = sample(), back;
	struct buf file = buf_make(1u << 20);

	(void)state;
	make_file(&mail, slice_of("b\r\n"), &file);
	for (size_t i = 0; i < file.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bool in_slots = i >= mail.slots_offset && i < mail.slots_offset + 2;
			enum spool_verdict verdict;

			file.at[i] = (char)(file.at[i] ^ (1 << bit));
			verdict = spool_decode_whole(buf_slice(&file), &back);
			file.at[i] = (char)(file.at[i] ^ (1 << bit));
			if (in_slots)
				assert_int_equal(verdict, SPOOL_OK);
			else
				assert_int_equal(verdict, SPOOL_CORRUPT);
			spool_mail_free(&back);
		}
	buf_free(&file);
	printf("ROW F14 spool-file-every-bit pass\n");
}

/* What lies in a field at any length comes back the same (nothing is read by lines or into fixed buffers). */
static void test_field_lengths(void **state)
{
	static const size_t lengths[] = {1, 255, 4095, 16383, 16384, 16385, 65535};
	struct spool_mail mail, back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf file = buf_make(4u << 20), text = buf_make(1u << 20);

		for (size_t n = 0; n < lengths[i]; n++)
			buf_add_char(&text, (char)(n * 7));
		mail = sample();
		mail.sender = mail.helo = mail.envid = mail.auth = mail.prepend = buf_slice(&text);
		rcpts[0].address = rcpts[0].original = rcpts[0].orcpt = buf_slice(&text);
		make_file(&mail, slice_empty(), &file);
		assert_int_equal(spool_decode_whole(buf_slice(&file), &back), SPOOL_OK);
		assert_same(&mail, &back);
		spool_mail_free(&back);
		buf_free(&file);
		buf_free(&text);
	}
	rcpts[0].address = slice_of("bob@example.test");
	rcpts[0].original = rcpts[0].orcpt = slice_empty();
	printf("ROW N21 spool-field-lengths pass\n");
}

static void test_beyond_the_maximum(void **state)
{
	struct spool_mail mail = sample();
	struct buf file = buf_make(1u << 20), text = buf_make(1u << 20);

	(void)state;
	for (size_t n = 0; n < 65536; n++)
		buf_add_char(&text, 'x');
	mail.sender = buf_slice(&text);
	assert_false(spool_encode_head(&mail, &file));
	mail = sample();
	mail.rcpt_count = 0;
	assert_false(spool_encode_tail(&mail, 0, &file));
	buf_free(&file);
	buf_free(&text);
}

/* Rebuilds the checksum after a change, as a newer version would have written it. */
static void reseal(struct buf *file, size_t body_end, size_t slots, size_t slot_count)
{
	size_t end = file->len - SPOOL_END_BYTES;
	uint32_t crc = crc32c(0, slice_make(file->at, body_end));

	(void)slot_count;
	crc = crc32c(crc, slice_make(file->at + body_end, slots - body_end));
	crc = crc32c(crc, slice_make(file->at + end, SPOOL_END_BYTES - 4));
	for (int i = 0; i < 4; i++)
		file->at[file->len - 1 - i] = (char)(crc >> (8 * i));
}

/* A text is what every version before wrote; a binary body is marked so that an older one leaves it alone. */
static void test_only_binary_is_marked(void **state)
{
	static const char mark[] = "\x80\x11\0\0\0\x08\0\0\0\0\0\0\0\x01";
	struct spool_mail mail = sample();
	struct buf head = buf_make(1u << 20);

	(void)state;
	mail.raw = 0;
	assert_true(spool_encode_head(&mail, &head));
	assert_true(slice_find(buf_slice(&head), slice_make(mark, 2)) == SLICE_NONE);
	buf_clear(&head);
	mail.raw = 1;
	assert_true(spool_encode_head(&mail, &head));
	assert_true(slice_find(buf_slice(&head), slice_make(mark, sizeof(mark) - 1)) != SLICE_NONE);
	buf_free(&head);
}

static void test_newer_versions(void **state)
{
	struct spool_mail mail = sample(), back;
	struct buf file = buf_make(1u << 20);
	size_t body_end, helo;

	(void)state;
	make_file(&mail, slice_of("b\r\n"), &file);
	body_end = (size_t)(mail.body_offset + mail.body_length);
	helo = slice_find(buf_slice(&file), slice_of("client.example")) - 6;
	file.at[helo + 1] = 77; /* a tag nobody knows: skipped */
	reseal(&file, body_end, (size_t)mail.slots_offset, 2);
	assert_int_equal(spool_decode_whole(buf_slice(&file), &back), SPOOL_OK);
	assert_int_equal(back.helo.len, 0);
	spool_mail_free(&back);
	file.at[helo] = (char)0x80; /* and one that must not be skipped */
	reseal(&file, body_end, (size_t)mail.slots_offset, 2);
	assert_int_equal(spool_decode_whole(buf_slice(&file), &back), SPOOL_NEWER);
	file.at[helo] = 0;
	file.at[11] = 2; /* the version */
	reseal(&file, body_end, (size_t)mail.slots_offset, 2);
	assert_int_equal(spool_decode_whole(buf_slice(&file), &back), SPOOL_NEWER);
	buf_free(&file);
}

/* Sealed rightly, wrong inside: lengths that lie, numbers of the wrong size, more or fewer recipients than slots. */
static void test_sealed_nonsense(void **state)
{
	struct spool_mail mail = sample(), back;
	struct buf file = buf_make(1u << 20);
	size_t body_end;

	(void)state;
	make_file(&mail, slice_of("b\r\n"), &file);
	body_end = (size_t)(mail.body_offset + mail.body_length);
	for (size_t i = 0; i < mail.slots_offset; i++) {
		char was = file.at[i];

		for (unsigned v = 0; v < 256; v += 17) {
			file.at[i] = (char)v;
			reseal(&file, body_end, (size_t)mail.slots_offset, 2);
			(void)spool_decode_whole(buf_slice(&file), &back); /* any verdict, no harm (sanitizers watch) */
			spool_mail_free(&back);
		}
		file.at[i] = was;
	}
	buf_free(&file);
}

static void test_crc(void **state)
{
	char bytes[1000];

	(void)state;
	/* RFC 3720 B.4 */
	memset(bytes, 0, 32);
	assert_int_equal(crc32c(0, slice_make(bytes, 32)), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, slice_make(bytes, 32)), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 31);
	for (size_t n = 0; n < sizeof(bytes); n += 13) {
		uint32_t whole = crc32c(0, slice_make(bytes, n));

		assert_int_equal(whole, crc32c_portable(0, slice_make(bytes, n)));
		assert_int_equal(whole, crc32c(crc32c(0, slice_make(bytes, n / 3)),
					       slice_make(bytes + n / 3, n - n / 3)));
	}
}

static void test_ids(void **state)
{
	struct spool_ids ids = {0};
	unsigned folders[1024] = {0}, most = 0;
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		/* the clock goes on, stands still, and steps back a year */
		int64_t ms = i < 50000 ? 1700000000000 + i / 10 : 1668000000000 + i;
		uint64_t id = spool_id_next(&ids, ms);

		assert_true(id > last);
		last = id;
		if (++folders[id & 1023] > most)
			most = folders[id & 1023];
	}
	assert_true(most < 400); /* 98 on average: no folder is hot */
	spool_id_reserve(&ids, last + 1000);
	assert_true(spool_id_next(&ids, 0) > last + 1000);
	assert_int_equal(spool_id_wall_ms((uint64_t)1700000000000 << 20 | 5), 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),	   cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_byte_changed), cmocka_unit_test(test_field_lengths),
		cmocka_unit_test(test_beyond_the_maximum), cmocka_unit_test(test_only_binary_is_marked),
		cmocka_unit_test(test_newer_versions),
		cmocka_unit_test(test_sealed_nonsense),	   cmocka_unit_test(test_crc),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
