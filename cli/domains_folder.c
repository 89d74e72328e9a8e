#include "domains_own.h"

#include "base/log.h"
#include "base/mem.h"
#include "file_at/file_at.h"
#include "mail/address.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * The domains as files of a folder.  The folder is locked while a command changes it; a name appears or changes by one rename, which
 * never replaces.  What a death leaves is `.adding-DOMAIN`, which the next command for that domain throws away.
 */
#define REMOVED ".removed-"
#define ADDING ".adding-"
#define NAME_BYTES 256u
#define LOCK_TRIES 50u
#define ALIASES_MAX (16u << 20)
#define LISTED_MAX 1000000u

static bool open_folder(struct domains *d, bool create, struct buf *why)
{
	(void)create;
	d->folder = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->folder == -1)
		buf_addf(why, "%s: %.*s", d->path, SLICE_ARG(log_errno_text(errno)));
	return d->folder != -1;
}

static enum outcome fail_errno(struct buf *why, const char *what)
{
	enum outcome oc = errno == ENOSPC || errno == EDQUOT ? OC_SPOOL_FULL : OC_IO_ERROR;

	buf_addf(why, "%s: %.*s", what, SLICE_ARG(log_errno_text(errno)));
	return oc;
}

/* ---- names ---- */

struct names {
	char served[NAME_BYTES], removed[NAME_BYTES], adding[NAME_BYTES];
};

static bool join(const char *prefix, struct slice domain, char out[NAME_BYTES])
{
	int n = snprintf(out, NAME_BYTES, "%s%.*s", prefix, SLICE_ARG(domain));

	return n > 0 && (size_t)n < NAME_BYTES;
}

static enum outcome make_names(struct slice domain, struct names *out, struct buf *why)
{
	if (!join(REMOVED, domain, out->removed) || !join(ADDING, domain, out->adding) || !join("", domain, out->served))
		return domains_fail(why, OC_BAD_INPUT, "the name is too long for a file's; keep the domains in a table of kind sqlite");
	return OC_DONE;
}

enum presence { ABSENT, PRESENT, OTHER };

static enum presence look(const struct domains *d, const char *name)
{
	struct stat st;

	if (fstatat(d->folder, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? ABSENT : OTHER;
	return S_ISREG(st.st_mode) ? PRESENT : OTHER;
}

static enum outcome is_other(const struct domains *d, const char *name, struct buf *why)
{
	buf_addf(why, "%s/%s is no file that can be read, or none of ours", d->path, name);
	return OC_NOT_ALLOWED;
}

/* ---- changes ---- */

/* Held until the folder is closed. */
static enum outcome lock(const struct domains *d, struct buf *why)
{
	const struct timespec pause = {0, 100000000};

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (flock(d->folder, LOCK_EX | LOCK_NB) == 0)
			return OC_DONE;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail_errno(why, d->path);
		(void)nanosleep(&pause, NULL);
	}
	return domains_fail(why, OC_BUSY, "another command changes the folder");
}

/* Never over another file, whoever makes one meanwhile; where the file system cannot promise that our lock has to do. */
static bool move(const struct domains *d, const char *from, const char *to)
{
	if (renameat2(d->folder, from, d->folder, to, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL)
		return false;
	if (look(d, to) != ABSENT) {
		errno = EEXIST;
		return false;
	}
	return renameat(d->folder, from, d->folder, to) == 0;
}

static enum outcome move_and_sync(const struct domains *d, const char *from, const char *to, struct buf *why)
{
	if (!move(d, from, to))
		return fail_errno(why, to);
	return fsync(d->folder) == 0 ? OC_DONE : fail_errno(why, d->path);
}

/* Of the folder's group, where we may give it: policyd is in that. */
static bool fill(const struct domains *d, int fd, struct slice domain)
{
	struct buf text = buf_make(1024);
	struct stat st;
	bool done;

	buf_addf(&text, "# The aliases of %.*s, one a line, such as\n# info: alice@example.org, bob\n# *: alice@example.org\n",
		 SLICE_ARG(domain));
	done = buf_ok(&text) && fstat(d->folder, &st) == 0 && os_write_all(fd, buf_slice(&text));
	if (done)
		(void)!fchown(fd, (uid_t)-1, st.st_gid);
	done = done && fchmod(fd, 0640) == 0 && fsync(fd) == 0;
	buf_free(&text);
	return done;
}

static enum outcome write_new(const struct domains *d, const struct names *n, struct slice domain, struct buf *why)
{
	enum outcome oc;
	int fd;

	(void)unlinkat(d->folder, n->adding, 0); /* of a command that died: we have the lock */
	fd = openat(d->folder, n->adding, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return fail_errno(why, d->path);
	oc = fill(d, fd, domain) ? OC_DONE : fail_errno(why, d->path);
	close(fd);
	if (oc == OC_DONE)
		oc = move_and_sync(d, n->adding, n->served, why);
	if (oc != OC_DONE)
		(void)unlinkat(d->folder, n->adding, 0);
	return oc;
}

static enum outcome begin(const struct domains *d, struct slice domain, struct names *n, struct buf *why)
{
	enum outcome oc = make_names(domain, n, why);

	return oc == OC_DONE ? lock(d, why) : oc;
}

static enum outcome add(struct domains *d, struct slice domain, struct buf *why)
{
	struct names n;
	enum outcome oc = begin(d, domain, &n, why);

	if (oc != OC_DONE)
		return oc;
	if (look(d, n.served) == PRESENT)
		return domains_fail(why, OC_NOT_ALLOWED, "there is such a domain already");
	if (look(d, n.served) == OTHER)
		return is_other(d, n.served, why);
	if (look(d, n.removed) != ABSENT)
		return domains_fail(why, OC_NOT_ALLOWED, "it was removed; `postern domain restore` brings it back");
	return write_new(d, &n, domain, why);
}

/* From one name to the other, if the one is there and the other is not. */
static enum outcome turn(struct domains *d, const char *from, const char *to, const char *done_already, struct buf *why)
{
	enum presence is = look(d, from);

	if (is == OTHER)
		return is_other(d, from, why);
	if (is == ABSENT && look(d, to) == ABSENT)
		return domains_fail(why, OC_NOT_FOUND, "there is no such domain");
	if (is == ABSENT)
		return domains_fail(why, OC_NOT_ALLOWED, done_already);
	if (look(d, to) == ABSENT)
		return move_and_sync(d, from, to, why);
	buf_addf(why, "%s/%s is in the way; move it aside", d->path, to);
	return OC_NOT_ALLOWED;
}

static enum outcome take_away(struct domains *d, struct slice domain, struct buf *why)
{
	struct names n;
	enum outcome oc = begin(d, domain, &n, why);

	return oc == OC_DONE ? turn(d, n.served, n.removed, "it is removed already", why) : oc;
}

static enum outcome restore(struct domains *d, struct slice domain, struct buf *why)
{
	struct names n;
	enum outcome oc = begin(d, domain, &n, why);

	return oc == OC_DONE ? turn(d, n.removed, n.served, "it is not removed", why) : oc;
}

/* ---- to look ---- */

/* When a file was made, where the file system keeps that; else when it was last written.  A rename is its last change of status. */
static bool tell(const struct domains *d, const char *file, struct slice name, bool removed, struct domains_entry *e)
{
	struct statx st;

	if (statx(d->folder, file, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) == -1 || !S_ISREG(st.stx_mode))
		return false;
	*e = (struct domains_entry){name, (st.stx_mask & STATX_BTIME) != 0 ? st.stx_btime.tv_sec : st.stx_mtime.tv_sec,
				    removed ? st.stx_ctime.tv_sec : 0, DOMAINS_UNCOUNTED};
	return true;
}

static size_t aliases_in(const struct domains *d, const char *file)
{
	struct buf text = buf_make(ALIASES_MAX);
	struct file_at at;
	struct file_at_mark mark;
	struct stat st;
	size_t count = DOMAINS_UNCOUNTED;

	if (file_at_init(&at, d->folder, slice_of(file)) && file_at_read(&at, &text, &st, &mark))
		count = domains_count_aliases(buf_slice(&text));
	buf_free(&text);
	return count;
}

static enum outcome find(struct domains *d, struct slice domain, domains_fn *fn, void *arg, struct buf *why)
{
	struct names n;
	struct domains_entry e;
	enum outcome oc = make_names(domain, &n, why);
	const char *file = n.served;

	if (oc != OC_DONE)
		return oc;
	if (!tell(d, file, domain, false, &e)) {
		file = n.removed;
		if (!tell(d, file, domain, true, &e))
			return domains_fail(why, OC_NOT_FOUND, "there is no such domain");
	}
	e.aliases = aliases_in(d, file);
	(void)fn(&e, arg);
	return OC_DONE;
}

struct found {
	char **names; /* owned, as is each */
	size_t count, cap;
};

/* The name of a domain, or of a removed one: canonical, as policyd would ask for it. */
static bool is_domain_file(const char *file, const char **domain_out)
{
	char canonical[MAIL_DOMAIN_MAX + 1];
	struct slice name = slice_of(file);

	if (slice_starts(name, slice_of(REMOVED)))
		name = slice_from(name, strlen(REMOVED));
	*domain_out = name.at;
	return mail_domain_parse(name, 0, canonical) && strcmp(canonical, name.at) == 0 && canonical[0] != '[' && canonical[0] != '.';
}

static bool keep_name(struct found *f, const char *file)
{
	void *names = f->names;
	const char *domain;

	if (!is_domain_file(file, &domain))
		return true;
	if (!mem_grow(&names, &f->cap, f->count, sizeof(char *), LISTED_MAX))
		return false;
	f->names = names;
	f->names[f->count] = slice_dup(slice_of(file));
	return f->names[f->count] != NULL && ++f->count > 0;
}

static enum outcome read_names(const struct domains *d, struct found *f, struct buf *why)
{
	int fd = openat(d->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool kept = true;
	enum outcome oc = OC_DONE;

	if (dir == NULL) {
		oc = fail_errno(why, d->path);
		if (fd != -1)
			close(fd);
		return oc;
	}
	errno = 0;
	while (kept && (entry = readdir(dir)) != NULL) {
		kept = keep_name(f, entry->d_name);
		errno = 0;
	}
	if (kept && errno != 0)
		oc = fail_errno(why, d->path);
	closedir(dir);
	return kept ? oc : domains_fail(why, OC_NO_MEMORY, "too many domains for a list");
}

static int by_domain(const void *a, const void *b)
{
	const char *x, *y;

	(void)is_domain_file(*(char *const *)a, &x);
	(void)is_domain_file(*(char *const *)b, &y);
	/* Where there are both, the one that is served first. */
	return strcmp(x, y) != 0 ? strcmp(x, y) : (x != *(char *const *)a) - (y != *(char *const *)b);
}

static enum outcome list(struct domains *d, domains_fn *fn, void *arg, struct buf *why)
{
	struct found f = {NULL, 0, 0};
	enum outcome oc = read_names(d, &f, why);
	bool going = oc == OC_DONE;

	if (f.count > 1)
		qsort(f.names, f.count, sizeof(char *), by_domain);
	for (size_t i = 0; i < f.count; i++) {
		const char *domain;
		struct domains_entry e;

		(void)is_domain_file(f.names[i], &domain);
		if (going && tell(d, f.names[i], slice_of(domain), domain != f.names[i], &e))
			going = fn(&e, arg);
		free(f.names[i]);
	}
	free(f.names);
	return oc;
}

const struct domains_kind domains_folder = {open_folder, add, take_away, restore, find, list};
