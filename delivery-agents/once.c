#include "once.h"

#include "base/clock.h"
#include "base/mem.h"
#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME ".postern-vacation"
#define FRESH_NAME ".postern-vacation.new"
#define FILE_MAX (ONCE_LINES_MAX * 40u)

/* FNV-1a: whoever makes two of them the same misses an answer, no more. */
static uint64_t hash(uint64_t h, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)ascii_lower(s.at[i])) * 0x100000001b3u;
	return (h ^ 0xff) * 0x100000001b3u;
}

static int open_folder(int base_fd, struct slice folder)
{
	char path[MAILDIR_PATH_MAX];

	if (!slice_copy(folder.len == 0 ? slice_of(".") : folder, path, sizeof(path)))
		return -1;
	return beneath_open(base_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool read_all(int folder, struct buf *out)
{
	int fd = beneath_open(folder, NAME, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char piece[8192];
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return errno == ENOENT;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		n = -1;
	while (n >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
		if (!buf_add(out, piece, (size_t)n))
			n = -1;
	close(fd);
	if (n < 0)
		buf_clear(out); /* what is no such file is begun anew */
	return true;
}

/* Those that still hold, without the oldest where there are too many.  True: the key is among them. */
static bool keep_lines(struct slice old, const char *key, struct buf *out)
{
	uint64_t now = (uint64_t)clock_wall_s(), until;
	struct slice line, rest = old, word;
	size_t lines = 0;
	bool found = false;

	while (slice_cut(&rest, '\n', &line))
		lines++;
	while (slice_cut(&old, '\n', &line)) {
		struct slice whole = line;

		if (lines-- >= ONCE_LINES_MAX || !slice_word(&line, &word) || !slice_u64(word, UINT64_MAX, &until) || until <= now)
			continue;
		found = found || slice_eq(slice_trim(line), slice_of(key));
		buf_add_slice(out, whole);
		buf_add_char(out, '\n');
	}
	return found;
}

static bool write_all(int folder, struct slice text)
{
	int fd;
	bool ok;

	(void)unlinkat(folder, FRESH_NAME, 0);
	fd = beneath_open(folder, FRESH_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, text.at, text.len) == (ssize_t)text.len;
	ok = close(fd) == 0 && ok;
	return ok && renameat(folder, FRESH_NAME, folder, NAME) == 0;
}

bool once_is_due(int base_fd, struct slice folder, struct slice key, struct slice to, uint64_t seconds)
{
	struct buf old = buf_make(FILE_MAX + 1), fresh = buf_make(FILE_MAX + 100);
	int fd = open_folder(base_fd, folder);
	char name[20];
	bool due = false;

	snprintf(name, sizeof(name), "%016" PRIx64, hash(hash(0xcbf29ce484222325u, key), to));
	if (fd >= 0 && read_all(fd, &old) && !keep_lines(buf_slice(&old), name, &fresh)) {
		buf_addf(&fresh, "%" PRIu64 " %s\n", (uint64_t)clock_wall_s() + seconds, name);
		due = buf_ok(&fresh) && write_all(fd, buf_slice(&fresh));
	}
	if (fd >= 0)
		close(fd);
	buf_free(&old);
	buf_free(&fresh);
	return due;
}
