#ifndef POSTERN_MASTER_READER_CHILD_H
#define POSTERN_MASTER_READER_CHILD_H

#include "reader.h"

/* Forks the reader; it says what it found over `fd` (borrowed) and exits.  -1: errno. */
pid_t reader_child_spawn(const struct reader_order *order, int fd);

#endif
