#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static bool fails(const char *what, const char *which)
{
	fprintf(stderr, "unit_filter: %s %s: %s\n", what, which, strerror(errno));
	return false;
}

/* ---- mounts ---- */

static bool set_read_only(const char *path, bool on)
{
	struct mount_attr attributes = {.attr_set = on ? MOUNT_ATTR_RDONLY : 0, .attr_clr = on ? 0 : MOUNT_ATTR_RDONLY};
	unsigned flags = on ? AT_RECURSIVE : 0;

	return mount_setattr(AT_FDCWD, path, flags, &attributes, sizeof(attributes)) == 0 || fails("remount", path);
}

static bool mount_on_itself(const char *path)
{
	return mount(path, path, NULL, MS_BIND | MS_REC, NULL) == 0 || fails("bind", path);
}

typedef bool on_path(const char *path);

/* A path that begins with "-" may be missing. */
static bool each_path(const struct unit_words *words, const char *beneath, on_path *what)
{
	char path[256];

	for (size_t i = 0; i < words->count; i++) {
		struct slice word = words->words[i];
		bool optional = word.at[0] == '-';

		if (optional)
			word = slice_from(word, 1);
		if (snprintf(path, sizeof(path), "%s%.*s", beneath, SLICE_ARG(word)) >= (int)sizeof(path))
			return false;
		if (access(path, F_OK) == -1) /* the folders of an installation; the test's own is `extra` */
			continue;
		if (!what(path))
			return false;
	}
	return true;
}

static bool make_writable(const char *path)
{
	return set_read_only(path, false);
}

static bool each_writable(const struct unit *u, const char *extra, on_path *what)
{
	return what(extra) && each_path(&u->writable, "", what) && each_path(&u->runtime, "/run/", what) &&
	       each_path(&u->state, "/var/lib/", what);
}

static bool enter_devices(void)
{
	static const struct {
		const char *path;
		unsigned minor;
	} nodes[] = {{"/dev/null", 3}, {"/dev/zero", 5}, {"/dev/full", 7}, {"/dev/random", 8}, {"/dev/urandom", 9}};
	mode_t before = umask(0);

	if (mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755") == -1)
		return fails("mount", "/dev");
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(1, nodes[i].minor)) == -1)
			return fails("make", nodes[i].path);
	umask(before);
	return true;
}

static bool enter_proc(const struct unit *u)
{
	char options[64];

	snprintf(options, sizeof(options), "%s%s%s", u->hide_processes ? "hidepid=invisible" : "",
		 u->hide_processes && u->only_pids ? "," : "", u->only_pids ? "subset=pid" : "");
	return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0 || fails("mount", "/proc");
}

bool unit_enter_mounts(const struct unit *u, const char *extra)
{
	if (unshare(CLONE_NEWNS) == -1 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == -1)
		return fails("unshare", "mounts");
	if (u->own_devices && !enter_devices())
		return false;
	if ((u->hide_processes || u->only_pids) && !enter_proc(u))
		return false;
	if (!u->strict_system)
		return true;
	return each_writable(u, extra, mount_on_itself) && set_read_only("/", true) && each_writable(u, extra, make_writable);
}

/* ---- rights ---- */

static bool bounding_set(const struct unit_words *names)
{
	char name[64];
	cap_value_t value;
	uint64_t keep = 0;

	for (size_t i = 0; i < names->count; i++) {
		if (!slice_copy(names->words[i], name, sizeof(name)) || cap_from_name(name, &value) == -1)
			return fails("capability", name);
		keep |= UINT64_C(1) << value;
	}
	for (value = 0; value < cap_max_bits(); value++)
		if ((keep >> value & 1) == 0 && prctl(PR_CAPBSET_DROP, value, 0, 0, 0) == -1)
			return fails("bounding set", "");
	return true;
}

/* Less where the machine gives less: a container without CAP_SYS_RESOURCE cannot raise it. */
static bool limit_files(uint64_t wanted)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1)
		return fails("limit", "NOFILE");
	files.rlim_max = files.rlim_max < wanted ? files.rlim_max : wanted;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) == 0 || fails("limit", "NOFILE");
}

bool unit_enter_rights(const struct unit *u)
{
	umask(u->umask);
	if (u->files_max != 0 && !limit_files(u->files_max))
		return false;
	if (u->capabilities.count > 0 && !bounding_set(&u->capabilities))
		return false;
	if (u->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return fails("prctl", "no_new_privs");
	return true;
}
