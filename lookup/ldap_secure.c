#include "ldap_secure.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define PIECE_BYTES 16384u
#define PLAIN_BYTES_MAX (64u << 10)
#define WIRE_BYTES_MAX (256u << 10)
#define WRITE_BYTES_MAX (64u << 10)

struct ldap_secure {
	int fd; /* libldap's */
	struct tls_conn *tls; /* owned */
	struct buf plain, wire; /* owned */
	uint64_t until_ms;
	bool ended;
};

/* ---- bytes ---- */

static bool wait_for(const struct ldap_secure *s, short what)
{
	uint64_t now = clock_mono_ms();
	struct pollfd one = {s->fd, what, 0};
	int n;

	do {
		n = now >= s->until_ms ? 0 : poll(&one, 1, (int)(s->until_ms - now));
	} while (n == -1 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n == 1;
}

static bool flush(struct ldap_secure *s)
{
	while (s->wire.len > 0) {
		ssize_t n = send(s->fd, s->wire.at, s->wire.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			buf_take(&s->wire, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(s, POLLOUT))
			return false;
	}
	return buf_ok(&s->wire);
}

/* One piece, whose plain text is added to `plain`; waits for it.  False: ended, or errno. */
static bool receive(struct ldap_secure *s)
{
	char piece[PIECE_BYTES];
	enum tls_want want;
	ssize_t n;

	if (!wait_for(s, POLLIN))
		return false;
	n = recv(s->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n == -1)
		return errno == EAGAIN || errno == EINTR;
	want = n == 0 ? tls_end_of_input(s->tls) : tls_step(s->tls, slice_make(piece, (size_t)n), &s->wire, &s->plain);
	s->ended = want == TLS_CLOSED || want == TLS_FAILED;
	(void)flush(s);
	errno = EPROTO;
	return want == TLS_WANT_READ;
}

/* ---- the layer ---- */

static int on_setup(Sockbuf_IO_Desc *d, void *arg)
{
	d->sbiod_pvt = arg;
	return 0;
}

static int on_remove(Sockbuf_IO_Desc *d)
{
	d->sbiod_pvt = NULL;
	return 0;
}

/* What is decrypted already can be read, whatever the socket says. */
static int on_ctrl(Sockbuf_IO_Desc *d, int option, void *arg)
{
	const struct ldap_secure *s = d->sbiod_pvt;

	if (option == LBER_SB_OPT_DATA_READY && s->plain.len > 0)
		return 1;
	return LBER_SBIOD_CTRL_NEXT(d, option, arg);
}

/* A piece that holds no whole record, or none of text, is nothing yet: libldap looks at the socket again. */
static ber_slen_t on_read(Sockbuf_IO_Desc *d, void *at, ber_len_t len)
{
	struct ldap_secure *s = d->sbiod_pvt;

	if (s->plain.len == 0 && s->ended)
		return 0;
	if (s->plain.len == 0 && !receive(s) && s->plain.len == 0)
		return s->ended ? 0 : -1;
	if (s->plain.len == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (len > s->plain.len)
		len = s->plain.len;
	memcpy(at, s->plain.at, len);
	buf_take(&s->plain, len);
	return (ber_slen_t)len;
}

static ber_slen_t on_write(Sockbuf_IO_Desc *d, void *at, ber_len_t len)
{
	struct ldap_secure *s = d->sbiod_pvt;

	if (len > WRITE_BYTES_MAX)
		len = WRITE_BYTES_MAX;
	if (tls_write(s->tls, slice_make(at, len), &s->wire) && flush(s))
		return (ber_slen_t)len;
	errno = EPIPE;
	return -1;
}

static int on_close(Sockbuf_IO_Desc *d)
{
	struct ldap_secure *s = d->sbiod_pvt;

	if (s->ended)
		return 0;
	tls_close(s->tls, &s->wire);
	(void)send(s->fd, s->wire.at, s->wire.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return 0;
}

static Sockbuf_IO layer = {on_setup, on_remove, on_ctrl, on_read, on_write, on_close};

/* ---- its life ---- */

static bool shake_hands(struct ldap_secure *s, char *why, size_t why_size)
{
	bool good = tls_step(s->tls, slice_empty(), &s->wire, &s->plain) == TLS_WANT_READ && flush(s);

	while (good && !tls_is_open(s->tls))
		good = receive(s);
	if (!good)
		snprintf(why, why_size, "TLS: %s",
			 tls_error(s->tls)[0] != '\0' ? tls_error(s->tls) :
			 errno == ETIMEDOUT	      ? "the server did not answer in time" :
							"the server ended the connection");
	return good;
}

static bool put_beneath(struct ldap_secure *s, LDAP *ld)
{
	Sockbuf *sb = NULL;

	return ldap_get_option(ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb != NULL &&
	       ber_sockbuf_add_io(sb, &layer, LBER_SBIOD_LEVEL_TRANSPORT, s) == 0;
}

struct ldap_secure *ldap_secure_new(LDAP *ld, int fd, struct tls_client *tls, const char *name, uint64_t until_ms, char *why, size_t why_size)
{
	struct ldap_secure *s = mem_new(1, sizeof(*s));

	snprintf(why, why_size, "TLS: out of memory");
	if (s == NULL)
		return NULL;
	*s = (struct ldap_secure){.fd = fd, .plain = buf_make(PLAIN_BYTES_MAX), .wire = buf_make(WIRE_BYTES_MAX), .until_ms = until_ms};
	s->tls = tls_conn_client(tls, name, NULL);
	if (s->tls != NULL && shake_hands(s, why, why_size) && put_beneath(s, ld))
		return s;
	ldap_secure_free(&s);
	return NULL;
}

void ldap_secure_until(struct ldap_secure *s, uint64_t until_ms)
{
	s->until_ms = until_ms;
}

void ldap_secure_free(struct ldap_secure **sp)
{
	struct ldap_secure *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	tls_conn_free(&s->tls);
	buf_free(&s->plain);
	buf_free(&s->wire);
	free(s);
}
