#include "spool.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "crc32c.h"
#include "spool_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char *const folder_names[SPOOL_FOLDER_COUNT] = {
	[SPOOL_NEW] = "new",
	[SPOOL_CUR] = "cur",
	[SPOOL_HOLD] = "hold",
	[SPOOL_CORRUPT_FOLDER] = "corrupt",
	[SPOOL_DRAFT] = "draft",
};

const char *spool_folder_name(enum spool_folder folder)
{
	return folder_names[folder];
}

static bool is_flat(enum spool_folder folder)
{
	return folder == SPOOL_DRAFT;
}

void spool_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, uint64_t id)
{
	char name[ID_CHARS + 1];
	const char *folder_name = folder_names[folder];

	id_text(id, name);
	if (is_flat(folder))
		(void)snprintf(out, SPOOL_PATH_BYTES, "%s/%s", folder_name, name);
	else
		(void)snprintf(out, SPOOL_PATH_BYTES, "%s/%c/%c/%s", folder_name, name[ID_CHARS - 2], name[ID_CHARS - 1],
			       name);
}

/* "new/4/x": the folder itself, or with `bucket` one of its 1024. */
void spool_bucket_path(char out[SPOOL_PATH_BYTES], enum spool_folder folder, unsigned bucket)
{
	char name[ID_CHARS + 1];

	id_text(bucket, name);
	(void)snprintf(out, SPOOL_PATH_BYTES, "%s/%c/%c", folder_names[folder], name[ID_CHARS - 2], name[ID_CHARS - 1]);
}

int spool_finish(struct spool *sp, int fd, int result)
{
	int err = result == -1 ? errno : 0;

	if (fd != -1 && sp->ops->close(fd) == -1 && err == 0)
		err = errno;
	return err;
}

int spool_sync_folder(struct spool *sp, const char *path)
{
	int fd = sp->ops->openat(sp->root, path, O_RDONLY | O_DIRECTORY, 0);

	if (fd == -1)
		return errno;
	return spool_finish(sp, fd, sp->ops->fsync(fd));
}

/* ---- set-up ---- */

static int make_folder(struct spool *sp, const char *path)
{
	return sp->ops->mkdirat(sp->root, path, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

static int make_all(struct spool *sp)
{
	int err = 0;

	for (enum spool_folder f = 0; f < SPOOL_FOLDER_COUNT && err == 0; f++)
		err = make_folder(sp, folder_names[f]);
	if (err == 0)
		err = spool_fan_look(sp);
	for (enum spool_folder f = 0; f < SPOOL_FOLDER_COUNT && err == 0; f++)
		err = spool_sync_folder(sp, folder_names[f]);
	return err == 0 ? spool_sync_folder(sp, ".") : err;
}

/* ---- names in a folder ---- */

static bool list_folder(struct spool *sp, const char *path, uint64_t *ids, size_t max, size_t *count_out, int *err_out)
{
	int fd = sp->ops->openat(sp->root, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *entry;

	*count_out = 0;
	*err_out = errno;
	if (dir == NULL && fd != -1)
		(void)sp->ops->close(fd);
	if (dir == NULL)
		return false;
	errno = 0;
	while (*count_out < max && (entry = readdir(dir)) != NULL)
		if (id_parse(slice_of(entry->d_name), &ids[*count_out]))
			(*count_out)++;
	*err_out = errno;
	(void)closedir(dir);
	return *err_out == 0;
}

bool spool_list(struct spool *sp, enum spool_folder folder, unsigned bucket, uint64_t *ids, size_t max, size_t *count_out,
		int *err_out)
{
	char path[SPOOL_PATH_BYTES];

	spool_bucket_path(path, folder, bucket);
	if (list_folder(sp, path, ids, max, count_out, err_out))
		return true;
	return *err_out == ENOENT; /* nothing was ever put there */
}

static int empty_drafts(struct spool *sp)
{
	uint64_t ids[256];
	size_t count;
	int err;

	do {
		if (!list_folder(sp, folder_names[SPOOL_DRAFT], ids, ARRAY_LEN(ids), &count, &err))
			return err;
		for (size_t i = 0; i < count; i++)
			spool_draft_remove(sp, ids[i]);
	} while (count == ARRAY_LEN(ids));
	return 0;
}

/* ---- the high-water mark, and what was let go: ids in files of their own ---- */

#define LET_GO_FILE "let-go"
#define MARK_FILE "mark"
#define MARK_AHEAD (5000ull << 20) /* five seconds of ids */

static int id_write(struct spool *sp, const char *file, uint64_t id)
{
	char text[ID_CHARS + 2];
	struct iovec part = {text, ID_CHARS + 1};
	int fd = sp->ops->openat(sp->root, file, O_WRONLY | O_CREAT, 0600);

	if (fd == -1)
		return errno;
	id_text(id, text);
	text[ID_CHARS] = '\n';
	if (spool_write_all(sp, fd, &part, 1, 0) == -1)
		return spool_finish(sp, fd, -1);
	return spool_finish(sp, fd, sp->ops->fdatasync(fd));
}

/* What is none is 0, as is one that is not there. */
static int id_read(struct spool *sp, const char *file, uint64_t *out)
{
	char text[ID_CHARS];
	int fd = sp->ops->openat(sp->root, file, O_RDONLY, 0);
	ssize_t got;

	if (fd == -1)
		return errno == ENOENT ? 0 : errno;
	got = sp->ops->pread(fd, text, sizeof(text), 0);
	if (got == (ssize_t)sizeof(text) && !id_parse(slice_make(text, sizeof(text)), out))
		*out = 0;
	return spool_finish(sp, fd, got == -1 ? -1 : 0);
}

static int mark_write(struct spool *sp, uint64_t mark)
{
	int err = id_write(sp, MARK_FILE, mark);

	if (err == 0)
		sp->mark = mark;
	return err;
}

static int mark_read(struct spool *sp)
{
	return id_read(sp, MARK_FILE, &sp->mark);
}

uint64_t spool_let_go(const struct spool *sp)
{
	return sp->let_go_at_start;
}

/* The mark first: no message of a later run may have an id that was let go before it came. */
int spool_let_go_note(struct spool *sp, uint64_t id)
{
	int err = spool_mark_cover(sp, id);

	if (err == 0)
		err = id_write(sp, LET_GO_FILE, id);
	return err == 0 ? spool_sync_folder(sp, ".") : err;
}

int spool_mark_cover(struct spool *sp, uint64_t id)
{
	int err = 0;

	pthread_mutex_lock(&sp->mark_lock);
	if (id > sp->mark)
		err = mark_write(sp, id + MARK_AHEAD);
	pthread_mutex_unlock(&sp->mark_lock);
	return err;
}

uint64_t spool_mark_now(struct spool *sp)
{
	uint64_t mark;

	pthread_mutex_lock(&sp->mark_lock);
	mark = sp->mark;
	pthread_mutex_unlock(&sp->mark_lock);
	return mark;
}

bool spool_mark_raise(struct spool *sp, uint64_t id)
{
	return spool_mark_cover(sp, id) == 0;
}

bool spool_put_right(struct spool *sp, uint64_t id, const char *path)
{
	struct slice folder = slice_sub(slice_of(path), 0, slice_index(slice_of(path), '/'));
	char right[SPOOL_PATH_BYTES], parent[SPOOL_PATH_BYTES];

	for (enum spool_folder f = SPOOL_NEW; f <= SPOOL_CORRUPT_FOLDER; f++)
		if (slice_eq(folder, slice_of(folder_names[f]))) {
			spool_path(right, f, id);
			spool_bucket_path(parent, f, (unsigned)(id & (SPOOL_BUCKETS - 1)));
			return spool_fan_ready(sp, f, id) == 0 && sp->ops->rename(sp->root, path, right) == 0 && spool_sync_folder(sp, parent) == 0;
		}
	return false;
}

uint64_t spool_mark(const struct spool *sp)
{
	return sp->mark_at_start;
}

void spool_mark_exactly(struct spool *sp, uint64_t id)
{
	pthread_mutex_lock(&sp->mark_lock);
	(void)mark_write(sp, id);
	pthread_mutex_unlock(&sp->mark_lock);
}

/* ---- room ---- */

#define ROOM_MS 200u
#define INODES_MIN 64u

static void room_look(struct spool *sp)
{
	struct statfs fs;

	if (sp->ops->fstatfs(sp->root, &fs) == -1)
		return; /* what is wrong will be told by the write itself */
	atomic_store(&sp->free_bytes, (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize);
	/* btrfs says 0 of 0: it has no fixed number */
	atomic_store(&sp->free_inodes, fs.f_files == 0 ? UINT64_MAX : (uint64_t)fs.f_ffree);
}

void spool_room_refresh(struct spool *sp)
{
	uint64_t now = clock_mono_ms(), last = atomic_load(&sp->looked_ms);

	if (now - last >= ROOM_MS && atomic_compare_exchange_strong(&sp->looked_ms, &last, now))
		room_look(sp);
}

void spool_inodes_used(struct spool *sp, uint64_t count)
{
	uint64_t now = atomic_load(&sp->free_inodes);

	while (now != UINT64_MAX && !atomic_compare_exchange_weak(&sp->free_inodes, &now, now > count ? now - count : 0))
		;
}

bool spool_has_room(struct spool *sp, uint64_t bytes)
{
	uint64_t available = atomic_load(&sp->free_bytes), inodes = atomic_load(&sp->free_inodes);

	if (inodes < INODES_MIN + atomic_load(&sp->folders_missing) || bytes > available || available - bytes < atomic_load(&sp->reserve_bytes))
		return false;
	spool_inodes_used(sp, 1); /* lest many at once, between two looks, use up what is kept for reports */
	return true;
}

void spool_set_reserve(struct spool *sp, uint64_t reserve_bytes)
{
	atomic_store(&sp->reserve_bytes, reserve_bytes);
}

/* ---- life ---- */

/* attacks on durability were replayed on these three: fsync of a file makes its new name durable there */
static bool name_is_synced(long type)
{
	return type == 0xef53 /* ext4 */ || type == 0x58465342 /* xfs */ || type == 0x9123683e /* btrfs */;
}

static int look_at_filesystem(struct spool *sp, bool sync_folders)
{
	struct statfs fs;

	if (sp->ops->fstatfs(sp->root, &fs) == -1)
		return errno;
	sp->sync_folders = sync_folders || !name_is_synced((long)fs.f_type);
	room_look(sp);
	return 0;
}

static struct spool *begin(int root_fd, const struct spool_config *config)
{
	struct spool *sp = mem_new(1, sizeof(*sp));

	if (sp == NULL) {
		(void)config->ops->close(root_fd);
		return NULL;
	}
	sp->root = root_fd;
	sp->ops = config->ops;
	(void)pthread_mutex_init(&sp->mark_lock, NULL);
	(void)pthread_mutex_init(&sp->fan_lock, NULL);
	atomic_store(&sp->reserve_bytes, config->reserve_bytes);
	return sp;
}

static int make_and_empty(struct spool *sp, bool sync_folders)
{
	int err = look_at_filesystem(sp, sync_folders);

	if (err == 0)
		err = make_all(sp);
	if (err == 0)
		err = mark_read(sp);
	if (err == 0)
		err = id_read(sp, LET_GO_FILE, &sp->let_go_at_start);
	sp->mark_at_start = sp->mark;
	return err == 0 ? empty_drafts(sp) : err;
}

struct spool *spool_look(int root_fd, const struct spool_config *config, int *err_out)
{
	struct spool *sp = begin(root_fd, config);

	*err_out = sp == NULL ? ENOMEM : mark_read(sp);
	if (*err_out != 0)
		spool_close(&sp);
	else
		sp->mark_at_start = sp->mark;
	return sp;
}

struct spool *spool_open(int root_fd, const struct spool_config *config, int *err_out)
{
	struct spool *sp = begin(root_fd, config);
	int err = sp == NULL ? ENOMEM : make_and_empty(sp, config->sync_folders);

	if (err != 0)
		spool_close(&sp);
	*err_out = err;
	return sp;
}

void spool_close(struct spool **spp)
{
	struct spool *sp = *spp;

	if (sp == NULL)
		return;
	*spp = NULL;
	(void)sp->ops->close(sp->root);
	(void)pthread_mutex_destroy(&sp->mark_lock);
	(void)pthread_mutex_destroy(&sp->fan_lock);
	free(sp);
}
