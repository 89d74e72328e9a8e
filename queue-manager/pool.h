#ifndef POSTERN_QUEUE_POOL_H
#define POSTERN_QUEUE_POOL_H

#include "base/slice.h"

/* Memory that is freed together: the texts of one draft. */
struct pool_block;
struct pool {
	struct pool_block *blocks; /* owned */
	size_t bytes, max;
};

static inline struct pool pool_make(size_t max)
{
	return (struct pool){NULL, 0, max};
}
void pool_free(struct pool *p);
/* Zeroed, aligned for anything; NULL: no memory, or beyond the pool's ceiling. */
void *pool_new(struct pool *p, size_t size);
/* A copy that lives as long as the pool; false: as above, and `out` is empty. */
bool pool_copy(struct pool *p, struct slice text, struct slice *out);

#endif
