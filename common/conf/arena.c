#include "conf/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_BYTES 16384u

struct block {
	struct block *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

struct arena {
	struct block *blocks; /* the first has room */
	size_t left; /* bytes until the ceiling */
	bool failed;
};

struct arena *arena_new(size_t max_bytes)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->left = max_bytes;
	return a;
}

void arena_free(struct arena **ap)
{
	struct arena *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	while (a->blocks != NULL) {
		struct block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	free(a);
}

bool arena_failed(const struct arena *a)
{
	return a->failed;
}

static struct block *block_add(struct arena *a, size_t need)
{
	size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
	struct block *b = size > a->left ? NULL : calloc(1, sizeof(*b) + size);

	if (b == NULL) {
		a->failed = true;
		return NULL;
	}
	a->left -= size;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *arena_take(struct arena *a, size_t bytes)
{
	const size_t align = alignof(max_align_t);
	struct block *b = a->blocks;
	void *at;

	if (bytes > SIZE_MAX / 2) {
		a->failed = true;
		return NULL;
	}
	bytes = (bytes + align - 1) / align * align;
	if (b == NULL || b->size - b->used < bytes)
		b = block_add(a, bytes);
	if (b == NULL)
		return NULL;
	at = b->bytes + b->used;
	b->used += bytes;
	return at;
}

char *arena_text(struct arena *a, struct slice s)
{
	char *copy;

	if (memchr(s.at, '\0', s.len) != NULL)
		return NULL;
	copy = arena_take(a, s.len + 1);
	if (copy != NULL)
		memcpy(copy, s.at, s.len);
	return copy;
}

/* The capacity is not stored: it is the next power of two (from 4), so an array is full exactly when
 * its count is one. */
static bool is_full(size_t count)
{
	return count == 0 || (count >= 4 && (count & (count - 1)) == 0);
}

void *arena_push(struct arena *a, void **items, size_t *count, size_t size)
{
	if (is_full(*count)) {
		size_t room = *count == 0 ? 4 : *count * 2;
		char *grown = room > SIZE_MAX / 2 / size ? NULL : arena_take(a, room * size);

		if (grown == NULL) {
			a->failed = true;
			return NULL;
		}
		if (*count > 0)
			memcpy(grown, *items, *count * size);
		*items = grown;
	}
	*count += 1;
	return (char *)*items + (*count - 1) * size;
}
