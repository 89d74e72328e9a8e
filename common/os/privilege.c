#include "os/privilege.h"

#include "base/mem.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELPER_ROUNDS 2000 /* a millisecond each */

static bool set_capabilities(const cap_value_t *kept, int count)
{
	cap_t caps = cap_init();
	bool done = caps != NULL;

	if (done && count > 0)
		done = cap_set_flag(caps, CAP_PERMITTED, count, kept, CAP_SET) == 0 &&
		       cap_set_flag(caps, CAP_EFFECTIVE, count, kept, CAP_SET) == 0;
	done = done && cap_set_proc(caps) == 0;
	if (caps != NULL)
		cap_free(caps);
	return done;
}

static bool has_capability(cap_flag_t set, cap_value_t which)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;
	bool has = caps != NULL && cap_get_flag(caps, which, set, &value) == 0 && value == CAP_SET;

	if (caps != NULL)
		cap_free(caps);
	return has;
}

bool capabilities_drop(void)
{
	return set_capabilities(NULL, 0);
}

bool capabilities_keep_master(void)
{
	static const cap_value_t wished[] = {CAP_SETUID, CAP_SETGID, CAP_SYS_CHROOT, CAP_NET_BIND_SERVICE};
	cap_value_t kept[ARRAY_LEN(wished)];
	int count = 0;

	for (size_t i = 0; i < ARRAY_LEN(wished); i++)
		if (has_capability(CAP_PERMITTED, wished[i]))
			kept[count++] = wished[i];
	return set_capabilities(kept, count);
}

bool capabilities_has_setid(void)
{
	return has_capability(CAP_EFFECTIVE, CAP_SETUID) && has_capability(CAP_EFFECTIVE, CAP_SETGID);
}

/* Only a change from uid 0 clears capabilities by itself; a parent that is no longer root but has CAP_SETUID would hand them
 * on.  So they are always set, never assumed. */
static bool settle_capabilities(bool keep_setid)
{
	static const cap_value_t setid[] = {CAP_SETUID, CAP_SETGID};

	return keep_setid ? set_capabilities(setid, ARRAY_LEN(setid)) : capabilities_drop();
}

static bool is_user(const struct become *who)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	return getresuid(&r, &e, &s) == 0 && getresgid(&gr, &ge, &gs) == 0 && r == who->uid && e == who->uid &&
	       s == who->uid && gr == who->gid && ge == who->gid && gs == who->gid;
}

bool become_user(const struct become *who, char *why, size_t why_size)
{
	const gid_t *groups = who->group_count > 0 ? who->groups : &who->gid;
	size_t group_count = who->group_count > 0 ? who->group_count : 1;
	const char *failed = NULL;

	errno = EPERM;
	if (who->uid == 0 || who->gid == 0)
		failed = "refusing to be root";
	else if (prctl(PR_SET_KEEPCAPS, who->keep_setid, 0, 0, 0) == -1)
		failed = "PR_SET_KEEPCAPS";
	else if (setgroups(group_count, groups) == -1)
		failed = "setgroups";
	else if (setresgid(who->gid, who->gid, who->gid) == -1)
		failed = "setresgid";
	else if (setresuid(who->uid, who->uid, who->uid) == -1)
		failed = "setresuid";
	else if (!settle_capabilities(who->keep_setid))
		failed = "capset";
	else if (!is_user(who))
		failed = "the ids are not what was set";
	else if (!who->keep_setid && (setresuid(0, 0, 0) == 0 || errno != EPERM))
		failed = "root could be had again";
	if (failed != NULL)
		snprintf(why, why_size, "cannot become uid %u gid %u: %s: %s", (unsigned)who->uid, (unsigned)who->gid, failed,
			 strerror(errno));
	return failed == NULL;
}

bool die_with_parent(pid_t parent)
{
	/* The parent may have ended before the prctl; then nobody will ever signal. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

/* A killed helper that is not reaped here is its parent's to reap, as each child. */
static bool helper_succeeded(pid_t helper)
{
	int status = 0;

	for (int i = 0; i < HELPER_ROUNDS; i++) {
		pid_t ended = waitpid(helper, &status, WNOHANG);

		if (ended == helper)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0;
		if (ended == -1 && errno != EINTR)
			return false;
		(void)poll(NULL, 0, 1);
	}
	(void)kill(helper, SIGKILL);
	return false;
}

bool kill_as(uid_t uid, pid_t victim, int signo)
{
	pid_t helper;

	if (kill(victim, signo) == 0)
		return true;
	if (errno != EPERM)
		return false;
	helper = fork();
	if (helper == 0) {
		/* The real and the saved one stay ours: by them the user could stop the helper, in the moment before it kills. */
		if (uid == 0 || setresuid((uid_t)-1, uid, (uid_t)-1) == -1)
			_exit(1);
		_exit(kill(victim, signo) == 0 ? 0 : 1);
	}
	return helper != -1 && helper_succeeded(helper);
}
