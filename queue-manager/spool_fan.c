/*
 * The folders that fan out the spool's, "new/4/x": each is made when the first message is to lie in it, and from then on known.  An inode is
 * kept free for each that a message which was accepted may still need.
 */
#include "spool_private.h"

#include "base/id.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static const enum spool_folder folders[SPOOL_FANNED_COUNT] = {SPOOL_NEW, SPOOL_CUR, SPOOL_HOLD, SPOOL_CORRUPT_FOLDER};

#define FOLDERS_KEPT_FOR (3u * (32u + SPOOL_BUCKETS)) /* all of new/, cur/ and hold/ */

/* They are there, and nothing is kept for them any more. */
static void are_there(struct spool *sp, enum spool_folder folder, unsigned count)
{
	if (folder != SPOOL_CORRUPT_FOLDER)
		(void)atomic_fetch_sub(&sp->folders_missing, count);
}

/* "new/4/x" without its end: "new/4" */
static void upper_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, unsigned bucket)
{
	spool_bucket_path(out, folder, bucket);
	out[strlen(out) - 2] = '\0';
}

/* ---- at start: those of earlier runs ---- */

/* The place of a folder's one-letter name among the 32; false: it is none. */
static bool place_of(const char *name, unsigned *place)
{
	char text[ID_CHARS + 1];
	uint64_t id;

	if (strlen(name) != 1)
		return false;
	(void)snprintf(text, sizeof(text), "%0*d%.1s", ID_CHARS - 1, 0, name);
	if (!id_parse(slice_of(text), &id))
		return false;
	*place = (unsigned)id;
	return true;
}

static DIR *open_folder(struct spool *sp, const char *path)
{
	int fd = sp->ops->openat(sp->root, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL && fd != -1)
		errno = spool_finish(sp, fd, -1);
	return dir;
}

/* Which of the 32 are there: bit by bit.  0, or an errno. */
static int look_into(struct spool *sp, const char *path, uint32_t *there)
{
	DIR *dir = open_folder(sp, path);
	struct dirent *entry;
	unsigned place;
	int err;

	*there = 0;
	if (dir == NULL)
		return errno;
	errno = 0;
	while ((entry = readdir(dir)) != NULL)
		if (place_of(entry->d_name, &place))
			*there |= UINT32_C(1) << place;
	err = errno;
	(void)closedir(dir);
	return err;
}

/* An earlier run may have been killed between making and syncing them. */
static int look_at_upper(struct spool *sp, enum spool_folder folder, unsigned upper)
{
	char path[SPOOL_PATH_BYTES];
	uint32_t there;
	int err;

	upper_path(path, folder, upper * 32);
	err = look_into(sp, path, &there);
	if (err == 0 && sp->sync_folders)
		err = spool_sync_folder(sp, path);
	for (unsigned lower = 0; lower < 32 && err == 0; lower++) {
		sp->has_bucket[folder][upper * 32 + lower] = (there >> lower & 1) != 0;
		are_there(sp, folder, there >> lower & 1);
	}
	if (err == 0)
		are_there(sp, folder, 1);
	return err;
}

static int look_at_fan(struct spool *sp, enum spool_folder folder)
{
	uint32_t there;
	int err = look_into(sp, spool_folder_name(folder), &there);

	for (unsigned upper = 0; upper < 32 && err == 0; upper++)
		if ((there >> upper & 1) != 0)
			err = look_at_upper(sp, folder, upper);
	return err;
}

int spool_fan_look(struct spool *sp)
{
	int err = 0;

	atomic_store(&sp->folders_missing, FOLDERS_KEPT_FOR);
	for (size_t i = 0; i < ARRAY_LEN(folders) && err == 0; i++)
		err = look_at_fan(sp, folders[i]);
	return err;
}

/* ---- the first message ---- */

static int make(struct spool *sp, const char *path, bool *made)
{
	*made = sp->ops->mkdirat(sp->root, path, 0700) == 0;
	return *made || errno == EEXIST ? 0 : errno;
}

/* Where syncing a file does not make durable what it lies in. */
static int sync_above(struct spool *sp, enum spool_folder folder, const char *upper)
{
	int err = sp->sync_folders ? spool_sync_folder(sp, upper) : 0;

	return err == 0 && sp->sync_folders ? spool_sync_folder(sp, spool_folder_name(folder)) : err;
}

/* What could not be synced goes again, and is never taken for synced. */
static int make_bucket(struct spool *sp, enum spool_folder folder, unsigned bucket)
{
	char upper[SPOOL_PATH_BYTES], path[SPOOL_PATH_BYTES];
	bool made_upper, made = false;
	unsigned count;
	int err;

	upper_path(upper, folder, bucket);
	spool_bucket_path(path, folder, bucket);
	err = make(sp, upper, &made_upper);
	if (err == 0)
		err = make(sp, path, &made);
	if (err == 0)
		err = sync_above(sp, folder, upper);
	count = (made_upper ? 1u : 0u) + (made ? 1u : 0u);
	if (err == 0) {
		spool_inodes_used(sp, count);
		are_there(sp, folder, count);
	}
	if (err != 0 && made)
		(void)sp->ops->unlinkat(sp->root, path, AT_REMOVEDIR);
	if (err != 0 && made_upper)
		(void)sp->ops->unlinkat(sp->root, upper, AT_REMOVEDIR);
	return err;
}

int spool_fan_ready(struct spool *sp, enum spool_folder folder, uint64_t id)
{
	unsigned bucket = (unsigned)(id & (SPOOL_BUCKETS - 1));
	int err = 0;

	if (folder == SPOOL_DRAFT || atomic_load(&sp->has_bucket[folder][bucket]))
		return 0;
	pthread_mutex_lock(&sp->fan_lock);
	if (!atomic_load(&sp->has_bucket[folder][bucket]))
		err = make_bucket(sp, folder, bucket);
	if (err == 0)
		atomic_store(&sp->has_bucket[folder][bucket], true);
	pthread_mutex_unlock(&sp->fan_lock);
	return err;
}
