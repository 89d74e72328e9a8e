#include "log_render.h"

#include "base/clock.h"

#include <time.h>

#define PAST_MS 60000
#define FACILITY_MAIL 2

static bool is_event_name(struct slice s)
{
	if (s.len == 0 || s.len > 64)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!(s.at[i] >= 'a' && s.at[i] <= 'z') && !ascii_is_digit(s.at[i]) && s.at[i] != '-' && s.at[i] != '.')
			return false;
	return true;
}

void log_event_take(const struct msg_LOG_RECORD *record, int64_t now_ms, struct log_event *out)
{
	int64_t then = record->wall_ms > INT64_MAX ? 0 : (int64_t)record->wall_ms;

	out->level = record->level <= LEVEL_ERROR ? (enum log_level)record->level : LEVEL_ERROR;
	out->wall_ms = then > now_ms || now_ms - then > PAST_MS ? now_ms : then;
	out->event = is_event_name(record->event) ? record->event : slice_of("invalid-event");
	out->fields = record->fields;
}

/* ---- the grammar of fields ---- */

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' || c == '.' || c == '_';
}

static size_t key_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && n < 64 && is_key_char(s.at[n]))
		n++;
	return n;
}

static bool is_bare_char(char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

static bool is_hex(char c)
{
	return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* Length of what a backslash begins; 0: nothing that the writer makes. */
static size_t escape_length(struct slice s)
{
	if (s.len >= 2 && strchr("\"\\nrt", s.at[1]) != NULL && s.at[1] != '\0')
		return 2;
	return s.len >= 4 && s.at[1] == 'x' && is_hex(s.at[2]) && is_hex(s.at[3]) ? 4 : 0;
}

static size_t quoted_length(struct slice s)
{
	size_t at = 1;

	while (at < s.len && s.at[at] != '"') {
		size_t n = 1;

		if (s.at[at] == '\\')
			n = escape_length(slice_from(s, at));
		else if (s.at[at] < ' ' || s.at[at] >= 0x7f)
			n = 0;
		if (n == 0)
			return 0;
		at += n;
	}
	return at < s.len ? at + 1 : 0;
}

static size_t value_length(struct slice s)
{
	size_t n = 0;

	if (s.len > 0 && s.at[0] == '"')
		return quoted_length(s);
	while (n < s.len && is_bare_char(s.at[n]))
		n++;
	return n;
}

/* Cuts "key=value" off; false when there is none. */
static bool cut_pair(struct slice *rest)
{
	size_t key = key_length(*rest), value;

	if (key == 0 || key >= rest->len || rest->at[key] != '=')
		return false;
	*rest = slice_from(*rest, key + 1);
	value = value_length(*rest);
	*rest = slice_from(*rest, value);
	return value > 0;
}

bool log_fields_are_valid(struct slice fields)
{
	while (fields.len > 0) {
		if (!cut_pair(&fields))
			return false;
		if (fields.len == 0)
			return true;
		if (fields.at[0] != ' ' || fields.len == 1)
			return false;
		fields = slice_from(fields, 1);
	}
	return true;
}

/* ---- rendering ---- */

/* " key=value ..."; what is not of that form is one quoted value. */
static bool add_fields(const struct log_event *e, struct buf *out)
{
	static char escaped[LOG_LINE_MAX];
	const struct log_kv raw = KV_TEXT("raw", e->fields);

	if (e->fields.len == 0)
		return true;
	if (!buf_add_char(out, ' '))
		return false;
	if (log_fields_are_valid(e->fields))
		return buf_add_slice(out, e->fields);
	return buf_add(out, escaped, log_format(escaped, sizeof(escaped), &raw, 1));
}

bool log_render_line(const struct log_event *e, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];

	clock_iso(e->wall_ms, date);
	return buf_addf(out, "%s %s %s[%llu] %.*s", date, log_level_name(e->level), role_name(e->role),
			(unsigned long long)e->instance, SLICE_ARG(e->event)) &&
	       add_fields(e, out) && buf_add_char(out, '\n');
}

/* RFC 3164 §4.1.1 */
static int severity(enum log_level level)
{
	switch (level) {
	case LEVEL_DEBUG:
		return 7;
	case LEVEL_INFO:
		return 6;
	case LEVEL_WARN:
		return 4;
	case LEVEL_ERROR:
		return 3;
	}
	return 3;
}

static bool add_syslog_date(int64_t wall_ms, struct buf *out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t when = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL)
		return false;
	return buf_addf(out, "%.3s %2d %02d:%02d:%02d", months + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec);
}

bool log_render_syslog(const struct log_event *e, struct buf *out)
{
	return buf_addf(out, "<%d>", FACILITY_MAIL * 8 + severity(e->level)) && add_syslog_date(e->wall_ms, out) &&
	       buf_addf(out, " postern-%s[%llu]: %.*s", role_name(e->role), (unsigned long long)e->instance,
			SLICE_ARG(e->event)) &&
	       add_fields(e, out);
}

bool log_render_journal(const struct log_event *e, struct buf *out)
{
	return buf_addf(out,
			"PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=postern-%s\nPOSTERN_INSTANCE=%llu\n"
			"POSTERN_EVENT=%.*s\nMESSAGE=%.*s",
			severity(e->level), FACILITY_MAIL, role_name(e->role), (unsigned long long)e->instance,
			SLICE_ARG(e->event), SLICE_ARG(e->event)) &&
	       add_fields(e, out) && buf_add_char(out, '\n');
}
