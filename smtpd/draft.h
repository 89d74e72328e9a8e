#ifndef POSTERN_SMTPD_DRAFT_H
#define POSTERN_SMTPD_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A message's way to the queue.
 *
 *   none --store--> filing --DRAFT_FILE--> filed --store--> filed --commit--> committing
 *    '--commit (small)---------------------------------------------------------> committing
 *   committing --COMMITTED--> none     any other --the transaction is over--> none (DRAFT_ABORT)
 *
 * filing says DRAFT_OPEN, DRAFT_RCPT..., DRAFT_FILE_ASK; committing says DRAFT_SEAL and
 * DRAFT_COMMIT, and for a small body all at once: DRAFT_OPEN, DRAFT_RCPT..., DRAFT_DATA, DRAFT_SEAL,
 * DRAFT_COMMIT.
 *
 * Always: the file's descriptor is closed before DRAFT_SEAL is said; a queue that was replaced
 * since DRAFT_OPEN is told nothing of that draft, and the client hears 451.
 */
struct conn;

enum draft_state { DRAFT_NONE, DRAFT_FILING, DRAFT_FILED, DRAFT_COMMITTING };

struct draft {
	enum draft_state state;
	uint64_t number; /* of the latest */
	uint64_t transaction; /* of the session: whose it is */
	uint64_t queue_lost; /* worker's count of losses when it was opened */
	uint64_t offset; /* in the file: where the next piece goes */
	int fd; /* owned; -1 */
};

/* The session's wants; false: nothing more can be done now. */
bool draft_store(struct conn *c);
bool draft_commit(struct conn *c);
/* There is one, and its transaction is over: another may have been begun in the same breath. */
bool draft_is_over(const struct conn *c);
/* The transaction is over, whatever became of it. */
void draft_abort(struct conn *c);
/* Without a word to the queue: the session's end says it all. */
void draft_drop(struct conn *c);

#endif
