#ifndef POSTERN_CLI_CONTROL_H
#define POSTERN_CLI_CONTROL_H

#include "ipc/link.h"

/*
 * Questions to a running Postern over its control socket.  Blocking; what takes longer than two seconds is said on the terminal.
 */
struct control {
	int fd; /* owned; -1 */
	struct link_now link;
	uint64_t request;
	char *space; /* owned */
	char why[700]; /* after a failure: a sentence for people */
	int exit; /* and the exit code of it */
};

enum { CLI_OK = 0, CLI_REFUSED = 1, CLI_USAGE = 64, CLI_UNREACHABLE = 69, CLI_TEMPORARY = 75, CLI_NO_PERMISSION = 77, CLI_CONFIG = 78 };

bool control_open(struct control *c, const char *socket_path);
/* Over a descriptor that is connected already; it is taken. */
bool control_start(struct control *c, int fd);
void control_close(struct control *c);

/* One question and its answer, which stands until the next call.  NULL with `why`: no answer.  What the answer says, a refusal
 * too, is the caller's to look at. */
const struct msg_CONTROL_ANSWER *control_ask(struct control *c, const char *verb, struct slice cursor,
					     struct slice control_field_records, unsigned limit_s);

#endif
