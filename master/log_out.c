#include "log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

bool log_kind_of(struct slice setting, enum log_kind *out)
{
	static const struct {
		const char *name;
		enum log_kind kind;
	} kinds[] = {{"stderr", LOG_TO_STDERR}, {"syslog", LOG_TO_SYSLOG}, {"journald", LOG_TO_JOURNALD}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_eq(setting, slice_of(kinds[i].name))) {
			*out = kinds[i].kind;
			return true;
		}
	*out = LOG_TO_FILE;
	return setting.len > 1 && setting.at[0] == '/';
}

bool log_split_path(struct slice path, struct slice *folder_out, struct slice *name_out)
{
	size_t slash = slice_rindex(path, '/');

	if (path.len == 0 || path.at[0] != '/')
		return false;
	*name_out = slice_from(path, slash + 1);
	*folder_out = slice_sub(path, 0, slash == 0 ? 1 : slash);
	return name_out->len > 0 && name_out->len < 256 && !slice_eq(*name_out, slice_of(".")) &&
	       !slice_eq(*name_out, slice_of(".."));
}

void log_out_init(struct log_out *o, enum log_kind kind)
{
	*o = (struct log_out){.kind = kind, .folder_fd = -1, .fd = -1, .waiting = buf_make(LOG_WAITING_MAX)};
	o->socket_path = kind == LOG_TO_JOURNALD ? LOG_JOURNAL_SOCKET : LOG_SYSLOG_SOCKET;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool log_out_set_file(struct log_out *o, int folder_fd, struct slice name)
{
	int fd = fcntl(folder_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0 || !slice_copy(name, o->name, sizeof(o->name))) {
		close_fd(&fd);
		return false;
	}
	close_fd(&o->folder_fd);
	o->folder_fd = fd;
	return true;
}

void log_out_close(struct log_out *o)
{
	close_fd(&o->fd);
	close_fd(&o->folder_fd);
	buf_free(&o->waiting);
}

/* ---- opening ---- */

static bool fail(struct log_out *o, const char *what)
{
	snprintf(o->why, sizeof(o->why), "%s", what);
	return false;
}

static bool fail_errno(struct log_out *o, const char *what)
{
	struct slice why = log_errno_text(errno);

	snprintf(o->why, sizeof(o->why), "%s: %.*s", what, SLICE_ARG(why));
	return false;
}

/* A name that somebody planted (a hard link to another file, a FIFO, a device) is not ours to append to. */
static bool is_ours(struct log_out *o, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return fail_errno(o, "cannot look at the log file");
	if (!S_ISREG(st.st_mode))
		return fail(o, "the log file is not a regular file");
	if (st.st_nlink != 1)
		return fail(o, "the log file has a second name (a hard link)");
	return st.st_uid == geteuid() || fail(o, "the log file belongs to another user");
}

static bool open_file(struct log_out *o)
{
	struct open_how how = {
		.flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.mode = 0640,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, o->folder_fd, o->name, &how, sizeof(how));

	if (fd < 0)
		return fail_errno(o, "cannot open the log file");
	if (!is_ours(o, fd)) {
		close(fd);
		return false;
	}
	close_fd(&o->fd);
	o->fd = fd;
	return true;
}

static bool connect_socket(struct log_out *o)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	close_fd(&o->fd);
	if (!slice_copy(slice_of(o->socket_path), to.sun_path, sizeof(to.sun_path)))
		return fail(o, "the log socket's path is too long");
	o->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (o->fd < 0)
		return fail_errno(o, "cannot make a socket");
	if (connect(o->fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	fail_errno(o, o->socket_path);
	close_fd(&o->fd);
	return false;
}

bool log_out_open(struct log_out *o)
{
	bool open = true;

	switch (o->kind) {
	case LOG_TO_STDERR:
		break;
	case LOG_TO_FILE:
		open = open_file(o);
		break;
	case LOG_TO_SYSLOG:
	case LOG_TO_JOURNALD:
		open = connect_socket(o);
		break;
	}
	if (open)
		o->why[0] = '\0';
	return open;
}

static bool was_rotated(const struct log_out *o)
{
	struct stat named, open;

	if (fstat(o->fd, &open) == -1 || fstatat(o->folder_fd, o->name, &named, AT_SYMLINK_NOFOLLOW) == -1)
		return true;
	return named.st_dev != open.st_dev || named.st_ino != open.st_ino;
}

bool log_out_check(struct log_out *o)
{
	if (o->kind == LOG_TO_STDERR)
		return true;
	if (o->fd >= 0 && (o->kind != LOG_TO_FILE || !was_rotated(o)))
		return true;
	log_out_flush(o);
	return log_out_open(o);
}

/* ---- writing ---- */

/* A pipe or terminal takes this much without waiting once it is writable. */
#define SMALL_WRITE 4096u

/* How much `fd` surely takes now; 0: nothing. */
static size_t ready_bytes(int fd, size_t len)
{
	struct pollfd p = {fd, POLLOUT, 0};
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return len;
	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return 0;
	return len < SMALL_WRITE ? len : SMALL_WRITE;
}

static void write_waiting(struct log_out *o, int fd)
{
	size_t done = 0;

	while (done < o->waiting.len) {
		size_t len = ready_bytes(fd, o->waiting.len - done);
		ssize_t n = len == 0 ? 0 : write(fd, o->waiting.at + done, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	buf_take(&o->waiting, done);
}

void log_out_flush(struct log_out *o)
{
	if (o->waiting.len > 0)
		write_waiting(o, o->kind == LOG_TO_FILE && o->fd >= 0 ? o->fd : STDERR_FILENO);
}

static void add_line(struct log_out *o, const struct log_event *e)
{
	size_t before = o->waiting.len;

	if (log_render_line(e, &o->waiting))
		return;
	buf_undo(&o->waiting, before);
	o->dropped++;
}

static bool is_gone(int err)
{
	return err == ECONNREFUSED || err == ENOTCONN || err == ECONNRESET || err == EPIPE || err == EDESTADDRREQ;
}

/* The daemon that was restarted has a new socket under the old name. */
static bool send_datagram(struct log_out *o, struct slice bytes)
{
	for (int tries = 0; tries < 2; tries++) {
		if (o->fd >= 0 && send(o->fd, bytes.at, bytes.len, MSG_NOSIGNAL) >= 0)
			return true;
		if (o->fd >= 0 && !is_gone(errno))
			return false;
		if (!log_out_open(o))
			return false;
	}
	return false;
}

static void add_datagram(struct log_out *o, const struct log_event *e)
{
	struct buf bytes = buf_make(LOG_LINE_MAX + 1024);
	bool made = o->kind == LOG_TO_SYSLOG ? log_render_syslog(e, &bytes) : log_render_journal(e, &bytes);

	if (!made || !send_datagram(o, buf_slice(&bytes)))
		add_line(o, e); /* stderr is better than nothing */
	buf_free(&bytes);
}

void log_out_add(struct log_out *o, const struct log_event *e)
{
	if (o->kind == LOG_TO_SYSLOG || o->kind == LOG_TO_JOURNALD)
		add_datagram(o, e);
	else
		add_line(o, e);
}

uint64_t log_out_dropped(struct log_out *o)
{
	uint64_t n = o->dropped;

	o->dropped = 0;
	return n;
}
