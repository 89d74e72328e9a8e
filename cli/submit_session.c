#include "submit_session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 16384u

/* One direction: what was read and is not yet written. */
struct way {
	int from, to;
	bool ended; /* nothing more is read */
	size_t start, end;
	char bytes[BUFFER_BYTES];
};

static bool fill(struct way *w)
{
	ssize_t n = read(w->from, w->bytes, sizeof(w->bytes));

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return true;
	w->ended = n <= 0;
	w->start = 0;
	w->end = n > 0 ? (size_t)n : 0;
	return n >= 0;
}

/* So much may be written without waiting to what is ready, a pipe too. */
static bool empty(struct way *w)
{
	size_t len = w->end - w->start < PIPE_BUF ? w->end - w->start : PIPE_BUF;
	ssize_t n = write(w->to, w->bytes + w->start, len);

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n > 0)
		w->start += (size_t)n;
	return n >= 0;
}

static struct pollfd due(const struct way *w)
{
	if (w->start < w->end)
		return (struct pollfd){.fd = w->to, .events = POLLOUT};
	return (struct pollfd){.fd = w->ended ? -1 : w->from, .events = POLLIN};
}

/* False: this direction has failed. */
static bool step(struct way *w, const struct pollfd *p)
{
	if (p->fd == -1 || p->revents == 0)
		return true;
	return w->start < w->end ? empty(w) : fill(w);
}

bool submit_session_run(int server, int in, int out)
{
	static struct way up, down;
	bool told = false;

	up = (struct way){.from = in, .to = server};
	down = (struct way){.from = server, .to = out};
	if (fcntl(server, F_SETFL, O_NONBLOCK) == -1)
		return false;
	while (!down.ended || down.start < down.end) {
		struct pollfd ways[2] = {due(&up), due(&down)};

		if (poll(ways, 2, -1) == -1 && errno != EINTR)
			return false;
		if (!step(&up, &ways[0])) { /* the server has gone, and has said why; or the input is broken */
			up.ended = true;
			up.start = up.end = 0;
		}
		if (!step(&down, &ways[1]))
			return false;
		if (up.ended && up.start == up.end && !told) {
			(void)shutdown(server, SHUT_WR);
			told = true;
		}
	}
	return true;
}
