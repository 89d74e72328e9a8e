#ifndef POSTERN_CLI_PROGRAM_H
#define POSTERN_CLI_PROGRAM_H

#include <limits.h>

/* The path of a program of the suite: in a build tree all lie side by side; installed, it is where the build was told. */
void program_path(const char *name, char out[PATH_MAX]);

#endif
