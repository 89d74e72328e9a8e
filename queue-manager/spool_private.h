#ifndef POSTERN_QUEUE_SPOOL_PRIVATE_H
#define POSTERN_QUEUE_SPOOL_PRIVATE_H

#include "spool.h"

#include <pthread.h>
#include <stdatomic.h>

#define SPOOL_FANNED_COUNT SPOOL_DRAFT /* each folder but the last */

/* What spool.c (folders, mark, room), spool_fan.c, spool_write.c and spool_read.c share. */
struct spool {
	int root; /* owned */
	const struct spool_ops *ops;
	bool sync_folders;
	_Atomic uint64_t reserve_bytes, free_bytes, free_inodes, looked_ms;
	pthread_mutex_t mark_lock;
	uint64_t mark; /* guarded by mark_lock after start */
	uint64_t mark_at_start, let_go_at_start;
	pthread_mutex_t fan_lock; /* held while a bucket's folder is made */
	_Atomic uint64_t folders_missing; /* of new/, cur/ and hold/ with all their buckets: their inodes are kept free */
	_Atomic bool has_bucket[SPOOL_FANNED_COUNT][SPOOL_BUCKETS]; /* the folder is there, durably */
};

#define SPOOL_PATH_BYTES 40
void spool_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, uint64_t id);
void spool_bucket_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, unsigned bucket);
/* Closes; 0, or the errno of `result` == -1, or of the close. */
int spool_finish(struct spool *sp, int fd, int result);
/* All of it, whatever the kernel takes at a time; -1 with errno. */
int spool_write_all(struct spool *sp, int fd, const struct iovec *parts, int count, off_t offset);
int spool_sync_folder(struct spool *sp, const char *path);
/* Free inodes that are gone before the next look at the disk. */
void spool_inodes_used(struct spool *sp, uint64_t count);
/* Which buckets have folders; those of an earlier run are synced where need be.  0, or an errno. */
int spool_fan_look(struct spool *sp);
/* The bucket that a message is to lie in has a folder, durably.  0, or an errno.  Any thread. */
int spool_fan_ready(struct spool *sp, enum spool_folder folder, uint64_t id);
/* The mark on disk is at or above `id`: 0, or an errno. */
int spool_mark_cover(struct spool *sp, uint64_t id);

#endif
