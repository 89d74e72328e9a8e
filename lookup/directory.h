#ifndef POSTERN_LOOKUP_DIRECTORY_H
#define POSTERN_LOOKUP_DIRECTORY_H

#include "conf/conf.h"
#include "ipc/message.h"
#include "tls/tls.h"

/*
 * A directory, asked by libldap over a connection that is there already.  Blocks; runs in a child that takes one question and ends.
 */

/* Before the cage, in the process that forks the parent of the children: libldap without its configuration files. */
void directory_prepare(void);
/* In the cage of that parent: whom its children ask, and how.  Both are borrowed for good; no TLS: NULL. */
void directory_use(const struct conf_ldap *l, struct tls_client *client);

/* warm_spec.serve: DIRECTORY_START, told DIRECTORY_END. */
void directory_serve(int fd, const struct ipc_message *m);

/* What a directory's answer to the bind of a user means: only what is about name and password is a refusal. */
enum outcome directory_bind_outcome(int code);

#endif
