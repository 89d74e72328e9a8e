#include "control.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 2000
#define STEP_MS 500

static bool fail(struct control *c, int exit, const char *what)
{
	c->exit = exit;
	snprintf(c->why, sizeof(c->why), "%s", what);
	return false;
}

static bool fail_connecting(struct control *c, const char *path, int err)
{
	struct slice text = log_errno_text(err);

	if (err == EACCES || err == EPERM) {
		c->exit = CLI_NO_PERMISSION;
		snprintf(c->why, sizeof(c->why), "%s: permission denied; run this as root, or as the user that Postern runs as",
			 path);
		return false;
	}
	c->exit = CLI_UNREACHABLE;
	snprintf(c->why, sizeof(c->why),
		 "%s: %.*s; is Postern running? Start it with `systemctl start postern` or `postern-master`, or name its folder "
		 "with --runtime", path, SLICE_ARG(text));
	return false;
}

bool control_start(struct control *c, int fd)
{
	*c = (struct control){.fd = fd, .space = malloc(LINK_PACKET_MAX)};
	if (c->space == NULL)
		return fail(c, CLI_TEMPORARY, "out of memory");
	c->link = LINK_NOW(fd, ROLE_CTL, ROLE_GATE, c->space);
	return true;
}

bool control_open(struct control *c, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd;

	*c = (struct control){.fd = -1};
	if (!slice_copy(slice_of(path), to.sun_path, sizeof(to.sun_path)))
		return fail(c, CLI_USAGE, "the path of the control socket is too long");
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_connecting(c, path, errno);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == -1) {
		int err = errno;

		close(fd);
		return fail_connecting(c, path, err);
	}
	return control_start(c, fd);
}

void control_close(struct control *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->space);
	c->space = NULL;
}

/* Waits until there is something to read.  On a terminal it is said that, and how long, we wait. */
static bool wait_for_answer(struct control *c, unsigned limit_s)
{
	uint64_t start = clock_mono_ms(), passed = 0;
	bool shown = false, ready = false;

	while (!ready && passed < (uint64_t)limit_s * 1000) {
		struct pollfd p = {c->fd, POLLIN, 0};

		ready = poll(&p, 1, STEP_MS) == 1;
		passed = clock_mono_ms() - start;
		if (!ready && passed >= PATIENCE_MS && isatty(STDERR_FILENO) != 0) {
			fprintf(stderr, "\rwaiting for Postern ... %llus ", (unsigned long long)(passed / 1000));
			shown = true;
		}
	}
	if (shown)
		fprintf(stderr, "\r\033[K");
	return ready || fail(c, CLI_TEMPORARY, "Postern did not answer in time; look at its log");
}

const struct msg_CONTROL_ANSWER *control_ask(struct control *c, const char *verb, struct slice cursor, struct slice fields,
					     unsigned limit_s)
{
	static struct ipc_message m;
	struct msg_CONTROL_ASK ask = {UINT64_MAX, slice_of(verb), cursor, fields};

	if (!link_tell_now(c->fd, IPC_CONTROL_ASK, ++c->request, false, &ask, -1)) {
		fail(c, CLI_TEMPORARY, "Postern ended the connection; look at its log");
		return NULL;
	}
	do {
		if (c->link.rest.len == 0 && !wait_for_answer(c, limit_s))
			return NULL;
		m.fd = -1;
		if (!link_receive_now(&c->link, &m)) {
			fail(c, CLI_TEMPORARY, "Postern ended the connection without an answer; look at its log");
			return NULL;
		}
	} while (m.type != IPC_CONTROL_ANSWER || !m.is_answer || m.request != c->request);
	return &m.body.CONTROL_ANSWER;
}
