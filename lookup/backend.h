#ifndef POSTERN_LOOKUP_BACKEND_H
#define POSTERN_LOOKUP_BACKEND_H

#include "base/buf.h"
#include "base/outcome.h"
#include "conf/conf.h"
#include "tls/tls.h"

/*
 * A server that keeps a table, over a connection that is there already; one question at a time.  Nothing here waits: `step` does what can be
 * done now, and says what for it is to be called again.
 *
 *   open --step--> READ, WRITE ... READY --ask, step--> READ, WRITE ... ANSWER --ask, step--> ...
 *                     '---------- BROKEN: closed by who called ----------'
 *
 * Always: a key is one parameter, one argument, one word with its length; it is never part of a text that the server parses.
 */
enum backend_want {
	BACKEND_READ, /* call again when there is something to read */
	BACKEND_WRITE, /* or when it can be written */
	BACKEND_READY, /* nothing is open; a byte, or the end, is unasked for: call again */
	BACKEND_ANSWER, /* `out` has it, and it is ready */
	BACKEND_BROKEN, /* `out->why` */
};

#define BACKEND_VALUE_MAX 65535u
#define BACKEND_ROWS_MAX 1000u
#define BACKEND_WHY_MAX 255u

struct backend_answer {
	enum outcome oc; /* DONE, NOT_FOUND, or not known: `why` */
	struct buf value; /* DONE; at most BACKEND_VALUE_MAX */
	char why[BACKEND_WHY_MAX + 1];
};

/* Whom to open a connection to, which is there as a descriptor that does not block.  `conf`, `server` and `tls` are borrowed as long as the
 * connection lives: who opens it holds their generation until `close`. */
struct backend_opening {
	const struct conf_backend *conf;
	const struct conf_ldap_server *server; /* of conf's */
	struct slice user, secret; /* may be empty */
	struct tls_client *tls; /* NULL: conf says off */
};

struct backend_kind {
	/* Takes `fd`.  NULL: no memory (and the descriptor is closed). */
	void *(*open)(const struct backend_opening *o, int fd);
	/* `out` is empty. */
	enum backend_want (*step)(void *connection, struct backend_answer *out);
	/* Only when it is ready.  False: broken. */
	bool (*ask)(void *connection, struct slice key);
	void (*close)(void *connection);
};
extern const struct backend_kind backend_postgresql, backend_redis, backend_socketmap, backend_ldap;

/* "...", from what a server or a library said: one line, printable. */
void backend_why(struct backend_answer *out, const char *what, struct slice said);

#endif
