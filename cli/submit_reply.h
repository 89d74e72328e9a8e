#ifndef POSTERN_SUBMIT_REPLY_H
#define POSTERN_SUBMIT_REPLY_H

#include "base/slice.h"

/*
 * What the server answers to sendmail, and which exit code that is.  Pure.
 */
#define SUBMIT_REPLY_TEXT_MAX 512

struct submit_reply {
	unsigned code; /* 0: none yet */
	bool last; /* its last line has come */
	char text[SUBMIT_REPLY_TEXT_MAX]; /* of the first line, printable */
};

/* Adds a line, without CRLF (RFC 5321 §4.2).  False: no reply line, or its code differs from the first. */
bool submit_reply_add(struct submit_reply *r, struct slice line);

/* sysexits(3): the codes that programs know. */
enum {
	SUBMIT_EX_OK = 0,
	SUBMIT_EX_USAGE = 64,
	SUBMIT_EX_DATAERR = 65,
	SUBMIT_EX_NOUSER = 67,
	SUBMIT_EX_NOHOST = 68,
	SUBMIT_EX_UNAVAILABLE = 69,
	SUBMIT_EX_OSERR = 71,
	SUBMIT_EX_TEMPFAIL = 75,
	SUBMIT_EX_NOPERM = 77,
};
/* By enhanced status code where there is one, else by the reply code. */
int submit_reply_exit(const struct submit_reply *r);

#endif
