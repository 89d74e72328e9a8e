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
#define MOVE_MS 600000
#define WHY_BYTES 256
#define VERSION_MOVED 2 /* user_version: no hash is left in the file of addresses, nor in its free pages */

/*
 * Always: whoever has a hash is, or was and will be no more, in the list of addresses; an address is removed after its hash, and added
 * before it.  So a death in between leaves a user who cannot log in, never a login of nobody.
 */
struct users {
	struct sqlite_at *addresses; /* owned; NULL where only hashes are read */
	struct sqlite_at *secrets; /* owned */
	const char *find; /* the statement that reads a hash */
	bool is_old; /* hashes are read from where the addresses are */
	int folder_fd; /* owned; -1: the caller's */
	size_t moved;
	char why[WHY_BYTES];
};

#define SECRETS_SCHEMA "CREATE TABLE IF NOT EXISTS secrets(address TEXT PRIMARY KEY COLLATE NOCASE, hash TEXT NOT NULL)"
#define VERIFIERS_SCHEMA \
	"CREATE TABLE IF NOT EXISTS verifiers(address TEXT NOT NULL COLLATE NOCASE, kind TEXT NOT NULL, value TEXT NOT NULL," \
	" PRIMARY KEY(address, kind))"
#define FIND_VERIFIER "SELECT value FROM verifiers WHERE address = ?1 AND kind = ?2"
#define FIND_SECRET "SELECT hash FROM secrets WHERE address = ?1"
#define FIND_OLD "SELECT hash FROM users WHERE address = ?1"

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

static bool secrets_name(struct slice name, char out[256])
{
	int n = snprintf(out, 256, "%.*s%s", SLICE_ARG(name), USERS_SECRETS_SUFFIX);

	errno = ENAMETOOLONG;
	return n > 0 && n < 256;
}

static bool make_addresses_file(int folder_fd, struct slice name)
{
	struct stat st;

	return fstat(folder_fd, &st) == 0 && sqlite_at_make(folder_fd, name, st.st_gid);
}

static bool is_there(int folder_fd, struct slice name)
{
	char text[256];
	struct stat st;

	errno = ENAMETOOLONG;
	return slice_copy(name, text, sizeof(text)) && fstatat(folder_fd, text, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool run(struct sqlite_at *at, const char *sql, struct buf *why)
{
	sqlite3 *db = sqlite_at_db(at);

	if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	buf_add_text(why, sqlite3_errmsg(db));
	return false;
}

static bool has_hash(struct sqlite_at *at, const char *table)
{
	return sqlite3_table_column_metadata(sqlite_at_db(at), NULL, table, "hash", NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* ---- where hashes still lie beside the addresses ---- */

/* -1: the old file is damaged, or the new one cannot be written. */
static int copy_rows(sqlite3_stmt *from, sqlite3_stmt *to)
{
	int count = 0, code;

	while ((code = sqlite3_step(from)) == SQLITE_ROW) {
		if (sqlite3_bind_value(to, 1, sqlite3_column_value(from, 0)) != SQLITE_OK ||
		    sqlite3_bind_value(to, 2, sqlite3_column_value(from, 1)) != SQLITE_OK || sqlite3_step(to) != SQLITE_DONE)
			return -1;
		sqlite3_reset(to);
		count++;
	}
	return code == SQLITE_DONE ? count : -1;
}

static bool copy_hashes(struct users *u, struct buf *why)
{
	sqlite3 *old = sqlite_at_db(u->addresses), *secrets = sqlite_at_db(u->secrets);
	sqlite3_stmt *from = NULL, *to = NULL;
	int count = -1;

	if (sqlite3_prepare_v2(old, "SELECT address, hash FROM users", -1, &from, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(secrets, "INSERT OR REPLACE INTO secrets(address, hash) VALUES(?1, ?2)", -1, &to, NULL) == SQLITE_OK)
		count = copy_rows(from, to);
	if (count == -1)
		buf_addf(why, "moving the hashes: %s; %s", sqlite3_errmsg(old), sqlite3_errmsg(secrets));
	else
		u->moved = (size_t)count;
	sqlite3_finalize(from);
	sqlite3_finalize(to);
	return count != -1;
}

static const char forget_hashes[] = "CREATE TABLE users_without(address TEXT PRIMARY KEY COLLATE NOCASE, created INTEGER NOT NULL);"
				    "INSERT INTO users_without SELECT address, created FROM users;"
				    "DROP TABLE users;"
				    "ALTER TABLE users_without RENAME TO users;";

/* The lock on the old file is held from the first hash read to the last one forgotten; the new file is whole, and on the disk, before
 * anything is taken from the old.  A reader that finds a table of hashes in the new file finds all of them there. */
static bool move_hashes(struct users *u, struct buf *why)
{
	sqlite_at_limit(u->addresses, MOVE_MS);
	sqlite_at_limit(u->secrets, MOVE_MS);
	return run(u->addresses, "BEGIN IMMEDIATE", why) && run(u->secrets, "BEGIN IMMEDIATE", why) &&
	       run(u->secrets, SECRETS_SCHEMA, why) && copy_hashes(u, why) && run(u->secrets, "COMMIT", why) &&
	       run(u->addresses, forget_hashes, why) && run(u->addresses, "COMMIT", why);
}

static int version_of(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	int version = 0;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		version = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return version;
}

/* What older commands left in free pages goes too. */
static bool rewrite_once(struct users *u, struct buf *why)
{
	sqlite3 *db = sqlite_at_db(u->addresses);
	bool done;

	if (version_of(db) >= VERSION_MOVED)
		return true;
	sqlite_at_limit(u->addresses, MOVE_MS);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 1); /* VACUUM copies through a database of its own */
	done = run(u->addresses, "VACUUM", why);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	return done && run(u->addresses, "PRAGMA user_version=2", why);
}

/* ---- open to write ---- */

#define ADDRESSES_SCHEMA \
	"CREATE TABLE IF NOT EXISTS users(address TEXT PRIMARY KEY COLLATE NOCASE, created INTEGER NOT NULL)"

/* Made once; of it authd invents what it shows to those who do not exist. */
static bool plant_seed(struct users *u, struct buf *why)
{
	static const char sql[] = "INSERT OR IGNORE INTO verifiers(address, kind, value) VALUES('', '" USERS_SEED "', ?1)";
	sqlite3 *db = sqlite_at_db(u->secrets);
	sqlite3_stmt *stmt = NULL;
	unsigned char noise[32];
	char text[2 * sizeof(noise) + 1];
	bool done;

	mem_random(noise, sizeof(noise));
	for (size_t i = 0; i < sizeof(noise); i++)
		snprintf(text + 2 * i, 3, "%02x", noise[i]);
	done = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	       sqlite3_bind_text(stmt, 1, text, -1, SQLITE_TRANSIENT) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_DONE;
	if (!done)
		buf_add_text(why, sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	mem_wipe(noise, sizeof(noise));
	mem_wipe(text, sizeof(text));
	return done;
}

static bool make_tables(struct users *u, struct buf *why)
{
	sqlite_at_limit(u->addresses, WRITE_MS);
	sqlite_at_limit(u->secrets, WRITE_MS);
	if (!run(u->addresses, "PRAGMA secure_delete=ON", why) || !run(u->secrets, "PRAGMA secure_delete=ON", why))
		return false;
	if (has_hash(u->addresses, "users") && !move_hashes(u, why))
		return false;
	return run(u->addresses, ADDRESSES_SCHEMA, why) && run(u->secrets, SECRETS_SCHEMA, why) &&
	       run(u->secrets, VERIFIERS_SCHEMA, why) && plant_seed(u, why) && rewrite_once(u, why);
}

static bool open_both(struct users *u, struct slice name, gid_t secrets_gid, struct buf *why)
{
	char secrets[256];

	if (!secrets_name(name, secrets) || !sqlite_at_make(u->folder_fd, slice_of(secrets), secrets_gid)) {
		buf_addf(why, "%.*s%s: %.*s", SLICE_ARG(name), USERS_SECRETS_SUFFIX, SLICE_ARG(log_errno_text(errno)));
		return false;
	}
	u->addresses = sqlite_at_open(u->folder_fd, name, SQLITE_AT_WRITE, why);
	if (u->addresses != NULL)
		u->secrets = sqlite_at_open(u->folder_fd, slice_of(secrets), SQLITE_AT_WRITE, why);
	u->find = FIND_SECRET;
	return u->secrets != NULL && make_tables(u, why);
}

static struct users *users_new(struct buf *why)
{
	struct users *u = mem_new(1, sizeof(*u));

	if (u == NULL)
		buf_add_text(why, "out of memory");
	else
		u->folder_fd = -1;
	return u;
}

struct users *users_open(const char *path, bool create, gid_t secrets_gid, struct buf *why)
{
	struct users *u = users_new(why);
	struct slice name;

	if (u == NULL)
		return NULL;
	u->folder_fd = sqlite_at_folder(path, &name);
	if (u->folder_fd == -1 ||
	    !(create ? make_addresses_file(u->folder_fd, name) : is_there(u->folder_fd, name))) {
		buf_addf(why, "%s: %.*s", path, SLICE_ARG(log_errno_text(errno)));
		users_free(&u);
	} else if (!open_both(u, name, secrets_gid, why)) {
		users_free(&u);
	}
	return u;
}

/* ---- open to read ---- */

static bool open_secrets(struct users *u, int folder_fd, struct slice name, struct buf *why)
{
	char secrets[256];

	if (!secrets_name(name, secrets) || !is_there(folder_fd, slice_of(secrets)))
		return false;
	u->find = FIND_SECRET;
	u->secrets = sqlite_at_open(folder_fd, slice_of(secrets), SQLITE_AT_READ, why);
	if (u->secrets != NULL && !has_hash(u->secrets, "secrets"))
		sqlite_at_close(&u->secrets);
	return u->secrets != NULL;
}

/* The file of addresses of an older Postern, from before any command of this one has moved its hashes. */
static bool open_old(struct users *u, int folder_fd, struct slice name, struct buf *why)
{
	u->is_old = true;
	u->find = FIND_OLD;
	u->secrets = sqlite_at_open(folder_fd, name, SQLITE_AT_READ, why);
	if (u->secrets == NULL || has_hash(u->secrets, "users"))
		return u->secrets != NULL;
	buf_addf(why, "%.*s%s: there is none that can be read", SLICE_ARG(name), USERS_SECRETS_SUFFIX);
	return false;
}

struct users *users_open_at(int folder_fd, struct slice name, struct buf *why)
{
	struct users *u = users_new(why);

	if (u == NULL || open_secrets(u, folder_fd, name, why))
		return u;
	if (why->len > 0 || !open_old(u, folder_fd, name, why))
		users_free(&u);
	return u;
}

struct users *users_open_list(const char *path, struct buf *why)
{
	struct users *u = users_new(why);
	struct slice name;

	if (u == NULL)
		return NULL;
	u->folder_fd = sqlite_at_folder(path, &name);
	if (u->folder_fd == -1)
		buf_addf(why, "%s: %.*s", path, SLICE_ARG(log_errno_text(errno)));
	else
		u->addresses = sqlite_at_open_mended(u->folder_fd, name, why);
	if (u->addresses == NULL)
		users_free(&u);
	return u;
}

bool users_is_old(const struct users *u)
{
	return u->is_old;
}

size_t users_moved(const struct users *u)
{
	return u->moved;
}

void users_free(struct users **up)
{
	struct users *u = *up;

	if (u == NULL)
		return;
	*up = NULL;
	sqlite_at_close(&u->addresses);
	sqlite_at_close(&u->secrets);
	if (u->folder_fd != -1)
		close(u->folder_fd);
	free(u);
}

/* ---- statements ---- */

static enum outcome from_sqlite(struct users *u, struct sqlite_at *at, int code)
{
	const char *text = sqlite3_errmsg(sqlite_at_db(at));

	switch (code & 0xff) {
	case SQLITE_ROW:
	case SQLITE_DONE:
	case SQLITE_OK:
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

static sqlite3_stmt *prepare(struct sqlite_at *at, const char *sql, struct slice first)
{
	sqlite3_stmt *stmt = NULL;

	sqlite_at_limit(at, WRITE_MS);
	if (sqlite3_prepare_v2(sqlite_at_db(at), sql, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	if (sqlite3_bind_parameter_count(stmt) > 0 &&
	    sqlite3_bind_text(stmt, 1, first.at, (int)first.len, SQLITE_TRANSIENT) != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return NULL;
	}
	return stmt;
}

/* A statement with ?1 the address and, where it has one, ?2 the hash (of secrets) or the time (of addresses); NOT_FOUND when it
 * changed no row. */
static enum outcome change(struct users *u, struct sqlite_at *at, const char *sql, struct slice address, struct slice hash)
{
	sqlite3_stmt *stmt = prepare(at, sql, address);
	enum outcome oc;
	int code;

	if (stmt == NULL)
		return from_sqlite(u, at, sqlite3_errcode(sqlite_at_db(at)));
	if (sqlite3_bind_parameter_count(stmt) >= 2 && at == u->addresses)
		sqlite3_bind_int64(stmt, 2, clock_wall_s());
	else if (sqlite3_bind_parameter_count(stmt) >= 2)
		sqlite3_bind_text(stmt, 2, hash.at, (int)hash.len, SQLITE_TRANSIENT);
	code = sqlite3_step(stmt);
	oc = from_sqlite(u, at, code);
	sqlite3_finalize(stmt);
	if (code == SQLITE_DONE && sqlite3_changes(sqlite_at_db(at)) == 0)
		return fail(u, OC_NOT_FOUND, "there is no such user");
	return oc;
}

static enum outcome begin(struct users *u, struct sqlite_at *at)
{
	sqlite_at_limit(at, WRITE_MS);
	return from_sqlite(u, at, sqlite3_exec(sqlite_at_db(at), "BEGIN IMMEDIATE", NULL, NULL, NULL));
}

static enum outcome end(struct users *u, struct sqlite_at *at, enum outcome oc)
{
	const char *how = oc == OC_DONE ? "COMMIT" : "ROLLBACK";
	int code = sqlite3_exec(sqlite_at_db(at), how, NULL, NULL, NULL);

	return oc == OC_DONE ? from_sqlite(u, at, code) : oc;
}

/* All that is kept of one password. */
struct secrets {
	struct slice hash;
	const struct users_verifier *also;
	size_t count;
};

static enum outcome put_verifier(struct users *u, struct slice address, const struct users_verifier *v)
{
	sqlite3 *db = sqlite_at_db(u->secrets);
	sqlite3_stmt *stmt = prepare(u->secrets, "INSERT INTO verifiers(address, kind, value) VALUES(?1, ?2, ?3)", address);
	int code = sqlite3_errcode(db);

	if (stmt != NULL && sqlite3_bind_text(stmt, 2, v->kind, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
	    sqlite3_bind_text(stmt, 3, v->value.at, (int)v->value.len, SQLITE_TRANSIENT) == SQLITE_OK)
		code = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	return from_sqlite(u, u->secrets, code);
}

/* DONE also where there is none. */
static enum outcome forget_verifiers(struct users *u, struct slice address)
{
	enum outcome oc = change(u, u->secrets, "DELETE FROM verifiers WHERE address = ?1", address, slice_empty());

	return oc == OC_NOT_FOUND ? OC_DONE : oc;
}

static enum outcome put_each(struct users *u, struct slice address, const struct secrets *s)
{
	enum outcome oc = change(
		u, u->secrets,
		"INSERT INTO secrets(address, hash) VALUES(?1, ?2) ON CONFLICT(address) DO UPDATE SET hash = excluded.hash", address,
		s->hash);

	if (oc == OC_DONE)
		oc = forget_verifiers(u, address);
	for (size_t i = 0; oc == OC_DONE && i < s->count; i++)
		oc = put_verifier(u, address, &s->also[i]);
	return oc;
}

/* Together: an old password must not go on working by another mechanism. */
static enum outcome put_secrets(struct users *u, struct slice address, const struct secrets *s)
{
	enum outcome oc = begin(u, u->secrets);

	return oc == OC_DONE ? end(u, u->secrets, put_each(u, address, s)) : oc;
}

static enum outcome make_hash(struct users *u, struct slice address, struct slice password, struct buf *hash_out)
{
	if (!users_is_address(address))
		return fail(u, OC_BAD_INPUT, "a user is an address, like alice@example.org");
	if (password.len == 0 || password.len > USERS_PASSWORD_MAX || slice_index(password, '\0') != SLICE_NONE)
		return fail(u, OC_BAD_INPUT, "a password has 1 to 511 bytes");
	return users_hash(password, hash_out) ? OC_DONE : fail(u, OC_UNAVAILABLE, "libcrypt cannot make a yescrypt hash");
}

static enum outcome add(struct users *u, struct slice address, const struct secrets *s)
{
	enum outcome oc = change(u, u->addresses, "INSERT INTO users(address, created) VALUES(?1, ?2)", address, slice_empty());
	enum outcome hashed;

	if (oc != OC_DONE)
		return oc;
	hashed = put_secrets(u, address, s);
	if (hashed != OC_DONE)
		(void)change(u, u->addresses, "DELETE FROM users WHERE address = ?1", address, slice_empty());
	return hashed;
}

static enum outcome set_secrets(struct users *u, struct slice address, const struct secrets *s)
{
	enum outcome oc = begin(u, u->addresses);

	if (oc != OC_DONE)
		return oc;
	/* Changes nothing; says whether there is one. */
	oc = change(u, u->addresses, "UPDATE users SET created = created WHERE address = ?1", address, slice_empty());
	return end(u, u->addresses, oc == OC_DONE ? put_secrets(u, address, s) : oc);
}

typedef enum outcome with_hash_fn(struct users *u, struct slice address, const struct secrets *s);

static enum outcome with_hash(struct users *u, struct slice address, struct slice password, struct secrets *s, with_hash_fn *then)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX + 1);
	enum outcome oc = make_hash(u, address, password, &hash);

	s->hash = buf_slice(&hash);
	if (oc == OC_DONE)
		oc = then(u, address, s);
	buf_free(&hash);
	return oc;
}

static bool can_write(struct users *u)
{
	bool can = u->addresses != NULL && u->secrets != NULL;

	if (!can)
		(void)fail(u, OC_IO_ERROR, "opened to read only");
	return can;
}

enum outcome users_add(struct users *u, struct slice address, struct slice password, const struct users_verifier *also, size_t count)
{
	struct secrets s = {slice_empty(), also, count};

	return can_write(u) ? with_hash(u, address, password, &s, add) : OC_IO_ERROR;
}

enum outcome users_set_password(struct users *u, struct slice address, struct slice password, const struct users_verifier *also,
				size_t count)
{
	struct secrets s = {slice_empty(), also, count};

	return can_write(u) ? with_hash(u, address, password, &s, set_secrets) : OC_IO_ERROR;
}

/* The verifiers first: what is left after a death in between logs nobody in by more than it did. */
static enum outcome remove_secrets(struct users *u, struct slice address)
{
	enum outcome oc = forget_verifiers(u, address);

	return oc == OC_DONE ? change(u, u->secrets, "DELETE FROM secrets WHERE address = ?1", address, slice_empty()) : oc;
}

enum outcome users_remove(struct users *u, struct slice address)
{
	enum outcome oc = can_write(u) ? begin(u, u->addresses) : OC_IO_ERROR;

	if (oc != OC_DONE)
		return oc;
	oc = remove_secrets(u, address);
	if (oc == OC_DONE || oc == OC_NOT_FOUND)
		oc = change(u, u->addresses, "DELETE FROM users WHERE address = ?1", address, slice_empty());
	return end(u, u->addresses, oc);
}

static struct slice column_text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text == NULL ? slice_empty() : slice_make((const char *)text, (size_t)sqlite3_column_bytes(stmt, column));
}

/* The first column of the only row.  What is too long for `out` is none: nothing fits it. */
static enum outcome find_text(struct users *u, sqlite3_stmt *stmt, struct buf *out)
{
	enum outcome oc;
	int code;

	sqlite_at_limit(u->secrets, FIND_MS);
	code = sqlite3_step(stmt);
	oc = code == SQLITE_DONE ? fail(u, OC_NOT_FOUND, "there is no such user") : from_sqlite(u, u->secrets, code);
	if (code == SQLITE_ROW)
		(void)buf_add_slice(out, column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return oc;
}

enum outcome users_find(struct users *u, struct slice address, struct buf *hash_out)
{
	sqlite3_stmt *stmt = prepare(u->secrets, u->find, address);

	if (stmt == NULL)
		return from_sqlite(u, u->secrets, sqlite3_errcode(sqlite_at_db(u->secrets)));
	return find_text(u, stmt, hash_out);
}

static bool has_verifiers(const struct users *u)
{
	return sqlite3_table_column_metadata(sqlite_at_db(u->secrets), NULL, "verifiers", "value", NULL, NULL, NULL, NULL, NULL) ==
	       SQLITE_OK;
}

enum outcome users_find_verifier(struct users *u, struct slice address, const char *kind, struct buf *value_out)
{
	sqlite3_stmt *stmt = prepare(u->secrets, FIND_VERIFIER, address);
	int code = sqlite3_errcode(sqlite_at_db(u->secrets));

	if (stmt == NULL && (code & 0xff) == SQLITE_ERROR && !has_verifiers(u))
		return fail(u, OC_NOT_FOUND, "there are no verifiers");
	if (stmt == NULL)
		return from_sqlite(u, u->secrets, code);
	if (sqlite3_bind_text(stmt, 2, kind, -1, SQLITE_STATIC) != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return fail(u, OC_NO_MEMORY, "out of memory");
	}
	return find_text(u, stmt, value_out);
}

enum outcome users_list(struct users *u, users_list_fn *fn, void *arg)
{
	sqlite3_stmt *stmt;
	int code;

	if (u->addresses == NULL)
		return fail(u, OC_IO_ERROR, "opened to read hashes only");
	stmt = prepare(u->addresses, "SELECT address, created FROM users ORDER BY address", slice_empty());
	if (stmt == NULL)
		return from_sqlite(u, u->addresses, sqlite3_errcode(sqlite_at_db(u->addresses)));
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		if (!fn(column_text(stmt, 0), sqlite3_column_int64(stmt, 1), arg))
			break;
	sqlite3_finalize(stmt);
	return from_sqlite(u, u->addresses, code);
}
