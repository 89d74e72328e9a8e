#include "listen.h"

#include "inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool parse(const char *text, uint16_t port, union address *out, socklen_t *len_out)
{
	*out = (union address){.v6 = {0}};
	if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		*len_out = sizeof(out->v4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		*len_out = sizeof(out->v6);
		return true;
	}
	return false;
}

static const char *advice(int err, uint16_t port)
{
	if (err == EADDRINUSE)
		return "; another program has this port: `ss -ltnp` shows which";
	if (err == EADDRNOTAVAIL)
		return "; this host does not have that address";
	if (err == EACCES && port < 1024)
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	return "";
}

static int fail(int fd, const char *address, uint16_t port, struct buf *why)
{
	int err = errno;

	if (fd >= 0)
		close(fd);
	buf_addf(why, "cannot listen on %s port %u: %s%s\n", address, port, strerror(err), advice(err, port));
	errno = err;
	return -1;
}

/*
 * What is accepted inherits it: a reply never waits until the client's host has acknowledged the one before (40 ms a mail for a
 * client that sends several commands at once, and then waits).
 */
static int without_delay(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

int listen_tcp(const char *address, uint16_t port, struct buf *why)
{
	const int on = 1;
	union address at;
	socklen_t len;
	int fd;

	errno = EINVAL;
	if (!parse(address, port, &at, &len))
		return fail(-1, address, port, why);
	fd = inherit_tcp(&at, len);
	if (fd >= 0)
		return without_delay(fd);
	fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		return fail(fd, address, port, why);
	if (at.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == -1)
		return fail(fd, address, port, why);
	if (bind(fd, &at.any, len) == -1 || listen(fd, BACKLOG) == -1)
		return fail(fd, address, port, why);
	return without_delay(fd);
}

bool listen_tcp_any(uint16_t port, int out[2], struct buf *why)
{
	struct buf no_v6 = buf_make(512);

	out[1] = -1;
	out[0] = listen_tcp("0.0.0.0", port, why);
	if (out[0] >= 0)
		out[1] = listen_tcp("::", port, &no_v6);
	buf_free(&no_v6);
	return out[0] >= 0;
}

static int fail_unix(int fd, const char *path, struct buf *why)
{
	int err = errno;

	if (fd >= 0)
		close(fd);
	buf_addf(why, "cannot make the socket %s: %s\n", path, strerror(err));
	return -1;
}

int listen_unix(int folder, const char *folder_name, const char *name, int type, mode_t mode, struct buf *why)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, n, bound;

	/* sun_path is short; the folder's own name may be long: through its descriptor any fits. */
	n = snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", folder, name);
	errno = ENAMETOOLONG;
	if (n < 0 || (size_t)n >= sizeof(at.sun_path))
		return fail_unix(-1, name, why);
	if (unlinkat(folder, name, 0) == -1 && errno != ENOENT)
		return fail_unix(-1, name, why);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return fail_unix(fd, name, why);
	mask = umask(0777 & ~mode);
	bound = bind(fd, (const struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (bound == -1 || listen(fd, BACKLOG) == -1) {
		buf_addf(why, "in %s: ", folder_name);
		return fail_unix(fd, name, why);
	}
	return fd;
}
