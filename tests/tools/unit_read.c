#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum take { TAKE_YES, TAKE_WORDS, TAKE_ERRNO, TAKE_UMASK, TAKE_FILES, TAKE_STRICT, TAKE_INVISIBLE, TAKE_PID, TAKE_NATIVE, TAKE_NOT };

struct directive {
	const char *name;
	enum take take;
	size_t at; /* offset into struct unit */
};

#define AT(field) offsetof(struct unit, field)

/* TAKE_NOT: how the service is started and stopped, or what needs a service manager, a control group or a namespace of its own
 * to be felt; what the filters of the Protect... family refuse is outside @system-service already. */
static const struct directive directives[] = {
	{"CapabilityBoundingSet", TAKE_WORDS, AT(capabilities)},
	{"NoNewPrivileges", TAKE_YES, AT(no_new_privileges)},
	{"SystemCallFilter", TAKE_WORDS, AT(calls)},
	{"SystemCallErrorNumber", TAKE_ERRNO, 0},
	{"SystemCallArchitectures", TAKE_NATIVE, 0},
	{"RestrictAddressFamilies", TAKE_WORDS, AT(families)},
	{"RestrictNamespaces", TAKE_YES, AT(no_namespaces)},
	{"RestrictRealtime", TAKE_YES, AT(no_realtime)},
	{"RestrictSUIDSGID", TAKE_YES, AT(no_set_id)},
	{"LockPersonality", TAKE_YES, AT(lock_personality)},
	{"MemoryDenyWriteExecute", TAKE_YES, AT(no_write_execute)},
	{"ProtectSystem", TAKE_STRICT, 0},
	{"ReadWritePaths", TAKE_WORDS, AT(writable)},
	{"RuntimeDirectory", TAKE_WORDS, AT(runtime)},
	{"StateDirectory", TAKE_WORDS, AT(state)},
	{"PrivateDevices", TAKE_YES, AT(own_devices)},
	{"ProtectProc", TAKE_INVISIBLE, 0},
	{"ProcSubset", TAKE_PID, 0},
	{"UMask", TAKE_UMASK, 0},
	{"LimitNOFILE", TAKE_FILES, 0},
	{"Type", TAKE_NOT, 0},
	{"NotifyAccess", TAKE_NOT, 0},
	{"ExecStart", TAKE_NOT, 0},
	{"ExecReload", TAKE_NOT, 0},
	{"KillMode", TAKE_NOT, 0},
	{"TimeoutStopSec", TAKE_NOT, 0},
	{"WatchdogSec", TAKE_NOT, 0},
	{"Restart", TAKE_NOT, 0},
	{"RestartPreventExitStatus", TAKE_NOT, 0},
	{"RestartSec", TAKE_NOT, 0},
	{"TasksMax", TAKE_NOT, 0},
	{"RuntimeDirectoryMode", TAKE_NOT, 0},
	{"StateDirectoryMode", TAKE_NOT, 0},
	{"RuntimeDirectoryPreserve", TAKE_NOT, 0},
	{"ProtectHome", TAKE_NOT, 0},
	{"PrivateTmp", TAKE_NOT, 0},
	{"DevicePolicy", TAKE_NOT, 0},
	{"PrivateMounts", TAKE_NOT, 0},
	{"ProtectClock", TAKE_NOT, 0},
	{"ProtectControlGroups", TAKE_NOT, 0},
	{"ProtectHostname", TAKE_NOT, 0},
	{"ProtectKernelLogs", TAKE_NOT, 0},
	{"ProtectKernelModules", TAKE_NOT, 0},
	{"ProtectKernelTunables", TAKE_NOT, 0},
	{"KeyringMode", TAKE_NOT, 0},
	{"RemoveIPC", TAKE_NOT, 0},
};

static const struct directive *find(struct slice name)
{
	for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++)
		if (slice_eq(slice_of(directives[i].name), name))
			return &directives[i];
	return NULL;
}

static bool is(struct slice value, const char *text)
{
	return slice_eq(value, slice_of(text));
}

static bool take_words(struct slice value, struct unit_words *out)
{
	struct slice word;

	while (slice_word(&value, &word)) {
		if (out->count == UNIT_WORDS_MAX)
			return false;
		out->words[out->count++] = word;
	}
	return true;
}

static bool take_number(struct slice value, int base, uint64_t *out)
{
	char text[32], *end;

	if (!slice_copy(value, text, sizeof(text)) || text[0] == '\0')
		return false;
	*out = strtoull(text, &end, base);
	return *end == '\0';
}

static bool take_umask(struct slice value, struct unit *u)
{
	uint64_t mode;

	if (!take_number(value, 8, &mode) || mode > 0777)
		return false;
	u->umask = (mode_t)mode;
	return true;
}

static bool set(bool *field, bool value)
{
	*field = value;
	return value;
}

/* A value that says something else than is emulated here is refused. */
static bool take_value(const struct directive *d, struct slice value, struct unit *u)
{
	switch (d->take) {
	case TAKE_YES:
		return set((bool *)((char *)u + d->at), is(value, "yes"));
	case TAKE_WORDS:
		return take_words(value, (struct unit_words *)((char *)u + d->at));
	case TAKE_ERRNO:
		u->call_errno = EPERM;
		return is(value, "EPERM");
	case TAKE_UMASK:
		return take_umask(value, u);
	case TAKE_FILES:
		return take_number(value, 10, &u->files_max);
	case TAKE_STRICT:
		return set(&u->strict_system, is(value, "strict"));
	case TAKE_INVISIBLE:
		return set(&u->hide_processes, is(value, "invisible"));
	case TAKE_PID:
		return set(&u->only_pids, is(value, "pid"));
	case TAKE_NATIVE:
		return set(&u->native_only, is(value, "native"));
	case TAKE_NOT:
		return true;
	}
	return false;
}

static bool take_line(struct slice line, struct unit *u)
{
	struct slice name = slice_empty();
	const struct directive *d;

	if (!slice_cut(&line, '=', &name) || (d = find(slice_trim(name))) == NULL || !take_value(d, slice_trim(line), u)) {
		fprintf(stderr, "unit_filter: not known, or not with this value: %.*s=%.*s\n", SLICE_ARG(name), SLICE_ARG(line));
		return false;
	}
	return true;
}

bool unit_read(struct slice text, struct unit *out)
{
	struct slice line;
	bool service = false;

	*out = (struct unit){.umask = 022};
	while (slice_cut(&text, '\n', &line)) {
		line = slice_trim(line);
		if (line.len == 0 || line.at[0] == '#' || line.at[0] == ';')
			continue;
		if (line.at[0] == '[')
			service = is(line, "[Service]");
		else if (service && !take_line(line, out))
			return false;
	}
	return true;
}
