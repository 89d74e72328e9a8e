#include "os/cage.h"

#include "base/log.h"
#include "base/sanitizer.h"
#include "base/slice.h"
#include "os/fd.h"
#include "os/filter.h"
#include "os/landlock.h"
#include "os/privilege.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Newer than the headers of the oldest platform. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#define MDWE_REFUSE_EXEC_GAIN 1

#define KERNEL_6_1 61
#define KERNEL_6_1_LANDLOCK_ABI 2

#define FILES_DEFAULT 1024
#define MEMORY_DEFAULT (1ull << 30)
#define LANDLOCK_PATHS_MAX 300

#if WITH_ASAN
#include <sanitizer/lsan_interface.h>

/* The leak check at exit stops all threads by ptrace and reads /proc: neither is to be had in a cage. */
static bool is_caged;

int __lsan_is_turned_off(void)
{
	return is_caged;
}
#endif

/* One attempt to enter: what is asked, and what has come of it. */
struct entry {
	const struct cage_spec *spec;
	const struct cage_order *order;
	char *missing; /* [CAGE_MISSING_BYTES] */
	char *why;
	size_t why_size;
};

static bool failed(struct entry *e, const char *what)
{
	snprintf(e->why, e->why_size, "cannot enter the cage: %s: %s", what, strerror(errno));
	return false;
}

static bool limit(struct entry *e, int what, const char *name, uint64_t most)
{
	struct rlimit rl = {most, most}, now;

	if (getrlimit((unsigned)what, &now) == 0 && now.rlim_max < most)
		rl.rlim_cur = rl.rlim_max = now.rlim_max; /* the caller's own is lower: all of that */
	return setrlimit((unsigned)what, &rl) == 0 || failed(e, name);
}

static bool set_limits(struct entry *e)
{
	const struct cage_spec *s = e->spec;
	bool clones = (s->calls & (CALLS_THREADS | CALLS_FORK | CALLS_BECOME)) != 0;

	/* A write beyond RLIMIT_FSIZE is an error to be handled, not a death. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return failed(e, "SIGXFSZ");
	if (!limit(e, RLIMIT_CORE, "RLIMIT_CORE", 0) || !limit(e, RLIMIT_FSIZE, "RLIMIT_FSIZE", s->file_bytes_max) ||
	    !limit(e, RLIMIT_NOFILE, "RLIMIT_NOFILE", s->files_max > 0 ? s->files_max : FILES_DEFAULT))
		return false;
	if (!WITH_ASAN && !limit(e, RLIMIT_AS, "RLIMIT_AS", s->memory_max > 0 ? s->memory_max : MEMORY_DEFAULT))
		return false;
	if (!clones)
		return WITH_ASAN || limit(e, RLIMIT_NPROC, "RLIMIT_NPROC", 0);
	/* The kernel counts by uid: only one that is ours alone can be bounded. */
	if (!e->order->as_root || s->processes_max == 0)
		return true;
	return limit(e, RLIMIT_NPROC, "RLIMIT_NPROC", s->processes_max);
}

static bool change_root(struct entry *e)
{
	int fd = e->order->root_fd;
	bool jail = e->spec->chroot && e->order->as_root;

	if (fd < 0) {
		errno = EBADF;
		return !jail || failed(e, "no folder to change root into");
	}
	/* The folder may be closed to all but its owner, also to a root that has only the right to change users. */
	if (e->order->as_root) {
		setfsgid(e->order->gid);
		setfsuid(e->order->uid);
	}
	if (fchdir(fd) == -1)
		return failed(e, "fchdir");
	if (jail && (chroot(".") == -1 || chdir("/") == -1))
		return failed(e, "chroot");
	return true;
}

static bool become(const struct cage_spec *spec, const struct cage_order *o, char *why, size_t why_size)
{
	const struct become who = {o->uid, o->gid, o->groups, o->group_count, (spec->calls & CALLS_BECOME) != 0};

	return become_user(&who, why, why_size);
}

bool cage_become(const struct cage_spec *spec, struct cage_order *order, char *why, size_t why_size)
{
	MUST(!spec->chroot && (spec->calls & CALLS_BECOME) == 0);
	order->is_user = true;
	return !order->as_root || become(spec, order, why, why_size);
}

static bool change_user(struct entry *e)
{
	const struct cage_order *o = e->order;

	if (o->as_root && !o->is_user)
		return become(e->spec, o, e->why, e->why_size);
	errno = EPERM;
	if (o->as_root && (getuid() != o->uid || geteuid() != o->uid))
		return failed(e, "it is another user");
	return capabilities_drop() || failed(e, "capset");
}

static bool set_promises(struct entry *e)
{
	/* After the change of uid, which would clear it. */
	if (e->order->parent != 0 && !die_with_parent(e->order->parent))
		return failed(e, "the parent is gone");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return failed(e, "no_new_privs");
	if (!WITH_ASAN && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return failed(e, "dumpable");
	return true;
}

static bool is_named(const char *names, const char *name)
{
	struct slice rest = slice_of(names), word;

	while (slice_word(&rest, &word))
		if (slice_eq(word, slice_of(name)))
			return true;
	return false;
}

/* An extra that is not there: noted, or the end where it is required. */
static bool lacks(struct entry *e, const char *extra)
{
	size_t len = strlen(e->missing);

	snprintf(e->missing + len, CAGE_MISSING_BYTES - len, "%s%s", len > 0 ? " " : "", extra);
	if (!is_named(e->order->require, extra))
		return true;
	snprintf(e->why, e->why_size,
		 "sandbox_require names %s, which this kernel does not have: start a newer kernel, or take it out of sandbox_require",
		 extra);
	return false;
}

static bool has_mdwe(const struct entry *e)
{
	return e->order->kernel != KERNEL_6_1 && prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0;
}

static bool has_passrights(const struct entry *e)
{
	int pair[2];
	bool has;

	if (e->order->kernel == KERNEL_6_1 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return false;
	has = os_passrights_off(pair[0]);
	close(pair[0]);
	close(pair[1]);
	return has;
}

static int usable_landlock_abi(const struct entry *e)
{
	int abi = landlock_abi();

	return e->order->kernel == KERNEL_6_1 && abi > KERNEL_6_1_LANDLOCK_ABI ? KERNEL_6_1_LANDLOCK_ABI : abi;
}

static bool enter_landlock(struct entry *e, int abi)
{
	const struct cage_order *o = e->order;
	unsigned calls = e->spec->calls;
	struct cage_path paths[LANDLOCK_PATHS_MAX];
	bool hands_down = (calls & CALLS_BECOME) != 0;
	struct landlock_wish wish = {abi, hands_down, (calls & CALLS_SOCKETS) != 0, paths, 0};

	if (hands_down)
		return abi < LANDLOCK_ABI_SCOPES || landlock_enter(&wish) || failed(e, "landlock scopes");
	errno = E2BIG;
	if (o->path_count >= LANDLOCK_PATHS_MAX)
		return failed(e, "landlock: too many paths");
	for (size_t i = 0; i < o->path_count; i++)
		paths[wish.path_count++] = o->paths[i];
	if (o->root_fd >= 0 && (calls & (CALLS_FILES | CALLS_FILES_READ)) != 0)
		paths[wish.path_count++] = (struct cage_path){o->root_fd, (calls & CALLS_FILES) != 0};
	return landlock_enter(&wish) || failed(e, "landlock");
}

/* What the kernel offers beyond the floor. */
static bool take_extras(struct entry *e)
{
	int abi = usable_landlock_abi(e);
	bool hands_down = (e->spec->calls & CALLS_BECOME) != 0;

	if (abi == 0 ? !lacks(e, "landlock") : !enter_landlock(e, abi))
		return false;
	if (!hands_down && !has_mdwe(e) && !lacks(e, "mdwe"))
		return false;
	if (abi < LANDLOCK_ABI_SCOPES && !lacks(e, "scopes"))
		return false;
	return has_passrights(e) || lacks(e, "passrights");
}

bool cage_enter(const struct cage_spec *spec, const struct cage_order *order, char missing[CAGE_MISSING_BYTES], char *why,
		size_t why_size)
{
	struct entry e = {spec, order, missing, why, why_size};
	uid_t become_min = order->become_min > spec->become_min ? order->become_min : spec->become_min;

#if WITH_ASAN
	is_caged = true;
#endif
	missing[0] = '\0';
	if (why_size > 0)
		why[0] = '\0';
	return set_limits(&e) && change_root(&e) && change_user(&e) && set_promises(&e) && take_extras(&e) &&
	       filter_load(spec->calls, become_min, why, why_size);
}

bool cage_narrow(unsigned calls)
{
	char why[256];

	return filter_load(calls, 0, why, sizeof(why));
}
