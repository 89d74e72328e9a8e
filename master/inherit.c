#include "inherit.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int kept[INHERIT_MAX]; /* -1: taken */
static size_t kept_count;

/* ---- what it is ---- */

static bool has_option(int fd, int level, int name, int wanted)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 && value == wanted;
}

static bool listens(int fd, int domain, int type)
{
	return has_option(fd, SOL_SOCKET, SO_DOMAIN, domain) && has_option(fd, SOL_SOCKET, SO_TYPE, type) &&
	       has_option(fd, SOL_SOCKET, SO_ACCEPTCONN, 1);
}

static bool is_tcp(int fd)
{
	return listens(fd, AF_INET, SOCK_STREAM) ||
	       (listens(fd, AF_INET6, SOCK_STREAM) && has_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
}

static bool is_folder(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_ours(int fd)
{
	return is_tcp(fd) || listens(fd, AF_UNIX, SOCK_SEQPACKET) || listens(fd, AF_UNIX, SOCK_STREAM) || is_folder(fd);
}

static bool make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* ---- taking ---- */

static bool is_known(int fd)
{
	for (size_t i = 0; i < kept_count; i++)
		if (kept[i] == fd)
			return true;
	return false;
}

bool inherit_take(const char *list)
{
	struct slice rest = slice_of(list), one;
	uint64_t fd;

	while (slice_cut(&rest, ',', &one)) {
		if (!slice_u64(one, INT_MAX, &fd) || fd <= STDERR_FILENO || kept_count == INHERIT_MAX || is_known((int)fd) ||
		    fcntl((int)fd, F_SETFD, FD_CLOEXEC) == -1)
			return false;
		kept[kept_count++] = (int)fd;
	}
	return true;
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void inherit_close_others(int keep)
{
	int all[INHERIT_MAX + 1];
	unsigned from = STDERR_FILENO + 1;
	size_t count = 0;

	for (; count < kept_count; count++)
		all[count] = kept[count];
	if (keep > STDERR_FILENO)
		all[count++] = keep;
	qsort(all, count, sizeof(all[0]), by_number);
	for (size_t i = 0; i < count; i++) {
		if ((unsigned)all[i] > from)
			close_range(from, (unsigned)all[i] - 1, 0);
		from = (unsigned)all[i] + 1;
	}
	close_range(from, ~0u, 0);
	for (size_t i = 0; i < kept_count; i++)
		if (!is_ours(kept[i]) || (!is_folder(kept[i]) && !make_nonblocking(kept[i]))) {
			LOG(LEVEL_WARN, "inherited-descriptor-closed", KV_NUM("descriptor", kept[i]));
			os_close(&kept[i]);
		}
}

static int take(size_t i)
{
	int fd = kept[i];

	kept[i] = -1;
	return fd;
}

int inherit_tcp(const void *address, size_t len)
{
	for (size_t i = 0; i < kept_count; i++) {
		struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
		socklen_t at_len = sizeof(at);

		if (kept[i] >= 0 && is_tcp(kept[i]) && getsockname(kept[i], (struct sockaddr *)&at, &at_len) == 0 && at_len == len &&
		    memcmp(&at, address, len) == 0)
			return take(i);
	}
	return -1;
}

static bool is_same(int fd, int folder)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstat(folder, &b) == 0 && S_ISDIR(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static bool has_socket(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode);
}

static size_t find_unix(int type)
{
	size_t i = 0;

	while (i < kept_count && (kept[i] < 0 || !listens(kept[i], AF_UNIX, type)))
		i++;
	return i;
}

bool inherit_named(int folder, int *control_out, int *submission_out)
{
	size_t control = find_unix(SOCK_SEQPACKET), submission = find_unix(SOCK_STREAM);
	bool same = false;

	for (size_t i = 0; i < kept_count; i++)
		same = same || (kept[i] >= 0 && is_same(kept[i], folder));
	if (!same || control == kept_count || submission == kept_count || !has_socket(folder, "control") ||
	    !has_socket(folder, "submission"))
		return false;
	*control_out = take(control);
	*submission_out = take(submission);
	return true;
}

void inherit_end(void)
{
	for (size_t i = 0; i < kept_count; i++)
		os_close(&kept[i]);
	kept_count = 0;
}

/* ---- handing on ---- */

bool inherit_text(const int *fds, size_t count, struct buf *out)
{
	bool ok = count > 0 && count <= INHERIT_MAX;

	for (size_t i = 0; ok && i < count; i++)
		ok = buf_addf(out, i > 0 ? ",%d" : "%d", fds[i]);
	return ok;
}

bool inherit_keep(const int *fds, size_t count, bool keep)
{
	bool done = true;

	for (size_t i = 0; i < count; i++)
		done = fcntl(fds[i], F_SETFD, keep ? 0 : FD_CLOEXEC) == 0 && done;
	return done;
}
