#include "relay.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The bytes of a connection: the only file that knows both the socket and the client engine.
 *
 *   socket -> (TLS) -> client_input     client_out -> (TLS) -> wire -> socket     message file -> client_body
 *
 * Functions that end in the engine return what it wants next; only io_go acts on it, so that a connection that ends does so in
 * one place, at the end of a turn.
 */
#define WIRE_MAX (2u << 20)
#define READ_PIECE (16u << 10)
#define READS_A_TURN 8u /* one talkative peer does not hold up the others */

static enum client_want lost(struct conn *c, enum outcome outcome, const char *why)
{
	return client_lost(c->client, outcome, why);
}

/* ---- out ---- */

static bool is_secured(const struct conn *c)
{
	return c->tls != NULL && tls_is_open(c->tls);
}

/* What the engine said goes to the wire. */
static bool collect(struct conn *c)
{
	struct buf *out = client_out(c->client);
	bool ok = out->len == 0 || (is_secured(c) ? tls_write(c->tls, buf_slice(out), &c->wire)
						  : buf_add_slice(&c->wire, buf_slice(out)));

	c->wire.secret |= out->secret && !is_secured(c);
	buf_clear(out);
	return ok && buf_ok(&c->wire);
}

static size_t unsent(const struct conn *c)
{
	return c->wire.len - c->sent;
}

/* False: the connection is gone. */
static bool send_wire(struct conn *c, bool *moved)
{
	while (unsent(c) > 0) {
		ssize_t n = send(c->fd, c->wire.at + c->sent, unsent(c), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->sent += (size_t)n;
		*moved = true;
	}
	buf_clear(&c->wire);
	c->sent = 0;
	return true;
}

/* What left is taken off the front once it is worth the move. */
static void trim_wire(struct conn *c)
{
	if (c->sent < RELAY_WIRE_LOW)
		return;
	buf_take(&c->wire, c->sent);
	c->sent = 0;
}

/* ---- the message ---- */

/* The next piece of what goes before the body, or of the body.  Nothing left: *piece is empty.  False: unreadable. */
static bool next_piece(struct conn *c, char space[RELAY_PIECE], struct slice *piece)
{
	const struct job *j = c->job;
	uint64_t left = j->length - c->body_sent;
	ssize_t n;

	*piece = slice_sub(j->prepend, (size_t)c->prepend_sent, RELAY_PIECE);
	c->prepend_sent += piece->len;
	if (piece->len > 0 || left == 0)
		return true;
	do
		n = pread(j->fd, space, left < RELAY_PIECE ? (size_t)left : RELAY_PIECE,
			  (off_t)(j->offset + c->body_sent));
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		LOG(LEVEL_ERROR, "message-file-unreadable", KV_ID(j->id), KV_ERRNO(n < 0 ? errno : 0));
		return false;
	}
	c->body_sent += (uint64_t)n;
	*piece = slice_make(space, (size_t)n);
	return true;
}

/* Without the dot at its end the peer has no message, so a file that cannot be read to its end is nothing but a lost call. */
static enum client_want pump_message(struct conn *c)
{
	char space[RELAY_PIECE];
	struct slice piece;

	if (!next_piece(c, space, &piece))
		return lost(c, OC_IO_ERROR, "the message cannot be read from the spool");
	return piece.len > 0 ? client_body(c->client, piece) : client_body_end(c->client);
}

/* ---- TLS ---- */

static void note_tls(struct conn *c)
{
	const struct tls_facts *f = tls_facts(c->tls);

	snprintf(c->tls_text, sizeof(c->tls_text), "%s %s %s", f->version, f->cipher,
		 f->peer_verified ? "verified" : "not verified");
	LOG(LEVEL_INFO, "tls-open", KV_STR("host", c->label), KV_STR("version", f->version),
	    KV_STR("cipher", f->cipher), KV_STR("verified", f->peer_verified ? "yes" : "no"), KV_NUM("resumed", f->resumed));
}

static enum client_want feed(struct conn *c, struct buf *plain, enum client_want want)
{
	if (plain->len > 0)
		want = client_input(c->client, buf_slice(plain));
	buf_clear(plain);
	return want;
}

static enum client_want tls_ended(struct conn *c, enum tls_want got)
{
	if (got == TLS_FAILED)
		return lost(c, is_secured(c) || c->tls_text[0] != '\0' ? OC_CONNECTION_LOST : OC_REMOTE_TLS,
			    tls_error(c->tls));
	return lost(c, OC_CONNECTION_LOST, "the remote closed TLS");
}

/* Bytes of the peer through TLS into the engine. */
static enum client_want tls_take(struct conn *c, struct slice in, enum client_want want)
{
	struct buf plain = buf_make(TLS_STEP_MAX);
	enum tls_want got;

	do {
		got = tls_step(c->tls, in, &c->wire, &plain);
		in = slice_empty();
		if (c->tls_text[0] == '\0' && tls_is_open(c->tls)) {
			note_tls(c);
			want = client_tls_open(c->client);
			if (!collect(c))
				got = TLS_FAILED;
		}
		want = feed(c, &plain, want);
	} while (got == TLS_WANT_ROOM && want != CLIENT_CLOSED);
	if (want != CLIENT_CLOSED && (got == TLS_CLOSED || got == TLS_FAILED))
		want = tls_ended(c, got);
	buf_free(&plain);
	return want;
}

static const char *tls_name(const struct conn *c)
{
	const struct conf_transport *t = c->transport;

	if (t->tls_name != NULL)
		return t->tls_name;
	return t->by_mx ? c->hosts.list[c->host].name : t->host;
}

/* A server speaks first in TLS only after us: what is there already was said in clear. */
static bool has_spoken(const struct conn *c, char *byte)
{
	return c->transport->tls != TLS_IMPLICIT && recv(c->fd, byte, 1, MSG_PEEK) == 1;
}

/* Where sessions are kept: an address is not a name, and another port another server. */
static void destination(const struct conn *c, char out[96])
{
	const struct hosts_one *one = &c->hosts.list[c->host];

	snprintf(out, 96, "%.64s:%u", one->address[0] != '\0' ? one->address : one->name, c->transport->port);
}

static enum client_want begin_tls(struct conn *c)
{
	struct tls_client *trusted = trust_of(c->generation->state, c->transport);
	char byte, where[96];

	if (has_spoken(c, &byte))
		return client_input(c->client, slice_make(&byte, 1));
	destination(c, where);
	c->tls = trusted == NULL ? NULL : tls_conn_client(trusted, tls_name(c), where);
	if (c->tls == NULL)
		return lost(c, OC_NO_MEMORY, "TLS cannot be started");
	c->session_offered = tls_facts(c->tls)->offered;
	return tls_take(c, slice_empty(), CLIENT_WANT_READ);
}

/* ---- in ---- */

static enum client_want take(struct conn *c, struct slice bytes)
{
	return c->tls != NULL ? tls_take(c, bytes, c->want) : client_input(c->client, bytes);
}

static enum client_want end_of_input(struct conn *c)
{
	if (c->tls != NULL)
		return tls_ended(c, tls_end_of_input(c->tls));
	return lost(c, OC_CONNECTION_LOST, "the remote closed the connection");
}

static enum client_want receive(struct conn *c)
{
	enum client_want want = c->want;
	char space[READ_PIECE];

	for (unsigned i = 0; i < READS_A_TURN && want != CLIENT_CLOSED; i++) {
		ssize_t n = recv(c->fd, space, sizeof(space), 0);

		if (n == 0)
			return end_of_input(c);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return lost(c, OC_CONNECTION_LOST, strerror(errno));
		want = take(c, slice_make(space, (size_t)n));
		c->want = want;
		/* What the engine answered goes out before more is read: bytes behind STARTTLS's 220 must be seen as such. */
		if (want != CLIENT_WANT_READ)
			break;
	}
	return want;
}

/* ---- time ---- */

static void set_timer(struct conn *c)
{
	uint64_t now = clock_mono_ms(), wait = client_timeout_ms(c->client);

	if (c->state == CONN_IDLE)
		wait = RELAY_IDLE_MS;
	else if (c->job != NULL && c->job_deadline_ms > 0 && now + wait > c->job_deadline_ms)
		wait = c->job_deadline_ms > now ? c->job_deadline_ms - now : 0;
	timer_set(c->timer, wait);
}

static void on_timer(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_IDLE) {
		conn_quit(c);
		return;
	}
	/* While another process is asked, its own answer has a time. */
	if (c->asked != NULL) {
		timer_set(c->timer, RELAY_IDLE_MS);
		return;
	}
	io_go(c, lost(c, OC_CONNECTION_LOST, "no answer in time"));
}

/* ---- acting on what is wanted ---- */

/* One step of what can be done now; false: the peer (or another process) has to do something first. */
static bool act(struct conn *c, enum client_want *want)
{
	switch (*want) {
	case CLIENT_WANT_TLS:
		if (c->tls != NULL)
			return false; /* the handshake is under way */
		*want = begin_tls(c);
		return *want != CLIENT_WANT_TLS;
	case CLIENT_WANT_CREDENTIAL:
		if (c->asked == NULL)
			conn_ask_credential(c);
		return false;
	case CLIENT_WANT_MAIL:
		*want = conn_ready(c);
		return true;
	case CLIENT_WANT_BODY:
		if (unsent(c) >= RELAY_WIRE_LOW)
			return false;
		*want = pump_message(c);
		return true;
	case CLIENT_WANT_READ:
	case CLIENT_CLOSED:
		break;
	}
	return false;
}

static void finish(struct conn *c)
{
	bool moved;

	/* QUIT and close_notify are a courtesy: what does not leave at once does not leave. */
	if (collect(c) && is_secured(c))
		tls_close(c->tls, &c->wire);
	(void)send_wire(c, &moved);
	conn_closed(c);
}

void io_go(struct conn *c, enum client_want want)
{
	uint64_t replies = client_replies(c->client);
	bool moved = want != c->want, again = true;

	while (again) {
		again = act(c, &want);
		if (!collect(c))
			want = lost(c, OC_NO_MEMORY, "no room for what is to be sent");
		if (want != CLIENT_CLOSED && (!again || unsent(c) >= RELAY_WIRE_LOW) && !send_wire(c, &moved))
			want = lost(c, OC_CONNECTION_LOST, "the remote closed the connection");
		trim_wire(c);
		again = again || (want == CLIENT_WANT_BODY && unsent(c) < RELAY_WIRE_LOW);
		if (want == CLIENT_CLOSED) {
			finish(c);
			return;
		}
	}
	c->want = want;
	watch_want(c->watch, WATCH_READ | (unsent(c) > 0 ? WATCH_WRITE : 0));
	if (moved || c->entered || replies != c->replies_seen)
		set_timer(c);
	c->entered = false;
	c->replies_seen = client_replies(c->client);
}

static void on_socket(int fd, unsigned what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	io_go(c, (what & WATCH_READ) != 0 ? receive(c) : c->want);
}

/* ---- beginning and end ---- */

static bool is_loopback(const struct conn *c)
{
	static const struct here nobody = {.count = 0};
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	struct in6_addr a = IN6ADDR_ANY_INIT;

	if (getpeername(c->fd, (struct sockaddr *)&peer, &len) == -1)
		return false;
	if (peer.ss_family == AF_UNIX)
		return true;
	if (peer.ss_family == AF_INET6) {
		a = ((const struct sockaddr_in6 *)&peer)->sin6_addr;
	} else {
		a.s6_addr[10] = a.s6_addr[11] = 0xff;
		memcpy(&a.s6_addr[12], &((const struct sockaddr_in *)&peer)->sin_addr, 4);
	}
	return here_kind(&nobody, &a) == HERE_OWN;
}

static struct client *make_client(const struct conn *c)
{
	const struct conf_transport *t = c->transport;
	const struct client_config config = {
		.lmtp = t->kind == TRANSPORT_LMTP,
		.found_by_mx = t->by_mx,
		.login = t->login != NULL,
		.login_in_clear = t->tls == TLS_OFF && t->allow_local && is_loopback(c),
		.tls = c->without_tls ? TLS_OFF : t->tls,
		.hostname = c->generation->conf->set.hostname,
		.set = &c->generation->conf->set,
	};

	return client_new(&config);
}

bool io_open(struct conn *c, int fd)
{
	struct loop *loop = service_loop(c->relay->service);

	c->fd = fd;
	c->wire = buf_make(WIRE_MAX);
	c->sent = 0;
	c->replies_seen = 0;
	c->want = CLIENT_WANT_READ;
	c->begun = false;
	c->messages = 0;
	c->client = make_client(c);
	c->watch = watch_new(loop, fd, on_socket, c);
	c->timer = timer_new(loop, on_timer, c);
	return c->client != NULL && c->watch != NULL;
}

void io_close(struct conn *c)
{
	watch_free(&c->watch);
	timer_free(&c->timer);
	conn_forget(c);
	tls_conn_free(&c->tls);
	client_free(&c->client);
	buf_free(&c->wire);
	os_close(&c->fd);
}
