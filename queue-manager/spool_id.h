#ifndef POSTERN_QUEUE_SPOOL_ID_H
#define POSTERN_QUEUE_SPOOL_ID_H

#include <stdint.h>

/*
 * Ids of messages: 44 bits of milliseconds, 20 bits that tell apart what came in one of them.  Ordered by time, never
 * reused: the next is always above the last, also when the clock steps back, and the last of an earlier run is known from
 * the high-water mark on disk (spool.h).  The low bits are scattered, since the last ten choose the folder.
 */
struct spool_ids {
	uint64_t last;
	uint32_t turn;
};

uint64_t spool_id_next(struct spool_ids *ids, int64_t wall_ms);
/* When it was made, as far as the id tells. */
int64_t spool_id_wall_ms(uint64_t id);
/* No later id may be at or below this one. */
void spool_id_reserve(struct spool_ids *ids, uint64_t used);

#endif
