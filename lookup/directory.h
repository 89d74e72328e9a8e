#ifndef POSTERN_LOOKUP_DIRECTORY_H
#define POSTERN_LOOKUP_DIRECTORY_H

#include "conf/conf.h"
#include "ipc/message.h"

/*
 * A directory, asked by libldap over a connection that is there already.  Blocks; runs in a child that takes one question and ends.
 */

/* Before the cage, in the process that forks the parent of the children: libldap without its configuration files, the trusted
 * certificates read, from `ca`: NULL, without TLS none; "", those of the system.  Exits 75 where they cannot be read. */
void directory_prepare(const char *ca);
/* In the cage of that parent: whom its children ask, and how.  `l` is borrowed for good. */
void directory_use(const struct conf_ldap *l);

/* warm_spec.serve: DIRECTORY_START, told DIRECTORY_END. */
void directory_serve(int fd, const struct ipc_message *m);

/* What a directory's answer to the bind of a user means: only what is about name and password is a refusal. */
enum outcome directory_bind_outcome(int code);

#endif
