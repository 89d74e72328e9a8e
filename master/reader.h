#ifndef POSTERN_MASTER_READER_H
#define POSTERN_MASTER_READER_H

#include "event/loop.h"
#include "plan.h"

#include <sys/types.h>

/*
 * The configuration is read and compiled in a child that lives for a moment: of an unprivileged user, caged, read-only.  What
 * it found comes as CONF_ messages into a plan; the master parses nothing itself.
 */
struct reader;

struct reader_order {
	const char *path; /* absolute */
	uid_t uid; /* 0: stays who the caller is */
	gid_t gid;
};

/* Called once, after the child has ended.  `plan` is now the callee's; NULL: refused, `mistakes` says why in lines for people, and
 * `outcome` whether that can pass by itself (temporary: the name service is not up, the reader died) or is the configuration's. */
typedef void reader_done_fn(struct plan *plan, enum outcome outcome, struct slice mistakes, void *arg);

/* NULL: it could not be started, errno. */
struct reader *reader_start(struct loop *loop, const struct reader_order *order, uint64_t number, reader_done_fn *done, void *arg);

#endif
