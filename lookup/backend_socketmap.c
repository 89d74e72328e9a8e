#include "socketmap.h"
#include "stream.h"

#include "base/mem.h"

#include <unistd.h>

struct connection {
	struct stream stream;
	struct slice map; /* borrowed from the configuration */
	bool asked;
};

static void *open_connection(const struct backend_opening *o, int fd)
{
	struct connection *c = mem_new(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	c->stream = stream_make(fd);
	c->map = slice_of(o->conf->map);
	return c;
}

static enum backend_want broken(struct backend_answer *out, const char *why)
{
	backend_why(out, why, slice_empty());
	return BACKEND_BROKEN;
}

static enum backend_want answer(struct connection *c, struct backend_answer *out, enum socketmap_end end, struct slice text, size_t used)
{
	enum backend_want want = BACKEND_ANSWER;

	out->oc = end == SOCKETMAP_YES ? OC_DONE : OC_NOT_FOUND;
	if (end == SOCKETMAP_UNKNOWN)
		backend_why(out, "the server says: ", text);
	else if (end == SOCKETMAP_YES && !buf_add_slice(&out->value, text))
		backend_why(out, "a value of more than 64 KiB", slice_empty());
	c->asked = false;
	if (used < c->stream.in.len)
		want = broken(out, "the server said more than was asked");
	buf_take(&c->stream.in, used);
	return want;
}

static enum backend_want step(void *connection, struct backend_answer *out)
{
	struct connection *c = connection;
	struct slice text = slice_empty();
	enum socketmap_end end;
	size_t used = 0;
	bool more;

	if (!stream_flush(&c->stream) || !stream_fill(&c->stream, &more))
		return broken(out, "the server ended the connection");
	if (!c->asked)
		return c->stream.in.len > 0 ? broken(out, "the server said what was not asked") : BACKEND_READY;
	end = socketmap_reply(buf_slice(&c->stream.in), &text, &used);
	if (end == SOCKETMAP_BAD)
		return broken(out, "the server's answer is malformed");
	return end == SOCKETMAP_MORE ? stream_want(&c->stream) : answer(c, out, end, text, used);
}

static bool ask(void *connection, struct slice key)
{
	struct connection *c = connection;

	c->asked = true;
	return socketmap_request(c->map, key, &c->stream.out);
}

static void close_connection(void *connection)
{
	struct connection *c = connection;

	stream_close(&c->stream);
	free(c);
}

const struct backend_kind backend_socketmap = {open_connection, step, ask, close_connection};
