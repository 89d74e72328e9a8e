#include "stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES 16384u
#define WIRE_BYTES_MAX (256u << 10)

struct stream stream_make(int fd)
{
	return (struct stream){.fd = fd,
			       .in = buf_make(STREAM_BYTES_MAX),
			       .out = buf_make_secret(STREAM_BYTES_MAX),
			       .wire = buf_make(WIRE_BYTES_MAX),
			       .why = "the server ended the connection"};
}

void stream_close(struct stream *s)
{
	close(s->fd);
	tls_conn_free(&s->tls);
	buf_free(&s->in);
	buf_free(&s->out);
	buf_free(&s->wire);
}

static bool broken(struct stream *s, const char *why)
{
	s->why = why;
	return false;
}

/* ---- TLS ---- */

/* What came, decrypted; and what TLS has to say to it. */
static bool step(struct stream *s, struct slice came)
{
	switch (tls_step(s->tls, came, &s->wire, &s->in)) {
	case TLS_WANT_READ:
		return true;
	case TLS_CLOSED:
		s->ended = true;
		return false;
	case TLS_WANT_ROOM:
	case TLS_WANT_KEY:
		return broken(s, "the server says more than was asked for");
	case TLS_FAILED:
		break;
	}
	return broken(s, tls_error(s->tls));
}

bool stream_secure(struct stream *s, struct tls_client *client, const char *name)
{
	s->tls = tls_conn_client(client, name, NULL);
	return s->tls != NULL && step(s, slice_empty());
}

bool stream_is_open(const struct stream *s)
{
	return s->tls == NULL || tls_is_open(s->tls);
}

static bool encrypt(struct stream *s)
{
	if (s->out.len == 0 || !tls_is_open(s->tls))
		return true;
	if (!tls_write(s->tls, buf_slice(&s->out), &s->wire))
		return broken(s, "TLS cannot be written");
	buf_clear(&s->out);
	return true;
}

/* ---- the socket ---- */

static bool not_now(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static bool send_all(int fd, struct buf *from)
{
	while (from->len > 0) {
		ssize_t n = send(fd, from->at, from->len, MSG_NOSIGNAL);

		if (n <= 0)
			return n == -1 && not_now();
		buf_take(from, (size_t)n);
	}
	return buf_ok(from);
}

bool stream_flush(struct stream *s)
{
	if (!buf_ok(&s->out))
		return broken(s, "out of memory");
	if (s->tls == NULL)
		return send_all(s->fd, &s->out);
	return encrypt(s) && send_all(s->fd, &s->wire);
}

/* One piece, in TLS; -1 also where what came is no TLS. */
static ssize_t receive_secure(struct stream *s)
{
	char piece[PIECE_BYTES];
	ssize_t n = recv(s->fd, piece, sizeof(piece), 0);

	if (n <= 0)
		return n;
	if (step(s, slice_make(piece, (size_t)n)))
		return n;
	errno = EBADMSG;
	(void)send_all(s->fd, &s->wire); /* an alert that says why */
	return -1;
}

static ssize_t receive_clear(struct stream *s)
{
	char *room = buf_room(&s->in, PIECE_BYTES);
	ssize_t n = room == NULL ? -1 : recv(s->fd, room, PIECE_BYTES, 0);

	if (room == NULL)
		errno = ENOMEM;
	if (n > 0)
		buf_grew(&s->in, (size_t)n);
	return n;
}

bool stream_fill(struct stream *s, bool *more)
{
	size_t before = s->in.len;
	ssize_t n;

	do {
		n = s->tls == NULL ? receive_clear(s) : receive_secure(s);
	} while (n == PIECE_BYTES && s->in.len < STREAM_BYTES_MAX / 2);
	*more = s->in.len > before;
	if (n == 0 || (n == -1 && errno == ECONNRESET))
		s->ended = true;
	if (n == 0 && !stream_is_open(s) && tls_error(s->tls)[0] == '\0')
		s->why = "the server ended the connection where TLS was to begin";
	if (n == 0 || (n == -1 && !not_now()))
		return false;
	return s->tls == NULL || stream_flush(s);
}

enum backend_want stream_want(const struct stream *s)
{
	return s->wire.len > 0 || (s->tls == NULL && s->out.len > 0) ? BACKEND_WRITE : BACKEND_READ;
}

void backend_why(struct backend_answer *out, const char *what, struct slice said)
{
	size_t len = 0;

	out->oc = OC_UNAVAILABLE;
	for (; *what != '\0' && len < BACKEND_WHY_MAX; what++)
		out->why[len++] = *what;
	for (size_t i = 0; i < said.len && len < BACKEND_WHY_MAX; i++)
		out->why[len++] = said.at[i] >= ' ' && said.at[i] <= '~' ? said.at[i] : ' ';
	while (len > 0 && out->why[len - 1] == ' ')
		len--;
	out->why[len] = '\0';
}
