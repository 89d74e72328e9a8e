#ifndef POSTERN_SMTPD_CONN_PRIVATE_H
#define POSTERN_SMTPD_CONN_PRIVATE_H

#include "conn.h"

/* What the files of a connection share: conn.c, conn_tls.c, conn_time.c. */

void conn_enter(struct conn *c, enum conn_phase next);

/* conn_tls.c */
/* All that came in clear is forgotten. */
void conn_begin_handshake(struct conn *c);
/* One step; what it decrypted is in `in` afterwards. */
void conn_step_tls(struct conn *c, struct slice bytes);
void conn_tls_over(struct conn *c, enum tls_want want);

/* conn_time.c: by the monotonic clock. */
#define CONN_NEVER UINT64_MAX
uint64_t conn_session_deadline(const struct conn *c);
uint64_t conn_message_deadline(const struct conn *c);
/* The earliest of all that hold now. */
uint64_t conn_deadline(const struct conn *c);

#endif
