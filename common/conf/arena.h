#ifndef POSTERN_CONF_ARENA_H
#define POSTERN_CONF_ARENA_H

#include "base/slice.h"

/*
 * Memory that is freed all at once.  A failed request (no memory, or the ceiling) gives NULL and is
 * remembered, so that a compiler may stop at its own pace and ask once, at the end.
 */
struct arena;

struct arena *arena_new(size_t max_bytes); /* NULL: no memory */
void arena_free(struct arena **ap);
bool arena_failed(const struct arena *a);

/* Zeroed, aligned for anything. */
void *arena_take(struct arena *a, size_t bytes);
/* A NUL-terminated copy; NULL also when `s` holds a NUL. */
char *arena_text(struct arena *a, struct slice s);
/* One more element at the end of `*items`, zeroed; moves the others now and then.  NULL leaves
 * everything as it was. */
void *arena_push(struct arena *a, void **items, size_t *count, size_t size);

#endif
