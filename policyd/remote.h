#ifndef POSTERN_POLICYD_REMOTE_H
#define POSTERN_POLICYD_REMOTE_H

#include "rules/rules.h"
#include "service/service.h"

/*
 * Tables that other servers keep, as postern-lookup answers of them.  An answer is known for as long as the table says (`keep`, `keep-no`),
 * one that could not be had for a second, and all that came since a question did for that question; one that finds it missing waits.
 *
 * Always: what is kept is kept for one generation, one table and one key; at most REMOTE_ENTRIES_MAX of them with REMOTE_BYTES_MAX of values.
 * A question that misses many keys has them asked for in portions: of one table REMOTE_ASKED_MAX are asked for at a time, and one key of each
 * further question, so that whoever wants one key more is behind those at most, and never refused for a list's sake.
 */
struct remote;
struct remote_waiter;

#define REMOTE_ENTRIES_MAX 60000u /* some keys for each member of a long list, and others */
#define REMOTE_ASKED_MAX 512u
#define REMOTE_BYTES_MAX (32u << 20)
#define REMOTE_WHY_MAX 256u

struct remote *remote_new(struct service *s); /* exits 75 without memory */
size_t remote_count(const struct remote *r);

/* A question begins: what is found pending last is what it waits for. */
void remote_begin(struct remote *r, uint64_t began_ms);
/* PENDING: it is asked for, or will be when what the question misses already is known.  UNKNOWN: `why` says why.  The value is added to `value_out` (NULL: not wanted). */
enum answer remote_find(struct remote *r, const struct generation *g, const struct conf_table *table, struct slice key,
			struct buf *value_out, char why[REMOTE_WHY_MAX]);

typedef void remote_done_fn(void *arg);
/* Calls `done` once, when what this question found pending is known.  NULL: nothing is, or no memory. */
struct remote_waiter *remote_wait(struct remote *r, remote_done_fn *done, void *arg);
/* It is not called any more. */
void remote_forget(struct remote_waiter **wp);

#endif
