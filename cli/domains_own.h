#ifndef POSTERN_CLI_DOMAINS_OWN_H
#define POSTERN_CLI_DOMAINS_OWN_H

#include "domains.h"

struct sqlite_at;

/* Between domains.c and the two ways of keeping them. */
struct domains {
	const struct domains_kind *kind;
	const char *path; /* borrowed: the table's, for people */
	int folder; /* owned */
	struct sqlite_at *db; /* owned; NULL: a directory */
};

struct domains_kind {
	bool (*open)(struct domains *d, bool create, struct buf *why);
	enum outcome (*add)(struct domains *d, struct slice domain, struct buf *why);
	enum outcome (*remove)(struct domains *d, struct slice domain, struct buf *why);
	enum outcome (*restore)(struct domains *d, struct slice domain, struct buf *why);
	enum outcome (*find)(struct domains *d, struct slice domain, domains_fn *fn, void *arg, struct buf *why);
	enum outcome (*list)(struct domains *d, domains_fn *fn, void *arg, struct buf *why);
};

extern const struct domains_kind domains_folder, domains_sqlite;

/* Adds the sentence. */
enum outcome domains_fail(struct buf *why, enum outcome oc, const char *text);

#endif
