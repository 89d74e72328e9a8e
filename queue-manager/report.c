#include "report.h"

#include "base/clock.h"
#include "base/id.h"
#include "text.h"

#define WORDS_MAX 500u
#define ADDRESS_MAX 320u
#define DSN_MAX 16u

struct wording {
	const char *subject, *opening, *action;
};

static const struct wording wordings[] = {
	[REPORT_FAILED] = {"Undelivered mail returned to sender",
			   "Your message could not be delivered to the recipients below.\r\n"
			   "This is final: it will not be tried again.\r\n",
			   "failed"},
	[REPORT_DELAYED] = {"Delayed mail (still being tried)",
			    "Your message has not yet been delivered to the recipients below.\r\n"
			    "It is still being tried; you need not send it again.\r\n",
			    "delayed"},
};

static void add_header(struct buf *out, const struct report *r)
{
	char date[CLOCK_DATE_BYTES], id[ID_CHARS + 1];

	clock_rfc5322(r->now_s, date);
	id_text(r->id, id);
	buf_addf(out, "Date: %s\r\nFrom: Mail Delivery System <MAILER-DAEMON@", date);
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	buf_add_text(out, ">\r\nTo: <");
	text_add_line(out, r->sender, ADDRESS_MAX);
	buf_addf(out, ">\r\nSubject: %s\r\nMessage-ID: <%s@", wordings[r->kind].subject, id);
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	buf_add_text(out, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
			  "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
	buf_add_slice(out, r->boundary);
	buf_add_text(out, "\"\r\n\r\n");
}

static void add_part(struct buf *out, const struct report *r, const char *type)
{
	buf_add_text(out, "--");
	buf_add_slice(out, r->boundary);
	buf_addf(out, "\r\nContent-Type: %s\r\n", type);
}

static size_t listed(const struct report *r)
{
	return r->rcpt_count < REPORT_RCPTS_MAX ? r->rcpt_count : REPORT_RCPTS_MAX;
}

static void add_words(struct buf *out, const struct report_rcpt *rcpt)
{
	if (rcpt->code != 0)
		buf_addf(out, "%llu ", (unsigned long long)rcpt->code);
	text_add_line(out, rcpt->text, WORDS_MAX);
}

static void add_rcpt_for_people(struct buf *out, const struct report_rcpt *rcpt)
{
	buf_add_text(out, "\r\n<");
	text_add_line(out, rcpt->original.len > 0 ? rcpt->original : rcpt->address, ADDRESS_MAX);
	buf_add_text(out, ">:\r\n    ");
	if (rcpt->remote.len > 0) {
		text_add_line(out, rcpt->remote, ADDRESS_MAX);
		buf_add_text(out, " said: ");
	}
	add_words(out, rcpt);
	buf_add_text(out, "\r\n");
}

static void add_for_people(struct buf *out, const struct report *r)
{
	char id[ID_CHARS + 1];

	id_text(r->about, id);
	add_part(out, r, "text/plain; charset=us-ascii");
	buf_add_text(out, "\r\nThis is the mail system at ");
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	buf_addf(out, ".\r\n\r\n%s", wordings[r->kind].opening);
	for (size_t i = 0; i < listed(r); i++)
		add_rcpt_for_people(out, &r->rcpts[i]);
	if (listed(r) < r->rcpt_count)
		buf_addf(out, "\r\n... and %zu more.\r\n", r->rcpt_count - listed(r));
	buf_addf(out, "\r\nThe message was number %s here.\r\n\r\n", id);
}

/* RFC 3464 §2.3. */
static void add_rcpt_fields(struct buf *out, const struct report *r, const struct report_rcpt *rcpt)
{
	char date[CLOCK_DATE_BYTES];

	buf_add_text(out, "\r\n");
	if (rcpt->orcpt.len > 0) {
		buf_add_text(out, "Original-Recipient: ");
		text_add_line(out, rcpt->orcpt, WORDS_MAX);
		buf_add_text(out, "\r\n");
	}
	buf_add_text(out, "Final-Recipient: ");
	text_add_typed_address(out, slice_sub(rcpt->address, 0, ADDRESS_MAX), WORDS_MAX);
	buf_addf(out, "\r\nAction: %s\r\nStatus: ", wordings[r->kind].action);
	text_add_atom(out, rcpt->dsn, DSN_MAX);
	if (rcpt->remote.len > 0) {
		buf_add_text(out, "\r\nRemote-MTA: dns;");
		text_add_atom(out, rcpt->remote, ADDRESS_MAX);
	}
	if (rcpt->code != 0) {
		buf_add_text(out, "\r\nDiagnostic-Code: smtp;");
		add_words(out, rcpt);
	}
	if (r->kind == REPORT_DELAYED && r->expires_s > 0) {
		clock_rfc5322(r->expires_s, date);
		buf_addf(out, "\r\nWill-Retry-Until: %s", date);
	}
	buf_add_text(out, "\r\n");
}

/* RFC 3464 §2.2. */
static void add_for_programs(struct buf *out, const struct report *r)
{
	char date[CLOCK_DATE_BYTES];

	add_part(out, r, "message/delivery-status");
	buf_add_text(out, "\r\n");
	if (r->envid.len > 0) {
		buf_add_text(out, "Original-Envelope-Id: ");
		text_add_line(out, r->envid, WORDS_MAX);
		buf_add_text(out, "\r\n");
	}
	buf_add_text(out, "Reporting-MTA: dns;");
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	clock_rfc5322(r->arrived_s, date);
	buf_addf(out, "\r\nArrival-Date: %s\r\n", date);
	for (size_t i = 0; i < listed(r); i++)
		add_rcpt_fields(out, r, &r->rcpts[i]);
	buf_add_text(out, "\r\n");
}

static bool is_plain_line(struct slice line)
{
	if (line.len > 990)
		return false;
	for (size_t i = 0; i < line.len; i++) {
		char c = line.at[i];
		bool end = c == '\r' && i + 1 == line.len;

		if (c != '\t' && (c < ' ' || c > '~') && !end)
			return false;
	}
	return true;
}

static bool needs_quoting(struct slice headers)
{
	struct slice line;

	while (slice_cut(&headers, '\n', &line))
		if (!is_plain_line(line))
			return true;
	return false;
}

static void add_original(struct buf *out, const struct report *r)
{
	bool quote = needs_quoting(r->headers);

	add_part(out, r, "text/rfc822-headers");
	if (quote)
		buf_add_text(out, "Content-Transfer-Encoding: quoted-printable\r\n");
	buf_add_text(out, "\r\n");
	if (quote)
		text_add_quoted(out, r->headers);
	else
		buf_add_slice(out, r->headers);
	buf_add_text(out, "\r\n--");
	buf_add_slice(out, r->boundary);
	buf_add_text(out, "--\r\n");
}

bool report_add(struct buf *out, const struct report *r)
{
	add_header(out, r);
	add_for_people(out, r);
	add_for_programs(out, r);
	add_original(out, r);
	return buf_ok(out);
}

struct slice report_headers_of(struct slice body)
{
	size_t at = 0;

	while (at < body.len && at < REPORT_HEADERS_MAX) {
		struct slice rest = slice_from(body, at);
		size_t end = slice_find(rest, slice_of("\r\n"));

		if (end == SLICE_NONE || end == 0 || at + end + 2 > REPORT_HEADERS_MAX)
			break;
		at += end + 2;
	}
	return slice_sub(body, 0, at);
}
