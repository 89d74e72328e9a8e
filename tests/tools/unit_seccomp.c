#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* One filter, made and loaded by itself as systemd does: where several refuse, the harshest answer wins in the kernel. */
typedef bool fill(scmp_filter_ctx filter, const struct unit *u);

static bool load(const char *name, uint32_t otherwise, fill *rules, const struct unit *u)
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	const uint32_t foreign = u->native_only ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW;
	bool ok = filter != NULL && seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, foreign) == 0 &&
		  seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, u->no_new_privileges) == 0 && rules(filter, u) &&
		  seccomp_load(filter) == 0;

	seccomp_release(filter);
	if (!ok)
		fprintf(stderr, "unit_filter: the filter of %s cannot be made\n", name);
	return ok;
}

static bool refuse(scmp_filter_ctx filter, int error, int call)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), call, 0) == 0;
}

static bool refuse_if(scmp_filter_ctx filter, int error, int call, struct scmp_arg_cmp condition)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(error), call, 1, &condition) == 0;
}

/* ---- RestrictAddressFamilies ---- */

static const struct {
	const char *name;
	int family;
} families[] = {{"AF_UNIX", AF_UNIX}, {"AF_INET", AF_INET}, {"AF_INET6", AF_INET6}, {"AF_NETLINK", AF_NETLINK}};

static bool is_family_named(const struct unit_words *names, int family)
{
	for (size_t i = 0; i < names->count; i++)
		for (size_t k = 0; k < sizeof(families) / sizeof(families[0]); k++)
			if (families[k].family == family && slice_eq(names->words[i], slice_of(families[k].name)))
				return true;
	return false;
}

static bool fill_families(scmp_filter_ctx filter, const struct unit *u)
{
	int highest = 0;

	for (int family = 0; family < AF_MAX; family++)
		if (is_family_named(&u->families, family))
			highest = family;
	for (int family = 0; family < highest; family++)
		if (!is_family_named(&u->families, family) &&
		    !refuse_if(filter, EAFNOSUPPORT, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0)))
			return false;
	return refuse_if(filter, EAFNOSUPPORT, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_GT, (scmp_datum_t)highest, 0));
}

/* ---- RestrictNamespaces ---- */

static bool fill_namespaces(scmp_filter_ctx filter, const struct unit *u)
{
	static const scmp_datum_t kinds[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
					     CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET, CLONE_NEWTIME};

	(void)u;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!refuse_if(filter, EPERM, SCMP_SYS(unshare), SCMP_A0(SCMP_CMP_MASKED_EQ, kinds[i], kinds[i])) ||
		    (kinds[i] != CLONE_NEWTIME &&
		     !refuse_if(filter, EPERM, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, kinds[i], kinds[i]))))
			return false;
	return refuse(filter, EPERM, SCMP_SYS(setns)) && refuse(filter, ENOSYS, SCMP_SYS(clone3));
}

/* ---- RestrictRealtime, LockPersonality, MemoryDenyWriteExecute ---- */

static bool fill_realtime(scmp_filter_ctx filter, const struct unit *u)
{
	static const int normal[] = {SCHED_OTHER, SCHED_BATCH, SCHED_IDLE};

	(void)u;
	for (int policy = 0; policy < SCHED_IDLE; policy++) {
		bool allowed = false;

		for (size_t i = 0; i < sizeof(normal) / sizeof(normal[0]); i++)
			allowed = allowed || normal[i] == policy;
		if (!allowed &&
		    !refuse_if(filter, EPERM, SCMP_SYS(sched_setscheduler), SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)policy, 0)))
			return false;
	}
	return refuse_if(filter, EPERM, SCMP_SYS(sched_setscheduler), SCMP_A1(SCMP_CMP_GT, SCHED_IDLE, 0));
}

static bool fill_personality(scmp_filter_ctx filter, const struct unit *u)
{
	(void)u;
	return refuse_if(filter, EPERM, SCMP_SYS(personality), SCMP_A0(SCMP_CMP_NE, 0, 0));
}

static bool fill_write_execute(scmp_filter_ctx filter, const struct unit *u)
{
	const scmp_datum_t both = PROT_WRITE | PROT_EXEC;

	(void)u;
	return refuse_if(filter, EPERM, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, both, both)) &&
	       refuse_if(filter, EPERM, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) &&
	       refuse_if(filter, EPERM, SCMP_SYS(pkey_mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) &&
	       refuse_if(filter, EPERM, SCMP_SYS(shmat), SCMP_A2(SCMP_CMP_MASKED_EQ, SHM_EXEC, SHM_EXEC));
}

/* ---- RestrictSUIDSGID ---- */

static const struct {
	int call;
	unsigned mode_at; /* which argument is the mode */
	unsigned flags_at; /* where O_CREAT or O_TMPFILE must be said for it to count; 0: always counts */
} makers[] = {
	{SCMP_SYS(chmod), 1, 0},   {SCMP_SYS(fchmod), 1, 0},  {SCMP_SYS(fchmodat), 2, 0}, {SCMP_SYS(mkdir), 1, 0},
	{SCMP_SYS(mkdirat), 2, 0}, {SCMP_SYS(mknod), 1, 0},   {SCMP_SYS(mknodat), 2, 0},  {SCMP_SYS(creat), 1, 0},
	{SCMP_SYS(open), 2, 1},	   {SCMP_SYS(openat), 3, 2},
};

static bool fill_set_id(scmp_filter_ctx filter, const struct unit *u)
{
	static const scmp_datum_t bits[] = {S_ISUID, S_ISGID};

	(void)u;
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		for (size_t b = 0; b < sizeof(bits) / sizeof(bits[0]); b++) {
			const struct scmp_arg_cmp conditions[] = {
				SCMP_CMP(makers[i].mode_at, SCMP_CMP_MASKED_EQ, bits[b], bits[b]),
				SCMP_CMP(makers[i].flags_at, SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT),
			};

			if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), makers[i].call,
						   makers[i].flags_at == 0 ? 1 : 2, conditions) != 0)
				return false;
		}
	return refuse(filter, EPERM, SCMP_SYS(openat2)); /* its flags lie in memory, where no filter can look */
}

/* ---- SystemCallFilter ---- */

/* Names that this library does not know are of other architectures. */
static bool allow(scmp_filter_ctx filter, struct slice name)
{
	char text[64];
	int call = slice_copy(name, text, sizeof(text)) ? seccomp_syscall_resolve_name(text) : __NR_SCMP_ERROR;
	int result = call == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);

	return result == 0 || result == -EDOM;
}

static struct slice service_calls;

static bool allow_service(scmp_filter_ctx filter)
{
	struct slice rest = service_calls, line;
	size_t count = 0;

	while (slice_cut(&rest, '\n', &line)) {
		if (line.len == 0 || line.at[0] == '#')
			continue;
		if (!allow(filter, line))
			return false;
		count++;
	}
	return count > 0;
}

static bool fill_calls(scmp_filter_ctx filter, const struct unit *u)
{
	for (size_t i = 0; i < u->calls.count; i++) {
		struct slice name = u->calls.words[i];
		bool ok = slice_eq(name, slice_of("@system-service")) ? allow_service(filter) : allow(filter, name);

		if (!ok || (name.at[0] == '@' && !slice_eq(name, slice_of("@system-service"))))
			return false;
	}
	return true;
}

bool unit_enter_filters(const struct unit *u, struct slice calls)
{
	uint32_t otherwise = u->call_errno != 0 ? SCMP_ACT_ERRNO((uint32_t)u->call_errno) : SCMP_ACT_KILL_PROCESS;

	service_calls = calls;
	return (u->families.count == 0 || load("RestrictAddressFamilies", SCMP_ACT_ALLOW, fill_families, u)) &&
	       (!u->no_namespaces || load("RestrictNamespaces", SCMP_ACT_ALLOW, fill_namespaces, u)) &&
	       (!u->no_realtime || load("RestrictRealtime", SCMP_ACT_ALLOW, fill_realtime, u)) &&
	       (!u->lock_personality || load("LockPersonality", SCMP_ACT_ALLOW, fill_personality, u)) &&
	       (!u->no_set_id || load("RestrictSUIDSGID", SCMP_ACT_ALLOW, fill_set_id, u)) &&
	       (!u->no_write_execute || load("MemoryDenyWriteExecute", SCMP_ACT_ALLOW, fill_write_execute, u)) &&
	       (u->calls.count == 0 || load("SystemCallFilter", otherwise, fill_calls, u));
}
