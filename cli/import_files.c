#include "import_files.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct buf *import_files_add(struct import_files *f, const char *name, bool secret)
{
	void *all = f->all;
	struct import_file *file;

	if (!mem_grow(&all, &f->cap, f->count, sizeof(*f->all), IMPORT_FILES_MAX))
		return NULL;
	f->all = all;
	file = mem_new(1, sizeof(*file));
	if (file == NULL || !slice_copy(slice_of(name), file->name, sizeof(file->name))) {
		free(file);
		return NULL;
	}
	file->secret = secret;
	file->text = secret ? buf_make_secret(64u << 10) : buf_make(16u << 20);
	f->all[f->count++] = file;
	return &file->text;
}

void import_files_free(struct import_files *f)
{
	for (size_t i = 0; i < f->count; i++) {
		buf_free(&f->all[i]->text);
		free(f->all[i]);
	}
	free(f->all);
	*f = (struct import_files){NULL, 0, 0};
}

bool import_files_show(const struct import_files *f, const char *folder, struct buf *out)
{
	for (size_t i = 0; i < f->count; i++) {
		struct import_file *file = f->all[i];

		buf_addf(out, "==> %s/%s <==\n", folder, file->name);
		if (file->secret)
			buf_addf(out, "(%zu bytes of logins, mode 0600)\n", file->text.len);
		else
			buf_add_slice(out, buf_slice(&file->text));
		buf_add_char(out, '\n');
	}
	return buf_ok(out);
}

/* ---- to write ---- */

static enum outcome fail_errno(struct buf *why, const char *folder, const char *name)
{
	buf_addf(why, "%s/%s: %.*s", folder, name, SLICE_ARG(log_errno_text(errno)));
	return OC_IO_ERROR;
}

/* Never readable for others, not even while it is written. */
static bool fill(const struct import_file *file, int fd, uid_t secrets_uid)
{
	struct buf text = file->text; /* only read */

	if (file->secret)
		(void)!fchown(fd, secrets_uid, (gid_t)-1);
	return os_write_all(fd, buf_slice(&text)) && fchmod(fd, file->secret ? 0600 : 0644) == 0 && fsync(fd) == 0;
}

/* The folder, which is made where it is missing; only the one that was named may be behind a link (flags); then who reads its files may look them up, whatever umask we have.  -1: errno. */
static int make_folder(int beneath, const char *path, int flags)
{
	bool made = mkdirat(beneath, path, 0755) == 0;
	int fd = !made && errno != EEXIST ? -1 : openat(beneath, path, flags | O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd != -1 && made && fchmod(fd, 0755) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool make_parent(int folder, const char *name)
{
	const char *slash = strchr(name, '/');
	char parent[IMPORT_NAME_MAX];
	int fd;

	if (slash == NULL)
		return true;
	fd = slice_copy(slice_make(name, (size_t)(slash - name)), parent, sizeof(parent)) ? make_folder(folder, parent, O_NOFOLLOW) : -1;
	if (fd != -1)
		close(fd);
	return fd != -1;
}

static bool write_one(int folder, const struct import_file *file, bool force, uid_t secrets_uid)
{
	static const char new_name[] = ".postern-import.new";
	int fd;
	bool done;

	if (!make_parent(folder, file->name))
		return false;
	(void)unlinkat(folder, new_name, 0);
	fd = openat(folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return false;
	done = fill(file, fd, secrets_uid);
	done = close(fd) == 0 && done;
	done = done && (force ? renameat(folder, new_name, folder, file->name)
			      : renameat2(folder, new_name, folder, file->name, RENAME_NOREPLACE)) == 0;
	if (!done) {
		int err = errno;

		(void)unlinkat(folder, new_name, 0);
		errno = err;
	}
	return done;
}

static enum outcome check_free(const struct import_files *f, int fd, const char *folder, struct buf *why)
{
	struct stat st;

	for (size_t i = 0; i < f->count; i++)
		if (fstatat(fd, f->all[i]->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			buf_addf(why, "%s/%s is there already; nothing was written. --force writes over it", folder, f->all[i]->name);
			return OC_NOT_ALLOWED;
		}
	return OC_DONE;
}

static enum outcome write_files(const struct import_files *f, int fd, const char *folder, bool force, uid_t secrets_uid, struct buf *why)
{
	enum outcome oc = force ? OC_DONE : check_free(f, fd, folder, why);

	for (size_t i = 0; oc == OC_DONE && i < f->count; i++)
		if (!write_one(fd, f->all[i], force, secrets_uid))
			oc = fail_errno(why, folder, f->all[i]->name);
	if (oc == OC_DONE && fsync(fd) == -1)
		oc = fail_errno(why, folder, "");
	return oc;
}

enum outcome import_files_write(const struct import_files *f, const char *folder, bool force, uid_t secrets_uid, struct buf *why)
{
	enum outcome oc;
	int fd = make_folder(AT_FDCWD, folder, 0);

	if (fd == -1)
		return fail_errno(why, folder, "");
	oc = write_files(f, fd, folder, force, secrets_uid, why);
	close(fd);
	return oc;
}
