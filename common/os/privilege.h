#ifndef POSTERN_OS_PRIVILEGE_H
#define POSTERN_OS_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Who a process is.  Whatever fails here leaves a process that must exit at once: it may be half of one user and half of
 * another.
 */

struct become {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* `gid` alone where there are none */
	size_t group_count;
	bool keep_setid; /* CAP_SETUID and CAP_SETGID stay, everything else goes */
};

/* Becomes that user for good: groups, all three gids, all three uids, no capability (but keep_setid); then makes sure: the ids
 * are the wished ones and, without keep_setid, root cannot be had again.  Never uid or gid 0.  False with what failed in `why`;
 * exit then. */
bool become_user(const struct become *who, char *why, size_t why_size);

/* Every capability of the thread goes.  False: errno. */
bool capabilities_drop(void);

/* The capabilities a master keeps: CAP_SETUID, CAP_SETGID, CAP_SYS_CHROOT, CAP_NET_BIND_SERVICE, of those it has. */
bool capabilities_keep_master(void);
/* CAP_SETUID and CAP_SETGID are effective. */
bool capabilities_has_setid(void);

/* This process gets SIGKILL when its parent ends.  Call after the last change of uid (which clears it).  False: the parent, whose
 * pid was `parent`, is already gone. */
bool die_with_parent(pid_t parent);

/* Sends `signo` to a child that runs as another uid: with CAP_SETUID but without CAP_KILL only a process of that uid may, so a
 * forked helper takes it as its effective one, signals and exits.  No process of that uid may signal the helper.  Waits for it (some
 * 1 ms, some seconds at most).  False: not delivered, as far as is known. */
bool kill_as(uid_t uid, pid_t victim, int signo);

#endif
