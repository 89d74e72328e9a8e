#ifndef POSTERN_SENDMAIL_OPTIONS_H
#define POSTERN_SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The command line of sendmail(1), as programs have used it for forty years.  Pure.
 */
enum sendmail_mode {
	SENDMAIL_SUBMIT, /* -bm */
	SENDMAIL_LIST, /* -bp, mailq */
	SENDMAIL_ALIASES, /* -bi, -I, newaliases: there is nothing to build */
	SENDMAIL_SESSION, /* -bs: SMTP on standard input and output */
	SENDMAIL_RETRY, /* -q: what waits is tried now */
};

struct sendmail_options {
	enum sendmail_mode mode;
	bool take_recipients; /* -t */
	bool ignore_dots; /* -i, -oi */
	bool has_sender; /* -f, -r */
	const char *sender; /* "" is the null sender */
	const char *full_name; /* -F */
	uint64_t notify, ret; /* -N, -R: mail/dsn.h */
	const char *envid; /* -V; "": not said */
	char *const *recipients; /* the arguments after the options */
	size_t recipient_count;
};

#define SENDMAIL_ARGUMENTS_MAX 1000000

/* False with a sentence in `why`: exit 64. */
bool sendmail_options_parse(int argc, char *const *argv, struct sendmail_options *out, char *why, size_t why_size);

#endif
