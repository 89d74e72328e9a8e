#include "tables_own.h"

/* A table that another server keeps: postern-lookup asks it, and what it says is kept for a while (remote.h). */

static bool refresh_remote(struct table *t)
{
	return t->remote.find != NULL || table_unreadable(t, slice_of("only the running suite can ask this table"));
}

static enum answer find_remote(struct table *t, const struct table_ask *ask)
{
	const struct conf_backend *b = t->conf->backend;
	char why[TABLE_REMOTE_WHY_MAX];
	enum answer answer = t->remote.find(t->remote.arg, t->conf, ask->key, ask->value_out, why);

	if (answer == ANSWER_UNKNOWN)
		table_complain(t, "table-failed", slice_of(why));
	if (answer == ANSWER_YES)
		table_found_at(t, b->query != NULL ? b->query : b->key != NULL ? b->key : b->filter != NULL ? b->filter : b->map, 0);
	return answer;
}

static void close_nothing(struct table *t)
{
	(void)t;
}

const struct table_kind table_kind_remote = {refresh_remote, find_remote, NULL, close_nothing};
