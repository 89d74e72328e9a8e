#ifndef POSTERN_BASE_MEM_H
#define POSTERN_BASE_MEM_H

#include "base/slice.h"

#include <stdlib.h>

/* Zeroed memory of `count` times `size`, or NULL. */
static inline void *mem_new(size_t count, size_t size)
{
	return calloc(count, size);
}

/* Grows `*items` (elements of `size`) so that one more than `count` fits, doubling, never beyond `max` elements.  False
 * leaves everything as it was. */
bool mem_grow(void **items, size_t *cap, size_t count, size_t size, size_t max);

/* Constant-time: for anything secret. */
bool mem_equal_secret(struct slice a, struct slice b);
void mem_wipe(void *at, size_t len);
/* Random bytes from the kernel; aborts when there are none (never noise instead). */
void mem_random(void *out, size_t len);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
