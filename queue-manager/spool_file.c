#include "spool_file.h"

#include "base/mem.h"
#include "crc32c.h"

#include <stddef.h>

#define HEAD_MAGIC "PSTNMSG1"
#define END_MAGIC "PSTNEND1"
#define MAGIC_BYTES 8u
#define FIELD_HEAD_BYTES 6u
#define RCPT_FIELD_MAX (7u * SPOOL_TEXT_MAX)

enum value_kind { VALUE_TEXT, VALUE_NUMBER };

struct field {
	uint16_t tag;
	enum value_kind kind;
	size_t offset;
};

#define CRITICAL(n) (SPOOL_TAG_CRITICAL | (n))
#define MAIL_TEXT(tag, name) {tag, VALUE_TEXT, offsetof(struct spool_mail, name)}
#define MAIL_NUMBER(tag, name) {tag, VALUE_NUMBER, offsetof(struct spool_mail, name)}
#define RCPT_TEXT(tag, name) {tag, VALUE_TEXT, offsetof(struct spool_rcpt, name)}
#define RCPT_NUMBER(tag, name) {tag, VALUE_NUMBER, offsetof(struct spool_rcpt, name)}

/* 11 was the listener's number, which meant another one after a reload. */
static const struct field envelope_fields[] = {
	MAIL_TEXT(CRITICAL(1), sender), MAIL_TEXT(2, helo),	     MAIL_TEXT(3, client),
	MAIL_TEXT(4, protocol),		MAIL_TEXT(5, tls),	     MAIL_TEXT(6, envid),
	MAIL_TEXT(7, auth),		MAIL_TEXT(8, login),	     MAIL_NUMBER(9, session),
	MAIL_NUMBER(10, generation),	MAIL_NUMBER(12, role),	     MAIL_NUMBER(13, uid_plus_1),
	MAIL_NUMBER(14, flags),		MAIL_NUMBER(15, ret),	     MAIL_NUMBER(16, arrived_ms),
	MAIL_NUMBER(CRITICAL(17), raw), MAIL_TEXT(18, listener),     MAIL_TEXT(19, hostname),
	MAIL_TEXT(20, ancestors),	MAIL_TEXT(21, local),	     MAIL_NUMBER(22, local_port),
};

#define TAG_RECIPIENT CRITICAL(64)
static const struct field trailer_fields[] = {
	MAIL_TEXT(CRITICAL(65), prepend),
	MAIL_TEXT(66, tags),
	MAIL_TEXT(67, rule),
	MAIL_NUMBER(CRITICAL(68), hold),
	MAIL_NUMBER(69, parent),
	MAIL_TEXT(70, header_names),
};

static const struct field rcpt_fields[] = {
	RCPT_TEXT(CRITICAL(1), address),	RCPT_TEXT(2, original), RCPT_TEXT(3, orcpt), RCPT_NUMBER(4, notify),
	RCPT_NUMBER(CRITICAL(5), fail_code),	RCPT_TEXT(6, fail_dsn), RCPT_TEXT(7, fail_text), RCPT_NUMBER(CRITICAL(8), expanded),
	RCPT_NUMBER(CRITICAL(9), directive),	RCPT_TEXT(CRITICAL(10), argument), RCPT_TEXT(CRITICAL(11), bound_to),
	RCPT_NUMBER(CRITICAL(12), queue_only),
};

static void put_number(char *at, uint64_t value, size_t bytes)
{
	for (size_t i = bytes; i-- > 0; value >>= 8)
		at[i] = (char)(unsigned char)value;
}

static uint64_t get_number(const char *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | (unsigned char)at[i];
	return value;
}

/* ---- writing ---- */

static void add_number(struct buf *out, uint64_t value, size_t bytes)
{
	char raw[8];

	put_number(raw, value, bytes);
	buf_add(out, raw, bytes);
}

static void add_field(struct buf *out, uint16_t tag, struct slice value)
{
	add_number(out, tag, 2);
	add_number(out, value.len, 4);
	buf_add_slice(out, value);
}

/* What is empty or zero is not written: absent and empty are one thing. */
static bool add_fields(struct buf *out, const struct field *fields, size_t count, const void *from)
{
	for (size_t i = 0; i < count; i++) {
		const char *at = (const char *)from + fields[i].offset;
		const struct slice *text = (const void *)at;
		const uint64_t *number = (const void *)at;
		char raw[8];

		if (fields[i].kind == VALUE_NUMBER && *number != 0) {
			put_number(raw, *number, 8);
			add_field(out, fields[i].tag, slice_make(raw, 8));
		}
		if (fields[i].kind == VALUE_TEXT && text->len > SPOOL_TEXT_MAX)
			return false;
		if (fields[i].kind == VALUE_TEXT && text->len > 0)
			add_field(out, fields[i].tag, *text);
	}
	return buf_ok(out);
}

bool spool_encode_head(const struct spool_mail *mail, struct buf *out)
{
	size_t start = out->len;

	buf_add(out, HEAD_MAGIC, MAGIC_BYTES);
	add_number(out, SPOOL_VERSION, 4);
	add_number(out, 0, 4); /* the envelope's length, known below */
	add_number(out, mail->id, 8);
	if (!add_fields(out, envelope_fields, ARRAY_LEN(envelope_fields), mail))
		return false;
	put_number(out->at + start + 12, out->len - start - SPOOL_HEAD_BYTES, 4);
	return out->len - start - SPOOL_HEAD_BYTES <= SPOOL_ENVELOPE_MAX;
}

static bool add_recipient(struct buf *out, const struct spool_rcpt *rcpt)
{
	size_t start = out->len;

	add_field(out, TAG_RECIPIENT, slice_empty());
	if (!add_fields(out, rcpt_fields, ARRAY_LEN(rcpt_fields), rcpt))
		return false;
	put_number(out->at + start + 2, out->len - start - FIELD_HEAD_BYTES, 4);
	return true;
}

static bool add_slots(struct buf *out, size_t count)
{
	char *room = buf_room(out, count);

	if (room == NULL)
		return false;
	memset(room, SLOT_WAITING, count);
	buf_grew(out, count);
	return true;
}

bool spool_encode_tail(struct spool_mail *mail, uint32_t crc, struct buf *out)
{
	size_t start = out->len, trailer_end, end_start;

	if (mail->rcpt_count == 0 || mail->rcpt_count > SPOOL_RECIPIENTS_MAX)
		return false;
	if (!add_fields(out, trailer_fields, ARRAY_LEN(trailer_fields), mail))
		return false;
	for (size_t i = 0; i < mail->rcpt_count; i++)
		if (!add_recipient(out, &mail->rcpts[i]))
			return false;
	trailer_end = out->len;
	mail->slots_offset = mail->body_offset + mail->body_length + (trailer_end - start);
	if (trailer_end - start > SPOOL_TRAILER_MAX || !add_slots(out, mail->rcpt_count))
		return false;
	end_start = out->len;
	buf_add(out, END_MAGIC, MAGIC_BYTES);
	add_number(out, mail->id, 8);
	add_number(out, mail->slots_offset + mail->rcpt_count + SPOOL_END_BYTES, 8);
	add_number(out, mail->body_length, 8);
	add_number(out, mail->body_offset, 4);
	add_number(out, trailer_end - start, 4);
	add_number(out, mail->rcpt_count, 4);
	if (!buf_ok(out))
		return false;
	crc = crc32c(crc, slice_make(out->at + start, trailer_end - start));
	crc = crc32c(crc, slice_make(out->at + end_start, SPOOL_END_BYTES - 4));
	add_number(out, crc, 4);
	return buf_ok(out);
}

/* ---- reading ---- */

/* An END with a damaged magic is still one: what was accepted must never be taken for what was not. */
static bool looks_finished(struct slice bytes, uint64_t file_size)
{
	if (bytes.len != SPOOL_END_BYTES)
		return false;
	return memcmp(bytes.at, END_MAGIC, MAGIC_BYTES) == 0 || get_number(bytes.at + 16, 8) == file_size;
}

enum spool_verdict spool_decode_end(struct slice bytes, uint64_t file_size, struct spool_end *out)
{
	if (!looks_finished(bytes, file_size))
		return SPOOL_UNFINISHED;
	if (memcmp(bytes.at, END_MAGIC, MAGIC_BYTES) != 0)
		return SPOOL_CORRUPT;
	out->id = get_number(bytes.at + 8, 8);
	out->body_length = get_number(bytes.at + 24, 8);
	out->head_length = (uint32_t)get_number(bytes.at + 32, 4);
	out->trailer_length = (uint32_t)get_number(bytes.at + 36, 4);
	out->slot_count = (uint32_t)get_number(bytes.at + 40, 4);
	out->crc = (uint32_t)get_number(bytes.at + 44, 4);
	if (get_number(bytes.at + 16, 8) != file_size || out->body_length > file_size)
		return SPOOL_CORRUPT;
	if (out->head_length < SPOOL_HEAD_BYTES || out->head_length > SPOOL_HEAD_BYTES + SPOOL_ENVELOPE_MAX ||
	    out->trailer_length > SPOOL_TRAILER_MAX || out->slot_count == 0 || out->slot_count > SPOOL_RECIPIENTS_MAX)
		return SPOOL_CORRUPT;
	if (out->head_length + out->body_length + out->trailer_length + out->slot_count + SPOOL_END_BYTES != file_size)
		return SPOOL_CORRUPT;
	return SPOOL_OK;
}

/* The next field; false at the end or when it is cut off (then rest->len > 0). */
static bool next_field(struct slice *rest, uint16_t *tag_out, struct slice *value_out)
{
	uint64_t length;

	if (rest->len < FIELD_HEAD_BYTES)
		return false;
	length = get_number(rest->at + 2, 4);
	if (length > rest->len - FIELD_HEAD_BYTES)
		return false;
	*tag_out = (uint16_t)get_number(rest->at, 2);
	*value_out = slice_sub(*rest, FIELD_HEAD_BYTES, (size_t)length);
	*rest = slice_from(*rest, FIELD_HEAD_BYTES + (size_t)length);
	return true;
}

static const struct field *field_find(const struct field *fields, size_t count, uint16_t tag)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].tag == tag)
			return &fields[i];
	return NULL;
}

static enum spool_verdict set_field(const struct field *field, uint16_t tag, struct slice value, void *into)
{
	if (field == NULL)
		return (tag & SPOOL_TAG_CRITICAL) != 0 ? SPOOL_NEWER : SPOOL_OK;
	if (field->kind == VALUE_NUMBER) {
		if (value.len != 8)
			return SPOOL_CORRUPT;
		*(uint64_t *)(void *)((char *)into + field->offset) = get_number(value.at, 8);
		return SPOOL_OK;
	}
	if (value.len > SPOOL_TEXT_MAX)
		return SPOOL_CORRUPT;
	*(struct slice *)(void *)((char *)into + field->offset) = value;
	return SPOOL_OK;
}

/* Texts that are absent are empty, never NULL. */
static void texts_empty(const struct field *fields, size_t count, void *into)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].kind == VALUE_TEXT)
			*(struct slice *)(void *)((char *)into + fields[i].offset) = slice_empty();
}

void spool_mail_init(struct spool_mail *mail)
{
	*mail = (struct spool_mail){.slots = slice_empty()};
	texts_empty(envelope_fields, ARRAY_LEN(envelope_fields), mail);
	texts_empty(trailer_fields, ARRAY_LEN(trailer_fields), mail);
}

static enum spool_verdict decode_fields(struct slice rest, const struct field *fields, size_t count, void *into)
{
	enum spool_verdict verdict;
	struct slice value;
	uint16_t tag;

	while (next_field(&rest, &tag, &value)) {
		verdict = set_field(field_find(fields, count, tag), tag, value, into);
		if (verdict != SPOOL_OK)
			return verdict;
	}
	return rest.len == 0 ? SPOOL_OK : SPOOL_CORRUPT;
}

static enum spool_verdict decode_recipient(struct slice value, struct spool_mail *out, size_t slots)
{
	struct spool_rcpt *rcpt;

	if (out->rcpt_count == slots || value.len > RCPT_FIELD_MAX)
		return SPOOL_CORRUPT;
	rcpt = &out->rcpts[out->rcpt_count++];
	texts_empty(rcpt_fields, ARRAY_LEN(rcpt_fields), rcpt);
	return decode_fields(value, rcpt_fields, ARRAY_LEN(rcpt_fields), rcpt);
}

static enum spool_verdict decode_trailer(struct slice rest, size_t slots, struct spool_mail *out)
{
	enum spool_verdict verdict = SPOOL_OK;
	struct slice value;
	uint16_t tag;

	while (verdict == SPOOL_OK && next_field(&rest, &tag, &value)) {
		if (tag == TAG_RECIPIENT)
			verdict = decode_recipient(value, out, slots);
		else
			verdict = set_field(field_find(trailer_fields, ARRAY_LEN(trailer_fields), tag), tag, value,
					    out);
	}
	if (verdict != SPOOL_OK)
		return verdict;
	return rest.len == 0 && out->rcpt_count == slots ? SPOOL_OK : SPOOL_CORRUPT;
}

static enum spool_verdict check_head(const struct spool_end *end, struct slice head)
{
	if (head.len != end->head_length || memcmp(head.at, HEAD_MAGIC, MAGIC_BYTES) != 0)
		return SPOOL_CORRUPT;
	if (get_number(head.at + 12, 4) != head.len - SPOOL_HEAD_BYTES || get_number(head.at + 16, 8) != end->id)
		return SPOOL_CORRUPT;
	return get_number(head.at + 8, 4) == SPOOL_VERSION ? SPOOL_OK : SPOOL_NEWER;
}

static enum spool_verdict decode_parts(const struct spool_end *end, struct slice head, struct slice tail,
				       struct spool_mail *out)
{
	enum spool_verdict verdict = check_head(end, head);

	if (verdict != SPOOL_OK)
		return verdict;
	/* A recipient's field has at least its own head: what asks for more slots than that was not written by us. */
	if (end->slot_count > end->trailer_length / FIELD_HEAD_BYTES)
		return SPOOL_CORRUPT;
	out->rcpts = mem_new(end->slot_count, sizeof(*out->rcpts));
	if (out->rcpts == NULL)
		return SPOOL_NO_MEMORY;
	verdict = decode_fields(slice_from(head, SPOOL_HEAD_BYTES), envelope_fields, ARRAY_LEN(envelope_fields), out);
	if (verdict == SPOOL_OK)
		verdict = decode_trailer(slice_sub(tail, 0, end->trailer_length), end->slot_count, out);
	return verdict;
}

enum spool_verdict spool_decode(const struct spool_end *end, struct slice head, struct slice tail, uint32_t crc,
				struct spool_mail *out)
{
	enum spool_verdict verdict;

	spool_mail_init(out);
	out->id = end->id;
	if (tail.len != (size_t)end->trailer_length + end->slot_count + SPOOL_END_BYTES)
		return SPOOL_CORRUPT;
	crc = crc32c(crc, slice_sub(tail, 0, end->trailer_length));
	crc = crc32c(crc, slice_sub(tail, tail.len - SPOOL_END_BYTES, SPOOL_END_BYTES - 4));
	if (crc != end->crc)
		return SPOOL_CORRUPT;
	verdict = decode_parts(end, head, tail, out);
	if (verdict != SPOOL_OK) {
		spool_mail_free(out);
		return verdict;
	}
	out->body_offset = end->head_length;
	out->body_length = end->body_length;
	out->slots_offset = out->body_offset + out->body_length + end->trailer_length;
	out->slots = slice_sub(tail, end->trailer_length, end->slot_count);
	return SPOOL_OK;
}

enum spool_verdict spool_decode_whole(struct slice file, struct spool_mail *out)
{
	struct spool_end end;
	enum spool_verdict verdict;
	size_t body_end;

	*out = (struct spool_mail){0};
	if (file.len < SPOOL_HEAD_BYTES + SPOOL_END_BYTES)
		return SPOOL_UNFINISHED;
	verdict = spool_decode_end(slice_from(file, file.len - SPOOL_END_BYTES), file.len, &end);
	if (verdict != SPOOL_OK)
		return verdict;
	body_end = end.head_length + (size_t)end.body_length;
	return spool_decode(&end, slice_sub(file, 0, end.head_length), slice_from(file, body_end),
			    crc32c(0, slice_sub(file, 0, body_end)), out);
}

void spool_mail_free(struct spool_mail *mail)
{
	free(mail->rcpts);
	mail->rcpts = NULL;
	mail->rcpt_count = 0;
}
