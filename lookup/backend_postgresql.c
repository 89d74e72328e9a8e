#include "bridge.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * PostgreSQL, by libpq, which cannot be given a connection: it asks for a socket and connects it.  In this program both calls are ours, for
 * the linker binds a library's calls to what the program defines: socket() hands out the connection that postern-dial made, once, and
 * connect() says that it is there.  Neither is a system call, and this process has neither; should a libpq ever not come through here,
 * the filter ends the process, and the table is unknown.
 *
 * It is told of a Unix socket whatever the connection is, so that it looks up no name and speaks no TLS (that is done outside of it, bridge.h);
 * and of user, password and the files it would look for, so that it looks for none.
 */
static int connection_fd = -1;

int socket(int domain, int type, int protocol)
{
	int fd = connection_fd;

	(void)domain;
	(void)type;
	(void)protocol;
	connection_fd = -1;
	if (fd < 0)
		errno = EAFNOSUPPORT;
	return fd;
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	return 0;
}

#define ROUNDS_MAX 64u /* in one step: then others have their turn */
#define ROWS_TEXT "a value of more than 64 KiB or 1000 rows, or with a NUL"

struct connection {
	PGconn *pg; /* owned */
	struct bridge *bridge; /* owned; NULL: in clear */
	char *query; /* owned: with $1 for the '?' */
	bool open, asked;
	bool answered; /* `answer` holds what came; its end is waited for */
	struct backend_answer answer; /* owned */
};

/* ---- the query ---- */

/* '?' outside of quotes becomes $1; conf/table.c saw to it that there is one. */
static char *query_of(const char *text)
{
	struct buf out = buf_make(1u << 16);
	char quote = '\0', *query;

	for (; *text != '\0'; text++) {
		if (quote != '\0')
			quote = *text == quote ? '\0' : quote;
		else if (*text == '\'' || *text == '"' || *text == '`')
			quote = *text;
		if (*text == '?' && quote == '\0')
			buf_add_text(&out, "$1");
		else
			buf_add_char(&out, *text);
	}
	query = buf_ok(&out) ? slice_dup(buf_slice(&out)) : NULL;
	buf_free(&out);
	return query;
}

/* ---- open and close ---- */

static void close_connection(void *connection)
{
	struct connection *c = connection;

	if (c->pg != NULL)
		PQfinish(c->pg);
	bridge_free(&c->bridge);
	buf_free(&c->answer.value);
	free(c->query);
	free(c);
}

static PGconn *start(const struct conf_backend *b, const char *user, const char *secret)
{
	char options[128];
	const char *const names[] = {"host",     "port",   "user",    "password",        "dbname", "passfile",
				     "sslmode",  "gssencmode", "options", "client_encoding", "application_name", NULL};
	const char *const values[] = {"/postern", "5432",    user,    secret, b->database, "/nothing",
				      "disable",  "disable", options, "UTF8", "postern",   NULL};

	/* The server ends a query before the question's time is over, so that the connection lives on. */
	snprintf(options, sizeof(options), "-c statement_timeout=%u -c default_transaction_read_only=on",
		 (unsigned)(b->timeout_ms > 1500 ? b->timeout_ms - 500 : b->timeout_ms / 2));
	return PQconnectStartParams(names, values, 0);
}

/* libpq's end of the connection; -1: no memory, and fd is closed. */
static int begin(struct connection *c, const struct backend_opening *o, int fd)
{
	int inner = -1;

	if (c != NULL && o->tls == NULL)
		return fd;
	if (c == NULL)
		close(fd);
	else
		c->bridge = bridge_new(fd, o->tls, o->server->host, &inner);
	return inner;
}

static void *open_connection(const struct backend_opening *o, int fd)
{
	struct connection *c = mem_new(1, sizeof(*c));
	char *name = slice_dup(o->user), *password = slice_dup(o->secret);

	connection_fd = begin(c, o, fd);
	if (c != NULL && name != NULL && password != NULL && connection_fd >= 0) {
		c->answer.value = buf_make(BACKEND_VALUE_MAX);
		c->query = query_of(o->conf->query);
		c->pg = c->query == NULL ? NULL : start(o->conf, name, password);
	}
	if (password != NULL)
		mem_wipe(password, o->secret.len);
	free(name);
	free(password);
	if (connection_fd >= 0) { /* libpq did not come so far */
		close(connection_fd);
		connection_fd = -1;
	}
	if (c != NULL && c->pg == NULL) {
		close_connection(c);
		c = NULL;
	}
	return c;
}

/* ---- steps ---- */

static enum backend_want broken(struct connection *c, struct backend_answer *out)
{
	backend_why(out, "", slice_of(PQerrorMessage(c->pg)));
	return BACKEND_BROKEN;
}

static enum backend_want step_open(struct connection *c, struct backend_answer *out)
{
	switch (PQconnectPoll(c->pg)) {
	case PGRES_POLLING_READING:
		return BACKEND_READ;
	case PGRES_POLLING_WRITING:
		return BACKEND_WRITE;
	case PGRES_POLLING_OK:
		c->open = PQsetnonblocking(c->pg, 1) == 0;
		return c->open ? BACKEND_READY : broken(c, out);
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		break;
	}
	return broken(c, out);
}

/* NULL has no text. */
static bool add_row(const PGresult *r, int row, struct buf *value)
{
	struct slice text = PQgetisnull(r, row, 0) ? slice_empty() : slice_make(PQgetvalue(r, row, 0), (size_t)PQgetlength(r, row, 0));

	return (row == 0 || buf_add_char(value, ',')) && buf_add_slice(value, text);
}

static void take_rows(struct connection *c, const PGresult *r)
{
	int rows = PQntuples(r);

	c->answer.oc = rows > 0 ? OC_DONE : OC_NOT_FOUND;
	if (PQnfields(r) < 1 || rows > (int)BACKEND_ROWS_MAX)
		backend_why(&c->answer, ROWS_TEXT, slice_empty());
	for (int i = 0; i < rows && c->answer.oc == OC_DONE; i++)
		if (!add_row(r, i, &c->answer.value))
			backend_why(&c->answer, ROWS_TEXT, slice_empty());
}

/* SQLSTATE 22021: a key that is no text in the server's encoding; no row can have it. */
static bool is_no_text(const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, "22021") == 0;
}

static void take_result(struct connection *c, const PGresult *r)
{
	if (c->answered)
		return;
	c->answered = true;
	if (PQresultStatus(r) == PGRES_TUPLES_OK)
		take_rows(c, r);
	else if (is_no_text(r))
		c->answer.oc = OC_NOT_FOUND;
	else
		backend_why(&c->answer, "the server says: ", slice_of(PQresultErrorMessage(r)));
}

static enum backend_want tell(struct connection *c, struct backend_answer *out)
{
	if (!c->answered || PQstatus(c->pg) != CONNECTION_OK)
		return broken(c, out);
	out->oc = c->answer.oc;
	memcpy(out->why, c->answer.why, sizeof(out->why));
	if (out->oc == OC_DONE && !buf_add_slice(&out->value, buf_slice(&c->answer.value)))
		backend_why(out, "out of memory", slice_empty());
	c->asked = c->answered = false;
	return BACKEND_ANSWER;
}

static enum backend_want step_asked(struct connection *c, struct backend_answer *out)
{
	int flushed = PQflush(c->pg);

	if (flushed < 0)
		return broken(c, out);
	if (flushed == 1)
		return BACKEND_WRITE;
	while (!PQisBusy(c->pg)) {
		PGresult *r = PQgetResult(c->pg);

		if (r == NULL)
			return tell(c, out);
		take_result(c, r);
		PQclear(r);
	}
	return BACKEND_READ;
}

static enum backend_want step_clear(struct connection *c, struct backend_answer *out)
{
	if (!c->open)
		return step_open(c, out);
	if (!PQconsumeInput(c->pg))
		return broken(c, out);
	if (c->asked)
		return step_asked(c, out);
	return PQstatus(c->pg) == CONNECTION_OK ? BACKEND_READY : broken(c, out);
}

/* libpq reads what there is room for, and no loop waits for its end of the bridge. */
static bool has_more(const struct connection *c)
{
	struct pollfd one = {PQsocket(c->pg), POLLIN, 0};

	return one.fd >= 0 && poll(&one, 1, 0) == 1;
}

/* What libpq says may be answered at once, and what came may be all it waits for. */
static enum backend_want step_bridged(struct connection *c, struct backend_answer *out)
{
	enum backend_want want = BACKEND_WRITE;
	bool moved;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		if (!bridge_move(c->bridge, &moved)) {
			backend_why(out, "TLS: ", slice_of(bridge_why(c->bridge)));
			return BACKEND_BROKEN;
		}
		if (!bridge_is_open(c->bridge))
			return bridge_want(c->bridge);
		if (round > 0 && !moved && !has_more(c))
			return want == BACKEND_READY ? want : bridge_want(c->bridge);
		want = step_clear(c, out);
		if (want == BACKEND_ANSWER || want == BACKEND_BROKEN)
			return want;
	}
	return BACKEND_WRITE;
}

static enum backend_want step(void *connection, struct backend_answer *out)
{
	struct connection *c = connection;

	return c->bridge == NULL ? step_clear(c, out) : step_bridged(c, out);
}

static bool ask(void *connection, struct slice key)
{
	struct connection *c = connection;
	char *text = slice_dup(key);
	const char *const values[] = {text};
	bool sent = text != NULL && PQsendQueryParams(c->pg, c->query, 1, NULL, values, NULL, NULL, 0) == 1;

	free(text);
	c->asked = true;
	c->answered = false;
	buf_clear(&c->answer.value);
	c->answer.why[0] = '\0';
	return sent;
}

const struct backend_kind backend_postgresql = {open_connection, step, ask, close_connection};
