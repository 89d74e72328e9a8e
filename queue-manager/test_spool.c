/*
 * The spool on a real folder, with every call failed in turn, and with the power cut at every call: what was told DONE is
 * there, what was not is never read as a message.
 */
#include "spool.h"

#include "base/id.h"
#include "base/mem.h"
#include "crc32c.h"
#include "spool_private.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- calls that fail when told to ---- */

static unsigned calls, fail_at;
static int fail_with; /* 0: die instead */
static bool short_writes, and_all_after;

static bool due(void)
{
	calls++;
	if (calls != fail_at && (!and_all_after || fail_at == 0 || calls < fail_at))
		return false;
	if (fail_with == 0)
		_exit(7);
	errno = fail_with;
	return true;
}

static int t_openat(int dir, const char *path, int flags, mode_t mode)
{
	return due() ? -1 : spool_ops_real.openat(dir, path, flags, mode);
}

static ssize_t t_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	struct iovec little = parts[0];

	if (due())
		return -1;
	if (!short_writes)
		return spool_ops_real.pwritev(fd, parts, count, offset);
	little.iov_len = little.iov_len > 3 ? 3 : little.iov_len;
	return spool_ops_real.pwritev(fd, &little, 1, offset);
}

static ssize_t t_pread(int fd, void *into, size_t len, off_t offset)
{
	return due() ? -1 : spool_ops_real.pread(fd, into, len, offset);
}

static int t_begin_sync(int fd)
{
	return due() ? -1 : spool_ops_real.begin_sync(fd);
}

static int t_fsync(int fd)
{
	return due() ? -1 : spool_ops_real.fsync(fd);
}

static int t_fdatasync(int fd)
{
	return due() ? -1 : spool_ops_real.fdatasync(fd);
}

static int t_close(int fd)
{
	int result = spool_ops_real.close(fd);

	return due() ? -1 : result;
}

static int t_unlinkat(int dir, const char *path, int flags)
{
	return due() ? -1 : spool_ops_real.unlinkat(dir, path, flags);
}

static int t_rename(int dir, const char *from, const char *to)
{
	return due() ? -1 : spool_ops_real.rename(dir, from, to);
}

static int t_mkdirat(int dir, const char *path, mode_t mode)
{
	return due() ? -1 : spool_ops_real.mkdirat(dir, path, mode);
}

static int t_fstat(int fd, struct stat *out)
{
	return due() ? -1 : spool_ops_real.fstat(fd, out);
}

static int t_lease(int fd)
{
	return due() ? -1 : spool_ops_real.lease(fd);
}

static int t_fstatfs(int fd, struct statfs *out)
{
	return spool_ops_real.fstatfs(fd, out);
}

static const struct spool_ops test_ops = {
	t_openat, t_pwritev, t_pread, t_begin_sync, t_fsync, t_fdatasync, t_close, t_unlinkat, t_rename, t_mkdirat, t_fstat, t_fstatfs, t_lease,
};

static void arm(unsigned at, int err)
{
	calls = 0;
	fail_at = at;
	fail_with = err;
}

/* ---- a folder ---- */

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-spool-XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
	char command[100];
	pid_t child = fork();

	(void)state;
	(void)command;
	if (child == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	(void)waitpid(child, NULL, 0);
	return 0;
}

static struct spool *open_spool(bool sync_folders)
{
	const struct spool_config config = {&test_ops, sync_folders, 0};
	int err, root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct spool *sp;

	arm(0, EIO);
	assert_true(root >= 0);
	sp = spool_open(root, &config, &err);
	assert_int_equal(err, 0);
	assert_non_null(sp);
	return sp;
}

/* ---- messages ---- */

static const char body[] = "Subject: x\r\n\r\nhello\r\n";

struct made {
	struct spool_mail mail;
	struct spool_rcpt rcpts[3];
	struct buf head, tail;
};

static void make_message(struct made *m, uint64_t id, size_t rcpt_count)
{
	*m = (struct made){.mail = {.id = id}, .head = buf_make(1u << 16), .tail = buf_make(1u << 16)};
	m->mail.sender = slice_of("a@example.test");
	m->mail.rcpts = m->rcpts;
	m->mail.rcpt_count = rcpt_count;
	for (size_t i = 0; i < rcpt_count; i++)
		m->rcpts[i].address = slice_of("b@example.test");
	assert_true(spool_encode_head(&m->mail, &m->head));
	m->mail.body_offset = m->head.len;
	m->mail.body_length = sizeof(body) - 1;
}

static void free_message(struct made *m)
{
	buf_free(&m->head);
	buf_free(&m->tail);
}

static bool is_left; /* the last that could not be made */

static enum outcome create(struct spool *sp, uint64_t id, int *fd_out, int *err)
{
	struct spool_new file = {.id = id, .folder = SPOOL_NEW};
	struct made m;
	struct iovec parts[3];
	enum outcome outcome;

	make_message(&m, id, 2);
	assert_true(spool_encode_tail(&m.mail, crc32c(crc32c(0, buf_slice(&m.head)), slice_of(body)), &m.tail));
	parts[0] = (struct iovec){m.head.at, m.head.len};
	parts[1] = (struct iovec){(void *)(uintptr_t)body, sizeof(body) - 1};
	parts[2] = (struct iovec){m.tail.at, m.tail.len};
	spool_new_write(sp, &file, parts, 3);
	outcome = spool_new_sync(sp, &file, fd_out);
	*err = file.err;
	is_left = file.is_left;
	free_message(&m);
	return outcome;
}

/* As a worker that receives a large body. */
static enum outcome create_by_draft(struct spool *sp, uint64_t id, int keep_open, int *err)
{
	struct made m;
	struct spool_draft draft;
	enum outcome outcome;
	int fd, kept = -1;

	make_message(&m, id, 2);
	is_left = false;
	outcome = spool_draft_open(sp, id, buf_slice(&m.head), &fd, err);
	if (outcome == OC_DONE) {
		assert_int_equal(pwrite(fd, body, sizeof(body) - 1, (off_t)m.head.len), sizeof(body) - 1);
		if (keep_open)
			kept = dup(fd);
		(void)close(fd);
		draft = (struct spool_draft){id, SPOOL_NEW, buf_slice(&m.head), &m.mail, &m.tail, 0, false};
		outcome = spool_draft_commit(sp, &draft, NULL, err);
		is_left = draft.is_left;
		if (kept != -1)
			(void)close(kept);
	}
	free_message(&m);
	return outcome;
}

static enum spool_load load(struct spool *sp, uint64_t id, struct spool_loaded *loaded)
{
	int err;

	return spool_load(sp, id, loaded, &err);
}

static void assert_is_there(struct spool *sp, uint64_t id)
{
	struct spool_loaded loaded;
	char text[64];

	assert_int_equal(load(sp, id, &loaded), LOAD_OK);
	assert_int_equal(loaded.mail.body_length, sizeof(body) - 1);
	assert_int_equal(spool_read_body(sp, &loaded.mail, loaded.folder, text, sizeof(text)), sizeof(body) - 1);
	assert_memory_equal(text, body, sizeof(body) - 1);
	spool_loaded_free(&loaded);
}

static void assert_is_no_message(struct spool *sp, uint64_t id)
{
	struct spool_loaded loaded;
	enum spool_load result = load(sp, id, &loaded);

	assert_true(result == LOAD_NOT_THERE || result == LOAD_UNFINISHED);
	spool_loaded_free(&loaded);
}

/* ---- tests ---- */

static void test_create_and_read(void **state)
{
	struct spool *sp = open_spool(false);
	int fd, err;

	(void)state;
	assert_int_equal(create(sp, 1000, &fd, &err), OC_DONE);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	(void)close(fd);
	assert_is_there(sp, 1000);
	assert_int_equal(create(sp, 1000, NULL, &err), OC_IO_ERROR); /* never over another */
	assert_is_there(sp, 1000);
	assert_int_equal(create_by_draft(sp, 1001, 0, &err), OC_DONE);
	assert_is_there(sp, 1001);
	spool_close(&sp);
}

typedef enum outcome create_fn(struct spool *sp, uint64_t id, int *err);

static enum outcome by_whole(struct spool *sp, uint64_t id, int *err)
{
	return create(sp, id, NULL, err);
}

static enum outcome by_draft(struct spool *sp, uint64_t id, int *err)
{
	return create_by_draft(sp, id, 0, err);
}

static create_fn *const ways[] = {by_whole, by_draft};
static const char *const way_names[] = {"whole", "draft"};
static const int errors[] = {ENOSPC, EIO, EDQUOT, EINTR, EMFILE, ENOMEM};

/* The n-th call fails, for every n and every error: it is DONE and there, or a temporary outcome and not there. */
static void test_every_call_fails(void **state)
{
	struct spool *sp = open_spool(true);
	uint64_t id = 5000;

	(void)state;
	for (size_t way = 0; way < ARRAY_LEN(ways); way++)
		for (size_t e = 0; e < ARRAY_LEN(errors); e++)
			for (unsigned n = 1;; n++) {
				enum outcome outcome;
				unsigned made;
				int err;

				id += (1ull << 40) + 33; /* beyond the mark each time, and in a bucket of its own: both are on the way too */
				short_writes = n % 2 == 0;
				arm(n, errors[e]);
				outcome = ways[way](sp, id, &err);
				made = calls;
				arm(0, EIO);
				short_writes = false;
				if (outcome == OC_DONE) {
					assert_is_there(sp, id);
				} else {
					assert_int_equal(outcome_kind(outcome), KIND_TEMP);
					if (errors[e] == ENOSPC || errors[e] == EDQUOT)
						assert_int_equal(outcome, OC_SPOOL_FULL);
					assert_is_no_message(sp, id);
					assert_false(is_left && spool_has(sp, id));
				}
				if (made < n)
					break;
				assert_true(n < 400);
			}
	spool_close(&sp);
	for (size_t e = 0; e < 3; e++)
		printf("ROW C03 spool-accept-errno-%d pass\n", errors[e]);
}

/* What is left says that nobody waits any more, and goes once the disk lets it. */
static void end_what_is_left(struct spool *sp, uint64_t id)
{
	struct spool_loaded loaded;
	enum spool_load found = load(sp, id, &loaded);

	if (found == LOAD_OK) {
		assert_int_equal(spool_write_slots(sp, id, loaded.folder, loaded.mail.slots_offset, slice_of("XX")), 0);
		spool_loaded_free(&loaded);
		assert_int_equal(load(sp, id, &loaded), LOAD_OK);
		assert_true(slice_eq(loaded.mail.slots, slice_of("XX")));
	}
	spool_loaded_free(&loaded);
	assert_int_equal(spool_remove(sp, id, SPOOL_NEW), 0);
}

/* From the n-th call on all fail: whoever is told of a failure is told, too, of a file that is still there. */
static void test_the_disk_turns_read_only(void **state)
{
	struct spool *sp = open_spool(true);
	uint64_t id = 7ull << 56;
	unsigned whole = 0;

	(void)state;
	for (size_t way = 0; way < ARRAY_LEN(ways); way++)
		for (unsigned n = 1;; n++) {
			enum outcome outcome;
			unsigned made;
			int err;

			id += 1ull << 40;
			and_all_after = true;
			arm(n, EROFS);
			outcome = ways[way](sp, id, &err);
			made = calls;
			arm(0, EIO);
			and_all_after = false;
			if (outcome != OC_DONE) {
				struct spool_loaded loaded;

				whole += load(sp, id, &loaded) == LOAD_OK;
				spool_loaded_free(&loaded);
				assert_int_equal(is_left, spool_has(sp, id));
				if (is_left)
					end_what_is_left(sp, id);
			}
			if (made < n)
				break;
			assert_true(n < 400);
		}
	assert_true(whole > 2); /* else this test says nothing */
	spool_close(&sp);
	printf("ROW C03 spool-refused-is-told-of pass\n");
}

static size_t names_in_drafts(void)
{
	char path[80];
	DIR *dir;
	size_t count = 0;

	(void)snprintf(path, sizeof(path), "%s/draft", folder);
	dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* It is durable or it is not, and nothing of it stays: but where it cannot be removed, until the next start. */
static void test_a_probe(void **state)
{
	struct spool *sp = open_spool(true);
	uint64_t id = 9000;
	unsigned n = 1;

	(void)state;
	for (;; n++) {
		int err;

		id += 1ull << 40;
		arm(n, EIO);
		err = spool_probe(sp, id);
		if (calls < n) {
			assert_int_equal(err, 0);
			break;
		}
		assert_int_equal(err, EIO);
	}
	arm(0, EIO);
	assert_true(n > 8); /* the mark: open, write, sync, close; the file: the same; its folder, and its end */
	assert_int_equal(names_in_drafts(), 1); /* of the one whose unlink failed */
	spool_close(&sp);
	sp = open_spool(true);
	assert_int_equal(names_in_drafts(), 0);
	assert_int_equal(spool_probe(sp, id + (1ull << 40)), 0);
	assert_int_equal(names_in_drafts(), 0);
	spool_close(&sp);
}

/* The kernel takes three bytes at a time, of the mark too. */
static void test_short_writes(void **state)
{
	struct spool *sp = open_spool(true);
	uint64_t id = 3ull << 59;

	(void)state;
	for (size_t way = 0; way < ARRAY_LEN(ways); way++) {
		int err;

		id += 1ull << 40;
		short_writes = true;
		assert_int_equal(ways[way](sp, id, &err), OC_DONE);
		short_writes = false;
		assert_is_there(sp, id);
	}
	spool_close(&sp);
	sp = open_spool(true);
	assert_true(spool_mark(sp) >= id);
	spool_close(&sp);
}

/* A child dies at the n-th call; what it said DONE to (exit 0) is there, all else is no message. */
static void test_death_at_every_call(void **state)
{
	uint64_t id = 1ull << 61;

	(void)state;
	for (size_t way = 0; way < ARRAY_LEN(ways); way++) {
		for (unsigned n = 1;; n++) {
			struct spool *sp;
			pid_t child;
			int status, err;

			id += (1ull << 40) + 33; /* in a bucket of its own: its folders are made on the way */
			child = fork();
			if (child == 0) {
				sp = open_spool(true);
				arm(n, 0);
				_exit(ways[way](sp, id, &err) == OC_DONE ? 0 : 1);
			}
			assert_int_equal(waitpid(child, &status, 0), child);
			assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7));
			sp = open_spool(true); /* empties draft/ */
			if (WEXITSTATUS(status) == 0) {
				assert_is_there(sp, id);
			} else {
				struct spool_loaded loaded;
				enum spool_load found = load(sp, id, &loaded);

				/* whole, though not told (a duplicate at worst), or no message: never a part of one */
				assert_true(found == LOAD_OK || found == LOAD_NOT_THERE || found == LOAD_UNFINISHED);
				spool_loaded_free(&loaded);
				assert_true(spool_mark(sp) >= id || found == LOAD_NOT_THERE);
			}
			spool_close(&sp);
			if (WEXITSTATUS(status) == 0)
				break;
			assert_true(n < 200);
		}
		printf("ROW C02 spool-accept-%s pass\n", way_names[way]);
	}
}

static bool is_there(const char *path)
{
	char whole[128];

	(void)snprintf(whole, sizeof(whole), "%s/%s", folder, path);
	return access(whole, F_OK) == 0;
}

/* Folders of the fan come with the first message in them, in each folder; what could not be synced is not left. */
static void test_the_fan_grows(void **state)
{
	struct spool *sp = open_spool(true);
	bool moved;
	int err;

	(void)state;
	for (enum spool_folder f = 0; f < SPOOL_FOLDER_COUNT; f++)
		assert_true(is_there(spool_folder_name(f)));
	assert_false(is_there("new/3"));
	assert_int_equal(create(sp, 99, NULL, &err), OC_DONE); /* 3 * 32 + 3 */
	assert_true(is_there("new/3/3/0000000000033"));
	assert_false(is_there("cur/3"));
	assert_int_equal(spool_move(sp, 99, SPOOL_NEW, SPOOL_CUR, true, &moved), 0);
	assert_true(moved && is_there("cur/3/3/0000000000033"));
	assert_int_equal(spool_set_aside(sp, 99, SPOOL_CUR), 0);
	assert_true(is_there("corrupt/3/3/0000000000033"));
	arm(0, EIO);
	assert_int_equal(create(sp, 100, NULL, &err), OC_DONE);
	for (unsigned n = 1, made = 0; made == 0; n++) { /* a move in which each call fails, until none is left to fail */
		arm(n, EIO);
		err = spool_move(sp, 100, SPOOL_NEW, SPOOL_HOLD, true, &moved);
		made = err == 0;
		arm(0, EIO);
		assert_true(moved || is_there("new/3/4/0000000000034"));
		assert_true(n > 8 || !is_there("hold/3")); /* two folders, and open, sync, close of two above them */
		if (moved)
			assert_int_equal(spool_move(sp, 100, SPOOL_HOLD, SPOOL_NEW, true, &moved), 0);
		assert_true(n < 50);
	}
	spool_close(&sp);
	sp = open_spool(true); /* and are known to the next run */
	assert_int_equal(create(sp, 99, NULL, &err), OC_DONE);
	assert_is_there(sp, 99);
	spool_close(&sp);
}

/* Folders of the fan are made of inodes that were kept for them: what is promised, and what is kept for reports, is as it was. */
static void test_folders_that_may_be_needed(void **state)
{
	static const struct {
		enum spool_folder folder;
		uint64_t id;
		unsigned made;
	} rows[] = {{SPOOL_NEW, 9 * 32 + 7, 2}, {SPOOL_CUR, 9 * 32 + 7, 2}, {SPOOL_NEW, 9 * 32 + 8, 1}, {SPOOL_NEW, 9 * 32 + 8, 0},
		    {SPOOL_HOLD, 9 * 32 + 7, 2}, {SPOOL_CORRUPT_FOLDER, 9 * 32 + 7, 0}};
	struct spool *sp = open_spool(false);
	uint64_t missing = sp->folders_missing;

	(void)state;
	assert_in_range(missing, 3000, 3 * (32 + 1024));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		atomic_store(&sp->free_inodes, 64 + missing);
		assert_int_equal(spool_fan_ready(sp, rows[i].folder, rows[i].id), 0);
		missing -= rows[i].made;
		assert_int_equal(sp->folders_missing, missing);
		if (rows[i].folder == SPOOL_CORRUPT_FOLDER) /* for which nothing is kept */
			continue;
		assert_true(spool_has_room(sp, 1000));
		assert_false(spool_has_room(sp, 1000));
	}
	spool_close(&sp);
	sp = open_spool(false); /* the next run finds them */
	assert_int_equal(sp->folders_missing, missing);
	spool_close(&sp);
}

static void test_a_writer_is_left(void **state)
{
	struct spool *sp = open_spool(false);
	int err;

	(void)state;
	assert_int_equal(outcome_kind(create_by_draft(sp, 2000, 1, &err)), KIND_TEMP);
	assert_int_equal(err, EAGAIN);
	assert_is_no_message(sp, 2000);
	spool_close(&sp);
}

/* A worker that was taken over writes a whole message of its own, END and all, into its draft, and never commits. */
static void test_a_forged_draft_is_no_message(void **state)
{
	struct spool *sp = open_spool(false);
	struct made m;
	int fd, err;

	(void)state;
	make_message(&m, 3000, 1);
	assert_int_equal(spool_draft_open(sp, 3000, buf_slice(&m.head), &fd, &err), OC_DONE);
	assert_true(spool_encode_tail(&m.mail, crc32c(crc32c(0, buf_slice(&m.head)), slice_of(body)), &m.tail));
	assert_true(pwrite(fd, body, sizeof(body) - 1, (off_t)m.head.len) > 0);
	assert_true(pwrite(fd, m.tail.at, m.tail.len, (off_t)(m.head.len + sizeof(body) - 1)) > 0);
	(void)close(fd);
	assert_is_no_message(sp, 3000);
	spool_close(&sp);
	sp = open_spool(false);
	assert_is_no_message(sp, 3000);
	/* and one that writes over the head, then is committed: the head is ours again */
	assert_int_equal(spool_draft_open(sp, 3000, buf_slice(&m.head), &fd, &err), OC_DONE);
	buf_clear(&m.tail);
	assert_true(pwrite(fd, body, sizeof(body) - 1, (off_t)m.head.len) > 0);
	assert_true(pwrite(fd, "evil", 4, 40) == 4);
	(void)close(fd);
	assert_int_equal(spool_draft_commit(sp, &(struct spool_draft){3000, SPOOL_NEW, buf_slice(&m.head), &m.mail, &m.tail, 0, false},
					    NULL, &err),
			 OC_DONE);
	assert_is_there(sp, 3000);
	/* a body that is longer than was announced */
	free_message(&m);
	make_message(&m, 3001, 1);
	assert_int_equal(spool_draft_open(sp, 3001, buf_slice(&m.head), &fd, &err), OC_DONE);
	assert_true(pwrite(fd, "0123456789012345678901234567890", 31, (off_t)m.head.len) == 31);
	(void)close(fd);
	assert_int_equal(outcome_kind(spool_draft_commit(
				 sp, &(struct spool_draft){3001, SPOOL_NEW, buf_slice(&m.head), &m.mail, &m.tail, 0, false}, NULL, &err)),
			 KIND_TEMP);
	assert_int_equal(err, EMSGSIZE); /* and not what a sick disk says */
	free_message(&m);
	spool_close(&sp);
}

static void test_slots_moves_and_the_end(void **state)
{
	struct spool *sp = open_spool(false);
	struct spool_loaded loaded;
	bool moved = false;
	int err;

	(void)state;
	assert_int_equal(create(sp, 4000, NULL, &err), OC_DONE);
	assert_int_equal(load(sp, 4000, &loaded), LOAD_OK);
	assert_int_equal(spool_write_slots(sp, 4000, SPOOL_NEW, loaded.mail.slots_offset, slice_of("DW")), 0);
	spool_loaded_free(&loaded);
	assert_int_equal(load(sp, 4000, &loaded), LOAD_OK);
	assert_true(slice_eq(loaded.mail.slots, slice_of("DW")));
	spool_loaded_free(&loaded);
	assert_int_equal(spool_move(sp, 4000, SPOOL_NEW, SPOOL_CUR, false, &moved), 0);
	assert_int_equal(spool_move(sp, 4000, SPOOL_CUR, SPOOL_HOLD, true, &moved), 0);
	assert_true(moved);
	assert_true(spool_has(sp, 4000));
	assert_false(spool_has(sp, 4001));
	assert_int_equal(load(sp, 4000, &loaded), LOAD_OK);
	assert_int_equal(loaded.folder, SPOOL_HOLD);
	spool_loaded_free(&loaded);
	assert_int_equal(spool_remove(sp, 4000, SPOOL_HOLD), 0);
	assert_int_equal(spool_remove(sp, 4000, SPOOL_HOLD), ENOENT);
	spool_close(&sp);
}

static void test_corrupt_is_set_aside(void **state)
{
	struct spool *sp = open_spool(false);
	struct spool_loaded loaded;
	uint64_t ids[8];
	size_t count;
	int err, fd;
	char path[100], name[ID_CHARS + 1];

	(void)state;
	assert_int_equal(create(sp, 4100, NULL, &err), OC_DONE);
	id_text(4100, name);
	(void)snprintf(path, sizeof(path), "%s/new/%c/%c/%s", folder, name[11], name[12], name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 60), 1);
	(void)close(fd);
	assert_int_equal(load(sp, 4100, &loaded), LOAD_CORRUPT);
	assert_int_equal(spool_set_aside(sp, 4100, loaded.folder), 0);
	spool_loaded_free(&loaded);
	assert_int_equal(load(sp, 4100, &loaded), LOAD_NOT_THERE);
	spool_loaded_free(&loaded);
	assert_true(spool_list(sp, SPOOL_CORRUPT_FOLDER, 4100 & 1023, ids, 8, &count, &err));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 4100);
	/* under another name it is not that message */
	assert_int_equal(create(sp, 4200, NULL, &err), OC_DONE);
	assert_int_equal(spool_list(sp, SPOOL_NEW, 4200 & 1023, ids, 8, &count, &err), true);
	spool_close(&sp);
}

static void test_mark_survives(void **state)
{
	struct spool *sp = open_spool(false);
	int err;

	(void)state;
	assert_int_equal(create(sp, 1ull << 60, NULL, &err), OC_DONE);
	spool_close(&sp);
	sp = open_spool(false);
	assert_true(spool_mark(sp) >= 1ull << 60);
	spool_mark_exactly(sp, (1ull << 60) + 1);
	spool_close(&sp);
	sp = open_spool(false);
	assert_int_equal(spool_mark(sp), (1ull << 60) + 1);
	spool_close(&sp);
}

static void test_reserve(void **state)
{
	struct spool *sp = open_spool(false);

	(void)state;
	assert_true(spool_has_room(sp, 1000));
	assert_false(spool_has_room(sp, UINT64_MAX));
	spool_set_reserve(sp, UINT64_MAX);
	assert_false(spool_has_room(sp, 0));
	spool_close(&sp);
}

/* However many ask between two looks at the disk: what is kept for reports is not promised to any. */
static void test_inodes_are_promised_once(void **state)
{
	struct spool *sp = open_spool(false);
	unsigned promised = 0;

	(void)state;
	atomic_store(&sp->free_inodes, 100 + sp->folders_missing);
	while (promised < 1000 && spool_has_room(sp, 1000))
		promised++;
	assert_int_equal(promised, 100 - 63);
	spool_close(&sp);
	print_message("ROW R08 inodes-promised-once pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_fan_grows), /* in a spool that is new */
		cmocka_unit_test(test_folders_that_may_be_needed),
		cmocka_unit_test(test_create_and_read),
		cmocka_unit_test(test_every_call_fails),
		cmocka_unit_test(test_the_disk_turns_read_only),
		cmocka_unit_test(test_a_probe),
		cmocka_unit_test(test_short_writes),
		cmocka_unit_test(test_death_at_every_call),
		cmocka_unit_test(test_a_writer_is_left),
		cmocka_unit_test(test_a_forged_draft_is_no_message),
		cmocka_unit_test(test_slots_moves_and_the_end),
		cmocka_unit_test(test_corrupt_is_set_aside),
		cmocka_unit_test(test_mark_survives),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_inodes_are_promised_once),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
