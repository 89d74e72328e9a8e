#include "bridge.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES 16384u

enum state { ASKED, SECURED, ENDED };

struct bridge {
	struct stream stream; /* to the server */
	struct tls_client *client; /* borrowed */
	const char *name; /* borrowed: of the server */
	int inner; /* owned: our end */
	enum state state;
	bool opened; /* TLS was: libpq may speak */
	bool greeted; /* the first message was handed on */
	char why[TLS_WHY_BYTES];
};

/* SSLRequest: its length, 8, and the number that stands for a version ("Message Formats" of PostgreSQL's protocol). */
static const char ssl_request[] = {0, 0, 0, 8, 0x04, (char)0xd2, 0x16, 0x2f};

struct bridge *bridge_new(int fd, struct tls_client *client, const char *name, int *inner_out)
{
	struct bridge *b = mem_new(1, sizeof(*b));
	int pair[2];

	if (b == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1) {
		free(b);
		close(fd);
		return NULL;
	}
	*b = (struct bridge){.stream = stream_make(fd), .client = client, .name = name, .inner = pair[0]};
	*inner_out = pair[1];
	buf_add(&b->stream.out, ssl_request, sizeof(ssl_request));
	return b;
}

void bridge_free(struct bridge **bp)
{
	struct bridge *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	stream_close(&b->stream);
	close(b->inner);
	free(b);
}

static bool not_now(ssize_t n)
{
	return n == -1 && (errno == EAGAIN || errno == EINTR);
}

static bool refuse(struct bridge *b, const char *why)
{
	snprintf(b->why, sizeof(b->why), "%s", why);
	return false;
}

/* One byte and no more: what a stranger had put behind it would be taken for what the server says in TLS, and is no TLS. */
static bool hear_answer(struct bridge *b)
{
	char said = '\0';
	ssize_t n;

	if (!stream_flush(&b->stream))
		return refuse(b, b->stream.why);
	n = recv(b->stream.fd, &said, 1, 0);
	if (not_now(n))
		return true;
	if (n == 1 && said == 'N')
		return refuse(b, "the server speaks no TLS");
	if (n != 1 || said != 'S')
		return refuse(b, "the server does not answer whether it speaks TLS");
	b->state = SECURED;
	return stream_secure(&b->stream, b->client, b->name) || refuse(b, "TLS cannot be begun");
}

/* ---- the first message ---- */

#define FIRST_HEADER 9u /* a letter, its length with itself, and which kind of authentication */
#define FIRST_BYTES_MAX 2000u
#define KIND_SASL 10u

static uint32_t number_at(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool is_sasl(const struct buf *in)
{
	uint32_t len = number_at(in->at + 1);

	return in->at[0] == 'R' && number_at(in->at + 5) == KIND_SASL && len >= 8 && len <= FIRST_BYTES_MAX;
}

/* Words that end with a NUL each, those that are kept moved together; how many bytes are left of `len`. */
static size_t drop_word(char *at, size_t len, const char *word)
{
	size_t from = 0, to = 0;

	while (from < len) {
		size_t n = strnlen(at + from, len - from);
		bool drop = slice_eq(slice_make(at + from, n), slice_of(word));

		n += from + n < len; /* its NUL */
		if (!drop)
			memmove(at + to, at + from, n);
		to += drop ? 0 : n;
		from += n;
	}
	return to;
}

bool bridge_first_message(struct buf *in)
{
	size_t whole, kept;

	if (in->len > 0 && in->at[0] != 'R')
		return true;
	if (in->len < FIRST_HEADER)
		return false;
	if (!is_sasl(in))
		return true;
	whole = number_at(in->at + 1) + 1u;
	if (in->len < whole)
		return false;
	kept = FIRST_HEADER + drop_word(in->at + FIRST_HEADER, whole - FIRST_HEADER, "SCRAM-SHA-256-PLUS");
	memmove(in->at + kept, in->at + whole, in->len - whole);
	buf_undo(in, in->len - (whole - kept));
	in->at[3] = (char)((kept - 1) >> 8);
	in->at[4] = (char)((kept - 1) & 0xff);
	return true;
}

/* ---- both ways ---- */

/* The server's words to libpq; true: some went. */
static bool give(struct bridge *b)
{
	struct buf *in = &b->stream.in;
	ssize_t n;

	b->greeted = b->greeted || b->stream.ended || bridge_first_message(in);
	if (!b->greeted)
		return false;
	n = in->len == 0 ? 0 : send(b->inner, in->at, in->len, MSG_NOSIGNAL);

	if (n > 0)
		buf_take(in, (size_t)n);
	else if (n == -1 && !not_now(n))
		buf_clear(in); /* libpq has ended */
	return n > 0;
}

static void end(struct bridge *b)
{
	if (b->stream.in.len > 0 || b->state == ENDED)
		return;
	b->state = ENDED;
	(void)shutdown(b->inner, SHUT_WR);
}

/* libpq's words to the server; true: there were some. */
static bool take(struct bridge *b)
{
	char *room = b->stream.out.len > 0 ? NULL : buf_room(&b->stream.out, PIECE_BYTES);
	ssize_t n = room == NULL ? 0 : recv(b->inner, room, PIECE_BYTES, 0);

	if (n > 0)
		buf_grew(&b->stream.out, (size_t)n);
	return n > 0;
}

static bool move_in(struct bridge *b, bool *moved)
{
	bool more = false, alive = true;

	if ((b->stream.in.len == 0 || !b->greeted) && b->state == SECURED)
		alive = stream_fill(&b->stream, &more);
	b->opened = b->opened || (b->state == SECURED && stream_is_open(&b->stream));
	*moved = give(b) || *moved;
	if (alive)
		return true;
	if (!b->opened || !b->stream.ended)
		return refuse(b, b->stream.why);
	end(b);
	*moved = true;
	return true;
}

bool bridge_move(struct bridge *b, bool *moved)
{
	*moved = false;
	if (b->state == ASKED && !hear_answer(b))
		return false;
	if (b->state == ASKED)
		return true;
	if (!move_in(b, moved))
		return false;
	if (!stream_is_open(&b->stream))
		return true;
	*moved = take(b) || *moved;
	if (b->state == SECURED && !stream_flush(&b->stream))
		end(b);
	return true;
}

bool bridge_is_open(const struct bridge *b)
{
	return b->opened;
}

enum backend_want bridge_want(const struct bridge *b)
{
	return stream_want(&b->stream);
}

const char *bridge_why(const struct bridge *b)
{
	return b->why;
}
