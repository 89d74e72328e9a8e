#ifndef POSTERN_SMTPD_GATE_VERB_H
#define POSTERN_SMTPD_GATE_VERB_H

#include "ipc/message.h"

#include <sys/types.h>

/* What an operator may ask over the control socket, and who answers it: the whole of it is this table (pure). */
struct gate_verb {
	const char *name; /* one that ends with '.' stands for all that begin with it */
	enum role answers;
	bool anybody; /* false: root, and the user the suite itself runs as */
};

/* NULL: there is no such verb. */
const struct gate_verb *gate_verb_find(struct slice verb);
bool gate_verb_may(const struct gate_verb *verb, uid_t who, uid_t own);

#endif
