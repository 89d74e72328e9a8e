#include "quota.h"

#include "base/clock.h"
#include "base/mem.h"
#include "maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define JUST_NOW_S (15 * 60)
#define SIZE_MAX_SAID (1ull << 40) /* of one message, in a name: what is above it is not believed */

struct usage {
	int64_t bytes, files;
	bool is_fresh; /* counted in this call, or so lately that nothing else can be said */
};

/* ---- counting ---- */

/* "…,S=1234:2,S" says it; else the file itself.  Whoever owns the mailbox may have written the name. */
static bool size_of_name(const char *name, uint64_t *out)
{
	const char *at = strstr(name, ",S=");
	struct slice digits;

	if (at == NULL)
		return false;
	digits = slice_of(at + 3);
	digits.len = strspn(digits.at, "0123456789");
	return slice_u64(digits, SIZE_MAX_SAID, out);
}

static void count_bytes(struct usage *u, uint64_t bytes, unsigned files)
{
	u->bytes = maildirsize_add(u->bytes, bytes > MAILDIRSIZE_COUNT_MAX ? MAILDIRSIZE_COUNT_MAX : (int64_t)bytes);
	u->files = maildirsize_add(u->files, files);
}

static void count_file(int folder, const char *name, struct usage *u)
{
	uint64_t bytes;
	struct stat st;

	if (name[0] == '.')
		return;
	if (!size_of_name(name, &bytes)) {
		if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode))
			return;
		bytes = (uint64_t)st.st_size;
	}
	count_bytes(u, bytes, 1);
}

/* A folder that is not there holds nothing. */
static bool each_name(int parent, const char *name, void (*fn)(int folder, const char *name, struct usage *u), struct usage *u)
{
	int fd = beneath_open(parent, name, O_RDONLY | O_DIRECTORY);
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return false;
	}
	errno = 0;
	while ((entry = readdir(dir)) != NULL) {
		fn(dirfd(dir), entry->d_name, u);
		errno = 0;
	}
	bool ok = errno == 0;

	closedir(dir);
	return ok;
}

static bool count_messages(int maildir, struct usage *u)
{
	return each_name(maildir, "new", count_file, u) && each_name(maildir, "cur", count_file, u);
}

static void count_folder(int top, const char *name, struct usage *u)
{
	int fd;

	if (name[0] != '.' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".Trash") == 0)
		return;
	fd = beneath_open(top, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return;
	(void)count_messages(fd, u);
	close(fd);
}

static bool count_all(int top, struct usage *u)
{
	*u = (struct usage){.is_fresh = true};
	return count_messages(top, u) && each_name(top, ".", count_folder, u);
}

/* Nobody may read half of it: a file of its own, renamed.  Without it the next delivery counts again. */
static void write_usage(int top, const struct quota_limit *limit, const struct usage *u)
{
	const struct maildirsize m = {.limit = *limit, .bytes = u->bytes, .files = u->files};
	struct buf text = buf_make(200);
	char name[64];
	int fd;

	maildirsize_print(&text, &m);
	snprintf(name, sizeof(name), "tmp/maildirsize.%" PRIu64 ".%ld", clock_mono_ms(), (long)getpid());
	fd = buf_ok(&text) ? beneath_open(top, name, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK) : -1;
	if (fd >= 0 && (write(fd, text.at, text.len) != (ssize_t)text.len || renameat(top, name, top, MAILDIRSIZE_NAME) == -1))
		(void)unlinkat(top, name, 0);
	if (fd >= 0)
		close(fd);
	buf_free(&text);
}

/* ---- the file ---- */

/* A limit of messages that is not ours may stand there. */
static bool says_limit(const struct maildirsize *m, const struct quota_limit *limit)
{
	return m->limit.bytes == limit->bytes && (limit->messages == 0 || m->limit.messages == limit->messages);
}

static bool look_at_file(int top, const struct quota_limit *limit, struct usage *u)
{
	char text[MAILDIRSIZE_BYTES_MAX + 1];
	int fd = beneath_open(top, MAILDIRSIZE_NAME, O_RDONLY | O_NONBLOCK);
	struct maildirsize m;
	struct stat st;
	ssize_t n;

	*u = (struct usage){.is_fresh = false};
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text));
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || n <= 0 || n > MAILDIRSIZE_BYTES_MAX) {
		close(fd);
		return false;
	}
	close(fd);
	if (!maildirsize_read(slice_make(text, (size_t)n), &m) || !says_limit(&m, limit))
		return false;
	*u = (struct usage){m.bytes, m.files, m.changes <= 1 && clock_wall_s() - (int64_t)st.st_mtim.tv_sec < JUST_NOW_S};
	return true;
}

static void append(int top, int64_t bytes, int files)
{
	char text[64];
	int fd = beneath_open(top, MAILDIRSIZE_NAME, O_WRONLY | O_APPEND | O_NONBLOCK);
	int n = snprintf(text, sizeof(text), "%" PRId64 " %d\n", bytes, files);

	if (fd < 0) {
		if (errno == EAGAIN)
			(void)unlinkat(top, MAILDIRSIZE_NAME, 0); /* leased: counted again */
		return;
	}
	if (write(fd, text, (size_t)n) != n)
		(void)unlinkat(top, MAILDIRSIZE_NAME, 0); /* counted again */
	close(fd);
}

static int open_top(int base_fd, struct slice maildir)
{
	char path[MAILDIR_PATH_MAX];

	if (!slice_copy(maildir.len == 0 ? slice_of(".") : maildir, path, sizeof(path))) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return beneath_open(base_fd, path, O_RDONLY | O_DIRECTORY);
}

static bool has_room(const struct usage *u, const struct quota_limit *limit, uint64_t bytes)
{
	if (limit->bytes != 0 && ((uint64_t)u->bytes > limit->bytes || bytes > limit->bytes - (uint64_t)u->bytes))
		return false;
	return limit->messages == 0 || (uint64_t)u->files < limit->messages;
}

static void say_full(const struct usage *u, const struct quota_limit *limit, char text[MAILDIR_TEXT_BYTES])
{
	if (limit->messages != 0 && (uint64_t)u->files >= limit->messages)
		snprintf(text, MAILDIR_TEXT_BYTES, "%" PRId64 " of %" PRIu64 " messages are there", u->files, limit->messages);
	else
		snprintf(text, MAILDIR_TEXT_BYTES, "%" PRId64 " of %" PRIu64 " bytes are used", u->bytes, limit->bytes);
}

static enum outcome take(int top, const struct quota_limit *limit, struct quota_pending pending, uint64_t bytes,
			 char text[MAILDIR_TEXT_BYTES])
{
	struct usage u;
	bool known = look_at_file(top, limit, &u);

	if (!known || (!has_room(&u, limit, bytes) && !u.is_fresh)) {
		if (!count_all(top, &u))
			return body_fail(text, "counting the mailbox", errno);
		count_bytes(&u, pending.bytes, pending.files);
		write_usage(top, limit, &u);
	}
	if (!has_room(&u, limit, bytes)) {
		say_full(&u, limit, text);
		return OC_MAILBOX_FULL;
	}
	append(top, (int64_t)bytes, 1);
	return OC_DONE;
}

enum outcome quota_take(int base_fd, struct slice maildir, const struct quota_limit *limit, struct quota_pending pending, uint64_t bytes,
			char text[MAILDIR_TEXT_BYTES])
{
	int top = open_top(base_fd, maildir);
	enum outcome outcome;

	if (top < 0)
		return body_fail(text, "opening the mailbox", errno);
	outcome = take(top, limit, pending, bytes, text);
	close(top);
	return outcome;
}

void quota_give_back(int base_fd, struct slice maildir, uint64_t bytes)
{
	int top = open_top(base_fd, maildir);

	if (top < 0)
		return;
	append(top, -(int64_t)bytes, -1);
	close(top);
}
