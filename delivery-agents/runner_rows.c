#include "runner_rows.h"

bool runner_rows_has_room(const struct runner_rows *rows, uid_t uid)
{
	size_t unused = 0, own = 0;

	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++) {
		unused += rows->of[i].pid == 0;
		own += rows->of[i].pid != 0 && rows->of[i].uid == uid;
	}
	return unused > 0 && own < RUNNER_ROWS_USER_MAX;
}

static struct runner_row *find(struct runner_rows *rows, pid_t pid)
{
	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++)
		if (rows->of[i].pid == pid)
			return &rows->of[i];
	return NULL;
}

void runner_rows_add(struct runner_rows *rows, pid_t pid, uid_t uid)
{
	struct runner_row *row = find(rows, 0);

	if (row != NULL)
		*row = (struct runner_row){.pid = pid, .uid = uid};
}

struct runner_row *runner_rows_find(struct runner_rows *rows, pid_t pid)
{
	return pid > 0 ? find(rows, pid) : NULL;
}

bool runner_rows_has_gone(const struct runner_rows *rows)
{
	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++)
		if (rows->of[i].pid == RUNNER_ROW_GONE)
			return true;
	return false;
}

void runner_rows_left(struct runner_rows *rows, const uid_t *uid)
{
	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++)
		if (rows->of[i].pid == RUNNER_ROW_GONE && (uid == NULL || rows->of[i].uid == *uid)) {
			rows->of[i].is_left = true;
			if (uid != NULL)
				return;
		}
}

void runner_rows_settle(struct runner_rows *rows)
{
	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++) {
		if (rows->of[i].pid == RUNNER_ROW_GONE && !rows->of[i].is_left)
			rows->of[i] = (struct runner_row){0};
		rows->of[i].is_left = false;
	}
}
