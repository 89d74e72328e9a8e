#include "base/log.h"

#include "base/clock.h"
#include "base/id.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static log_sink_fn *log_sink;
static enum log_level log_lowest = LEVEL_INFO;
static const char *log_name = "postern";

void log_set_sink(log_sink_fn *sink)
{
	log_sink = sink;
}

void log_set_level(enum log_level lowest)
{
	log_lowest = lowest;
}

void log_set_name(const char *name)
{
	log_name = name;
}

const char *log_level_name(enum log_level level)
{
	switch (level) {
	case LEVEL_DEBUG:
		return "debug";
	case LEVEL_INFO:
		return "info";
	case LEVEL_WARN:
		return "warn";
	case LEVEL_ERROR:
		return "error";
	}
	return "error";
}

bool log_level_find(struct slice name, enum log_level *out)
{
	for (unsigned level = LEVEL_DEBUG; level <= LEVEL_ERROR; level++)
		if (slice_eq(name, slice_of(log_level_name((enum log_level)level)))) {
			*out = (enum log_level)level;
			return true;
		}
	return false;
}

struct slice log_errno_text(int err)
{
	const char *text = strerrordesc_np(err);

	return slice_of(text == NULL ? "unknown error" : text);
}

struct out {
	char *at;
	size_t len, size;
};

static void put(struct out *o, const char *at, size_t len)
{
	if (len > o->size - o->len)
		len = o->size - o->len;
	memcpy(o->at + o->len, at, len);
	o->len += len;
}

static bool is_bare(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return s.len > 0;
}

static void put_escaped(struct out *o, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char x[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

	switch (c) {
	case '"':
	case '\\':
		put(o, (char[]){'\\', (char)c}, 2);
		return;
	case '\n':
		put(o, "\\n", 2);
		return;
	case '\r':
		put(o, "\\r", 2);
		return;
	case '\t':
		put(o, "\\t", 2);
		return;
	default:
		break;
	}
	if (c < ' ' || c >= 0x7f)
		put(o, x, 4);
	else
		put(o, (const char *)&c, 1);
}

static void put_text(struct out *o, struct slice s)
{
	bool cut = s.len > LOG_VALUE_MAX;

	if (cut)
		s.len = LOG_VALUE_MAX;
	if (!cut && is_bare(s)) {
		put(o, s.at, s.len);
		return;
	}
	put(o, "\"", 1);
	for (size_t i = 0; i < s.len; i++)
		put_escaped(o, (unsigned char)s.at[i]);
	if (cut)
		put(o, "...", 3);
	put(o, "\"", 1);
}

static void put_value(struct out *o, const struct log_kv *kv)
{
	char text[32];

	switch (kv->kind) {
	case LOG_KV_TEXT:
		put_text(o, kv->text);
		return;
	case LOG_KV_NUM:
		put(o, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)kv->num));
		return;
	case LOG_KV_ID:
		id_text((uint64_t)kv->num, text);
		put(o, text, strlen(text));
		return;
	}
}

size_t log_format(char *out, size_t size, const struct log_kv *kv, size_t count)
{
	struct out o = {out, 0, size};

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			put(&o, " ", 1);
		put(&o, kv[i].key, strlen(kv[i].key));
		put(&o, "=", 1);
		put_value(&o, &kv[i]);
	}
	return o.len;
}

static void write_stderr(enum log_level level, const char *event, struct slice fields)
{
	char date[CLOCK_DATE_BYTES];
	char line[LOG_LINE_MAX + 256];
	int n;

	clock_iso(clock_wall_ms(), date);
	n = snprintf(line, sizeof(line), "%s %s %s %s%s%.*s\n", date, log_level_name(level), log_name, event,
		     fields.len > 0 ? " " : "", SLICE_ARG(fields));
	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void log_write(enum log_level level, const char *event, const struct log_kv *kv, size_t count)
{
	char fields[LOG_LINE_MAX];
	size_t len;

	if (level < log_lowest)
		return;
	len = log_format(fields, sizeof(fields), kv, count);
	(log_sink != NULL ? log_sink : write_stderr)(level, event, slice_make(fields, len));
}

void log_fatal(const char *what, int err)
{
	LOG(LEVEL_ERROR, "fatal", KV_STR("what", what), KV_ERRNO(err));
	exit(75); /* EX_TEMPFAIL */
}

void log_bug(const char *what)
{
	LOG(LEVEL_ERROR, "bug", KV_STR("what", what));
	abort();
}
