#ifndef POSTERN_CLI_PROGRAM_H
#define POSTERN_CLI_PROGRAM_H

#include <limits.h>

/* The path of a program of the suite: in a build tree all lie side by side; installed, it is where it was installed with this one, or
 * where the build was told. */
void program_path(const char *name, char out[PATH_MAX]);

/* Has postern-policyd look at the tables of a configuration (policyd/check_main.h); what it says goes to our own stdout and stderr.
 * Its exit code; 75 where it could not be run, which was said. */
int program_check_tables(const char *config);

#endif
