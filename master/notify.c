#include "notify.h"

#include "base/clock.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int notify_fd = -1;
static uint64_t watchdog_ms; /* 0: not wanted */

/* "@name" is an abstract socket: its first byte is NUL. */
static bool address_of(const char *name, struct sockaddr_un *out, socklen_t *len_out)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(out->sun_path))
		return false;
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(out->sun_path, name, len);
	if (name[0] == '@')
		out->sun_path[0] = '\0';
	*len_out = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return true;
}

/* Where a pid is named, it must be ours. */
static uint64_t read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value, who;

	if (usec == NULL || !slice_u64(slice_of(usec), UINT64_MAX, &value))
		return 0;
	if (pid != NULL && (!slice_u64(slice_of(pid), INT32_MAX, &who) || (pid_t)who != getpid()))
		return 0;
	return value / 1000;
}

void notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to;
	socklen_t len;

	watchdog_ms = read_watchdog();
	if (name == NULL || !address_of(name, &to, &len))
		return;
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify_fd >= 0 && connect(notify_fd, (const struct sockaddr *)&to, len) == -1) {
		close(notify_fd);
		notify_fd = -1;
	}
}

static void say(const char *text)
{
	if (notify_fd >= 0)
		(void)!send(notify_fd, text, strlen(text), MSG_NOSIGNAL);
}

uint64_t notify_watchdog_ms(void)
{
	return notify_fd >= 0 ? watchdog_ms : 0;
}

void notify_watchdog(void)
{
	if (notify_watchdog_ms() > 0)
		say("WATCHDOG=1");
}

void notify_ready(void)
{
	say("READY=1");
}

void notify_reloading(void)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_ms() * 1000);
	say(text);
}

void notify_stopping(void)
{
	say("STOPPING=1");
}

void notify_status(const char *text)
{
	char line[256];

	snprintf(line, sizeof(line), "STATUS=%s", text);
	say(line);
}
