#include "stream.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <unistd.h>

/*
 * Redis and Valkey: hiredis writes commands and reads replies; the bytes are moved here.
 *
 *   open --AUTH, if there is a login--> +OK --SELECT, if it is not 0--> +OK --> ready
 *   ask  --GET KEY, HGET HASH KEY--> a string: yes; nil: no; all else: unknown
 */
enum phase { PHASE_AUTH, PHASE_SELECT, PHASE_READY, PHASE_ASKED };

struct connection {
	struct stream stream;
	const struct conf_backend *conf; /* borrowed */
	redisReader *reader; /* owned */
	enum phase phase;
};

/* A command is its arguments, each with its length: what is in one is no command. */
static bool send_command(struct connection *c, size_t count, const struct slice *arguments)
{
	const char *at[4];
	size_t len[4];
	char *text = NULL;
	int n;
	bool done;

	for (size_t i = 0; i < count && i < ARRAY_LEN(at); i++) {
		at[i] = arguments[i].at;
		len[i] = arguments[i].len;
	}
	n = (int)redisFormatCommandArgv(&text, (int)count, at, len);
	done = n > 0 && buf_add(&c->stream.out, text, (size_t)n);
	if (n > 0) {
		mem_wipe(text, (size_t)n); /* it may hold the password */
		redisFreeCommand(text);
	}
	return done;
}

static bool send_auth(struct connection *c, struct slice user, struct slice secret)
{
	struct slice arguments[] = {slice_of("AUTH"), user, secret};

	c->phase = PHASE_AUTH;
	return send_command(c, 3, arguments);
}

static bool send_select(struct connection *c)
{
	char number[16];
	struct slice arguments[] = {slice_of("SELECT"), {number, 0}};

	snprintf(number, sizeof(number), "%u", c->conf->number);
	arguments[1] = slice_of(number);
	c->phase = PHASE_SELECT;
	return send_command(c, 2, arguments);
}

static void close_connection(void *connection)
{
	struct connection *c = connection;

	stream_close(&c->stream);
	if (c->reader != NULL)
		redisReaderFree(c->reader);
	free(c);
}

static void *open_connection(const struct backend_opening *o, int fd)
{
	struct connection *c = mem_new(1, sizeof(*c));
	bool good;

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	c->stream = stream_make(fd);
	c->conf = o->conf;
	c->phase = PHASE_READY;
	c->reader = redisReaderCreate();
	good = c->reader != NULL && (o->tls == NULL || stream_secure(&c->stream, o->tls, o->server->host));
	if (good)
		c->reader->maxbuf = 0;
	if (good && o->user.len > 0)
		good = send_auth(c, o->user, o->secret);
	else if (good && o->conf->number > 0)
		good = send_select(c);
	if (good)
		return c;
	close_connection(c);
	return NULL;
}

static enum backend_want broken(struct backend_answer *out, const char *why, struct slice said)
{
	backend_why(out, why, said);
	return BACKEND_BROKEN;
}

static struct slice text_of(const redisReply *r)
{
	return slice_make(r->str, (size_t)r->len);
}

static enum backend_want take_value(struct connection *c, const redisReply *r, struct backend_answer *out)
{
	c->phase = PHASE_READY;
	out->oc = r->type == REDIS_REPLY_STRING ? OC_DONE : OC_NOT_FOUND;
	if (r->type == REDIS_REPLY_ERROR)
		backend_why(out, "the server says: ", text_of(r));
	else if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_NIL)
		backend_why(out, "the answer is no text", slice_empty());
	else if (r->type == REDIS_REPLY_STRING && !buf_add_slice(&out->value, text_of(r)))
		backend_why(out, "a value of more than 64 KiB", slice_empty());
	return BACKEND_ANSWER;
}

/* The reply to AUTH or SELECT. */
static enum backend_want take_ok(struct connection *c, const redisReply *r, struct backend_answer *out)
{
	bool authenticated = c->phase == PHASE_AUTH;

	if (r->type != REDIS_REPLY_STATUS)
		return broken(out, authenticated ? "login: " : "database: ", r->type == REDIS_REPLY_ERROR ? text_of(r) : slice_empty());
	c->phase = PHASE_READY;
	if (!authenticated || c->conf->number == 0)
		return BACKEND_READY;
	return send_select(c) && stream_flush(&c->stream) ? stream_want(&c->stream) : broken(out, "out of memory", slice_empty());
}

static enum backend_want take(struct connection *c, const redisReply *r, struct backend_answer *out)
{
	if (c->phase == PHASE_READY)
		return broken(out, "the server said what was not asked", slice_empty());
	return c->phase == PHASE_ASKED ? take_value(c, r, out) : take_ok(c, r, out);
}

static enum backend_want step(void *connection, struct backend_answer *out)
{
	struct connection *c = connection;
	enum backend_want want;
	void *reply = NULL;
	bool more;

	if (!stream_flush(&c->stream) || !stream_fill(&c->stream, &more))
		return broken(out, c->stream.why, slice_empty());
	if (!stream_is_open(&c->stream))
		return stream_want(&c->stream);
	if (more && redisReaderFeed(c->reader, c->stream.in.at, c->stream.in.len) != REDIS_OK)
		return broken(out, "the answer is malformed", slice_empty());
	buf_clear(&c->stream.in);
	if (c->reader->len > STREAM_BYTES_MAX)
		return broken(out, "the answer is too long", slice_empty());
	if (redisReaderGetReply(c->reader, &reply) != REDIS_OK)
		return broken(out, "the answer is malformed", slice_empty());
	if (reply == NULL && c->reader->len > c->reader->pos && c->phase == PHASE_READY)
		return broken(out, "the server said what was not asked", slice_empty());
	if (reply == NULL)
		return c->phase == PHASE_READY ? BACKEND_READY : stream_want(&c->stream);
	want = take(c, reply, out);
	freeReplyObject(reply);
	return want;
}

/* The one '?' of the template, as one argument. */
static bool fill_key(const char *template, struct slice key, struct buf *out)
{
	struct slice text = slice_of(template);
	size_t at = slice_index(text, '?');

	buf_add_slice(out, slice_sub(text, 0, at));
	buf_add_slice(out, key);
	return buf_add_slice(out, slice_from(text, at + 1));
}

static bool ask(void *connection, struct slice key)
{
	struct connection *c = connection;
	struct buf name = buf_make(8192);
	bool done = fill_key(c->conf->key, key, &name);
	const struct slice get[] = {slice_of("GET"), buf_slice(&name)};
	const struct slice hget[] = {slice_of("HGET"), slice_of(c->conf->hash), buf_slice(&name)};

	c->phase = PHASE_ASKED;
	done = done && (c->conf->hash == NULL ? send_command(c, 2, get) : send_command(c, 3, hget));
	buf_free(&name);
	return done;
}

const struct backend_kind backend_redis = {open_connection, step, ask, close_connection};
