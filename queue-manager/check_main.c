#include "check_main.h"

#include "base/log.h"
#include "base/mem.h"
#include "check.h"
#include "check_rows.h"
#include "index.h"
#include "os/cage.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define EX_TEMPFAIL 75
#define BUCKET_IDS 20000u
#define INDEX_FILE "index.db"

static struct buf rows; /* of a page */

static void on_finding(const struct check_finding *f, void *arg)
{
	(void)arg;
	check_rows_add_finding(&rows, f, false);
}

static bool write_page(void)
{
	unsigned char head[8];
	bool done;

	for (int i = 0; i < 8; i++)
		head[i] = (unsigned char)(rows.len >> (56 - 8 * i));
	done = os_write_all(STDOUT_FILENO, slice_make((const char *)head, sizeof(head))) &&
	       os_write_all(STDOUT_FILENO, buf_slice(&rows));
	buf_clear(&rows);
	return done;
}

static bool enter(int root)
{
	static const struct cage_spec spec = {.calls = CALLS_FILES_READ};
	const struct cage_path path = {root, false};
	const struct cage_order order = {
		.uid = getuid(), .gid = getgid(), .root_fd = root, .paths = &path, .path_count = 1, .require = ""};
	char missing[CAGE_MISSING_BYTES], why[256];

	if (cage_enter(&spec, &order, missing, why, sizeof(why)))
		return true;
	fprintf(stderr, "postern: the check cannot shut its cage: %s\n", why);
	return false;
}

/* Without its write-ahead log, which an orderly stop removes, the file is not the whole index.  A FIFO in its place is not opened. */
static struct index *look_at_index(void)
{
	struct index *ix;
	struct stat st;

	if (fstatat(AT_FDCWD, INDEX_FILE, &st, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode)) {
		fputs("postern: there is no index; the files alone are checked\n", stderr);
		return NULL;
	}
	if (fstatat(AT_FDCWD, INDEX_FILE "-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0) {
		fputs("postern: the index was not closed in order; the files alone are checked\n", stderr);
		return NULL;
	}
	ix = index_look(INDEX_FILE);
	if (ix == NULL)
		fputs("postern: the index cannot be read; the files alone are checked\n", stderr);
	return ix;
}

static void check_index(struct check *c, struct index *ix, unsigned bucket, uint64_t *ids, size_t count, uint64_t *row_ids)
{
	size_t row_count = 0, missing = 0;

	if (ix == NULL || count == BUCKET_IDS)
		return;
	if (!index_bucket(ix, bucket, row_ids, BUCKET_IDS, &row_count)) {
		fprintf(stderr, "postern: %s\n", index_trouble(ix));
		return;
	}
	check_rows(c, ids, count, row_ids, row_count);
	if (!index_missing(ix, ids, count, &missing))
		return;
	for (size_t i = 0; i < missing; i++) {
		c->counts.findings++;
		on_finding(&(struct check_finding){CHECK_NOT_IN_INDEX, "", ids[i]}, NULL);
	}
}

static bool check_all(struct spool *spool, struct index *ix)
{
	struct check c = {.spool = spool, .owner = getuid(), .mark = spool_mark(spool), .note = on_finding};
	uint64_t *ids = mem_new(BUCKET_IDS, sizeof(*ids)), *row_ids = mem_new(BUCKET_IDS, sizeof(*row_ids));
	bool done = ids != NULL && row_ids != NULL;

	check_drafts(&c);
	for (unsigned bucket = 0; done && bucket < SPOOL_BUCKETS; bucket++) {
		size_t count;

		check_bucket(&c, bucket, ids, BUCKET_IDS, &count);
		check_index(&c, ix, bucket, ids, count, row_ids);
		if (rows.len > 32768 || bucket + 1 == SPOOL_BUCKETS) {
			check_rows_add_counts(&rows, &c.counts);
			c.counts = (struct check_counts){0};
			done = write_page();
		}
	}
	free(ids);
	free(row_ids);
	return done;
}

int check_main(void)
{
	static const struct spool_config config = {.ops = &spool_ops_real};
	int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	struct spool *spool;
	struct index *ix;
	bool done;

	rows = buf_make(16u << 20);
	if (getuid() == 0 || root == -1 || !enter(root))
		return EX_TEMPFAIL;
	spool = spool_look(root, &config, &err);
	if (spool == NULL) {
		fprintf(stderr, "postern: the spool cannot be read: %s\n", strerrordesc_np(err));
		return EX_TEMPFAIL;
	}
	ix = look_at_index();
	done = check_all(spool, ix);
	index_close(&ix);
	spool_close(&spool);
	return done ? 0 : EX_TEMPFAIL;
}
