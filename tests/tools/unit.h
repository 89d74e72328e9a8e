#ifndef POSTERN_TESTS_UNIT_H
#define POSTERN_TESTS_UNIT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define UNIT_WORDS_MAX 64

struct unit_words {
	struct slice words[UNIT_WORDS_MAX]; /* borrowed from the text of the unit */
	size_t count;
};

/* What a unit file says about the box its processes run in. */
struct unit {
	struct unit_words capabilities, calls, families, writable; /* names as they stand there */
	struct unit_words runtime, state; /* folders beneath /run and /var/lib */
	bool no_new_privileges, no_namespaces, no_realtime, no_set_id, lock_personality, no_write_execute, native_only;
	bool strict_system, own_devices, hide_processes, only_pids;
	int call_errno; /* 0: a call that is not allowed kills */
	mode_t umask;
	uint64_t files_max; /* 0: not said */
};

/* Reads [Service].  False, with a line on stderr, for a sandbox directive that this tool does not know: a unit must not be
 * called proved when a part of it was passed over. */
bool unit_read(struct slice text, struct unit *out);

/* Mounts (strict system, devices, /proc) as the unit has them; `extra` is one folder more that may be written. */
bool unit_enter_mounts(const struct unit *u, const char *extra);
/* Bounding set, no_new_privs, umask, limits. */
bool unit_enter_rights(const struct unit *u);
/* The filters, one by one, as systemd 252 loads them.  `service_calls`: the text of @system-service, a name a line. */
bool unit_enter_filters(const struct unit *u, struct slice service_calls);

#endif
