#include "base/id.h"
#include "base/mem.h"
#include "filter/exim_run.h"
#include "filter/exim_text.h"
#include "filter/view_date.h"

#include <stdio.h>

#define BODY_SHOWN 500u /* bytes of $message_body and $message_body_end */
#define BODY_READ 8192u
#define BYTES_A_STEP 256u

typedef bool put_fn(struct exim_run *run, uint32_t line, struct buf *out);

static bool put_text(struct exim_run *run, uint32_t line, struct buf *out, const char *text)
{
	return exim_put(run, line, out, slice_of(text));
}

static bool put_u64(struct exim_run *run, uint32_t line, struct buf *out, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return put_text(run, line, out, text);
}

/* ---- addresses ---- */

static struct slice local_of(struct slice address)
{
	return slice_sub(address, 0, slice_rindex(address, '@'));
}

static struct slice domain_of(struct slice address)
{
	size_t at = slice_rindex(address, '@');

	return at == SLICE_NONE ? slice_empty() : slice_from(address, at + 1);
}

/* Where the detail begins, with its separator: "+news" of "bob+news"; the end: there is none. */
static size_t detail_at(const struct exim_run *run)
{
	for (size_t i = 1; i < run->local.len; i++)
		if (slice_index(run->message->separators, run->local.at[i]) != SLICE_NONE && run->local.at[0] != '"')
			return i;
	return run->local.len;
}

static bool put_local_part(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, slice_sub(run->local, 0, detail_at(run)));
}

static bool put_suffix(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, slice_from(run->local, detail_at(run)));
}

static bool put_prefix(struct exim_run *run, uint32_t line, struct buf *out)
{
	(void)run;
	(void)line;
	(void)out;
	return true;
}

static bool put_domain(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, run->domain);
}

bool exim_own_address(struct exim_run *run, uint32_t line, struct buf *out)
{
	return put_local_part(run, line, out) && put_text(run, line, out, "@") && put_domain(run, line, out);
}

static bool put_original_local(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, local_of(run->message->recipient));
}

static bool put_original_domain(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, domain_of(run->message->recipient));
}

static bool put_sender(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, run->message->sender);
}

static bool put_sender_local(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, local_of(run->message->sender));
}

static bool put_sender_domain(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, domain_of(run->message->sender));
}

static bool put_this_address(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, run->this_address);
}

bool exim_reply_address(struct exim_run *run, uint32_t line, struct buf *out)
{
	size_t before = out->len;

	if (!exim_field_put(run, slice_of("reply-to"), EXIM_DECODED, line, out))
		return false;
	return out->len > before || exim_field_put(run, slice_of("from"), EXIM_DECODED, line, out);
}

/* ---- this place and time ---- */

static bool put_home(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, run->message->home);
}

static bool put_host(struct exim_run *run, uint32_t line, struct buf *out)
{
	return exim_put(run, line, out, run->message->host);
}

static bool put_message_id(struct exim_run *run, uint32_t line, struct buf *out)
{
	char text[ID_CHARS + 1];

	id_text(run->message->id, text);
	return put_text(run, line, out, text);
}

static void zone_text(int minutes, char out[8])
{
	unsigned east = (unsigned)(minutes < 0 ? -minutes : minutes) % 1440;

	snprintf(out, 8, "%c%02u%02u", minutes < 0 ? '-' : '+', east / 60, east % 60);
}

static bool put_tod_zone(struct exim_run *run, uint32_t line, struct buf *out)
{
	char zone[8];

	zone_text(run->message->zone_minutes, zone);
	return put_text(run, line, out, zone);
}

static bool put_tod_full(struct exim_run *run, uint32_t line, struct buf *out)
{
	const struct view_calendar c = view_calendar(run->message->now, run->message->zone_minutes);
	char zone[8], text[80];

	zone_text(run->message->zone_minutes, zone);
	snprintf(text, sizeof(text), "%s, %02u %s %lld %02u:%02u:%02u %s", view_weekday_name(c.weekday), c.day, view_month_name(c.month),
		 (long long)c.year, c.hour, c.minute, c.second, zone);
	return put_text(run, line, out, text);
}

static bool put_tod_log(struct exim_run *run, uint32_t line, struct buf *out)
{
	const struct view_calendar c = view_calendar(run->message->now, run->message->zone_minutes);
	char text[80];

	snprintf(text, sizeof(text), "%lld-%02u-%02u %02u:%02u:%02u", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second);
	return put_text(run, line, out, text);
}

static bool put_tod_epoch(struct exim_run *run, uint32_t line, struct buf *out)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)run->message->now);
	return put_text(run, line, out, text);
}

/* ---- header ---- */

static bool no_memory(struct exim_run *run, uint32_t line)
{
	return filter_fail(&run->gather, FILTER_LATER, line, "no memory");
}

static bool holds_addresses(struct slice name)
{
	static const char *const names[] = {"from", "to", "cc", "bcc", "reply-to", "sender"};

	if (slice_starts_nocase(name, slice_of("resent-")))
		name = slice_from(name, strlen("resent-"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_nocase(name, slice_of(names[i])))
			return true;
	return false;
}

/* As it came, but for CR. */
static bool put_raw(struct exim_run *run, struct slice raw, uint32_t line, struct buf *out)
{
	struct slice piece;
	bool good = true;

	while (good && slice_cut(&raw, '\r', &piece))
		good = exim_put(run, line, out, piece);
	return good && put_text(run, line, out, "\n");
}

static bool put_field(struct exim_run *run, size_t index, enum exim_field_form form, uint32_t line, struct buf *out)
{
	struct slice text;

	if (form == EXIM_RAW)
		return put_raw(run, view_field_at(run->view, index)->raw, line, out);
	return view_field_decoded(run->view, index, &text) ? exim_put(run, line, out, text) : no_memory(run, line);
}

bool exim_field_put(struct exim_run *run, struct slice name, enum exim_field_form form, uint32_t line, struct buf *out)
{
	const char *between = form == EXIM_RAW ? "" : holds_addresses(name) ? ",\n" : "\n";
	bool first = true;

	for (size_t i = view_field_next(run->view, name, 0); i != SLICE_NONE; i = view_field_next(run->view, name, i + 1)) {
		if (!first && !put_text(run, line, out, between))
			return false;
		if (!put_field(run, i, form, line, out))
			return false;
		first = false;
	}
	return true;
}

static bool put_headers_as(struct exim_run *run, uint32_t line, struct buf *out, bool raw)
{
	for (size_t i = 0; i < view_field_count(run->view); i++) {
		if (i > 0 && !raw && !put_text(run, line, out, "\n"))
			return false;
		if (!exim_put(run, line, out, view_field_at(run->view, i)->name) || !put_text(run, line, out, raw ? ":" : ": ") ||
		    !put_field(run, i, raw ? EXIM_RAW : EXIM_DECODED, line, out))
			return false;
	}
	return true;
}

static bool put_headers(struct exim_run *run, uint32_t line, struct buf *out)
{
	return put_headers_as(run, line, out, false);
}

static bool put_headers_raw(struct exim_run *run, uint32_t line, struct buf *out)
{
	return put_headers_as(run, line, out, true);
}

static bool put_size(struct exim_run *run, uint32_t line, struct buf *out)
{
	return put_u64(run, line, out, run->message->size);
}

/* ---- body ---- */

static bool body_fails(struct exim_run *run, uint32_t line)
{
	return filter_fail(&run->gather, FILTER_LATER, line, "the body of the message cannot be read now");
}

/* Fills `out` as far as the body goes; -1: it cannot be read, told. */
static ssize_t read_body(struct exim_run *run, uint32_t line, uint64_t offset, char *out, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = run->message->body(run->message->arg, offset + have, out + have, size - have);

		if (n < 0) {
			body_fails(run, line);
			return -1;
		}
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Where it ends, found by halving. */
static bool body_end(struct exim_run *run, uint32_t line, uint64_t *out)
{
	uint64_t low = 0, high = run->message->size;
	char c;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		ssize_t n = read_body(run, line, middle, &c, 1);

		if (n < 0)
			return false;
		if (n == 0)
			high = middle;
		else
			low = middle + 1;
	}
	*out = low;
	return true;
}

/* A line's end becomes a blank, and so does a NUL. */
static size_t flatten(char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n')
			text[n++] = text[i] == '\n' || text[i] == '\0' ? ' ' : text[i];
	return n;
}

static bool put_body(struct exim_run *run, uint32_t line, struct buf *out)
{
	char text[2 * BODY_SHOWN];
	ssize_t n = read_body(run, line, 0, text, sizeof(text));

	if (n < 0)
		return false;
	return exim_put(run, line, out, slice_sub(slice_make(text, flatten(text, (size_t)n)), 0, BODY_SHOWN));
}

static bool put_body_end(struct exim_run *run, uint32_t line, struct buf *out)
{
	char text[2 * BODY_SHOWN];
	uint64_t end;
	ssize_t n;
	size_t len;

	if (!body_end(run, line, &end))
		return false;
	n = read_body(run, line, end > sizeof(text) ? end - sizeof(text) : 0, text, sizeof(text));
	if (n < 0)
		return false;
	len = flatten(text, (size_t)n);
	return exim_put(run, line, out, slice_from(slice_make(text, len), len > BODY_SHOWN ? len - BODY_SHOWN : 0));
}

static bool put_body_size(struct exim_run *run, uint32_t line, struct buf *out)
{
	uint64_t end;

	return body_end(run, line, &end) && put_u64(run, line, out, end);
}

/* How often `c` is in as much of the body as a filter may look at. */
static bool put_count(struct exim_run *run, uint32_t line, struct buf *out, char c)
{
	char text[BODY_READ];
	uint64_t count = 0, at = 0, max = run->gather.limits.body;
	ssize_t n = 1;

	while (n > 0 && at < max) {
		n = read_body(run, line, at, text, max - at < sizeof(text) ? (size_t)(max - at) : sizeof(text));
		if (n < 0 || !filter_step(&run->gather, line, (uint32_t)n / BYTES_A_STEP))
			return false;
		for (ssize_t i = 0; i < n; i++)
			count += text[i] == c;
		at += (uint64_t)n;
	}
	return put_u64(run, line, out, count);
}

static bool put_lines(struct exim_run *run, uint32_t line, struct buf *out)
{
	return put_count(run, line, out, '\n');
}

static bool put_zeros(struct exim_run *run, uint32_t line, struct buf *out)
{
	return put_count(run, line, out, '\0');
}

/* ---- the table ---- */

static const struct {
	const char *name;
	put_fn *put;
} variables[] = {
	{"body_linecount", put_lines},
	{"body_zerocount", put_zeros},
	{"domain", put_domain},
	{"domain_data", put_domain},
	{"home", put_home},
	{"local_part", put_local_part},
	{"local_part_data", put_local_part},
	{"local_part_prefix", put_prefix},
	{"local_part_suffix", put_suffix},
	{"message_body", put_body},
	{"message_body_end", put_body_end},
	{"message_body_size", put_body_size},
	{"message_exim_id", put_message_id},
	{"message_headers", put_headers},
	{"message_headers_raw", put_headers_raw},
	{"message_id", put_message_id},
	{"message_size", put_size},
	{"original_domain", put_original_domain},
	{"original_local_part", put_original_local},
	{"primary_hostname", put_host},
	{"reply_address", exim_reply_address},
	{"return_path", put_sender},
	{"sender_address", put_sender},
	{"sender_address_domain", put_sender_domain},
	{"sender_address_local_part", put_sender_local},
	{"thisaddress", put_this_address},
	{"tod_epoch", put_tod_epoch},
	{"tod_full", put_tod_full},
	{"tod_log", put_tod_log},
	{"tod_zone", put_tod_zone},
};

/* Exim's, which nobody tells a filter here: what belongs to the session, to the host, or to other recipients. */
static const char *const refused[] = {
	"authenticated_id", "caller_uid",	   "compile_date",     "interface_address", "interface_port",  "pid",
	"received_for",	    "received_protocol",   "recipients",       "recipients_count",  "runrc",	       "sender_fullhost",
	"sender_helo_name", "sender_host_address", "sender_host_name", "sender_host_port",  "sender_ident",    "sender_rcvhost",
	"spam_bar",	    "spam_report",	   "spam_score",       "spam_score_int",    "spool_directory", "tls_in_cipher",
	"version_number",
};

int exim_variable_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (slice_eq(name, slice_of(variables[i].name)))
			return (int)i;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (slice_eq(name, slice_of(refused[i])))
			return -2;
	return -1;
}

bool exim_variable_put(struct exim_run *run, int row, uint32_t line, struct buf *out)
{
	return variables[row].put(run, line, out);
}
