#ifndef POSTERN_AUTHD_AUTHD_H
#define POSTERN_AUTHD_AUTHD_H

#include "attested/attested.h"
#include "authd_backends.h"
#include "authd_slow.h"
#include "base/map.h"

#include <sys/queue.h>

/*
 * What the files of the process share.  Each file_x.c has the handlers of one kind of question.
 */
struct logins; /* authd_login.c: AUTH_START, AUTH_NEXT, AUTH_CANCEL */
struct hashes; /* authd_hash.c: passwords against hashes */
struct grants; /* authd_grant.c: JOB_GRANT, JOB_REVOKE, CREDENTIAL_ASK */
struct dovecots; /* authd_dovecot.c: Dovecot's authentication service, of each generation */
struct names; /* authd_name.c: ACCOUNT_ASK */

struct authd {
	struct service *service;
	struct attested *sessions; /* own: struct login_session */
	struct logins *logins;
	struct dovecots *dovecots; /* NULL until one is asked */
	struct hashes *hashes;
	struct grants *grants;
	struct names *names;
	struct link *pam_children; /* owned; NULL: PAM was not named when we started */
	struct crew *pam, *directory; /* owned */
};

/* What authd itself remembers of a session. */
struct login_session {
	uint64_t attempts;
	struct dialogue *dialogue; /* owned by authd_login.c; NULL: none */
};

struct backends *authd_backends_of(const struct generation *g);

/* All exit 75 without memory.  The descriptor is that of warm_start, and taken. */
struct logins *logins_new(struct authd *a);
void logins_session_ends(struct attested_session *session);
void logins_link_down(struct logins *l, const struct link *link);
void logins_status(const struct logins *l, struct buf *out);
void on_auth_start(struct service *s, struct link *link, struct ipc_message *m);
void on_auth_next(struct service *s, struct link *link, struct ipc_message *m);
void on_auth_cancel(struct service *s, struct link *link, struct ipc_message *m);

struct grants *grants_new(void);
void grants_queue_down(struct grants *g);
size_t grants_count(const struct grants *g);
void on_job_grant(struct service *s, struct link *link, struct ipc_message *m);
void on_job_revoke(struct service *s, struct link *link, struct ipc_message *m);
void on_credential_ask(struct service *s, struct link *link, struct ipc_message *m);
void on_table_login_ask(struct service *s, struct link *link, struct ipc_message *m);

struct names *names_new(struct authd *a, int finder_fd);
void names_link_down(struct names *n, const struct link *link);
void on_account_ask(struct service *s, struct link *link, struct ipc_message *m);

/* The link to children that were forked before the cage; without them nothing can be answered, so their end is ours. */
struct link *authd_child_link(struct authd *a, int fd);

#endif
