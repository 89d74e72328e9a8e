#ifndef POSTERN_QUEUE_INDEX_H
#define POSTERN_QUEUE_INDEX_H

#include "base/buf.h"

/*
 * The index of waiting messages (SQLite): what may be lost.  When a message is due, how often it was tried, the last
 * reply, and what a list shows.  The files say everything else, and win: a row without a file goes, a file without a row
 * gets one.  Used by one thread only; every function blocks.  No function logs; what failed is counted (index_trouble).
 *
 * Always: a broken database is set aside and begun anew, empty; the caller is told (index_was_reset) and scans the files.
 */
struct index;

#define INDEX_NEVER INT64_MAX /* next_s of a message that is held */
#define INDEX_TEXT_MAX 512u
#define INDEX_KEY_MAX 600u

struct index_row {
	uint64_t id;
	int64_t next_s; /* wall clock */
	uint64_t tries, size_bytes, recipients, held, warned;
	char destination[INDEX_KEY_MAX]; /* transport, space, next hop, of all that wait; "": several, or not known */
	char sender[INDEX_TEXT_MAX], recipient[INDEX_TEXT_MAX]; /* the first that waits */
	char last[INDEX_TEXT_MAX]; /* last reply */
};

/* `path` is relative to the working folder, which is the spool.  NULL: no memory. */
struct index *index_open(const char *path);
/* Reads only, and only one that is whole and of this version; nothing else may have it open.  NULL: it cannot be read. */
struct index *index_look(const char *path);
void index_close(struct index **ip);
/* Begun anew since the last call. */
bool index_was_reset(struct index *ix);
/* Text of the last failure, or "". */
const char *index_trouble(const struct index *ix);

/* Around what is written together.  False at the end: nothing of it was kept, whatever each call said. */
void index_begin(struct index *ix);
bool index_end(struct index *ix);

/* False: failed (see above); nothing is known. */
bool index_put(struct index *ix, const struct index_row *row);
bool index_remove(struct index *ix, uint64_t id);
bool index_find(struct index *ix, uint64_t id, struct index_row *out, bool *found_out);
/* Only when and how often: a destination that is dead, without a look at the file. */
bool index_put_off(struct index *ix, uint64_t id, int64_t next_s, uint64_t tries);
/* All that are not held, due now. */
bool index_all_due(struct index *ix, int64_t now_s);
/* Those not held whose time is after `latest_s`, which no rule can have set (the clock was turned back): due at `now_s`. */
bool index_mend_times(struct index *ix, int64_t latest_s, int64_t now_s);

struct index_key {
	int64_t next_s;
	uint64_t id;
};
/* Up to `max` rows due by `now_s`, after `after` in the order of (next_s, id). */
bool index_due(struct index *ix, int64_t now_s, struct index_key after, struct index_row *rows, size_t max,
	       size_t *count_out);
/* The same, of one destination. */
bool index_due_for(struct index *ix, const char *destination, int64_t now_s, struct index_row *rows, size_t max,
		   size_t *count_out);
/* When the first row after `after` is due; INDEX_NEVER: none. */
bool index_next(struct index *ix, struct index_key after, int64_t *next_s_out);
/* Rows in order of id. */
bool index_list(struct index *ix, uint64_t after_id, struct index_row *rows, size_t max, size_t *count_out);
bool index_count(struct index *ix, uint64_t *out);
/* Which of `ids` have no row: moved to the front, their number out.  False also where a row is there and would not be found when it is
 * due: the index is begun anew then. */
bool index_missing(struct index *ix, uint64_t *ids, size_t count, size_t *missing_out);
/* Ids with rows in a bucket (the last ten bits of the id). */
bool index_bucket(struct index *ix, unsigned bucket, uint64_t *ids, size_t max, size_t *count_out);

#endif
