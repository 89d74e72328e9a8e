#include "check.h"

#include "spool_private.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
	const char *name, *text;
} kinds[CHECK_KINDS] = {
	[CHECK_NOT_A_MESSAGE] = {"not-a-message", "a name that is no id: the queue never looks at it"},
	[CHECK_NOT_A_FILE] = {"not-a-file", "no regular file: not opened"},
	[CHECK_LINKED] = {"linked", "the file has another name besides"},
	[CHECK_OWNER] = {"wrong-owner", "the file belongs to another user"},
	[CHECK_MODE] = {"wrong-mode", "others may read or write the file"},
	[CHECK_WRONG_FOLDER] = {"wrong-folder", "not in the folder of its id: the queue does not find it; --repair moves it"},
	[CHECK_TWICE] = {"twice", "the message lies in two folders"},
	[CHECK_UNFINISHED] = {"unfinished", "never accepted; the queue removes it when it comes to it"},
	[CHECK_CORRUPT] = {"corrupt", "accepted and damaged; the queue moves it to corrupt/ when it comes to it"},
	[CHECK_NEWER] = {"newer", "of a newer version; left alone"},
	[CHECK_UNREADABLE] = {"unreadable", "cannot be read now"},
	[CHECK_SLOTS] = {"slots", "the states of its recipients are not what the queue writes, or nobody waits"},
	[CHECK_ABOVE_MARK] = {"above-mark", "the high-water mark of ids is below it; --repair raises the mark"},
	[CHECK_NOT_IN_INDEX] = {"not-in-index", "the index does not know it; --repair, and every scan, takes it up"},
	[CHECK_NO_FILE] = {"no-file", "a row of the index without file; --repair, and every scan, removes it"},
	[CHECK_FOLDER_UNREADABLE] = {"folder-unreadable", "the folder cannot be read"},
};

const char *check_kind_name(enum check_kind kind)
{
	return kinds[kind].name;
}

const char *check_kind_text(enum check_kind kind)
{
	return kinds[kind].text;
}

static void note(struct check *c, enum check_kind kind, const char *path, uint64_t id)
{
	c->counts.findings++;
	c->note(&(struct check_finding){kind, path, id}, c->arg);
}

/* ---- one file ---- */

#define PATH_BYTES 320

static bool is_young(const struct stat *st)
{
	return clock_wall_s() - (int64_t)st->st_ctime < CHECK_YOUNG_S;
}

static void check_slots(struct check *c, const char *path, const struct spool_mail *mail)
{
	static const char known[] = {SLOT_WAITING,	SLOT_WARNED,	     SLOT_LET_GO,	SLOT_LET_GO_WARNED,  SLOT_DELIVERED,	SLOT_REPORTED,	   SLOT_FAILED,
				     SLOT_REMOVED,	SLOT_DELIVERED_OWED, SLOT_RELAYED_OWED, SLOT_EXPANDED_OWED};
	bool good = true, waits = false;

	for (size_t i = 0; i < mail->slots.len; i++) {
		good = good && memchr(known, mail->slots.at[i], sizeof(known)) != NULL;
		waits = waits || slot_is_open(mail->slots.at[i]) || slot_is_owed(mail->slots.at[i]);
	}
	if (!good || (!waits && mail->slots.len > 0))
		note(c, CHECK_SLOTS, path, mail->id);
}

static void check_content(struct check *c, const char *path, uint64_t id, const struct stat *st)
{
	struct spool_loaded loaded;
	int err;

	switch (spool_load(c->spool, id, &loaded, &err)) {
	case LOAD_OK:
		if (!is_young(st))
			check_slots(c, path, &loaded.mail);
		break;
	case LOAD_NOT_THERE:
		break;
	case LOAD_UNFINISHED:
		if (!is_young(st))
			note(c, CHECK_UNFINISHED, path, id);
		break;
	case LOAD_CORRUPT:
		note(c, CHECK_CORRUPT, path, id);
		break;
	case LOAD_NEWER:
		note(c, CHECK_NEWER, path, id);
		break;
	case LOAD_ERROR:
		note(c, CHECK_UNREADABLE, path, id);
		break;
	}
	spool_loaded_free(&loaded);
}

/* Whose it is and what it is; false: it is not to be opened. */
static bool check_kind_of_file(struct check *c, const char *path, uint64_t id, const struct stat *st)
{
	if (!S_ISREG(st->st_mode)) {
		note(c, CHECK_NOT_A_FILE, path, id);
		return false;
	}
	if (st->st_nlink > 1)
		note(c, CHECK_LINKED, path, id);
	if (st->st_uid != c->owner)
		note(c, CHECK_OWNER, path, id);
	else if ((st->st_mode & 077) != 0)
		note(c, CHECK_MODE, path, id);
	return true;
}

struct place {
	enum spool_folder folder;
	unsigned bucket;
	int fd; /* of the folder; borrowed */
	const char *folder_path;
};

struct ids {
	uint64_t *at;
	size_t count, max;
};

static void check_name(struct check *c, const struct place *p, const char *name, struct ids *ids)
{
	char path[PATH_BYTES];
	struct stat st;
	uint64_t id = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", p->folder_path, name);
	if (fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return; /* gone meanwhile */
	if (!id_parse(slice_of(name), &id)) {
		note(c, CHECK_NOT_A_MESSAGE, path, 0);
		return;
	}
	if (!check_kind_of_file(c, path, id, &st))
		return;
	if ((id & (SPOOL_BUCKETS - 1)) != p->bucket) {
		note(c, CHECK_WRONG_FOLDER, path, id);
		return;
	}
	if (p->folder == SPOOL_CORRUPT_FOLDER) {
		c->counts.corrupt++;
		return;
	}
	c->counts.messages++;
	c->counts.held += p->folder == SPOOL_HOLD;
	c->counts.bytes += (uint64_t)st.st_size;
	if (id > c->mark && !is_young(&st))
		note(c, CHECK_ABOVE_MARK, path, id);
	check_content(c, path, id, &st);
	if (ids->count < ids->max)
		ids->at[ids->count++] = id;
}

static void check_folder(struct check *c, struct place *p, struct ids *ids)
{
	struct dirent *entry;
	DIR *dir;
	int fd = c->spool->ops->openat(c->spool->root, p->folder_path, O_RDONLY | O_DIRECTORY, 0);

	dir = fd == -1 ? NULL : fdopendir(fd);
	if (fd == -1 && errno == ENOENT)
		return; /* nothing was ever put there */
	if (dir == NULL) {
		if (fd != -1)
			(void)close(fd);
		note(c, CHECK_FOLDER_UNREADABLE, p->folder_path, 0);
		return;
	}
	p->fd = fd;
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			check_name(c, p, entry->d_name, ids);
	(void)closedir(dir);
}

/* ---- a bucket ---- */

static int by_number(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Sorted; what stands in it twice was found in two folders, and still is. */
static void check_twice(struct check *c, struct ids *ids)
{
	char path[SPOOL_PATH_BYTES];
	size_t kept = 0;

	qsort(ids->at, ids->count, sizeof(*ids->at), by_number);
	for (size_t i = 0; i < ids->count; i++) {
		if (kept > 0 && ids->at[kept - 1] == ids->at[i]) {
			unsigned found = 0;

			for (enum spool_folder f = SPOOL_NEW; f <= SPOOL_HOLD; f++) {
				struct stat st;

				spool_path(path, f, ids->at[i]);
				found += fstatat(c->spool->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
			}
			if (found > 1)
				note(c, CHECK_TWICE, "", ids->at[i]);
			c->counts.messages--;
			continue;
		}
		ids->at[kept++] = ids->at[i];
	}
	ids->count = kept;
}

void check_bucket(struct check *c, unsigned bucket, uint64_t *ids, size_t max, size_t *count_out)
{
	static const enum spool_folder folders[] = {SPOOL_NEW, SPOOL_CUR, SPOOL_HOLD, SPOOL_CORRUPT_FOLDER};
	struct ids found = {ids, 0, max};
	char path[SPOOL_PATH_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		struct place p = {folders[i], bucket, -1, path};

		spool_bucket_path(path, folders[i], bucket);
		check_folder(c, &p, &found);
	}
	if (found.count > 0)
		check_twice(c, &found);
	*count_out = found.count;
}

void check_rows(struct check *c, const uint64_t *ids, size_t count, const uint64_t *rows, size_t row_count)
{
	c->counts.rows += row_count;
	for (size_t i = 0; i < row_count; i++)
		if ((count == 0 || bsearch(&rows[i], ids, count, sizeof(*ids), by_number) == NULL) && !spool_has(c->spool, rows[i]))
			note(c, CHECK_NO_FILE, "", rows[i]);
}

void check_drafts(struct check *c)
{
	struct dirent *entry;
	int fd = c->spool->ops->openat(c->spool->root, spool_folder_name(SPOOL_DRAFT), O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL && fd != -1)
		(void)close(fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		c->counts.drafts += entry->d_name[0] != '.';
	if (dir != NULL)
		(void)closedir(dir);
}
