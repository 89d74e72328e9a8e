#ifndef POSTERN_AUTHD_SECRETS_H
#define POSTERN_AUTHD_SECRETS_H

#include "base/buf.h"
#include "base/outcome.h"

/*
 * The three files of authd, as text.  Pure; nothing is kept: what is found is copied out, and the text is wiped by who read it.
 *
 *   credentials   NAME: user password      for the hosts we log in to; the password goes to the end of the line
 *   flat users    login:hash
 *   certificates  CERTIFICATE: login       a fingerprint, or a name that stands in it
 *
 * Empty lines, and lines that start with '#', are passed over.
 */
#define CREDENTIALS_FILE_MAX (64u << 10)
#define FLAT_FILE_MAX (4u << 20)
#define CREDENTIAL_USER_MAX 512u
#define CREDENTIAL_SECRET_MAX 1024u

struct credential {
	struct slice name, user, password; /* into the text */
};

/* Cuts the next credential off `*rest` and counts its line.  False at the end, or with `*mistake` set. */
bool credential_next(struct slice *rest, size_t *line, struct credential *out, const char **mistake);
/* False: there is none of that name (or the file is malformed before it). */
bool credential_find(struct slice text, struct slice name, struct credential *out);
/* Every line is well formed, and no name stands twice; else "LINE: what" in `why`, which never quotes the line. */
bool credentials_check(struct slice text, struct buf *why);

/* What stands behind the first KEY: and a colon.  NOT_FOUND, or DONE; keys are compared without regard to ASCII case.  Malformed lines
 * are nobody's. */
enum outcome flat_find(struct slice text, struct slice key, struct slice *value_out);
/* The login of the first of `known_by` (words, a space between; 16 are looked for) that has a line.  NOT_FOUND; BAD_INPUT: what stands there is no login. */
enum outcome certificates_find(struct slice text, struct slice known_by, struct slice *login_out);

#endif
