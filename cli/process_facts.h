#ifndef POSTERN_CLI_PROCESS_FACTS_H
#define POSTERN_CLI_PROCESS_FACTS_H

#include "base/buf.h"

#include <sys/types.h>

/*
 * What a process is, as /proc says it, and how that differs from what it should be.
 */
enum fd_kind { FD_SOCKET, FD_PIPE, FD_NULL, FD_EVENTPOLL, FD_EVENTFD, FD_TIMERFD, FD_SIGNALFD, FD_MEMFD, FD_KINDS };

#define PROCESS_GROUPS_MAX 32
#define PROCESS_PATH_MAX 512

struct process_facts {
	pid_t pid, parent;
	char name[32]; /* comm */
	uint64_t uids[4], gids[4]; /* real, effective, saved, of the file system */
	gid_t groups[PROCESS_GROUPS_MAX];
	size_t group_count;
	uint64_t effective, permitted, inheritable, ambient; /* capabilities, a bit each */
	uint64_t no_new_privs, seccomp, filters, threads;
	bool dumpable; /* not known of a process of root: false */
	bool core_dumps;
	char root[PROCESS_PATH_MAX], cwd[PROCESS_PATH_MAX];
	size_t fds[FD_KINDS];
	size_t path_count; /* all folders and files it holds but 0, 1 and 2; the first of them in `paths` */
	char paths[256][PROCESS_PATH_MAX];
};

/* False with a sentence: it is gone, or the caller may not look. */
bool process_read(pid_t pid, struct process_facts *out, const char **why);

/* One row of tests/processes.table; ROLE.KIND@BACK-END is there only with that back-end of `auth`. */
struct process_row {
	const char *name, *user, *group, *capabilities;
	unsigned filters, threads;
	const char *root, *cwd, *descriptors;
};
extern const struct process_row process_rows[];
extern const size_t process_row_count;
const struct process_row *process_row_find(const char *name); /* NULL: none */

/* What the row means on this host and for this configuration. */
struct process_wish {
	const struct process_row *row;
	uid_t uid;
	gid_t gid;
	gid_t groups[PROCESS_GROUPS_MAX];
	size_t group_count;
	bool as_user; /* nobody is root here: one uid, no capability, no chroot, groups as they are */
	const char *root, *cwd; /* NULL: any */
	bool (*may_hold)(const char *path, void *arg); /* a folder or file */
	void *arg;
};

/* Adds "what it is, not what it should be: why that matters" for each difference, with "; " between them.  Pure.  How many. */
size_t process_compare(const struct process_wish *wish, const struct process_facts *facts, struct buf *out);

#endif
