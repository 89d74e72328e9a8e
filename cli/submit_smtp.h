#ifndef POSTERN_SUBMIT_SMTP_H
#define POSTERN_SUBMIT_SMTP_H

#include "base/buf.h"
#include "submit_reply.h"

/*
 * SMTP to the submission socket, as sendmail speaks it.  Blocking, with a time limit on every wait.  After a failure `why` is a
 * sentence for people and `exit` its exit code; the session is then of no more use.
 */
#define SUBMIT_LINE_MAX 2048u
#define SUBMIT_REPLY_LINES_MAX 100u
#define SUBMIT_WAIT_S 600u

struct submit_smtp {
	int fd; /* owned; -1 */
	struct buf in; /* what was read and not yet used */
	struct buf out; /* what is not yet sent */
	struct submit_reply reply;
	char host[256]; /* as the server calls itself */
	bool has_8bitmime, has_smtputf8, has_dsn;
	int exit;
	char why[800];
};

/* Connects, and no more: the descriptor, or -1 with `why`. */
int submit_smtp_connect(struct submit_smtp *s, const char *socket_path);
/* Connects and says EHLO. */
bool submit_smtp_open(struct submit_smtp *s, const char *socket_path);
/* Over a descriptor that is connected already; it is taken. */
bool submit_smtp_start(struct submit_smtp *s, int fd);
void submit_smtp_close(struct submit_smtp *s);

/* Says one command and expects a reply of the given hundred (2 or 3); `about` names it in `why`. */
bool submit_smtp_say(struct submit_smtp *s, const char *about, unsigned hundred, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Where the message's bytes are added; sent when there is enough, or all of it.  False: the server ended it. */
bool submit_smtp_send(struct submit_smtp *s, bool all);
/* The reply to the end of the message. */
bool submit_smtp_finish(struct submit_smtp *s);

#endif
