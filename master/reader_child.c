#include "reader_child.h"

#include "base/log.h"
#include "conf/bundle.h"
#include "ipc/link.h"
#include "os/cage.h"
#include "os/fd.h"
#include "os/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The child.  It becomes its user first, loads what the system's name service needs, and enters its cage; only then it opens a file.
 * Landlock lets it read everywhere (where `include` leads is not known before), the filter lets it write nowhere.
 */
#define CONF_FD 3

static const struct cage_spec cage = {
	.calls = CALLS_FILES_READ | CALLS_DATAGRAM, /* daemons of the name service */
	.file_bytes_max = 16u << 20, /* the memory file */
};

/*
 * What the whole comes to is an outcome: DONE; BAD_INPUT, a mistake in the configuration; UNAVAILABLE, a reason that may have passed when it
 * is read again.
 */
static bool say(enum ipc_type type, const void *body, int fd)
{
	return link_tell_now(CONF_FD, type, 0, false, body, fd);
}

static void say_mistakes(struct slice text)
{
	while (text.len > 0) {
		struct slice part = slice_sub(text, 0, 8192);

		say(IPC_CONF_MISTAKE, &(struct msg_CONF_MISTAKE){part}, -1);
		text = slice_from(text, part.len);
	}
}

static enum outcome refuse(enum outcome outcome, const char *text)
{
	say_mistakes(slice_of(text));
	say_mistakes(slice_of("\n"));
	return outcome;
}

static enum outcome too_large(void)
{
	return refuse(OC_BAD_INPUT, "the configuration is too large to be handed over");
}

static void say_path(const struct conf_path *p, void *arg)
{
	bool *said = arg;

	*said = say(IPC_CONF_PATH, &(struct msg_CONF_PATH){p->roles, p->instance, p->kind, slice_of(p->path)}, -1) && *said;
}

static bool say_listeners(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_listener *l = &c->listeners[i];
		const struct msg_CONF_LISTENER body = {i, l->port, slice_of(l->address), slice_of(l->name)};

		if (!say(IPC_CONF_LISTENER, &body, -1))
			return false;
	}
	return true;
}

/* A warm parent forks the processes of `isolation connection`. */
static uint64_t parents_of(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].isolation == ISOLATION_CONNECTION)
			return 1;
	return 0;
}

static void say_cage_fact(unsigned role, const char *name, uint64_t number, const char *text, void *arg)
{
	bool *said = arg;

	*said = *said && text != NULL &&
		say(IPC_CONF_CAGE_FACT, &(struct msg_CONF_CAGE_FACT){role, slice_of(name), number, slice_of(text)}, -1);
}

static bool say_settings(const struct conf *c)
{
	enum log_level lowest = LEVEL_INFO;
	struct msg_CONF_SETTINGS all = {
		.spool = slice_of(c->set.spool),
		.runtime = slice_of(c->set.runtime),
		.user_prefix = slice_of(c->set.user_prefix),
		.host = slice_of(c->set.hostname),
		.require = slice_of(c->set.sandbox_require),
		.smtpd_workers = c->set.smtpd_workers,
		.smtpd_parents = parents_of(c),
		.relay_workers = c->set.relay_workers,
		.lookups = conf_lookup_count(c),
		.watchdog_ms = c->set.watchdog_ms,
		.session_timeout_ms = c->set.session_timeout_ms,
	};

	(void)log_level_find(slice_of(c->set.log_level), &lowest);
	all.log_level = lowest;
	return say(IPC_CONF_SETTINGS, &all, -1);
}

/* A log file lies in a folder that the log process must be given. */
static bool say_log_folder(const struct conf *c)
{
	bool said = true;

	if (c->set.log[0] == '/')
		say_path(&(struct conf_path){1u << ROLE_LOG, CONF_EACH_INSTANCE, PATH_FOLDER_OF, c->set.log}, &said);
	return said;
}

/* Everything but the text. */
static enum outcome say_facts(const struct conf *c, const struct reader_order *order)
{
	bool said = true;

	conf_each_path(c, say_path, &said);
	conf_each_cage_fact(c, say_cage_fact, &said);
	if (said && say_log_folder(c) && say_listeners(c) && say_settings(c))
		return reader_child_deliveries(c, order->uid != 0, say);
	return too_large();
}

static enum outcome say_all(const struct conf *c, const struct reader_order *order, struct slice bundle)
{
	enum outcome outcome = say_facts(c, order);
	int fd;

	if (outcome != OC_DONE)
		return outcome;
	fd = os_memfd_sealed("postern-generation", bundle);
	if (fd >= 0 && say(IPC_CONF_DONE, &(struct msg_CONF_DONE){OC_DONE}, fd))
		return OC_DONE;
	return refuse(OC_UNAVAILABLE, "there is no memory now to hand the configuration over");
}

static enum outcome compile_and_say(const struct reader_order *order, struct slice bundle)
{
	struct conf_mistakes mistakes = {buf_make(1 << 18), 0};
	struct conf *c = conf_compile(bundle, &mistakes);

	if (c != NULL)
		return say_all(c, order, bundle);
	if (mistakes.text.len == 0)
		return refuse(OC_UNAVAILABLE, "there is no memory now to compile the configuration");
	say_mistakes(buf_slice(&mistakes.text));
	return OC_BAD_INPUT;
}

static enum outcome read_and_say(const struct reader_order *order, const char *path)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), why = buf_make(4096);

	if (bundle_read(path, &bundle, &why))
		return compile_and_say(order, buf_slice(&bundle));
	return refuse(OC_BAD_INPUT, buf_text(&why));
}

static enum outcome enter(const struct reader_order *order)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct cage_path everything = {root, false};
	struct cage_order cage_order = {
		.uid = order->uid,
		.gid = order->gid,
		.as_root = order->uid != 0,
		.root_fd = -1,
		.paths = &everything,
		.path_count = 1,
		.require = "",
		.parent = getppid(),
	};
	char missing[CAGE_MISSING_BYTES], why[256];

	if (cage_become(&cage, &cage_order, why, sizeof(why))) {
		os_user_prepare();
		if (cage_enter(&cage, &cage_order, missing, why, sizeof(why)))
			return OC_DONE;
	}
	return refuse(OC_UNAVAILABLE, why);
}

/* The folder of the file becomes the working directory while still privileged: a file in a home that is closed to the reader's
 * user is then reached by its bare name. */
static void enter_folder(const char *path)
{
	char folder[PATH_MAX];
	size_t slash = slice_rindex(slice_of(path), '/');

	if (slash != SLICE_NONE && slice_copy(slice_sub(slice_of(path), 0, slash == 0 ? 1 : slash), folder, sizeof(folder)))
		(void)!chdir(folder);
}

static const char *reachable(const char *path)
{
	if (access(path, R_OK) == 0 || errno != EACCES)
		return path;
	return path + slice_rindex(slice_of(path), '/') + 1;
}

static _Noreturn void run(const struct reader_order *order, int fd)
{
	enum outcome outcome;

	for (int s = 1; s < NSIG; s++)
		signal(s, s == SIGPIPE ? SIG_IGN : SIG_DFL);
	if (dup2(fd, CONF_FD) != CONF_FD || close_range(CONF_FD + 1, ~0u, 0) == -1 || fcntl(CONF_FD, F_SETFL, 0) == -1)
		_exit(75);
	enter_folder(order->path);
	outcome = enter(order);
	if (outcome == OC_DONE)
		outcome = read_and_say(order, reachable(order->path));
	if (outcome != OC_DONE)
		say(IPC_CONF_DONE, &(struct msg_CONF_DONE){outcome}, -1);
	_exit(0);
}

pid_t reader_child_spawn(const struct reader_order *order, int fd)
{
	pid_t pid = fork();

	if (pid == 0)
		run(order, fd);
	return pid;
}
