#include "offline.h"

#include "base/mem.h"
#include "conf/bundle.h"
#include "ipc/message.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define MISTAKES_MAX (1u << 20)
#define PATHS_MAX 1024u

/* The folders and files of tables, opened before we are somebody else. */
static struct {
	const char *path; /* the configuration's */
	int fd;
} paths[PATHS_MAX];
static size_t path_count;

static uint64_t uid_min;

int offline_complain(int exit, const char *what, const char *why)
{
	fprintf(stderr, "postern: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
	return exit;
}

/* ---- what only root can open ---- */

static int open_folder_of(const char *path)
{
	struct slice all = slice_of(path);
	size_t slash = slice_rindex(all, '/');
	char folder[4096];

	if (slash == SLICE_NONE || !slice_copy(slice_sub(all, 0, slash == 0 ? 1 : slash), folder, sizeof(folder)))
		return -1;
	return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void open_path(const struct conf_path *p, void *arg)
{
	(void)arg;
	if ((p->roles >> ROLE_POLICYD & 1) == 0 || path_count == PATHS_MAX)
		return;
	paths[path_count].path = p->path;
	paths[path_count++].fd = p->kind == PATH_FOLDER_OF ? open_folder_of(p->path) : open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int offline_path_fd(void *arg, const char *path)
{
	(void)arg;
	for (size_t i = 0; i < path_count; i++)
		if (strcmp(paths[i].path, path) == 0)
			return paths[i].fd;
	return -1;
}

static const struct passwd *user_of(const char *prefix)
{
	char name[300];
	const struct passwd *pw;

	snprintf(name, sizeof(name), "%s-policyd", prefix);
	pw = getpwnam(name);
	if (pw == NULL)
		pw = getpwnam(prefix);
	return pw != NULL ? pw : getpwnam("nobody");
}

/* With the group that all of the suite share, as the server has it: through it users databases are read. */
static bool become(const char *prefix)
{
	const struct passwd *pw = user_of(prefix);
	const struct group *shared = getgrnam(prefix);
	gid_t groups[2];
	struct become who;
	char why[256];

	if (pw == NULL) {
		(void)offline_complain(OFFLINE_FAILED, "there is no user for policyd", "make the users that docs/operations.md names");
		return false;
	}
	groups[0] = pw->pw_gid;
	groups[1] = shared != NULL ? shared->gr_gid : pw->pw_gid;
	who = (struct become){.uid = pw->pw_uid, .gid = pw->pw_gid, .groups = groups, .group_count = shared != NULL ? 2 : 1};
	if (become_user(&who, why, sizeof(why)))
		return true;
	(void)offline_complain(OFFLINE_FAILED, why, "");
	return false;
}

/* ---- look-ups ---- */

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	enum answer answer = tables_find(arg, table, key, value_out);

	return answer == ANSWER_PENDING ? ANSWER_UNKNOWN : answer; /* nobody is here to be waited for */
}

/* getpwnam(3): these numbers, and 0, mean that there is no such user; all else is that it is not known now. */
static enum answer find_alias(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	enum answer answer = tables_alias(arg, table, address, base, value_out);

	return answer == ANSWER_PENDING ? ANSWER_UNKNOWN : answer;
}

static enum answer find_name(void *arg, const struct conf_table *table, struct slice address)
{
	enum answer answer = tables_names(arg, table, address);

	return answer == ANSWER_PENDING ? ANSWER_UNKNOWN : answer;
}

static bool read_include(void *arg, const struct conf_table *table, struct slice path, struct buf *text_out, struct buf *why)
{
	return tables_include(arg, table, path, text_out, why);
}

static enum answer find_account(void *arg, struct slice name)
{
	const struct passwd *pw;
	char text[256];

	(void)arg;
	if (!slice_copy(name, text, sizeof(text)))
		return ANSWER_NO;
	errno = 0;
	pw = getpwnam(text);
	if (pw != NULL)
		return pw->pw_uid >= uid_min ? ANSWER_YES : ANSWER_NO;
	return errno == 0 || errno == ENOENT || errno == ESRCH || errno == EBADF || errno == EPERM ? ANSWER_NO : ANSWER_UNKNOWN;
}

static struct conf *compile(const char *path)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), why = buf_make(4096);
	struct conf_mistakes mistakes = {buf_make(MISTAKES_MAX), 0};
	struct conf *conf = NULL;

	if (!bundle_read(path, &bundle, &why))
		(void)offline_complain(OFFLINE_BAD_CONFIG, buf_text(&why), "");
	else if ((conf = conf_compile(buf_slice(&bundle), &mistakes)) == NULL)
		(void)offline_complain(OFFLINE_BAD_CONFIG, path, "has mistakes; `postern check` shows them");
	buf_free(&mistakes.text);
	buf_free(&bundle);
	buf_free(&why);
	return conf;
}

bool offline_open(struct offline *o, const char *config)
{
	*o = (struct offline){.conf = compile(config)};
	o->exit = OFFLINE_BAD_CONFIG;
	if (o->conf == NULL)
		return false;
	o->exit = OFFLINE_FAILED;
	uid_min = o->conf->set.system_uid_min;
	conf_each_path(o->conf, open_path, NULL);
	if (geteuid() == 0 && !become(o->conf->set.user_prefix))
		return false;
	o->tables = tables_new(o->conf, offline_path_fd, NULL);
	if (o->tables == NULL) {
		(void)offline_complain(OFFLINE_FAILED, "out of memory", "");
		return false;
	}
	o->lookups = (struct lookups){find_in_table, find_alias, read_include, find_account, o->tables, NULL, find_name, NULL};
	return true;
}

void offline_close(struct offline *o)
{
	tables_free(&o->tables);
	conf_free(&o->conf);
}
