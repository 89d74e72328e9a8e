#ifndef POSTERN_CLI_CONFIGURED_H
#define POSTERN_CLI_CONFIGURED_H

#include "command.h"
#include "conf/conf.h"

/* The configuration that --config names, compiled.  NULL: *exit_out, and it was said why. */
struct conf *configured(const struct cli *cli, int *exit_out);

#endif
