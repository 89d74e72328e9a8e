#ifndef POSTERN_BASE_SLICE_H
#define POSTERN_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed view of bytes.  Never owns, never NUL-terminated by promise; may hold NUL.  `at` is never NULL. */
struct slice {
	const char *at;
	size_t len;
};

/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (s).at

static inline struct slice slice_make(const char *at, size_t len)
{
	return len == 0 ? (struct slice){"", 0} : (struct slice){at, len};
}

static inline struct slice slice_of(const char *text)
{
	return text == NULL ? (struct slice){"", 0} : (struct slice){text, strlen(text)};
}

static inline struct slice slice_empty(void)
{
	return (struct slice){"", 0};
}

/* The part from `start`, at most `len` bytes; out of range gives the empty slice. */
struct slice slice_sub(struct slice s, size_t start, size_t len);
static inline struct slice slice_from(struct slice s, size_t start)
{
	return slice_sub(s, start, SIZE_MAX);
}

bool slice_eq(struct slice a, struct slice b);
/* ASCII case only. */
bool slice_eq_nocase(struct slice a, struct slice b);
int slice_cmp(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);

#define SLICE_NONE SIZE_MAX
/* Index of the first / last `c`, or SLICE_NONE. */
size_t slice_index(struct slice s, char c);
size_t slice_rindex(struct slice s, char c);
/* Index of the first `needle`, or SLICE_NONE. */
size_t slice_find(struct slice s, struct slice needle);

/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);
/* Cuts the text before the first `sep` off `*rest` (which then starts after it).  Without `sep` all of it is the word and
 * the rest is empty.  False once `*rest` is empty. */
bool slice_cut(struct slice *rest, char sep, struct slice *word_out);
/* The next word between spaces and tabs; false at the end. */
bool slice_word(struct slice *rest, struct slice *word_out);

/* A whole decimal number without sign or spaces, at most `max`; false for anything else. */
bool slice_u64(struct slice s, uint64_t max, uint64_t *out);

/* A NUL-terminated copy the caller frees, or NULL (no memory, or a NUL inside). */
char *slice_dup(struct slice s);
/* Copies into `out[size]` with a NUL; false (and out is "") when it does not fit or holds a NUL. */
bool slice_copy(struct slice s, char *out, size_t size);

/* ASCII only; the locale has no say. */
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}
static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static inline bool ascii_is_alpha(char c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}
static inline bool ascii_is_alnum(char c)
{
	return ascii_is_digit(c) || ascii_is_alpha(c);
}

#endif
