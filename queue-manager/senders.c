#include "senders.h"

#include "base/mem.h"
#include "database.h"
#include "mail/subaddress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_S 86400
#define FORGET_AT_ONCE "100" /* more than one note adds */

static const char schema[] =
	"CREATE TABLE sender(address TEXT PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX by_day ON sender(day);"
	"CREATE TABLE known(id INTEGER PRIMARY KEY, since INTEGER NOT NULL, sub_address TEXT NOT NULL);"
	"PRAGMA user_version = 1;";

enum statement { ST_FIND, ST_ADD, ST_UPDATE, ST_COUNT_ROWS, ST_OLDEST, ST_FORGET, ST_KNOWN, ST_SET_KNOWN, ST_NUMBER };

static const char *const texts[ST_NUMBER] = {
	[ST_FIND] = "SELECT day FROM sender WHERE address = ?",
	[ST_ADD] = "INSERT INTO sender(day, address) VALUES(?, ?)",
	[ST_UPDATE] = "UPDATE sender SET day = ? WHERE address = ?",
	[ST_COUNT_ROWS] = "SELECT count(*) FROM sender",
	[ST_OLDEST] = "SELECT day FROM sender ORDER BY day LIMIT 1",
	[ST_FORGET] = "DELETE FROM sender WHERE address IN (SELECT address FROM sender WHERE day <= ? LIMIT " FORGET_AT_ONCE ")",
	[ST_KNOWN] = "SELECT since, sub_address FROM known",
	[ST_SET_KNOWN] = "INSERT OR REPLACE INTO known(id, since, sub_address) VALUES(1, ?, ?)",
};

static const struct database_plan plan = {schema, 1, texts, ST_NUMBER};
_Static_assert(ST_NUMBER <= DATABASE_STATEMENTS_MAX, "more statements than a database has");

struct senders {
	struct database d;
	uint64_t max, count;
	bool is_counted;
	bool writing; /* what was noted is not kept yet */
	bool in_doubt; /* something could not be written: who has sent until now may be missing */
	bool reset;
};

struct senders *senders_open(const char *path, uint64_t max)
{
	struct senders *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->max = max;
	database_open(&s->d, path, &plan);
	return s;
}

void senders_close(struct senders **sp)
{
	struct senders *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	(void)senders_end(s);
	database_close(&s->d);
	free(s);
}

void senders_remove(struct senders **sp, const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char name[300];

	senders_close(sp);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		(void)unlink(name);
	}
}

bool senders_key(const char *sub_address, struct slice address, char out[MAIL_ADDRESS_MAX + 1])
{
	char space[MAIL_ADDRESS_MAX + 1];
	struct mail_address whole, base;
	struct slice cut;

	if (mail_address_parse(address, MAIL_ALLOW_UTF8, &whole) != MAIL_OK)
		return false;
	cut = subaddress_base(slice_of(sub_address), mail_address_text(&whole), space);
	if (cut.len > 0 && mail_address_parse(cut, MAIL_ALLOW_UTF8, &base) == MAIL_OK)
		whole = base;
	if (!slice_copy(mail_address_text(&whole), out, MAIL_ADDRESS_MAX + 1))
		return false;
	for (char *c = out; *c != '\0'; c++)
		*c = ascii_lower(*c);
	return true;
}

/* ---- statements ---- */

static sqlite3_stmt *statement(struct senders *s, enum statement which)
{
	sqlite3_stmt *st = database_statement(&s->d, which);

	if (database_was_reset(&s->d)) {
		s->reset = true;
		s->is_counted = false;
	}
	return st;
}

static bool run(struct senders *s, sqlite3_stmt *st)
{
	return database_run(&s->d, st);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	(void)sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

/* A row with one number.  False: failed. */
static bool read_number(struct senders *s, sqlite3_stmt *st, int64_t *out, bool *found_out)
{
	int code = st == NULL ? SQLITE_ERROR : sqlite3_step(st);

	*found_out = code == SQLITE_ROW;
	*out = *found_out ? sqlite3_column_int64(st, 0) : 0;
	return st != NULL && database_finish(&s->d, st, code);
}

static bool find_day(struct senders *s, const char *key, int64_t *day_out, bool *found_out)
{
	sqlite3_stmt *st = statement(s, ST_FIND);

	if (st != NULL)
		bind_text(st, 1, key);
	return read_number(s, st, day_out, found_out);
}

static void begin(struct senders *s)
{
	if (!s->writing)
		database_begin(&s->d);
	s->writing = true;
}

/* ---- since when all are known ---- */

static bool set_known(struct senders *s, int64_t since_s, const struct senders_terms *terms)
{
	sqlite3_stmt *st = statement(s, ST_SET_KNOWN);

	if (st == NULL)
		return false;
	(void)sqlite3_bind_int64(st, 1, since_s);
	bind_text(st, 2, terms->sub_address);
	return run(s, st);
}

static bool read_known(struct senders *s, const struct senders_terms *terms, int64_t *since_out, bool *fits_out)
{
	sqlite3_stmt *st = statement(s, ST_KNOWN);
	int code = st == NULL ? SQLITE_ERROR : sqlite3_step(st);
	const unsigned char *cut = code == SQLITE_ROW ? sqlite3_column_text(st, 1) : NULL;

	*fits_out = cut != NULL && strcmp((const char *)cut, terms->sub_address) == 0;
	*since_out = *fits_out ? sqlite3_column_int64(st, 0) : 0;
	return st != NULL && database_finish(&s->d, st, code);
}

static bool known_since(struct senders *s, const struct senders_terms *terms, int64_t *since_out)
{
	bool fits;

	if (!read_known(s, terms, since_out, &fits))
		return false;
	if (fits && !s->in_doubt && *since_out <= terms->now_s)
		return true;
	*since_out = terms->now_s;
	begin(s);
	if (!set_known(s, terms->now_s, terms))
		return false;
	s->in_doubt = false;
	return true;
}

/* ---- notes ---- */

static bool count_rows(struct senders *s)
{
	sqlite3_stmt *st = statement(s, ST_COUNT_ROWS);
	int64_t count = 0;
	bool found;

	if (s->is_counted)
		return true;
	s->is_counted = read_number(s, st, &count, &found);
	s->count = (uint64_t)count;
	return s->is_counted;
}

/* Some of that day, or of days before: who has sent since its end is all there. */
static bool forget(struct senders *s, int64_t day, int64_t since_s, const struct senders_terms *terms)
{
	sqlite3_stmt *st = statement(s, ST_FORGET);
	int64_t end_s = (day + 1) * DAY_S;

	if (st == NULL || (end_s > since_s && !set_known(s, end_s, terms)))
		return false;
	(void)sqlite3_bind_int64(st, 1, day);
	if (!run(s, st))
		return false;
	s->count -= (uint64_t)sqlite3_changes(s->d.db);
	return true;
}

/* A day more than an address counts, so that an answer does not change by it. */
static bool counts_no_more(int64_t day, const struct senders_terms *terms)
{
	return (day + 2) * DAY_S + terms->kept_s <= terms->now_s;
}

static bool make_room(struct senders *s, int64_t since_s, const struct senders_terms *terms)
{
	int64_t oldest;
	bool found;

	if (!count_rows(s) || !read_number(s, statement(s, ST_OLDEST), &oldest, &found))
		return false;
	if (!found || (s->count < s->max && !counts_no_more(oldest, terms)))
		return true;
	return forget(s, oldest, since_s, terms);
}

static bool put(struct senders *s, const char *key, int64_t day)
{
	int64_t noted;
	bool found;
	sqlite3_stmt *st;

	if (!find_day(s, key, &noted, &found))
		return false;
	if (found && noted == day)
		return true;
	st = statement(s, found ? ST_UPDATE : ST_ADD);
	if (st == NULL)
		return false;
	(void)sqlite3_bind_int64(st, 1, day);
	bind_text(st, 2, key);
	s->count += !found;
	return run(s, st);
}

bool senders_note(struct senders *s, const char *key, const struct senders_terms *terms)
{
	int64_t since_s;
	bool ok;

	begin(s);
	ok = known_since(s, terms, &since_s) && make_room(s, since_s, terms) && put(s, key, terms->now_s / DAY_S);
	if (!ok) {
		s->in_doubt = true;
		s->is_counted = false;
	}
	return ok;
}

bool senders_end(struct senders *s)
{
	bool ok = !s->writing || database_end(&s->d);

	s->writing = false;
	if (!ok) {
		s->in_doubt = true;
		s->is_counted = false;
	}
	return ok;
}

bool senders_find(struct senders *s, const char *key, const struct senders_terms *terms, enum senders_answer *out)
{
	int64_t day, since_s;
	bool found;

	*out = SENDERS_UNKNOWN;
	if (!find_day(s, key, &day, &found))
		return false;
	if (found && (day + 1) * DAY_S + terms->kept_s > terms->now_s) {
		*out = SENDERS_YES;
		return true;
	}
	if (!known_since(s, terms, &since_s))
		return false;
	if (since_s + terms->kept_s <= terms->now_s)
		*out = SENDERS_NO;
	return true;
}

bool senders_was_reset(struct senders *s)
{
	bool reset = s->reset || database_was_reset(&s->d);

	if (reset)
		s->is_counted = false;
	s->reset = false;
	return reset;
}

const char *senders_trouble(const struct senders *s)
{
	return s->d.trouble;
}
