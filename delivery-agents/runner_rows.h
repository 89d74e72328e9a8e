#ifndef POSTERN_RUNNER_ROWS_H
#define POSTERN_RUNNER_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Whom the runner forked, and of whose workers somebody may be left.  Pure.
 *
 *	free --add--> a worker's --gone--> gone --settle, where nobody of that user is left, or another row says so--> free
 *
 * Always: a user has no more than his share, and of the rows that are gone he keeps one; so who does not end costs his own user's
 * programs, and it takes three such users to fill all rows.
 */
#define RUNNER_ROWS_MAX 64u
#define RUNNER_ROWS_USER_MAX 24u /* the parent's bound of workers that run programs, and some more that do not end */
#define RUNNER_ROW_GONE ((pid_t)-1)

struct runner_row {
	pid_t pid; /* 0: free; RUNNER_ROW_GONE */
	uid_t uid;
	bool is_left; /* somebody of that user, it is said since the last settle */
};

struct runner_rows {
	struct runner_row of[RUNNER_ROWS_MAX];
};

bool runner_rows_has_room(const struct runner_rows *rows, uid_t uid);
/* There is room. */
void runner_rows_add(struct runner_rows *rows, pid_t pid, uid_t uid);
/* Borrowed; NULL: no worker. */
struct runner_row *runner_rows_find(struct runner_rows *rows, pid_t pid);
bool runner_rows_has_gone(const struct runner_rows *rows);
/* Somebody lives whom a worker of that user left; NULL: whose he is is not known, and so he may be anybody's. */
void runner_rows_left(struct runner_rows *rows, const uid_t *uid);
/* All who are left were told of. */
void runner_rows_settle(struct runner_rows *rows);

#endif
