#include "base/log.h"
#include "inherit.h"
#include "listen.h"
#include "master.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Before the configuration is read its `user_prefix` is not known. */
void prepare_reader_user(struct master *m)
{
	static const char *const names[] = {"postern-conf", "postern", "nobody"};
	const struct passwd *pw = NULL;

	m->conf_uid = 0;
	for (size_t i = 0; m->as_root && pw == NULL && i < sizeof(names) / sizeof(names[0]); i++)
		pw = getpwnam(names[i]);
	if (m->as_root && pw == NULL)
		log_fatal("there is no user postern-conf, postern or nobody to read the configuration as", 0);
	if (pw != NULL) {
		m->conf_uid = pw->pw_uid;
		m->conf_gid = pw->pw_gid;
	}
}

static const struct passwd *find_user(const char *prefix, const char *role)
{
	char name[256];
	int n = snprintf(name, sizeof(name), "%s-%s", prefix, role);
	const struct passwd *pw = n > 0 && (size_t)n < sizeof(name) ? getpwnam(name) : NULL;

	return pw != NULL ? pw : getpwnam(prefix);
}

/* The group called as all users' names begin, where the system lists the user in it: through it authd and policyd enter the folder of
 * the users database.  No other: that authd is in `shadow` is for its PAM children alone. */
static gid_t shared_group(const struct passwd *pw, const char *prefix)
{
	const struct group *shared = getgrnam(prefix);
	gid_t groups[64];
	int count = sizeof(groups) / sizeof(groups[0]);

	if (shared == NULL || getgrouplist(pw->pw_name, pw->pw_gid, groups, &count) == -1)
		return 0;
	for (int i = 0; i < count; i++)
		if (groups[i] == shared->gr_gid && groups[i] != pw->pw_gid)
			return groups[i];
	return 0;
}

static bool set_user(struct slot *s, const char *prefix, struct buf *why)
{
	const struct passwd *pw = find_user(prefix, role_name(s->row->role));

	if (pw == NULL || pw->pw_uid == 0 || pw->pw_gid == 0) {
		buf_addf(why, "there is no user %s-%s and no user %s (never root): make them with systemd-sysusers or useradd, or name "
			      "others by user_prefix\n",
			 prefix, role_name(s->row->role), prefix);
		return false;
	}
	s->uid = pw->pw_uid;
	s->gid = pw->pw_gid;
	s->group = shared_group(pw, prefix);
	return true;
}

/* A worker added later is of the same user as the first of its role: the users are looked up once, at start. */
bool prepare_slot_user(struct master *m, struct slot *s, struct buf *why)
{
	const struct slot *first = slot_find(m, s->row->role, 0);

	if (!m->as_root) {
		s->uid = getuid();
		s->gid = getgid();
		return true;
	}
	if (first != NULL && first->uid != 0) {
		s->uid = first->uid;
		s->gid = first->gid;
		s->group = first->group;
		return true;
	}
	return set_user(s, m->plan->user_prefix, why);
}

/* ---- folders ---- */

static bool complain(struct buf *why, const char *what, const char *path)
{
	buf_addf(why, "%s %s: %s\n", what, path, strerror(errno));
	return false;
}

/* Makes the folder when it is missing (not its parents), and opens it without following a link in its last part. */
static int open_folder(int beneath, const char *path, mode_t mode, struct buf *why)
{
	int fd;

	if (mkdirat(beneath, path, mode) == -1 && errno != EEXIST) {
		complain(why, "cannot make the folder", path);
		return -1;
	}
	fd = openat(beneath, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 && errno == EACCES)
		fd = openat(beneath, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		complain(why, "cannot open the folder", path);
	return fd;
}

static bool is_empty(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *found;
	size_t count = 0;

	if (dir == NULL) {
		os_close(&fd);
		return false;
	}
	while ((found = readdir(dir)) != NULL)
		count += strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0;
	closedir(dir);
	return count == 0;
}

/* Only an empty folder is given away: a configuration that names /etc as its spool must not get it. */
static bool own_spool(struct master *m, struct stat *st, struct buf *why)
{
	const struct slot *queue = slot_find(m, ROLE_QUEUE, 0);
	bool fresh = st->st_uid == getuid() && st->st_uid != queue->uid && m->as_root && is_empty(m->spool_fd);

	if (fresh && fchownat(m->spool_fd, "", queue->uid, queue->gid, AT_EMPTY_PATH) == 0)
		return true;
	if (!fresh && st->st_uid == queue->uid)
		return true;
	buf_addf(why, "the spool %s belongs to uid %u, and the queue runs as uid %u: chown it, or name another folder\n",
		 m->plan->spool, (unsigned)st->st_uid, (unsigned)queue->uid);
	return false;
}

static bool open_spool(struct master *m, struct buf *why)
{
	struct stat st;

	m->spool_fd = open_folder(AT_FDCWD, m->plan->spool, 0700, why);
	if (m->spool_fd == -1)
		return false;
	if (fstat(m->spool_fd, &st) == -1)
		return complain(why, "cannot look at", m->plan->spool);
	return own_spool(m, &st, why);
}

/* Who may write here could put another socket, or a link, in the place of ours. */
static bool open_runtime(struct master *m, struct buf *why)
{
	const char *path = m->plan->runtime;
	struct stat st;

	m->runtime_fd = open_folder(AT_FDCWD, path, 0755, why);
	if (m->runtime_fd == -1)
		return false;
	if (fstat(m->runtime_fd, &st) == -1)
		return complain(why, "cannot look at", path);
	if (st.st_uid == getuid() && (st.st_mode & 022) == 0)
		return true;
	buf_addf(why, "the runtime folder %s must belong to uid %u and be writable by nobody else (it is uid %u, mode %04o)\n", path,
		 (unsigned)getuid(), (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
	return false;
}

static bool open_empty(struct master *m, struct buf *why)
{
	m->empty_fd = open_folder(m->runtime_fd, "empty", 0555, why);
	if (m->empty_fd == -1)
		return false;
	return fchmod(m->empty_fd, 0555) == 0 || complain(why, "cannot close to writing", "empty");
}

static bool open_sockets(struct master *m, struct buf *why)
{
	const char *folder = m->plan->runtime;

	/* A trial leaves those of the running master where they are. */
	if (m->options->trial || inherit_named(m->runtime_fd, &m->control_fd, &m->submission_fd))
		return true;
	m->control_fd = listen_unix(m->runtime_fd, folder, "control", SOCK_SEQPACKET, 0600, why);
	m->submission_fd = listen_unix(m->runtime_fd, folder, "submission", SOCK_STREAM, 0666, why);
	return m->control_fd >= 0 && m->submission_fd >= 0;
}

bool prepare_folders(struct master *m, struct buf *why)
{
	return open_spool(m, why) && open_runtime(m, why) && open_empty(m, why) && open_sockets(m, why);
}
