#include "users/users.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sqlite_at/sqlite_at.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIND_MS 50
#define WRITE_MS 5000
#define WHY_BYTES 256

struct users {
	struct sqlite_at *db; /* owned */
	int folder_fd; /* owned; -1: the caller's */
	char why[WHY_BYTES];
};

const char *users_why(const struct users *u)
{
	return u->why;
}

static enum outcome fail(struct users *u, enum outcome oc, const char *why)
{
	snprintf(u->why, sizeof(u->why), "%s", why);
	return oc;
}

bool users_is_address(struct slice address)
{
	size_t at = slice_rindex(address, '@');

	if (at == SLICE_NONE || at == 0 || at + 1 == address.len || address.len > USERS_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.at[i] <= ' ' || address.at[i] == 0x7f)
			return false;
	return true;
}

/* ---- open ---- */

static int open_folder(const char *path)
{
	struct slice all = slice_of(path);
	size_t slash = slice_rindex(all, '/');
	struct slice folder = slash == SLICE_NONE ? slice_of(".") : slice_sub(all, 0, slash == 0 ? 1 : slash);
	char name[4096];

	errno = ENAMETOOLONG;
	return slice_copy(folder, name, sizeof(name)) ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static struct slice name_of(const char *path)
{
	size_t slash = slice_rindex(slice_of(path), '/');

	return slash == SLICE_NONE ? slice_of(path) : slice_of(path + slash + 1);
}

/* An empty file that the folder's group may read; SQLite gives its journal the same owner and mode. */
static bool make_file(int folder_fd, struct slice name)
{
	char text[256];
	struct stat st;
	int fd;

	errno = ENAMETOOLONG;
	if (!slice_copy(name, text, sizeof(text)) || fstat(folder_fd, &st) == -1)
		return false;
	fd = openat(folder_fd, text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return errno == EEXIST;
	/* Without the right to give it that group it keeps ours: then authd runs as us, too. */
	(void)!fchown(fd, (uid_t)-1, st.st_gid);
	if (fchmod(fd, 0640) == -1) {
		close(fd);
		return false;
	}
	close(fd);
	return true;
}

static bool is_there(int folder_fd, struct slice name)
{
	char text[256];
	struct stat st;

	errno = ENAMETOOLONG;
	return slice_copy(name, text, sizeof(text)) && fstatat(folder_fd, text, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool make_table(struct users *u, struct buf *why)
{
	static const char schema[] = "CREATE TABLE IF NOT EXISTS users(address TEXT PRIMARY KEY COLLATE NOCASE,"
				     " hash TEXT NOT NULL, created INTEGER NOT NULL)";
	sqlite3 *db = sqlite_at_db(u->db);

	if (sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	buf_add_text(why, sqlite3_errmsg(db));
	return false;
}

static struct users *open_beneath(int folder_fd, struct slice name, enum sqlite_at_mode mode, struct buf *why)
{
	struct users *u = mem_new(1, sizeof(*u));

	if (u == NULL) {
		buf_add_text(why, "out of memory");
		return NULL;
	}
	u->folder_fd = -1;
	u->db = sqlite_at_open(folder_fd, name, mode, why);
	if (u->db == NULL || (mode == SQLITE_AT_WRITE && !make_table(u, why)))
		users_free(&u);
	return u;
}

struct users *users_open(const char *path, bool create, struct buf *why)
{
	struct slice name = name_of(path);
	int folder_fd = open_folder(path);
	struct users *u;

	if (folder_fd == -1 || !(create ? make_file(folder_fd, name) : is_there(folder_fd, name))) {
		buf_addf(why, "%s: %.*s", path, SLICE_ARG(log_errno_text(errno)));
		if (folder_fd != -1)
			close(folder_fd);
		return NULL;
	}
	u = open_beneath(folder_fd, name, SQLITE_AT_WRITE, why);
	if (u == NULL)
		close(folder_fd);
	else
		u->folder_fd = folder_fd;
	return u;
}

struct users *users_open_at(int folder_fd, struct slice name, struct buf *why)
{
	return open_beneath(folder_fd, name, SQLITE_AT_READ, why);
}

void users_free(struct users **up)
{
	struct users *u = *up;

	if (u == NULL)
		return;
	*up = NULL;
	sqlite_at_close(&u->db);
	if (u->folder_fd != -1)
		close(u->folder_fd);
	free(u);
}

/* ---- statements ---- */

static enum outcome from_sqlite(struct users *u, int code)
{
	const char *text = sqlite3_errmsg(sqlite_at_db(u->db));

	switch (code & 0xff) {
	case SQLITE_ROW:
	case SQLITE_DONE:
		return OC_DONE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return fail(u, OC_BUSY, "the users database is in use by another process");
	case SQLITE_CONSTRAINT:
		return fail(u, OC_NOT_ALLOWED, "there is such a user already");
	case SQLITE_FULL:
		return fail(u, OC_SPOOL_FULL, text);
	default:
		return fail(u, OC_IO_ERROR, text);
	}
}

static sqlite3_stmt *prepare(struct users *u, const char *sql, struct slice first)
{
	sqlite3_stmt *stmt = NULL;

	sqlite_at_limit(u->db, WRITE_MS);
	if (sqlite3_prepare_v2(sqlite_at_db(u->db), sql, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	if (sqlite3_bind_parameter_count(stmt) > 0 &&
	    sqlite3_bind_text(stmt, 1, first.at, (int)first.len, SQLITE_TRANSIENT) != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return NULL;
	}
	return stmt;
}

/* A statement with (?1 address, ?2 hash, ?3 created) of which it uses some; NOT_FOUND when it changed no row. */
static enum outcome change(struct users *u, const char *sql, struct slice address, struct slice hash)
{
	sqlite3_stmt *stmt = prepare(u, sql, address);
	int parameters = stmt == NULL ? 0 : sqlite3_bind_parameter_count(stmt);
	enum outcome oc;

	if (stmt == NULL)
		return from_sqlite(u, sqlite3_errcode(sqlite_at_db(u->db)));
	if (parameters >= 2)
		sqlite3_bind_text(stmt, 2, hash.at, (int)hash.len, SQLITE_TRANSIENT);
	if (parameters >= 3)
		sqlite3_bind_int64(stmt, 3, clock_wall_s());
	oc = from_sqlite(u, sqlite3_step(stmt));
	sqlite3_finalize(stmt);
	if (oc == OC_DONE && sqlite3_changes(sqlite_at_db(u->db)) == 0)
		return fail(u, OC_NOT_FOUND, "there is no such user");
	return oc;
}

static enum outcome change_with_password(struct users *u, const char *sql, struct slice address, struct slice password)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX + 1);
	enum outcome oc;

	if (!users_is_address(address))
		oc = fail(u, OC_BAD_INPUT, "a user is an address, like alice@example.org");
	else if (password.len == 0 || password.len > USERS_PASSWORD_MAX || slice_index(password, '\0') != SLICE_NONE)
		oc = fail(u, OC_BAD_INPUT, "a password has 1 to 511 bytes");
	else if (!users_hash(password, &hash))
		oc = fail(u, OC_UNAVAILABLE, "libcrypt cannot make a yescrypt hash");
	else
		oc = change(u, sql, address, buf_slice(&hash));
	buf_free(&hash);
	return oc;
}

enum outcome users_add(struct users *u, struct slice address, struct slice password)
{
	return change_with_password(u, "INSERT INTO users(address, hash, created) VALUES(?1, ?2, ?3)", address, password);
}

enum outcome users_set_password(struct users *u, struct slice address, struct slice password)
{
	return change_with_password(u, "UPDATE users SET hash = ?2 WHERE address = ?1", address, password);
}

enum outcome users_remove(struct users *u, struct slice address)
{
	return change(u, "DELETE FROM users WHERE address = ?1", address, slice_empty());
}

static struct slice column_text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text == NULL ? slice_empty() : slice_make((const char *)text, (size_t)sqlite3_column_bytes(stmt, column));
}

enum outcome users_find(struct users *u, struct slice address, struct buf *hash_out)
{
	sqlite3_stmt *stmt = prepare(u, "SELECT hash FROM users WHERE address = ?1", address);
	enum outcome oc;
	int code;

	if (stmt == NULL)
		return from_sqlite(u, sqlite3_errcode(sqlite_at_db(u->db)));
	sqlite_at_limit(u->db, FIND_MS);
	code = sqlite3_step(stmt);
	oc = code == SQLITE_DONE ? fail(u, OC_NOT_FOUND, "there is no such user") : from_sqlite(u, code);
	/* What is too long for a hash is none: nothing fits it. */
	if (code == SQLITE_ROW)
		(void)buf_add_slice(hash_out, column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return oc;
}

enum outcome users_list(struct users *u, users_list_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = prepare(u, "SELECT address, created FROM users ORDER BY address", slice_empty());
	int code;

	if (stmt == NULL)
		return from_sqlite(u, sqlite3_errcode(sqlite_at_db(u->db)));
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		if (!fn(column_text(stmt, 0), sqlite3_column_int64(stmt, 1), arg))
			break;
	sqlite3_finalize(stmt);
	return from_sqlite(u, code);
}
