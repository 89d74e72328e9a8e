#include "filter/mail.h"

#include "base/id.h"
#include "base/utf8.h"
#include "filter/view_date.h"
#include "filter/view_field.h"
#include "filter/view_words.h"

#include <stdio.h>

#define LINE_BYTES 990u /* RFC 5322 §2.1.1: at most 998 */
#define MESSAGE_ID_MAX 250u
#define REFERENCES_MAX 20u

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static void put_flat(struct slice text, struct buf *out)
{
	size_t start = out->len;

	if (!buf_add_slice(out, text))
		return;
	for (size_t i = start; i < out->len; i++)
		if (is_control(out->at[i]))
			out->at[i] = ' ';
}

static void put_field(const char *name, struct slice text, struct buf *out)
{
	if (text.len == 0)
		return;
	buf_addf(out, "%s: ", name);
	put_flat(text, out);
	buf_add_char(out, '\n');
}

static void put_subject(struct slice subject, struct buf *out)
{
	struct buf flat = buf_make(FILTER_MAIL_MAX);

	put_flat(subject, &flat);
	if (subject.len > 0) {
		buf_add_text(out, "Subject: ");
		out->failed = out->failed || !buf_ok(&flat) || !view_encode_words(buf_slice(&flat), out);
		buf_add_char(out, '\n');
	}
	buf_free(&flat);
}

static void put_date(const struct filter_message *m, struct buf *out)
{
	const struct view_calendar c = view_calendar(m->now, m->zone_minutes);
	unsigned east = (unsigned)(m->zone_minutes < 0 ? -m->zone_minutes : m->zone_minutes) % 1440;

	buf_addf(out, "Date: %s, %u %s %lld %02u:%02u:%02u %c%02u%02u\n", view_weekday_name(c.weekday), c.day,
		 view_month_name(c.month), (long long)c.year, c.hour, c.minute, c.second, m->zone_minutes < 0 ? '-' : '+', east / 60,
		 east % 60);
}

/* Two mailboxes of one message make different ones: who writes is in it. */
static void put_message_id(const struct filter_mail *mail, const struct filter_message *m, struct buf *out)
{
	uint64_t hash = 14695981039346656037u;
	char id[ID_CHARS + 1];

	for (size_t i = 0; i < m->address.len; i++)
		hash = (hash ^ (unsigned char)m->address.at[i]) * 1099511628211u;
	id_text(m->id, id);
	buf_addf(out, "Message-ID: <%s.%u.%08x@%.*s>\n", id, mail->number, (unsigned)(hash ^ (hash >> 32)), SLICE_ARG(m->host));
}

/* The first field of that name; "" where there is none. */
static bool find_field(struct slice header, const char *name, struct buf *out)
{
	struct view_field field;

	return !view_field_find(header, slice_of(name), &field) || view_unfold(field.raw, out);
}

/* "<...>", in printable ASCII without blanks: fit to be repeated. */
static bool is_message_id(struct slice id)
{
	if (id.len < 3 || id.len > MESSAGE_ID_MAX || id.at[0] != '<' || id.at[id.len - 1] != '>')
		return false;
	for (size_t i = 1; i < id.len - 1; i++)
		if (id.at[i] <= ' ' || id.at[i] > '~' || id.at[i] == '<' || id.at[i] == '>')
			return false;
	return true;
}

static bool next_id(struct slice *rest, struct slice *id)
{
	while (slice_word(rest, id))
		if (is_message_id(*id))
			return true;
	return false;
}

/* Those it had itself, the oldest left out where they are many. */
static void put_references(struct slice references, struct slice id, struct buf *out)
{
	struct slice rest = references, one;
	size_t count = 0, before = out->len;

	while (next_id(&rest, &one))
		count++;
	for (rest = references; next_id(&rest, &one); count--)
		if (count < REFERENCES_MAX)
			buf_addf(out, "%s %.*s\n", out->len == before ? "References:" : "", SLICE_ARG(one));
	buf_addf(out, "%s %.*s\n", out->len == before ? "References:" : "", SLICE_ARG(id));
}

/* What it answers, and the thread that is in (RFC 5322 §3.6.4). */
static void put_threading(const struct filter_message *m, struct buf *out)
{
	struct buf id = buf_make(m->header.len), references = buf_make(m->header.len);

	if (!find_field(m->header, "message-id", &id) || !find_field(m->header, "references", &references)) {
		out->failed = true;
	} else if (is_message_id(buf_slice(&id))) {
		buf_addf(out, "In-Reply-To: %.*s\n", SLICE_ARG(buf_slice(&id)));
		put_references(buf_slice(&references), buf_slice(&id), out);
	}
	buf_free(&id);
	buf_free(&references);
}

/* ---- the body ---- */

/* Without CR and NUL; what is too long is cut into lines that are not, between characters. */
static void put_lines(struct slice text, struct buf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c == '\0' || c == '\r')
			continue;
		if (column >= LINE_BYTES && c != '\n' && (((unsigned char)c & 0xc0) != 0x80 || column >= LINE_BYTES + 6)) {
			buf_add_char(out, '\n');
			column = 0;
		}
		buf_add_char(out, c);
		column = c == '\n' ? 0 : column + 1;
	}
	if (column > 0)
		buf_add_char(out, '\n');
}

static bool has_high(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] >= 0x80)
			return true;
	return false;
}

static void put_text_type(struct slice text, struct buf *out)
{
	buf_addf(out, "Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: %s\n\n",
		 !has_high(text)	      ? "us-ascii"
		 : utf8_is_well_formed(text) ? "utf-8"
					      : "unknown-8bit",
		 has_high(text) ? "8bit" : "7bit");
}

/* A boundary that is in neither (RFC 2046 §5.1.1). */
static void make_boundary(const struct filter_mail *mail, const struct filter_message *m, char out[64])
{
	char id[ID_CHARS + 1];

	id_text(m->id, id);
	for (unsigned i = 0; i == 0 || slice_find(mail->copy, slice_of(out)) != SLICE_NONE ||
			     slice_find(mail->text, slice_of(out)) != SLICE_NONE;
	     i++)
		snprintf(out, 64, "=_%s_%u_%u", id, mail->number, i);
}

static void put_with_copy(const struct filter_mail *mail, const struct filter_message *m, struct buf *out)
{
	char boundary[64];

	make_boundary(mail, m, boundary);
	buf_addf(out, "Content-Type: multipart/mixed; boundary=\"%s\"\nContent-Transfer-Encoding: %s\n\n--%s\n", boundary,
		 has_high(mail->text) || has_high(mail->copy) ? "8bit" : "7bit", boundary);
	put_text_type(mail->text, out);
	put_lines(mail->text, out);
	buf_addf(out, "\n--%s\nContent-Type: message/rfc822\nContent-Transfer-Encoding: %s\n\n", boundary,
		 has_high(mail->copy) ? "8bit" : "7bit");
	put_lines(mail->copy, out);
	buf_addf(out, "\n--%s--\n", boundary);
}

bool filter_mail_write(const struct filter_mail *mail, const struct filter_message *message, struct buf *out)
{
	put_field("From", mail->from, out);
	put_field("To", mail->to, out);
	put_field("Cc", mail->cc, out);
	put_field("Reply-To", mail->reply_to, out);
	put_subject(mail->subject, out);
	put_date(message, out);
	put_message_id(mail, message, out);
	if (mail->answers)
		put_threading(message, out);
	buf_add_text(out, mail->answers ? "Auto-Submitted: auto-replied\n" : "Auto-Submitted: auto-generated\n");
	buf_add_slice(out, mail->extra);
	buf_add_text(out, "MIME-Version: 1.0\n");
	if (mail->mime) {
		put_lines(mail->text, out);
	} else if (mail->copy.len > 0) {
		put_with_copy(mail, message, out);
	} else {
		put_text_type(mail->text, out);
		put_lines(mail->text, out);
	}
	return buf_ok(out);
}

/* ---- mailboxes ---- */

static void put_quoted(struct slice name, struct buf *out)
{
	buf_add_char(out, '"');
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if (c == '"' || c == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, is_control(c) ? ' ' : c);
	}
	buf_add_char(out, '"');
}

bool filter_mail_add_mailbox(struct slice name, struct slice address, struct buf *out)
{
	struct slice shown = slice_sub(name, 0, 200);

	if (out->len > 0)
		buf_add_text(out, ", ");
	if (shown.len == 0)
		return buf_add_slice(out, address) && buf_ok(out);
	if (!has_high(shown))
		put_quoted(shown, out);
	else if (!view_encode_words(shown, out))
		return false;
	buf_add_text(out, " <");
	buf_add_slice(out, address);
	buf_add_char(out, '>');
	return buf_ok(out);
}
