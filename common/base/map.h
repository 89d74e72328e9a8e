#ifndef POSTERN_BASE_MAP_H
#define POSTERN_BASE_MAP_H

#include "base/slice.h"

/*
 * A table from bytes (or a 64-bit number) to a pointer.  The hash is SipHash with a key of its own, so that a peer who picks
 * the keys cannot make it slow.  Keys are copied; values are borrowed.
 */
struct map;

struct map *map_new(size_t max_entries); /* NULL: no memory */
void map_free(struct map **mp);

size_t map_count(const struct map *m);
void *map_find(const struct map *m, struct slice key);
/* Adds or replaces; false: no memory, or full. */
bool map_put(struct map *m, struct slice key, void *value);
/* Takes the entry out and returns its value, or NULL. */
void *map_take(struct map *m, struct slice key);

void *map_find_u64(const struct map *m, uint64_t key);
bool map_put_u64(struct map *m, uint64_t key, void *value);
void *map_take_u64(struct map *m, uint64_t key);

/* Calls fn for each entry; fn may take the entry it is called for, nothing else.  Stops when fn returns false. */
void map_each(struct map *m, bool (*fn)(struct slice key, void *value, void *arg), void *arg);

#endif
