#ifndef POSTERN_CLI_PASSWORD_H
#define POSTERN_CLI_PASSWORD_H

#include "base/buf.h"

/*
 * Where a new password comes from.  `out` is a secret buffer (buf_make_secret).  False with a sentence in `why`.
 */
#define PASSWORD_MAX 511u

/* Asked twice on the terminal, without echo. */
bool password_ask(const char *about, struct buf *out, const char **why);
/* The first line of `fd`. */
bool password_read(int fd, struct buf *out, const char **why);
/* 20 characters of base32: 100 bits. */
bool password_generate(struct buf *out);

#endif
