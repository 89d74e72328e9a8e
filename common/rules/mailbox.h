#ifndef POSTERN_RULES_MAILBOX_H
#define POSTERN_RULES_MAILBOX_H

#include "base/buf.h"

/*
 * The path of a virtual mailbox: a template of the configuration with {domain}, {local} and {address} in it.  Pure.
 *
 * Always: what stands for a part of an address is one name or a piece of one: no '/', no control character, no leading dot, so
 * that no address leads out of the template's folder, and none to a hidden file.  Parts are written in lower case.
 */
enum mailbox_answer {
	MAILBOX_DONE,
	MAILBOX_NONE, /* no such mailbox can be */
	MAILBOX_BAD_TEMPLATE, /* or no memory: our fault */
};

#define MAILBOX_PATH_MAX 512u

/* A part that may stand in a path. */
bool mailbox_is_safe_part(struct slice part);
/* Adds the path to `out`; on any other answer it adds nothing. */
enum mailbox_answer mailbox_path(struct slice template, struct slice address, struct buf *out);

/* The system user an address names: a local part that can be a user's name, in lower case. */
enum mailbox_answer mailbox_user(struct slice address, struct buf *out);

#endif
