#ifndef POSTERN_QUEUE_CHECK_H
#define POSTERN_QUEUE_CHECK_H

#include "spool.h"

/*
 * Looks through the spool's files, a bucket at a time, and says what is not as it should be.  Reads only; blocks; any thread.
 *
 * While mail flows, a file may be written, moved or removed under one's eyes: what is younger than CHECK_YOUNG_S is not judged, and
 * what is gone when it is opened is no finding.
 */
#define CHECK_YOUNG_S 120

/* What is wrong; the words are in check.c, and in the manual. */
enum check_kind {
	CHECK_NOT_A_MESSAGE, /* a name that is no id */
	CHECK_NOT_A_FILE, /* a link, folder, FIFO, device, socket */
	CHECK_LINKED, /* has another name besides */
	CHECK_OWNER,
	CHECK_MODE,
	CHECK_WRONG_FOLDER, /* in a folder that is not that of its id: the queue never finds it */
	CHECK_TWICE, /* in two of new/, cur/, hold/ */
	CHECK_UNFINISHED, /* no END: never accepted */
	CHECK_CORRUPT,
	CHECK_NEWER, /* of another version of Postern */
	CHECK_UNREADABLE,
	CHECK_SLOTS, /* a recipient's state that is none, or nobody left who waits */
	CHECK_ABOVE_MARK, /* its id may be given out again */
	CHECK_NOT_IN_INDEX,
	CHECK_NO_FILE, /* a row of the index without file */
	CHECK_FOLDER_UNREADABLE,
	CHECK_KINDS
};

const char *check_kind_name(enum check_kind kind); /* "wrong-folder" */
/* What it means and what becomes of it, in a sentence. */
const char *check_kind_text(enum check_kind kind);

struct check_finding {
	enum check_kind kind;
	const char *path; /* "new/a/b/NAME"; borrowed; "" for a row of the index */
	uint64_t id; /* 0: none */
};
typedef void check_note_fn(const struct check_finding *finding, void *arg);

struct check_counts {
	uint64_t messages, held, corrupt, drafts, bytes, rows, findings;
};

struct check {
	struct spool *spool; /* borrowed */
	uint64_t owner; /* uid that files should have */
	uint64_t mark; /* no id should be above it; UINT64_MAX: not known */
	check_note_fn *note;
	void *arg;
	struct check_counts counts;
};

/* The ids in new/, cur/ and hold/ of this bucket are added to `ids`, at most `max`, sorted; their number out. */
void check_bucket(struct check *c, unsigned bucket, uint64_t *ids, size_t max, size_t *count_out);
/* `ids` as check_bucket gave them, `rows` those of the index.  Only rows without file; what has no row is for the caller, who knows
 * what is in memory. */
void check_rows(struct check *c, const uint64_t *ids, size_t count, const uint64_t *rows, size_t row_count);
/* What lies flat: draft/. */
void check_drafts(struct check *c);

#endif
