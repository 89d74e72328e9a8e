#include "sqlite_at/sqlite_at.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * SQLite's unix VFS keeps all of its logic (locks, hot journals, syncs); only its system calls on names are replaced.  A
 * database is opened as "/at/FD/NAME", and SQLite makes the names of its companions from that.
 */
#define PREFIX "/at/"
#define READ_LOCK_WAIT_MS 50
#define WRITE_LOCK_WAIT_MS 2000
#define HEAP_MAX (64 << 20)
#define STEPS_BETWEEN_LOOKS 500

struct sqlite_at {
	sqlite3 *db; /* owned */
	uint64_t until_ms; /* 0: no limit */
};

/* ---- names ---- */

/* Splits "/at/FD/NAME"; a name with a slash or of no folder is no name of ours. */
static bool name_split(const char *path, int *folder_out, const char **name_out)
{
	struct slice rest = slice_of(path), number;
	uint64_t fd;

	if (!slice_starts(rest, slice_of(PREFIX)))
		return false;
	rest = slice_from(rest, strlen(PREFIX));
	if (!slice_cut(&rest, '/', &number) || !slice_u64(number, INT32_MAX, &fd))
		return false;
	if (rest.len == 0 || slice_index(rest, '/') != SLICE_NONE || slice_eq(rest, slice_of("..")) ||
	    slice_eq(rest, slice_of(".")))
		return false;
	*folder_out = (int)fd;
	*name_out = rest.at;
	return true;
}

static bool name_find(const char *path, int *folder_out, const char **name_out)
{
	if (name_split(path, folder_out, name_out))
		return true;
	errno = ENOENT;
	return false;
}

static int at_open(const char *path, int flags, int mode)
{
	const char *name;
	int folder;

	if (!name_find(path, &folder, &name))
		return -1;
	return openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, (mode_t)mode);
}

static int at_lstat(const char *path, struct stat *st)
{
	const char *name;
	int folder;

	return name_find(path, &folder, &name) ? fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) : -1;
}

/* Asked for existence, and for the right to write, which the open itself will tell. */
static int at_access(const char *path, int mode)
{
	struct stat st;

	(void)mode;
	return at_lstat(path, &st);
}

static ssize_t at_readlink(const char *path, char *out, size_t size)
{
	(void)path;
	(void)out;
	(void)size;
	errno = EINVAL;
	return -1;
}

static int at_unlink(const char *path)
{
	const char *name;
	int folder;

	return name_find(path, &folder, &name) ? unlinkat(folder, name, 0) : -1;
}

/* For the sync of the folder after a journal was made or removed. */
static int at_open_directory(const char *path, int *fd_out)
{
	const char *name;
	int folder;

	*fd_out = -1;
	if (name_find(path, &folder, &name))
		*fd_out = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd_out >= 0 ? SQLITE_OK : SQLITE_CANTOPEN;
}

#define CALL(name, fn) {(name), (sqlite3_syscall_ptr)(fn)}

static bool redirect_calls(void)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr call;
	} calls[] = {
		CALL("open", at_open),	       CALL("access", at_access), CALL("stat", at_lstat),
		CALL("lstat", at_lstat),       CALL("readlink", at_readlink), CALL("unlink", at_unlink),
		CALL("openDirectory", at_open_directory),
	};
	sqlite3_vfs *vfs;

	if (sqlite3_initialize() != SQLITE_OK)
		return false;
	vfs = sqlite3_vfs_find("unix");
	if (vfs == NULL || vfs->iVersion < 3)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call) != SQLITE_OK)
			return false;
	sqlite3_hard_heap_limit64(HEAP_MAX);
	return true;
}

/* ---- bounds ---- */

static int is_time_over(void *arg)
{
	const struct sqlite_at *s = arg;

	return s->until_ms != 0 && clock_mono_ms() >= s->until_ms;
}

void sqlite_at_limit(struct sqlite_at *s, uint64_t within_ms)
{
	s->until_ms = clock_mono_ms() + within_ms;
}

/* Functions that compute from their arguments only; a list of what is allowed, for SQLite grows. */
static bool is_harmless_function(const char *name)
{
	static const char *const names[] = {"lower", "upper", "length", "substr", "substring", "trim", "ltrim", "rtrim",
					    "replace", "instr", "coalesce", "ifnull", "nullif", "iif", "like", "glob",
					    "count", "min", "max", "sum", "total", "avg", "group_concat", "abs", "round",
					    "typeof", "hex", "char", "unicode", "quote", "printf", "format", "strftime",
					    "date", "time", "datetime", "julianday"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (name != NULL && slice_eq_nocase(slice_of(name), slice_of(names[i])))
			return true;
	return false;
}

static int authorize_read(void *arg, int action, const char *a, const char *b, const char *database, const char *trigger)
{
	(void)arg;
	(void)a;
	(void)database;
	(void)trigger;
	if (action == SQLITE_SELECT || action == SQLITE_READ)
		return SQLITE_OK;
	return action == SQLITE_FUNCTION && is_harmless_function(b) ? SQLITE_OK : SQLITE_DENY;
}

static bool harden(sqlite3 *db)
{
	static const struct {
		int option, value;
	} options[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
		{SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
	};
	static const struct {
		int limit, value;
	} limits[] = {
		{SQLITE_LIMIT_LENGTH, 1000000},	    {SQLITE_LIMIT_SQL_LENGTH, 10000}, {SQLITE_LIMIT_COLUMN, 100},
		{SQLITE_LIMIT_EXPR_DEPTH, 100},	    {SQLITE_LIMIT_COMPOUND_SELECT, 10}, {SQLITE_LIMIT_VDBE_OP, 25000},
		{SQLITE_LIMIT_FUNCTION_ARG, 8},	    {SQLITE_LIMIT_ATTACHED, 0},	      {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
		{SQLITE_LIMIT_VARIABLE_NUMBER, 10}, {SQLITE_LIMIT_TRIGGER_DEPTH, 5},  {SQLITE_LIMIT_WORKER_THREADS, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (sqlite3_db_config(db, options[i].option, options[i].value, NULL) != SQLITE_OK)
			return false;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		sqlite3_limit(db, limits[i].limit, limits[i].value);
	return true;
}

static bool run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool set_up(struct sqlite_at *s, enum sqlite_at_mode mode)
{
	bool reads = mode == SQLITE_AT_READ;

	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, reads ? READ_LOCK_WAIT_MS : WRITE_LOCK_WAIT_MS);
	sqlite3_progress_handler(s->db, STEPS_BETWEEN_LOOKS, is_time_over, s);
	if (!harden(s->db) || !run(s->db, "PRAGMA temp_store=MEMORY") || !run(s->db, "PRAGMA cell_size_check=ON"))
		return false;
	if (reads)
		return run(s->db, "PRAGMA query_only=ON") &&
		       sqlite3_set_authorizer(s->db, authorize_read, NULL) == SQLITE_OK;
	return run(s->db, "PRAGMA journal_mode=DELETE") && run(s->db, "PRAGMA synchronous=FULL");
}

/* ---- for who has paths ---- */

int sqlite_at_folder(const char *path, struct slice *name_out)
{
	struct slice all = slice_of(path);
	size_t slash = slice_rindex(all, '/');
	struct slice folder = slash == SLICE_NONE ? slice_of(".") : slice_sub(all, 0, slash == 0 ? 1 : slash);
	char name[4096];

	*name_out = slash == SLICE_NONE ? all : slice_from(all, slash + 1);
	errno = ENAMETOOLONG;
	return slice_copy(folder, name, sizeof(name)) ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* Without the right to give it that group it keeps ours: then its readers run as us, too. */
static bool open_to_group(int fd, gid_t gid)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	if (st.st_size > 0)
		return true;
	(void)!fchown(fd, (uid_t)-1, gid);
	return fchmod(fd, 0640) == 0;
}

bool sqlite_at_make(int folder_fd, struct slice name, gid_t gid)
{
	char text[256];
	bool done;
	int fd;

	errno = ENAMETOOLONG;
	if (!slice_copy(name, text, sizeof(text)))
		return false;
	fd = openat(folder_fd, text, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd == -1)
		return false;
	done = open_to_group(fd, gid);
	close(fd);
	return done;
}

/* ---- open and close ---- */

static bool open_database(struct sqlite_at *s, int folder_fd, struct slice name, enum sqlite_at_mode mode, struct buf *why)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
		    (mode == SQLITE_AT_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	struct buf path = buf_make(512);
	const char *folder_name;
	int folder;
	bool done = false;

	buf_addf(&path, PREFIX "%d/%.*s", folder_fd, SLICE_ARG(name));
	if (!buf_ok(&path) || folder_fd < 0 || slice_index(name, '\0') != SLICE_NONE ||
	    !name_split(buf_text(&path), &folder, &folder_name))
		buf_addf(why, "%.*s: no file name", SLICE_ARG(name));
	else if (sqlite3_open_v2(buf_text(&path), &s->db, flags, "unix") != SQLITE_OK || !set_up(s, mode))
		buf_addf(why, "%.*s: %s", SLICE_ARG(name), s->db == NULL ? "out of memory" : sqlite3_errmsg(s->db));
	else
		done = true;
	buf_free(&path);
	return done;
}

struct sqlite_at *sqlite_at_open(int folder_fd, struct slice name, enum sqlite_at_mode mode, struct buf *why)
{
	static bool redirected;
	struct sqlite_at *s = mem_new(1, sizeof(*s));

	redirected = redirected || redirect_calls();
	if (s == NULL || !redirected) {
		buf_add_text(why, "SQLite cannot be started");
		free(s);
		return NULL;
	}
	if (!open_database(s, folder_fd, name, mode, why))
		sqlite_at_close(&s);
	return s;
}

void sqlite_at_close(struct sqlite_at **sp)
{
	struct sqlite_at *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	sqlite3_close_v2(s->db);
	free(s);
}

/* The first page that is read takes back what a journal says. */
static int look(struct sqlite_at *s)
{
	return sqlite3_exec(s->db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL) & 0xff;
}

struct sqlite_at *sqlite_at_open_mended(int folder_fd, struct slice name, struct buf *why)
{
	struct sqlite_at *s = sqlite_at_open(folder_fd, name, SQLITE_AT_READ, why), *writer;
	struct buf ignored = buf_make(512);

	if (s != NULL && look(s) == SQLITE_READONLY) {
		writer = sqlite_at_open(folder_fd, name, SQLITE_AT_WRITE, &ignored);
		if (writer != NULL)
			(void)look(writer);
		sqlite_at_close(&writer);
	}
	buf_free(&ignored);
	return s;
}

sqlite3 *sqlite_at_db(struct sqlite_at *s)
{
	return s->db;
}
