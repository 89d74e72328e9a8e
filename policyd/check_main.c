#include "check_main.h"

#include "base/mem.h"
#include "file_at/file_at.h"
#include "mail/target_list.h"
#include "offline.h"
#include "route.h"
#include "table_text.h"

#include <stdio.h>
#include <unistd.h>

#define PLACE_MAX 5000u

struct checking {
	const struct offline *offline;
	const struct rule *rule; /* that uses the table */
	const char *path;
	size_t line, aliases, mistakes;
};

static void tell(struct checking *k, const char *why)
{
	k->mistakes++;
	fprintf(stderr, "%s:%zu: %s\n", k->path, k->line, why);
}

/* ---- aliases ---- */

static bool on_target(const struct target *target, void *arg)
{
	struct checking *k = arg;

	if ((target->kind == TARGET_PROGRAM || target->kind == TARGET_FILE) && k->rule->transport == NULL)
		tell(k, "a program or a file, and the route has no `alias TABLE programs TRANSPORT` that would say as which user");
	return true;
}

static void check_value(struct checking *k, struct slice value)
{
	struct target_mistake mistake;

	k->aliases++;
	if (slice_trim(value).len == 0)
		tell(k, "an alias without a value: mail for it waits");
	else if (target_list_parse(value, on_target, k, &mistake) == TARGET_BAD)
		tell(k, mistake.why);
}

static bool was_checked(const struct rule_list *route, size_t rule)
{
	for (size_t i = 0; i < rule; i++)
		if (route->rules[i].verb == VERB_ALIAS && route->rules[i].table == route->rules[rule].table)
			return true;
	return false;
}

/* Its text as it is now; false: it is nobody's to read, or not well formed, which tables_check has said. */
static bool read_entries(const struct conf_table *table, struct table_text **out)
{
	struct buf text = buf_make(TABLE_FILE_MAX), why = buf_make(512);
	struct file_at_mark mark;
	struct file_at file;
	struct stat st;

	*out = NULL;
	if (file_at_init(&file, offline_path_fd(NULL, table->path), slice_of(table->path)) && file_at_read(&file, &text, &st, &mark))
		*out = table_text_parse(&text, &why);
	buf_free(&text);
	buf_free(&why);
	return *out != NULL;
}

static void check_aliases(struct checking *k, const struct rule *rule)
{
	struct table_text *entries = NULL;
	struct slice key, value;

	if (rule->table->kind != TABLE_FILE || !read_entries(rule->table, &entries))
		return;
	k->rule = rule;
	k->path = rule->table->path;
	for (size_t i = 0; i < table_text_count(entries); i++) {
		table_text_at(entries, i, &key, &value, &k->line);
		check_value(k, value);
	}
	table_text_free(&entries);
}

/* ---- root ---- */

static void on_note(void *arg, const struct route_note *n)
{
	bool *by_setting = arg;

	if (n->kind == NOTE_ADDRESS && n->parent == 0 && n->rule == NULL)
		*by_setting = true;
}

/* A warning: its mail is safe, for it goes to the postmaster; but who reads that should be said. */
static void check_root(const struct offline *o)
{
	struct facts facts = facts_make();
	struct buf address = buf_make(512);
	bool by_setting = false;
	const struct route_trace trace = {on_note, &by_setting};
	const struct route_question q = {.conf = o->conf, .facts = &facts, .lookups = &o->lookups, .trace = &trace};
	struct route_result r;

	facts_set_listener(&facts, o->conf, LISTENER_LOCAL, slice_empty(), slice_empty());
	buf_addf(&address, "root@%.*s", SLICE_ARG(facts_text(&facts, FACT_HOSTNAME)));
	facts.header_names = slice_of(":");
	facts.value[FACT_RECIPIENT].text = buf_slice(&address);
	route_run(&q, &r);
	if (by_setting)
		fprintf(stderr, "postern: warning: %s has no alias, and nothing is delivered as root: its mail goes to the postmaster, %s\n",
			buf_text(&address), o->conf->set.postmaster);
	route_result_free(&r);
	buf_free(&address);
}

static int check(const struct offline *o)
{
	struct checking k = {.offline = o};
	struct buf why = buf_make(PLACE_MAX);
	const struct rule_list *route = o->conf->route;

	if (!tables_check(o->tables, &why)) {
		fprintf(stderr, "%s\n", buf_text(&why));
		k.mistakes++;
	}
	for (size_t i = 0; i < route->count; i++)
		if (route->rules[i].verb == VERB_ALIAS && !was_checked(route, i))
			check_aliases(&k, &route->rules[i]);
	check_root(o);
	buf_free(&why);
	return k.mistakes == 0 ? 0 : OFFLINE_BAD_CONFIG;
}

int check_main(const char *config)
{
	struct offline o;
	int exit = offline_open(&o, config) ? check(&o) : o.exit;

	offline_close(&o);
	return exit;
}
