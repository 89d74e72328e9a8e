#include "tables_own.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/table_keys.h"
#include "folder.h"
#include "table_list.h"
#include "table_text.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000
#define LOG_EVERY_MS 60000

struct tables {
	struct table *all; /* owned; in the configuration's order */
	size_t count;
};

/* ---- for people ---- */

static const char *path_of(const struct table *t)
{
	return t->conf->path == NULL ? "" : t->conf->path;
}

/* A folder stands in the configuration with "/." behind it. */
static int path_len(const struct table *t)
{
	size_t len = strlen(path_of(t));

	return (int)(t->conf->kind == TABLE_DIRECTORY && len > 2 ? len - 2 : len);
}

void table_complain(struct table *t, const char *event, struct slice why)
{
	uint64_t now = clock_mono_ms();

	if (t->detail != NULL)
		snprintf(t->detail->why, sizeof(t->detail->why), "%.*s", SLICE_ARG(slice_sub(why, 0, sizeof(t->detail->why) - 1)));
	if (now < t->log_at_ms)
		return;
	t->log_at_ms = now + LOG_EVERY_MS;
	LOG(LEVEL_WARN, event, KV_STR("table", t->conf->name),
	    KV_TEXT("path", slice_make(path_of(t), (size_t)path_len(t))), KV_TEXT("why", why));
}

bool table_unreadable(struct table *t, struct slice why)
{
	table_complain(t, "table-unreadable", why);
	t->readable = false;
	return false;
}

void table_found_at(struct table *t, const char *file, size_t line)
{
	struct tables_detail *d = t->detail;

	if (d == NULL)
		return;
	if (t->conf->kind == TABLE_INLINE)
		snprintf(d->where, sizeof(d->where), "%.400s:%u", t->conf->pos.file, t->conf->pos.line);
	else if (t->conf->kind == TABLE_DIRECTORY && line == 0)
		snprintf(d->where, sizeof(d->where), "%.*s/%.255s", path_len(t), path_of(t), file);
	else if (line > 0)
		snprintf(d->where, sizeof(d->where), "%.*s%s%.255s:%zu", path_len(t), path_of(t), file[0] != '\0' ? "/" : "", file, line);
	else
		snprintf(d->where, sizeof(d->where), "%.500s", file);
}

void tables_tell(struct tables *t, struct tables_detail *detail)
{
	for (size_t i = 0; i < t->count; i++)
		t->all[i].detail = detail;
}

void tables_set_remote(struct tables *t, const struct tables_remote *remote)
{
	for (size_t i = 0; i < t->count; i++)
		t->all[i].remote = *remote;
}

/* ---- look-ups ---- */

bool table_add_value(const struct table_ask *ask, struct slice value)
{
	return ask->value_out == NULL || buf_add_slice(ask->value_out, value);
}

static const struct table_kind *kind_of(enum conf_table_kind kind)
{
	static const struct table_kind *const kinds[] = {
		[TABLE_INLINE] = &table_kind_inline,	   [TABLE_FILE] = &table_kind_file,	[TABLE_CIDR] = &table_kind_cidr,
		[TABLE_PCRE2] = &table_kind_pcre2, [TABLE_DIRECTORY] = &table_kind_directory, [TABLE_SQLITE] = &table_kind_sqlite,
		[TABLE_POSTGRESQL] = &table_kind_remote, [TABLE_REDIS] = &table_kind_remote, [TABLE_SOCKETMAP] = &table_kind_remote, [TABLE_LDAP] = &table_kind_remote,
	};

	return kinds[kind];
}

static bool refresh(struct table *t)
{
	uint64_t now = clock_mono_ms();

	if (t->kind->refresh != NULL && (t->look_at_ms == 0 || now >= t->look_at_ms)) {
		t->look_at_ms = now + LOOK_EVERY_MS;
		t->readable = t->kind->refresh(t);
	}
	return t->readable;
}

static struct table *find_table(struct tables *t, const struct conf_table *conf)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->all[i].conf == conf)
			return &t->all[i];
	return NULL;
}

/* The first key that stands there decides, and so does one of which that is not known. */
static enum answer find_first(struct table *t, const struct table_keys *keys, struct buf *value_out)
{
	struct slice domain = slice_empty();
	enum answer answer = ANSWER_NO;
	size_t at = slice_rindex(keys->at[0], '@');

	if (at != SLICE_NONE)
		domain = slice_from(keys->at[0], at + 1);
	for (size_t i = 0; answer == ANSWER_NO && i < keys->count; i++)
		answer = t->kind->find(t, &(struct table_ask){keys->at[i], domain, value_out});
	return answer;
}

enum answer tables_find(struct tables *t, const struct conf_table *conf, struct slice key, struct buf *value_out)
{
	struct table *table = find_table(t, conf);
	struct table_keys keys;

	if (table == NULL || !refresh(table))
		return ANSWER_UNKNOWN;
	table_keys_in(conf->kind, key, &keys);
	return keys.count == 0 ? ANSWER_NO : find_first(table, &keys, value_out);
}

enum answer tables_alias(struct tables *t, const struct conf_table *conf, struct slice address, struct slice base,
			 struct buf *value_out)
{
	struct table *table = find_table(t, conf);
	struct table_keys keys;

	if (table == NULL || !refresh(table) || !table_keys_alias(conf->kind, address, base, &keys))
		return ANSWER_UNKNOWN;
	return find_first(table, &keys, value_out);
}

enum answer tables_names(struct tables *t, const struct conf_table *conf, struct slice address)
{
	struct table *table = find_table(t, conf);
	struct table_keys keys;

	if (table == NULL || !refresh(table))
		return ANSWER_UNKNOWN;
	if (!table_keys_alias(conf->kind, address, slice_empty(), &keys))
		return ANSWER_NO;
	keys.count = keys.own;
	return keys.count == 0 ? ANSWER_NO : find_first(table, &keys, NULL);
}

/* ---- includes ---- */

/* The part beneath "/folder/.", or beneath the folder that "/folder/file" lies in. */
static bool beneath(const char *folder, struct slice path, struct slice *out)
{
	struct slice base = slice_sub(slice_of(folder), 0, slice_rindex(slice_of(folder), '/') + 1);

	*out = slice_from(path, base.len);
	return slice_starts(path, base) && out->len > 0;
}

static bool read_include(struct file_at *file, struct buf *text_out, struct buf *why)
{
	struct file_at_mark mark;
	struct stat st;

	if (!file_at_read(file, text_out, &st, &mark))
		return buf_add_slice(why, log_errno_text(errno)) && false;
	if ((st.st_mode & S_IWOTH) != 0)
		return buf_add_text(why, "everybody may write to it") && false;
	return true;
}

bool tables_include(struct tables *t, const struct conf_table *conf, struct slice path, struct buf *text_out, struct buf *why)
{
	struct table *table = find_table(t, conf);
	const char *folder = conf->include != NULL ? conf->include : conf->kind == TABLE_FILE ? conf->path : NULL;
	struct slice part;
	struct file_at file;
	bool done;

	if (table == NULL || folder == NULL)
		return buf_add_text(why, "this table includes nothing: name a folder with `include`") && false;
	if (!beneath(folder, path, &part))
		return buf_addf(why, "not beneath %.*s", (int)slice_rindex(slice_of(folder), '/'), folder) && false;
	if (!file_at_open_beneath(&file, table->include_fd, part))
		return buf_add_slice(why, log_errno_text(errno)) && false;
	done = read_include(&file, text_out, why);
	close(file.fd);
	return done;
}

/* ---- all ---- */

static void init_inline(struct table *t)
{
	struct buf why = buf_make(256);

	t->text = table_text_of(t->conf->entries, t->conf->entry_count, &why);
	t->readable = t->text != NULL;
	if (!t->readable)
		table_complain(t, "table-malformed", buf_slice(&why));
	buf_free(&why);
}

static bool init(struct table *t, const struct conf_table *conf, tables_fd_fn *fd, void *arg)
{
	t->conf = conf;
	t->kind = kind_of(conf->kind);
	t->file.fd = t->include_fd = -1;
	if (conf->kind == TABLE_INLINE)
		init_inline(t);
	else if (conf->kind == TABLE_DIRECTORY)
		t->readable = (t->folder = folder_new(fd(arg, conf->path))) != NULL;
	else if (conf->path != NULL)
		(void)file_at_init(&t->file, fd(arg, conf->path), slice_of(conf->path));
	if (conf->include != NULL)
		t->include_fd = fd(arg, conf->include);
	else if (conf->kind == TABLE_FILE)
		t->include_fd = file_at_folder(&t->file);
	return conf->kind != TABLE_DIRECTORY || t->readable;
}

struct tables *tables_new(const struct conf *conf, tables_fd_fn *fd, void *arg)
{
	struct tables *t = mem_new(1, sizeof(*t));
	bool good = true;

	if (t == NULL)
		return NULL;
	t->all = mem_new(conf->table_count + 1, sizeof(struct table));
	if (t->all == NULL) {
		free(t);
		return NULL;
	}
	t->count = conf->table_count;
	for (size_t i = 0; i < t->count; i++)
		good = init(&t->all[i], &conf->tables[i], fd, arg) && good;
	if (!good)
		tables_free(&t);
	return t;
}

void tables_free(struct tables **tp)
{
	struct tables *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	for (size_t i = 0; i < t->count; i++)
		t->all[i].kind->close(&t->all[i]);
	free(t->all);
	free(t);
}

static bool check_one(struct table *t, struct buf *why)
{
	struct buf mistake = buf_make(512);
	bool good;

	if (t->kind->check != NULL) {
		t->kind->check(t, &mistake);
		t->look_at_ms = clock_mono_ms() + LOOK_EVERY_MS;
	}
	good = mistake.len == 0;
	if (!good)
		buf_addf(why, "%s:%.*s", t->conf->path, SLICE_ARG(buf_slice(&mistake)));
	buf_free(&mistake);
	return good;
}

bool tables_check(struct tables *t, struct buf *why)
{
	for (size_t i = 0; i < t->count; i++)
		if (!check_one(&t->all[i], why))
			return false;
	return true;
}
