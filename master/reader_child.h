#ifndef POSTERN_MASTER_READER_CHILD_H
#define POSTERN_MASTER_READER_CHILD_H

#include "reader.h"

/* Forks the reader; it says what it found over `fd` (borrowed) and exits.  -1: errno. */
pid_t reader_child_spawn(const struct reader_order *order, int fd);

/* ---- reader_child_maildirs.c ---- */
typedef bool reader_say_fn(enum ipc_type type, const void *body, int fd);
/* Before its cage, as its user: what getpwnam(3) loads. */
void reader_child_load_users(void);
/* Says each Maildir transport with who owns it, and CONF_CAGE_UID_MIN.  as_root: users can be changed to; else all is the caller's.
 * False: such mail could not be delivered, each mistake was said. */
bool reader_child_maildirs(const struct conf *c, bool as_root, reader_say_fn *say);

#endif
