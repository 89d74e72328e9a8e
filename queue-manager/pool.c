#include "pool.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stddef.h>

#define BLOCK_BYTES 2000u

struct pool_block {
	struct pool_block *next;
	size_t used, size;
	alignas(max_align_t) char at[];
};

void pool_free(struct pool *p)
{
	while (p->blocks != NULL) {
		struct pool_block *next = p->blocks->next;

		free(p->blocks);
		p->blocks = next;
	}
	p->bytes = 0;
}

static struct pool_block *block_new(struct pool *p, size_t size)
{
	struct pool_block *block;
	size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

	if (room > p->max - p->bytes)
		return NULL;
	block = mem_new(1, sizeof(*block) + room);
	if (block == NULL)
		return NULL;
	block->size = room;
	block->next = p->blocks;
	p->blocks = block;
	p->bytes += room;
	return block;
}

void *pool_new(struct pool *p, size_t size)
{
	struct pool_block *block = p->blocks;
	void *at;

	if (size > p->max)
		return NULL;
	size = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	if (block == NULL || block->size - block->used < size)
		block = block_new(p, size);
	if (block == NULL)
		return NULL;
	at = block->at + block->used;
	block->used += size;
	return at;
}

bool pool_copy(struct pool *p, struct slice text, struct slice *out)
{
	char *at = NULL;

	*out = slice_empty();
	if (text.len == 0)
		return true;
	at = pool_new(p, text.len);
	if (at == NULL)
		return false;
	memcpy(at, text.at, text.len);
	*out = slice_make(at, text.len);
	return true;
}
