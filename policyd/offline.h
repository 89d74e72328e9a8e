#ifndef POSTERN_POLICYD_OFFLINE_H
#define POSTERN_POLICYD_OFFLINE_H

#include "facts.h"
#include "tables.h"

/*
 * A configuration and its tables without a server, for what the operator's commands have postern-policyd do by itself.  Run by root it
 * opens the files that the configuration names, then becomes policyd's own user for good, and only then reads them; others see what
 * they may read.  What is wrong is said on stderr.  Nothing is written anywhere.
 */
enum { OFFLINE_BAD_QUESTION = 64, OFFLINE_FAILED = 75, OFFLINE_BAD_CONFIG = 78 };

struct offline {
	struct conf *conf; /* owned */
	struct tables *tables; /* owned */
	struct lookups lookups; /* what only a server could ask is unknown */
	int exit; /* of a failure */
};

/* False: `exit` says what to end with.  offline_close in either case. */
bool offline_open(struct offline *o, const char *config);
void offline_close(struct offline *o);
/* A tables_fd_fn of what it opened. */
int offline_path_fd(void *arg, const char *path);
/* "postern: what: why" on stderr; returns `exit`. */
int offline_complain(int exit, const char *what, const char *why);

#endif
