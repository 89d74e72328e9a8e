#ifndef POSTERN_CLI_RUNTIME_H
#define POSTERN_CLI_RUNTIME_H

#include "base/buf.h"

/*
 * Where the two sockets of a running Postern are: --runtime, else the environment's POSTERN_RUNTIME, else the setting `runtime`
 * of the configuration where it can be read, else the default.  None of this needs a right: whoever may choose another folder
 * only reaches another folder.
 */
#define CLI_CONFIG_DEFAULT "/etc/postern/postern.conf"
#define CLI_RUNTIME_DEFAULT "/run/postern"
#define CLI_PATH_MAX 512

struct runtime_order {
	const char *runtime; /* --runtime; NULL: not said */
	const char *config; /* --config; NULL: the default */
};

/* "FOLDER/name" into `out`; false: too long. */
bool runtime_socket(const struct runtime_order *order, const char *name, char out[CLI_PATH_MAX]);
/* The value of the setting `runtime` in the text of a configuration, which may have mistakes elsewhere; "" when it has none.
 * Pure. */
struct slice runtime_in_text(struct slice text);

/* Descriptors 0 to 2 are open afterwards, so that nothing else gets their numbers; signals that would end the program in the
 * middle of nothing are ignored. */
void cli_begin(void);

#endif
