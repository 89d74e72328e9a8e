#include "stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES 16384u

struct stream stream_make(int fd)
{
	return (struct stream){fd, buf_make(STREAM_BYTES_MAX), buf_make_secret(STREAM_BYTES_MAX)};
}

void stream_close(struct stream *s)
{
	close(s->fd);
	buf_free(&s->in);
	buf_free(&s->out);
}

static bool not_now(void)
{
	return errno == EAGAIN || errno == EINTR;
}

bool stream_flush(struct stream *s)
{
	while (s->out.len > 0) {
		ssize_t n = send(s->fd, s->out.at, s->out.len, MSG_NOSIGNAL);

		if (n <= 0)
			return n == -1 && not_now();
		buf_take(&s->out, (size_t)n);
	}
	return buf_ok(&s->out);
}

bool stream_fill(struct stream *s, bool *more)
{
	ssize_t n;
	char *room;

	*more = false;
	for (;;) {
		room = buf_room(&s->in, PIECE_BYTES);
		if (room == NULL)
			return false;
		n = recv(s->fd, room, PIECE_BYTES, 0);
		if (n <= 0)
			return n == -1 && not_now();
		buf_grew(&s->in, (size_t)n);
		*more = true;
		if ((size_t)n < PIECE_BYTES)
			return true;
	}
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
