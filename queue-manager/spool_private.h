#ifndef POSTERN_QUEUE_SPOOL_PRIVATE_H
#define POSTERN_QUEUE_SPOOL_PRIVATE_H

#include "spool.h"

#include <pthread.h>
#include <stdatomic.h>

/* What spool.c (folders, mark, room), spool_write.c and spool_read.c share. */
struct spool {
	int root; /* owned */
	const struct spool_ops *ops;
	bool sync_folders;
	_Atomic uint64_t reserve_bytes, free_bytes, free_inodes, looked_ms;
	pthread_mutex_t mark_lock;
	uint64_t mark; /* guarded by mark_lock after start */
	uint64_t mark_at_start;
};

#define SPOOL_PATH_BYTES 40
void spool_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, uint64_t id);
void spool_bucket_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, unsigned bucket);
/* Closes; 0, or the errno of `result` == -1, or of the close. */
int spool_finish(struct spool *sp, int fd, int result);
/* All of it, whatever the kernel takes at a time; -1 with errno. */
int spool_write_all(struct spool *sp, int fd, const struct iovec *parts, int count, off_t offset);
int spool_sync_folder(struct spool *sp, const char *path);
/* The mark on disk is at or above `id`: 0, or an errno. */
int spool_mark_cover(struct spool *sp, uint64_t id);

#endif
