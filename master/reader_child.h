#ifndef POSTERN_MASTER_READER_CHILD_H
#define POSTERN_MASTER_READER_CHILD_H

#include "reader.h"

/* Forks the reader; it says what it found over `fd` (borrowed) and exits.  -1: errno. */
pid_t reader_child_spawn(const struct reader_order *order, int fd);

/* ---- reader_child_deliveries.c ---- */
typedef bool reader_say_fn(enum ipc_type type, const void *body, int fd);
/* Says each transport of the local agent with who it delivers as, CONF_CAGE_UID_MIN and CONF_CAGE_PROGRAMS.  as_root: users can be changed to; else all is the caller's.
 * BAD_INPUT: such mail could not be delivered; UNAVAILABLE: it is not known now whether it could.  Each reason was said. */
enum outcome reader_child_deliveries(const struct conf *c, bool as_root, reader_say_fn *say);

#endif
