#include "submit_header.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "mail/field.h"

#include <time.h>

/* ---- where it ends ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice without_line_end(struct slice line)
{
	if (line.len > 0 && line.at[line.len - 1] == '\n')
		line.len--;
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* The line at `at` with its end; false: it is not whole yet. */
static bool line_at(struct slice text, size_t at, bool eof, struct slice *out)
{
	struct slice rest = slice_from(text, at);
	size_t lf = slice_index(rest, '\n');

	*out = lf == SLICE_NONE ? rest : slice_sub(rest, 0, lf + 1);
	return lf != SLICE_NONE || eof;
}

static bool skip_mbox_line(struct slice text, bool eof, size_t *start)
{
	struct slice line;

	*start = 0;
	if (text.len < 5 && !eof)
		return false;
	if (!slice_starts(text, slice_of("From ")) && !slice_starts(text, slice_of(">From ")))
		return true;
	if (!line_at(text, 0, eof, &line))
		return false;
	*start = line.len;
	return true;
}

bool submit_header_find(struct slice text, bool eof, struct submit_extent *out)
{
	size_t start, at;

	if (!skip_mbox_line(text, eof, &start))
		return false;
	for (at = start; at < text.len || eof;) {
		struct slice line, bare;

		if (!line_at(text, at, eof, &line))
			return false;
		bare = without_line_end(line);
		if (bare.len > 0 && (mail_field_begins(bare) || (is_blank(bare.at[0]) && at > start))) {
			at += line.len;
			continue;
		}
		*out = (struct submit_extent){start, at - start, bare.len == 0 ? at + line.len : at};
		return true;
	}
	return false;
}

/* ---- fields ---- */

enum field_role {
	FIELD_OTHER,
	FIELD_DROP,
	FIELD_FROM,
	FIELD_DATE,
	FIELD_MESSAGE_ID,
	FIELD_TO,
	FIELD_BCC,
	FIELD_RESENT_TO,
	FIELD_RESENT_BCC
};

static enum field_role role_of(struct slice name)
{
	static const struct {
		const char *name;
		enum field_role role;
	} roles[] = {
		{"From", FIELD_FROM},
		{"Date", FIELD_DATE},
		{"Message-ID", FIELD_MESSAGE_ID},
		{"Return-Path", FIELD_DROP},
		{"To", FIELD_TO},
		{"Cc", FIELD_TO},
		{"Bcc", FIELD_BCC},
		{"Resent-To", FIELD_RESENT_TO},
		{"Resent-Cc", FIELD_RESENT_TO},
		{"Resent-Bcc", FIELD_RESENT_BCC},
	};

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (slice_eq_nocase(name, slice_of(roles[i].name)))
			return roles[i].role;
	return FIELD_OTHER;
}

static unsigned roles_present(struct slice fields)
{
	unsigned present = 0;
	struct mail_field f;

	while (mail_field_next(&fields, &f))
		present |= 1u << role_of(f.name);
	return present;
}

#define HAS(present, role) (((present) >> (role)&1u) != 0)

/* ---- what is missing ---- */

#define ENCODED_WORD_BYTES 42u

/* One encoded word at a time, never within a character (RFC 2047 §5). */
static bool add_encoded(struct slice name, struct buf *out)
{
	while (name.len > 0) {
		size_t n = name.len < ENCODED_WORD_BYTES ? name.len : ENCODED_WORD_BYTES;

		while (n > 1 && n < name.len && ((unsigned char)name.at[n] & 0xc0) == 0x80)
			n--;
		if (!buf_add_text(out, "=?utf-8?B?") || !base64_encode(slice_sub(name, 0, n), out) ||
		    !buf_add_text(out, name.len > n ? "?=\n " : "?="))
			return false;
		name = slice_from(name, n);
	}
	return true;
}

static bool add_quoted(struct slice name, struct buf *out)
{
	bool ok = buf_add_char(out, '"');

	for (size_t i = 0; ok && i < name.len; i++) {
		if (name.at[i] == '"' || name.at[i] == '\\')
			ok = buf_add_char(out, '\\');
		ok = ok && buf_add_char(out, name.at[i]);
	}
	return ok && buf_add_char(out, '"');
}

/* A name that would end the line is made harmless: it comes from the command line. */
static struct slice clean_name(struct slice name, char out[256])
{
	size_t n = name.len < 256 ? name.len : 256;

	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)name.at[i] < ' ' || name.at[i] == 0x7f ? ' ' : name.at[i];
	return slice_trim(slice_make(out, n));
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] >= 0x80)
			return false;
	return true;
}

static bool add_from(const struct submit_header *h, struct buf *out)
{
	char space[256];
	struct slice name = clean_name(h->full_name, space);
	bool ok = buf_add_text(out, "From: ");

	if (name.len == 0)
		return ok && buf_add_slice(out, h->from) && buf_add_char(out, '\n');
	ok = ok && (is_ascii(name) ? add_quoted(name, out) : add_encoded(name, out));
	return ok && buf_add_text(out, " <") && buf_add_slice(out, h->from) && buf_add_text(out, ">\n");
}

static bool add_date(const struct submit_header *h, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];

	clock_rfc5322(h->wall_s, date);
	return buf_addf(out, "Date: %s\n", date);
}

static bool add_message_id(const struct submit_header *h, struct buf *out)
{
	char random[ID_CHARS + 1];

	id_text(h->random, random);
	return buf_addf(out, "Message-ID: <%lld.%s@%.*s>\n", (long long)h->wall_s, random, SLICE_ARG(h->host));
}

static bool add_missing(const struct submit_header *h, unsigned present, struct buf *out)
{
	return (HAS(present, FIELD_FROM) || add_from(h, out)) && (HAS(present, FIELD_DATE) || add_date(h, out)) &&
	       (HAS(present, FIELD_MESSAGE_ID) || add_message_id(h, out));
}

/* ---- writing ---- */

static bool names_recipients(enum field_role role, bool resent)
{
	if (resent)
		return role == FIELD_RESENT_TO || role == FIELD_RESENT_BCC;
	return role == FIELD_TO || role == FIELD_BCC;
}

static bool is_dropped(const struct submit_header *h, enum field_role role)
{
	return role == FIELD_DROP || (h->take_recipients && (role == FIELD_BCC || role == FIELD_RESENT_BCC));
}

static bool take_recipients(const struct submit_header *h, const struct mail_field *f, const char **why)
{
	switch (address_list_parse(f->body, h->on_recipient, h->arg)) {
	case ADDRESS_LIST_DONE:
		return true;
	case ADDRESS_LIST_BAD:
		*why = "a To, Cc or Bcc field of the message is not a list of addresses";
		return false;
	case ADDRESS_LIST_STOPPED:
		*why = "the message names too many recipients";
		return false;
	}
	return false;
}

static bool write_field(const struct submit_header *h, const struct mail_field *f, bool resent, struct buf *out, const char **why)
{
	enum field_role role = role_of(f->name);

	if (h->take_recipients && names_recipients(role, resent) && !take_recipients(h, f, why))
		return false;
	if (is_dropped(h, role))
		return true;
	*why = "out of memory";
	return buf_add_slice(out, f->whole) && (f->whole.at[f->whole.len - 1] == '\n' || buf_add_char(out, '\n'));
}

bool submit_header_write(const struct submit_header *h, struct slice fields, struct buf *out, const char **why)
{
	unsigned present = roles_present(fields);
	bool resent = HAS(present, FIELD_RESENT_TO) || HAS(present, FIELD_RESENT_BCC);
	struct mail_field f;

	*why = "out of memory";
	if (!add_missing(h, present, out))
		return false;
	while (mail_field_next(&fields, &f))
		if (!write_field(h, &f, resent, out, why))
			return false;
	return true;
}
