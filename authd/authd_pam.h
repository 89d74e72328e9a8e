#ifndef POSTERN_AUTHD_PAM_H
#define POSTERN_AUTHD_PAM_H

#include "base/buf.h"
#include "base/outcome.h"
#include "ipc/message.h"

/*
 * PAM, in children of authd that answer one question each (common/warm).  Modules are loaded, and PAM's files read, before the
 * child has heard a secret.  Blocks as long as the modules do; the child's alarm bounds that.
 */

#define PAM_CHILDREN 4u

/* In the parent of the children, before its cage: what they ask, as the configuration names it (a service, or the path of its file). */
void pam_child_service(const char *service);
void pam_child_prepare(void); /* warm_spec.prepare: has libraries loaded that every module needs */
void pam_child_begin(void); /* warm_spec.begin */
void pam_child_serve(int fd, const struct ipc_message *m); /* warm_spec.serve: PAM_ASK */

/* ---- the parts, for tests ---- */

/* What one call of PAM means.  Of an account that may not log in no more is told than of a wrong password; what says nothing of the
 * password (a module that failed, a service that is not there) is not known, never refused. */
enum outcome pam_outcome(int code);

/* The conversation (pam_conv(3)): the password for every prompt without echo, the login for every one with, nothing for texts. */
struct pam_answers {
	const char *login, *password; /* borrowed */
	unsigned prompts; /* so far */
	bool broken; /* we were asked what we cannot answer: whatever the module makes of it is our failure */
};
struct pam_message;
struct pam_response;
int pam_converse(int count, const struct pam_message **messages, struct pam_response **responses_out, void *answers);
#define PAM_PROMPTS_MAX 16u

/* Modules make names of files from it. */
bool pam_is_login(struct slice login);

#endif
