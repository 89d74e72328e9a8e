#ifndef POSTERN_TARGET_H
#define POSTERN_TARGET_H

#include "base/outcome.h"
#include "conf/conf.h"
#include "ipc/message.h"
#include "net/here.h"

#include <sys/socket.h>

/*
 * Where a DIAL_ASK may lead: nowhere but to a destination that the configuration names.  Pure.
 *
 *   transport                   address in the question     connects to
 *   lmtp "/path"                must be empty               the path
 *   smtp, lmtp "192.0.2.1:587"  empty, or the same          that address and port
 *   smtp, lmtp "host:587"       one                         that address, the transport's port
 *   smtp mx                     one                         that address, the transport's port (25)
 *   auth { dovecot "/path" }    must be empty               the path; for authd alone, as the transports are for the others
 *   a server of a table         as smtp and lmtp            the same, also on this host; for lookup alone
 *   an LDAP server              as smtp and lmtp            the same, also on this host; for lookup alone
 *
 * An address of this host is refused unless the transport has `allow-local`, an address that is no host's always.
 */
struct target {
	struct sockaddr_storage address;
	socklen_t len;
	char text[160]; /* "192.0.2.1 port 25", for people */
};

#define TARGET_WHY_BYTES 255

/* OC_DONE, or an outcome of ours (temporary) with a sentence in `why`. */
enum outcome target_find(const struct conf *c, const struct here *here, enum role asker, uint64_t number, struct slice address,
			 struct target *out, char why[TARGET_WHY_BYTES]);

#endif
