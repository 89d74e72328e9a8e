#include "spool_id.h"

#define LOW_BITS 20u
#define LOW_MASK ((1u << LOW_BITS) - 1)
#define SCATTER 0x9e375u /* odd: a step that visits every value of the low bits once */
#define HASH 2654435761u

uint64_t spool_id_next(struct spool_ids *ids, int64_t wall_ms)
{
	uint64_t id = wall_ms > 0 ? (uint64_t)wall_ms << LOW_BITS : 0;

	ids->turn = (ids->turn + SCATTER) & LOW_MASK;
	id |= ids->turn;
	/* The same millisecond again, or a clock that stepped back: a small step of many sizes, so folders still vary. */
	if (id <= ids->last)
		id = ids->last + 1 + (ids->turn * HASH >> 26);
	ids->last = id;
	return id;
}

int64_t spool_id_wall_ms(uint64_t id)
{
	return (int64_t)(id >> LOW_BITS);
}

void spool_id_reserve(struct spool_ids *ids, uint64_t used)
{
	if (used > ids->last)
		ids->last = used;
}
