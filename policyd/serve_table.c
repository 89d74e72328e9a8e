#include "policyd.h"

#include "base/clock.h"
#include "conf/table_keys.h"
#include "table_list.h"

#include <stdio.h>

/*
 * `postern table test NAME KEY`: what a rule would hear, as rows: by `FACT in NAME`, and where the key is an address, by `alias NAME` too.
 */

struct use {
	const char *name;
	enum answer answer;
	struct buf value; /* owned */
	struct tables_detail detail;
	uint64_t took_us;
};

static const char *answer_word(enum answer answer)
{
	static const char *const words[] = {
		[ANSWER_NO] = "no", [ANSWER_YES] = "yes", [ANSWER_UNKNOWN] = "unknown", [ANSWER_PENDING] = "unknown"};

	return words[answer];
}

/* ---- what is asked ---- */

static bool read_fields(struct slice records, struct slice *name, struct slice *key)
{
	struct rec_control_field field;

	*name = *key = slice_empty();
	while (rec_control_field_next(&records, &field)) {
		if (slice_eq(field.key, slice_of("table")))
			*name = field.value;
		if (slice_eq(field.key, slice_of("key")))
			*key = field.value;
	}
	return name->len > 0 && key->len > 0 && key->len <= RULES_KEY_MAX;
}

/* ---- one use ---- */

struct members {
	const struct conf_table *table;
	struct tables *tables;
	size_t count;
};

static bool count_member(const struct target *target, void *arg)
{
	struct members *m = arg;

	(void)target;
	m->count++;
	return true;
}

static bool read_include(void *arg, struct slice path, struct buf *text_out, struct buf *why)
{
	const struct members *m = arg;

	return tables_include(m->tables, m->table, path, text_out, why);
}

/* An alias whose list cannot be read is as unknown as one whose table cannot. */
static void check_list(struct use *u, struct tables *tables, const struct conf_table *table)
{
	struct members m = {table, tables, 0};
	char why[TABLE_LIST_WHY_MAX];

	if (table_list_expand(buf_slice(&u->value), read_include, &m, count_member, &m, why) == TABLE_LIST_DONE)
		return;
	u->answer = ANSWER_UNKNOWN;
	snprintf(u->detail.why, sizeof(u->detail.why), "%s", why);
}

static void ask_in(struct use *u, struct tables *tables, const struct conf_table *table, struct slice key)
{
	uint64_t began = clock_mono_us();

	tables_tell(tables, &u->detail);
	u->answer = tables_find(tables, table, key, &u->value);
	tables_tell(tables, NULL);
	u->took_us = clock_mono_us() - began;
}

static void ask_alias(struct use *u, struct tables *tables, const struct conf_table *table, struct slice key)
{
	uint64_t began = clock_mono_us();

	tables_tell(tables, &u->detail);
	u->answer = tables_alias(tables, table, key, slice_empty(), &u->value);
	tables_tell(tables, NULL);
	u->took_us = clock_mono_us() - began;
	if (u->answer == ANSWER_YES)
		check_list(u, tables, table);
}

static void add(struct buf *row, const char *key, struct slice value)
{
	(void)rec_control_field_add(row, &(struct rec_control_field){slice_of(key), slice_sub(value, 0, 8000)});
}

static void add_row(struct buf *rows, const struct use *u, struct slice table, struct slice key)
{
	struct buf row = buf_make(32768);
	char took[32];

	snprintf(took, sizeof(took), "%u.%03u ms", (unsigned)(u->took_us / 1000), (unsigned)(u->took_us % 1000));
	add(&row, "table", table);
	add(&row, "key", key);
	add(&row, "use", slice_of(u->name));
	add(&row, "answer", slice_of(answer_word(u->answer)));
	add(&row, "value", buf_slice(&u->value));
	add(&row, "where", u->answer == ANSWER_YES ? slice_of(u->detail.where) : slice_empty());
	add(&row, "took", slice_of(took));
	add(&row, "why", u->answer == ANSWER_UNKNOWN ? slice_of(u->detail.why) : slice_empty());
	(void)rec_control_row_add(rows, &(struct rec_control_row){buf_slice(&row)});
	buf_free(&row);
}

/* ---- the answer ---- */

static void tell(struct link *link, uint64_t request, enum outcome oc, struct slice text, struct slice rows)
{
	link_answer(link, request, IPC_CONTROL_ANSWER, &(struct msg_CONTROL_ANSWER){oc, text, slice_empty(), rows}, -1);
}

static bool answer_uses(struct policyd *p, struct link *link, uint64_t request, const struct conf_table *table, struct slice key)
{
	struct use in = {.name = "in", .value = buf_make(TABLE_LIST_FILE_MAX)}, alias = {.name = "alias", .value = buf_make(TABLE_LIST_FILE_MAX)};
	bool has_alias = slice_index(key, '@') != SLICE_NONE && table->kind != TABLE_CIDR;
	struct buf rows = buf_make(65536);

	ask_in(&in, p->tables, table, key);
	if (has_alias)
		ask_alias(&alias, p->tables, table, key);
	if (table->backend != NULL)
		in.took_us = alias.took_us = clock_mono_us() - p->began_us; /* with the time it waited */
	if (in.answer == ANSWER_PENDING || (has_alias && alias.answer == ANSWER_PENDING)) {
		buf_free(&in.value);
		buf_free(&alias.value);
		buf_free(&rows);
		return false;
	}
	add_row(&rows, &in, slice_of(table->name), key);
	if (has_alias)
		add_row(&rows, &alias, slice_of(table->name), key);
	tell(link, request, OC_DONE, slice_empty(), buf_slice(&rows));
	buf_free(&in.value);
	buf_free(&alias.value);
	buf_free(&rows);
	return true;
}

bool serve_table(struct policyd *p, struct link *link, uint64_t request, const struct msg_CONTROL_ASK *ask)
{
	struct generation *g = service_generation(p->service);
	const struct conf_table *table;
	char lower[RULES_KEY_MAX];
	struct slice name, key;

	(void)policyd_lookups(p, g);
	if (!read_fields(ask->control_field_records, &name, &key) || p->tables == NULL) {
		tell(link, request, OC_BAD_INPUT, slice_of("say the name of a table and a key of at most 1024 bytes"), slice_empty());
		return true;
	}
	table = conf_table_find(g->conf, name);
	if (table == NULL) {
		tell(link, request, OC_NOT_FOUND, slice_of("the configuration has no table of this name"), slice_empty());
		return true;
	}
	for (size_t i = 0; i < key.len; i++)
		lower[i] = ascii_lower(key.at[i]);
	return answer_uses(p, link, request, table, slice_make(lower, key.len));
}
