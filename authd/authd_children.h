#ifndef POSTERN_AUTHD_CHILDREN_H
#define POSTERN_AUTHD_CHILDREN_H

#include "ipc/message.h"

/* What authd's children do, one question each (common/warm). */
void verifier_serve(int fd, const struct ipc_message *m); /* VERIFY_ASK */
void system_users_serve(int fd, const struct ipc_message *m); /* USER_ASK */

#endif
