#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_BYTES 64

static void wipe(struct buf *b)
{
	if (b->secret && b->at != NULL)
		explicit_bzero(b->at, b->cap);
}

void buf_free(struct buf *b)
{
	wipe(b);
	free(b->at);
	*b = (struct buf){NULL, 0, 0, b->max, false, b->secret, false};
}

void buf_clear(struct buf *b)
{
	wipe(b);
	b->len = 0;
	b->failed = b->no_memory = false;
}

/* A secret never goes through realloc: that may leave a copy behind. */
static bool regrow(struct buf *b, size_t cap)
{
	char *at = malloc(cap);

	if (at == NULL)
		return false;
	if (b->len > 0)
		memcpy(at, b->at, b->len);
	wipe(b);
	free(b->at);
	b->at = at;
	b->cap = cap;
	return true;
}

char *buf_room(struct buf *b, size_t len)
{
	size_t cap = b->cap < FIRST_BYTES ? FIRST_BYTES : b->cap;

	if (b->failed || len > b->max - b->len)
		goto fail;
	/* One byte more than asked for, for buf_text's NUL. */
	while (cap - b->len < len + 1) {
		if (cap > SIZE_MAX / 4)
			goto fail;
		cap *= 2;
	}
	if (cap != b->cap && !regrow(b, cap)) {
		b->no_memory = true;
		goto fail;
	}
	return b->at + b->len;
fail:
	b->failed = true;
	return NULL;
}

void buf_grew(struct buf *b, size_t len)
{
	b->len += len;
}

bool buf_add(struct buf *b, const void *at, size_t len)
{
	char *room = buf_room(b, len);

	if (room == NULL)
		return false;
	if (len > 0) /* `at` may be NULL then, which memcpy does not take */
		memcpy(room, at, len);
	b->len += len;
	return true;
}

bool buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.at, s.len);
}

bool buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

bool buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

bool buf_addv(struct buf *b, const char *format, va_list args)
{
	va_list again;
	char *room;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	room = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (room == NULL) {
		b->failed = true;
		return false;
	}
	vsnprintf(room, (size_t)n + 1, format, args);
	b->len += (size_t)n;
	return true;
}

bool buf_addf(struct buf *b, const char *format, ...)
{
	va_list args;
	bool ok;

	va_start(args, format);
	ok = buf_addv(b, format, args);
	va_end(args);
	return ok;
}

void buf_take(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	if (n > b->len)
		n = b->len;
	memmove(b->at, b->at + n, b->len - n);
	b->len -= n;
}

const char *buf_text(struct buf *b)
{
	if (b->failed || b->at == NULL)
		return "";
	b->at[b->len] = '\0';
	return b->at;
}
