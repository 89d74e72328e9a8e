#ifndef POSTERN_QUEUE_SPOOL_H
#define POSTERN_QUEUE_SPOOL_H

#include "base/outcome.h"
#include "spool_file.h"
#include "spool_ops.h"

/*
 * The folders of message files.  Every function here blocks on the file system: called in the writer threads only (and by
 * start-up and tests).  Safe to be called by several threads, but not for one message at a time.  No function logs: `err`
 * says what the kernel said.
 *
 *   new/    accepted          cur/      tried, and waiting        hold/   held by rule or operator
 *   draft/  being received    corrupt/  set aside, for people     each but draft/ fanned out 32 x 32
 *
 * A folder of the fan is made when the first message is to lie in it (spool_fan.c); one that is not there holds none.
 *
 * Always: a file in new/, cur/ or hold/ was written by this process alone.  A small message is created there under its
 * final name, END written last, one fsync.  A large one, whose descriptor another process had, lies in draft/ until it is
 * proved that nobody can write to it any more; then its head is written again, trailer and END added, it is renamed and
 * synced, in this order, so nothing that the other process wrote can ever be read as a trailer.  What lies in draft/ at
 * start was never accepted.
 */
struct spool;

enum spool_folder { SPOOL_NEW, SPOOL_CUR, SPOOL_HOLD, SPOOL_CORRUPT_FOLDER, SPOOL_DRAFT, SPOOL_FOLDER_COUNT };
#define SPOOL_BUCKETS 1024u

struct spool_config {
	const struct spool_ops *ops;
	bool sync_folders; /* always; else as the file system needs it */
	uint64_t reserve_bytes;
};

const char *spool_folder_name(enum spool_folder folder);

/* Makes and syncs the five folders, looks which of the fan are there, reads the high-water mark, empties draft/.  Takes `root_fd`.  NULL with *err_out. */
struct spool *spool_open(int root_fd, const struct spool_config *config, int *err_out);
/* For somebody who only reads: nothing is made, emptied or written.  The same errors. */
struct spool *spool_look(int root_fd, const struct spool_config *config, int *err_out);
void spool_close(struct spool **sp);
void spool_set_reserve(struct spool *sp, uint64_t reserve_bytes);
/* No id up to this one may be given out again. */
uint64_t spool_mark(const struct spool *sp);
/* As it stands on the disk now; any thread. */
uint64_t spool_mark_now(struct spool *sp);
/* The mark is at or above `id`.  False: it could not be written. */
bool spool_mark_raise(struct spool *sp, uint64_t id);
/* A message file at `path` ("new/a/b/ID"), in the wrong one of its folder's buckets, goes to the right one.  Never replaces. */
bool spool_put_right(struct spool *sp, uint64_t id, const char *path);
/* The newest message that was there when the operator let all go, as it was noted before this run; 0: never. */
uint64_t spool_let_go(const struct spool *sp);
/* Notes it, durably: 0, or an errno. */
int spool_let_go_note(struct spool *sp, uint64_t id);
/* At an orderly end: the mark stands at the last id, with nothing ahead. */
void spool_mark_exactly(struct spool *sp, uint64_t id);

/* Room for one more file of so many bytes: free space as it was when last looked at, inodes less those promised here since and those that
 * folders of the fan may still take.  Never blocks; the loop's thread.  Writing and removing look again (several times a second at most),
 * and so must whoever is told "no": nothing is written then. */
bool spool_has_room(struct spool *sp, uint64_t bytes);
void spool_room_refresh(struct spool *sp); /* a writer thread's */

/* Whether a new file can be made durable: one is written in draft/, synced and removed.  0, or an errno. */
int spool_probe(struct spool *sp, uint64_t id);

/* A whole file, in two steps, so that those of several messages are on their way before the first is waited for. */
struct spool_new {
	uint64_t id;
	enum spool_folder folder;
	int fd; /* out: spool_new_sync's, which comes after in every case */
	int err; /* out: an errno, or 0 */
	bool is_left; /* out: it failed, and could not be removed: a scan would take it for a message */
};
void spool_new_write(struct spool *sp, struct spool_new *file, const struct iovec *parts, int count);
/* DONE means durable.  On any other outcome there is no such file, unless `is_left`, and `err` says why.  `read_fd_out` (may be
 * NULL) gets a read-only descriptor, or -1. */
enum outcome spool_new_sync(struct spool *sp, struct spool_new *file, int *read_fd_out);

/* A file in draft/ that holds `head`; its write-only descriptor, for the process that receives the body. */
enum outcome spool_draft_open(struct spool *sp, uint64_t id, struct slice head, int *fd_out, int *err_out);
struct spool_draft {
	uint64_t id;
	enum spool_folder folder; /* where it is to lie */
	struct slice head;
	struct spool_mail *mail; /* body_offset and body_length are set; encoded once the body's sum is known */
	struct buf *tail; /* gets trailer, slots and END */
	uint32_t crc; /* out: of head and body */
	bool is_left; /* out: as a spool_new's; in draft/ nothing is ever taken for a message */
};
/* Proves that no writer is left, sums the body, finishes, renames and syncs.  As spool_new_sync; else the draft is gone. */
enum outcome spool_draft_commit(struct spool *sp, struct spool_draft *draft, int *read_fd_out, int *err_out);
/* A draft of that id with `head` and the body of another message, without the fields named in its header (a LF between).  0, or an
 * errno: then there is none. */
struct spool_body {
	uint64_t id;
	enum spool_folder folder;
	uint64_t offset, length;
};
int spool_draft_copy(struct spool *sp, const struct spool_body *from, uint64_t id, struct slice head, struct slice without,
		     uint64_t *length_out);
void spool_draft_remove(struct spool *sp, uint64_t id);

/* 0, or an errno. */
int spool_remove(struct spool *sp, uint64_t id, enum spool_folder folder);
/* `durable`: survives loss of power (hold, release); else it may be undone by it.  Where the name is new but its sync failed,
 * that is an error with `*moved_out` true. */
int spool_move(struct spool *sp, uint64_t id, enum spool_folder from, enum spool_folder to, bool durable, bool *moved_out);
/* One that another run may have written and not synced.  0, or an errno. */
int spool_make_durable(struct spool *sp, uint64_t id, enum spool_folder folder);
/* Whether it lies in new/, cur/ or hold/, as far as can be known: true when it cannot. */
bool spool_has(struct spool *sp, uint64_t id);
/* Writes recipients' states in place, and syncs. */
int spool_write_slots(struct spool *sp, uint64_t id, enum spool_folder folder, uint64_t offset, struct slice slots);
/* A read-only descriptor, or -1 with errno. */
int spool_open_read(struct spool *sp, uint64_t id, enum spool_folder folder);

/* A message as it lies in the spool. */
struct spool_loaded {
	struct spool_mail mail; /* borrows from head and tail */
	enum spool_folder folder;
	uint64_t size_bytes;
	struct buf head, tail; /* owned */
};
enum spool_load { LOAD_OK, LOAD_NOT_THERE, LOAD_UNFINISHED, LOAD_CORRUPT, LOAD_NEWER, LOAD_ERROR };
/* Looks in new/, cur/ and hold/, reads and checks all of it.  LOAD_ERROR: not known now (`err`).  The result is freed by
 * spool_loaded_free in every case. */
enum spool_load spool_load(struct spool *sp, uint64_t id, struct spool_loaded *out, int *err_out);
void spool_loaded_free(struct spool_loaded *loaded);
/* What did not parse is moved to corrupt/, what was never finished is removed. */
int spool_set_aside(struct spool *sp, uint64_t id, enum spool_folder folder);

/* Ids in one bucket of a folder, at most `max`.  False with an errno; names that are no ids are passed over. */
bool spool_list(struct spool *sp, enum spool_folder folder, unsigned bucket, uint64_t *ids, size_t max, size_t *count_out,
		int *err_out);
/* The first bytes of the body, for a report.  Fewer when it is shorter; -1 with errno. */
ssize_t spool_read_body(struct spool *sp, const struct spool_mail *mail, enum spool_folder folder, char *into, size_t len);

#endif
