#include "reader_child.h"

#include "conf/bundle.h"
#include "conf/print.h"
#include "ipc/link.h"
#include "os/cage.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The child.  It becomes its user and enters its cage before it opens a file; Landlock lets it read everywhere (where `include`
 * leads is not known before), the filter lets it write nowhere.
 */
#define CONF_FD 3

static const struct cage_spec cage = {
	.calls = CALLS_FILES_READ,
	.file_bytes_max = 16u << 20, /* the memory file */
};

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

static void say_mistake(const char *text)
{
	say_mistakes(slice_of(text));
}

static void say_path(uint32_t roles, enum conf_path_kind kind, const char *path, void *arg)
{
	bool *said = arg;

	*said = say(IPC_CONF_PATH, &(struct msg_CONF_PATH){roles, kind, slice_of(path)}, -1) && *said;
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

static bool say_setting(const char *name, const char *value)
{
	return say(IPC_CONF_SETTING, &(struct msg_CONF_SETTING){slice_of(name), slice_of(value)}, -1);
}

static bool say_count(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return say_setting(name, text);
}

/* A warm parent forks the processes of `isolation connection`. */
static uint64_t parents_of(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].isolation == ISOLATION_CONNECTION)
			return 1;
	return 0;
}

static bool say_directory(const struct conf *c)
{
	struct buf text = buf_make(4096);
	bool said = (c->auth.ldap == NULL || conf_print_ldap(c->auth.ldap, &text)) && say_setting("lookup_start", buf_text(&text));

	buf_free(&text);
	return said;
}

static bool say_settings(const struct conf *c)
{
	return say_setting("spool", c->set.spool) && say_setting("runtime", c->set.runtime) &&
	       say_setting("user_prefix", c->set.user_prefix) && say_setting("log_level", c->set.log_level) &&
	       say_count("watchdog_ms", c->set.watchdog_ms) &&
	       say_count("smtpd_workers", c->set.smtpd_workers) &&
	       say_count("relay_workers", c->set.relay_workers) && say_count("smtpd_parents", parents_of(c)) && say_setting("authd_start", c->auth.pam == NULL ? "" : c->auth.pam) &&
	       say_count("lookups", c->auth.ldap == NULL ? 0 : 1) && say_directory(c);
}

/* A log file lies in a folder that the log process must be given. */
static bool say_log_folder(const struct conf *c)
{
	bool said = true;

	if (c->set.log[0] == '/')
		say_path(1u << ROLE_LOG, PATH_FOLDER_OF, c->set.log, &said);
	return said;
}

static bool say_all(const struct conf *c, struct slice bundle)
{
	bool said = true;
	int fd;

	conf_each_path(c, say_path, &said);
	if (!said || !say_log_folder(c) || !say_listeners(c) || !say_settings(c))
		return false;
	fd = os_memfd_sealed("postern-generation", bundle);
	return fd >= 0 && say(IPC_CONF_DONE, &(struct msg_CONF_DONE){OC_DONE}, fd);
}

static bool compile_and_say(struct slice bundle)
{
	struct conf_mistakes mistakes = {buf_make(1 << 18), 0};
	struct conf *c = conf_compile(bundle, &mistakes);

	if (c != NULL && say_all(c, bundle))
		return true;
	if (c == NULL)
		say_mistakes(buf_slice(&mistakes.text));
	else
		say_mistake("the configuration is too large to be handed over\n");
	return false;
}

static bool read_and_say(const char *path)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), why = buf_make(4096);

	if (bundle_read(path, &bundle, &why))
		return compile_and_say(buf_slice(&bundle));
	say_mistakes(buf_slice(&why));
	say_mistake("\n");
	return false;
}

static bool enter(const struct reader_order *order)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct cage_path everything = {root, false};
	const struct cage_order cage_order = {
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

	if (cage_enter(&cage, &cage_order, missing, why, sizeof(why)))
		return true;
	say_mistake(why);
	say_mistake("\n");
	return false;
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
	for (int s = 1; s < NSIG; s++)
		signal(s, s == SIGPIPE ? SIG_IGN : SIG_DFL);
	if (dup2(fd, CONF_FD) != CONF_FD || close_range(CONF_FD + 1, ~0u, 0) == -1 || fcntl(CONF_FD, F_SETFL, 0) == -1)
		_exit(75);
	enter_folder(order->path);
	if (!enter(order) || !read_and_say(reachable(order->path)))
		say(IPC_CONF_DONE, &(struct msg_CONF_DONE){OC_BAD_INPUT}, -1);
	_exit(0);
}

pid_t reader_child_spawn(const struct reader_order *order, int fd)
{
	pid_t pid = fork();

	if (pid == 0)
		run(order, fd);
	return pid;
}
