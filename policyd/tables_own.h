#ifndef POSTERN_POLICYD_TABLES_OWN_H
#define POSTERN_POLICYD_TABLES_OWN_H

#include "tables.h"

#include "file_at/file_at.h"

/* What the files of tables.c share: one table of a generation, and what each kind of them does. */

struct table;

/* One look-up. */
struct table_ask {
	struct slice key; /* of those in table_keys.h */
	struct slice domain; /* of what was asked; "" : it was no address */
	struct buf *value_out; /* NULL: not wanted */
};

struct table_kind {
	/* Whether it can be asked now; called once a second at most.  NULL: always. */
	bool (*refresh)(struct table *t);
	enum answer (*find)(struct table *t, const struct table_ask *ask);
	/* Reads it anew for tables_check; "LINE: what" in `mistake`.  NULL: nothing to check. */
	void (*check)(struct table *t, struct buf *mistake);
	void (*close)(struct table *t);
};
extern const struct table_kind table_kind_inline, table_kind_file, table_kind_cidr, table_kind_pcre2, table_kind_directory,
	table_kind_sqlite, table_kind_remote;

/* Always: what the kind keeps is what the last good reading gave; `readable` says whether it may be used. */
struct table {
	const struct conf_table *conf;
	const struct table_kind *kind;
	struct file_at file;
	struct file_at_mark mark; /* of what was read last, well formed or not */
	int include_fd; /* borrowed; -1: none */
	union {
		struct table_text *text; /* owned: inline, file */
		struct table_net *net; /* owned: cidr */
		struct table_pattern *patterns; /* owned: pcre2 */
		struct folder *folder; /* owned: directory */
		struct table_sqlite *sqlite; /* owned */
	};
	struct tables_remote remote;
	struct tables_detail *detail; /* borrowed; NULL: nobody wants to know */
	uint64_t look_at_ms; /* 0: never looked */
	uint64_t log_at_ms;
	bool marked, readable;
};

/* Logs it, once a minute. */
void table_complain(struct table *t, const char *event, struct slice why);
/* The same, and false. */
bool table_unreadable(struct table *t, struct slice why);
/* For who wants to know: where what was found stands. */
void table_found_at(struct table *t, const char *file, size_t line);
bool table_add_value(const struct table_ask *ask, struct slice value);

#endif
