#include "report.h"

#include "base/clock.h"
#include "base/id.h"
#include "text.h"

#define WORDS_MAX 500u
#define ADDRESS_MAX 320u
#define DSN_MAX 16u
#define LINE_MAX_OCTETS 998u /* RFC 5322 §2.1.1 */

struct wording {
	const char *subject, *opening, *action;
};

static const struct wording wordings[REPORT_ACTIONS] = {
	[REPORT_FAILED] = {"Undelivered mail returned to sender",
			   "Your message could not be delivered to the recipients below.\r\n"
			   "This is final: it will not be tried again.\r\n",
			   "failed"},
	[REPORT_DELAYED] = {"Delayed mail (still being tried)",
			    "Your message has not yet been delivered to the recipients below.\r\n"
			    "It is still being tried; you need not send it again.\r\n",
			    "delayed"},
	[REPORT_RELAYED] = {"Mail passed on",
			    "Your message was passed on to a mail system that gives no word of its\r\n"
			    "delivery, for the recipients below. You hear from it only if it fails.\r\n",
			    "relayed"},
	[REPORT_DELIVERED] = {"Mail delivered", "Your message was delivered to the recipients below.\r\n", "delivered"},
	[REPORT_EXPANDED] = {"Mail passed on to several recipients",
			     "The addresses below stand for several recipients. Your message goes to all\r\n"
			     "of them; you are told of those whom it cannot reach.\r\n",
			     "expanded"},
};

static enum report_action worst_action(const struct report *r)
{
	enum report_action worst = REPORT_EXPANDED;

	for (size_t i = 0; i < r->rcpt_count; i++)
		if (r->rcpts[i].action < worst)
			worst = r->rcpts[i].action;
	return worst;
}

bool report_is_8bit(const struct report *r)
{
	return r->whole && !text_is_ascii(r->original);
}

static void add_header(struct buf *out, const struct report *r)
{
	char date[CLOCK_DATE_BYTES], id[ID_CHARS + 1];

	clock_rfc5322(r->now_s, date);
	id_text(r->id, id);
	buf_addf(out, "Date: %s\r\nFrom: Mail Delivery System <MAILER-DAEMON@", date);
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	buf_add_text(out, ">\r\nTo: <");
	text_add_line(out, r->sender, ADDRESS_MAX);
	buf_addf(out, ">\r\nSubject: %s\r\nMessage-ID: <%s@", wordings[worst_action(r)].subject, id);
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	buf_add_text(out, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	if (report_is_8bit(r))
		buf_add_text(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_add_text(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
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

static void add_action_for_people(struct buf *out, const struct report *r, enum report_action action)
{
	bool any = false;

	for (size_t i = 0; i < listed(r); i++) {
		if (r->rcpts[i].action != action)
			continue;
		if (!any)
			buf_addf(out, "\r\n%s", wordings[action].opening);
		any = true;
		add_rcpt_for_people(out, &r->rcpts[i]);
	}
}

static void add_for_people(struct buf *out, const struct report *r)
{
	char id[ID_CHARS + 1];

	id_text(r->about, id);
	add_part(out, r, "text/plain; charset=us-ascii");
	buf_add_text(out, "\r\nThis is the mail system at ");
	text_add_atom(out, r->hostname, ADDRESS_MAX);
	buf_add_text(out, ".\r\n");
	for (enum report_action a = 0; a < REPORT_ACTIONS; a++)
		add_action_for_people(out, r, a);
	if (listed(r) < r->rcpt_count)
		buf_addf(out, "\r\n... and %zu more.\r\n", r->rcpt_count - listed(r));
	buf_addf(out, "\r\nThe message was number %s here.\r\n\r\n", id);
}

static void add_date(struct buf *out, const char *field, int64_t at_s)
{
	char date[CLOCK_DATE_BYTES];

	clock_rfc5322(at_s, date);
	buf_addf(out, "\r\n%s: %s", field, date);
}

/* §2.3.6 knows it for what failed or waits.  Only another host's words are SMTP's. */
static void add_diagnostic(struct buf *out, const struct report_rcpt *rcpt)
{
	if (rcpt->code == 0 || (rcpt->action != REPORT_FAILED && rcpt->action != REPORT_DELAYED))
		return;
	buf_addf(out, "\r\nDiagnostic-Code: %s", rcpt->remote.len > 0 ? "smtp;" : "x-postern;");
	add_words(out, rcpt);
}

/* RFC 3464 §2.3. */
static void add_rcpt_fields(struct buf *out, const struct report *r, const struct report_rcpt *rcpt)
{
	buf_add_text(out, "\r\n");
	if (rcpt->orcpt.len > 0) {
		buf_add_text(out, "Original-Recipient: ");
		text_add_orcpt(out, rcpt->orcpt, WORDS_MAX);
		buf_add_text(out, "\r\n");
	}
	buf_add_text(out, "Final-Recipient: ");
	text_add_typed_address(out, slice_sub(rcpt->address, 0, ADDRESS_MAX), WORDS_MAX);
	buf_addf(out, "\r\nAction: %s\r\nStatus: ", wordings[rcpt->action].action);
	text_add_atom(out, rcpt->dsn, DSN_MAX);
	if (rcpt->remote.len > 0) {
		buf_add_text(out, "\r\nRemote-MTA: dns;");
		text_add_atom(out, rcpt->remote, ADDRESS_MAX);
	}
	add_diagnostic(out, rcpt);
	if (rcpt->attempt_s > 0)
		add_date(out, "Last-Attempt-Date", rcpt->attempt_s);
	if (rcpt->action == REPORT_DELAYED && r->expires_s > 0)
		add_date(out, "Will-Retry-Until", r->expires_s);
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

/* `line` without its LF. */
static bool is_plain_line(struct slice line)
{
	if (line.len > 990 || line.len == 0 || line.at[line.len - 1] != '\r')
		return false;
	for (size_t i = 0; i + 1 < line.len; i++) {
		char c = line.at[i];

		if (c != '\t' && (c < ' ' || c > '~'))
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

static void add_headers(struct buf *out, const struct report *r)
{
	bool quote = needs_quoting(r->original);

	add_part(out, r, "text/rfc822-headers");
	if (quote)
		buf_add_text(out, "Content-Transfer-Encoding: quoted-printable\r\n");
	buf_add_text(out, "\r\n");
	if (quote)
		text_add_quoted(out, r->original);
	else
		buf_add_slice(out, r->original);
}

static void add_whole(struct buf *out, const struct report *r)
{
	add_part(out, r, "message/rfc822");
	if (report_is_8bit(r))
		buf_add_text(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_add_text(out, "\r\n");
	buf_add_slice(out, r->original);
}

static void add_original(struct buf *out, const struct report *r)
{
	if (r->whole)
		add_whole(out, r);
	else
		add_headers(out, r);
	buf_add_text(out, "\r\n--");
	buf_add_slice(out, r->boundary);
	buf_add_text(out, "--\r\n");
}

bool report_may_be_whole(struct slice message)
{
	while (message.len > 0) {
		size_t end = slice_find(message, slice_of("\r\n"));
		struct slice line = slice_sub(message, 0, end);

		if (end == SLICE_NONE || end > LINE_MAX_OCTETS || memchr(line.at, '\0', line.len) != NULL ||
		    memchr(line.at, '\r', line.len) != NULL || memchr(line.at, '\n', line.len) != NULL)
			return false;
		message = slice_from(message, end + 2);
	}
	return true;
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
