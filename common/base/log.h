#ifndef POSTERN_BASE_LOG_H
#define POSTERN_BASE_LOG_H

#include "base/slice.h"

/*
 * One event, one line: `log(LEVEL_INFO, "recipient-refused", KV_SESSION(s), KV_TEXT("rcpt", address), KV_NUM("code", 550))`.
 * Values are escaped by the writer, never by the caller; keys and event names are literals of ours (a-z, 0-9, '-', '.').
 * The queue id stands in each line that speaks of a message (KV_ID), the session in each that speaks of one (KV_SESSION).
 */
enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

enum log_kv_kind { LOG_KV_TEXT, LOG_KV_NUM, LOG_KV_ID };

struct log_kv {
	const char *key;
	enum log_kv_kind kind;
	struct slice text;
	int64_t num;
};

#define KV_TEXT(k, s) ((struct log_kv){(k), LOG_KV_TEXT, (s), 0})
#define KV_STR(k, cstr) KV_TEXT(k, slice_of(cstr))
#define KV_NUM(k, n) ((struct log_kv){(k), LOG_KV_NUM, {"", 0}, (int64_t)(n)})
#define KV_ID(id64) ((struct log_kv){"id", LOG_KV_ID, {"", 0}, (int64_t)(id64)})
#define KV_SESSION(id64) ((struct log_kv){"session", LOG_KV_ID, {"", 0}, (int64_t)(id64)})
/* strerror of `err`. */
#define KV_ERRNO(err) KV_TEXT("error", log_errno_text(err))

#define LOG(level, event, ...)                                                                     \
	log_write((level), (event), (const struct log_kv[]){__VA_ARGS__},                          \
		  sizeof((const struct log_kv[]){__VA_ARGS__}) / sizeof(struct log_kv))
#define LOG_PLAIN(level, event) log_write((level), (event), NULL, 0)

void log_write(enum log_level level, const char *event, const struct log_kv *kv, size_t count);

/* The world is wrong (a file is missing, a call failed that must not): says so and exits 75; the master backs off. */
_Noreturn void log_fatal(const char *what, int err);
/* We are wrong: says so and aborts. */
_Noreturn void log_bug(const char *what);
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			log_bug(#condition);                                                       \
	} while (0)

/* `fields` is "key=value key=value", escaped. */
typedef void log_sink_fn(enum log_level level, const char *event, struct slice fields);
/* Where lines go; NULL is stderr, as before the first call. */
void log_set_sink(log_sink_fn *sink);
void log_set_level(enum log_level lowest);
/* The program's name in lines that go to stderr. */
void log_set_name(const char *name);

const char *log_level_name(enum log_level level);
/* The level of that name; false: there is none. */
bool log_level_find(struct slice name, enum log_level *out);
struct slice log_errno_text(int err);
/* Appends key=value pairs: a value of printable ASCII without space, '"', '=' and '\' stands bare, any other in quotes with
 * \" \\ \n \r \t and \xNN.  At most LOG_VALUE_MAX bytes of a value are kept, then "...".  Returns bytes written to out. */
#define LOG_VALUE_MAX 1024
#define LOG_LINE_MAX 8192
size_t log_format(char *out, size_t size, const struct log_kv *kv, size_t count);

#endif
