#include "program.h"

#include "base/slice.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

void program_path(const char *name, char out[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t slash = slice_rindex(slice_make(self, n > 0 ? (size_t)n : 0), '/');

	if (slash != SLICE_NONE && snprintf(out, PATH_MAX, "%.*s/%s", (int)slash, self, name) < PATH_MAX && access(out, X_OK) == 0)
		return;
	snprintf(out, PATH_MAX, "%s/%s", POSTERN_LIBEXEC, name);
}
