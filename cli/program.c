#include "program.h"

#include "base/slice.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED 75

/* Beneath the folder that this program lies in. */
static bool is_beside(const char *folder, const char *name, char out[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t slash = slice_rindex(slice_make(self, n > 0 ? (size_t)n : 0), '/');

	return slash != SLICE_NONE && snprintf(out, PATH_MAX, "%.*s/%s/%s", (int)slash, self, folder, name) < PATH_MAX &&
	       access(out, X_OK) == 0;
}

void program_path(const char *name, char out[PATH_MAX])
{
	if (!is_beside(".", name, out) && !is_beside(POSTERN_LIBEXEC_FROM_HERE, name, out))
		snprintf(out, PATH_MAX, "%s/%s", POSTERN_LIBEXEC, name);
}

static _Noreturn void become_checker(const char *config)
{
	char program[PATH_MAX], flag[] = "--check", file[PATH_MAX];
	char *const argv[] = {program, flag, file, NULL}, *const environment[] = {NULL};

	program_path("postern-policyd", program);
	if (slice_copy(slice_of(config), file, sizeof(file)))
		execve(program, argv, environment);
	fprintf(stderr, "postern: %s: %s\n", program, strerrordesc_np(errno));
	_exit(FAILED);
}

int program_check_tables(const char *config)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (child == 0)
		become_checker(config);
	if (child == -1 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
		fprintf(stderr, "postern: the tables could not be checked\n");
		return FAILED;
	}
	return WEXITSTATUS(status);
}
