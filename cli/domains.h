#ifndef POSTERN_CLI_DOMAINS_H
#define POSTERN_CLI_DOMAINS_H

#include "base/buf.h"
#include "base/outcome.h"
#include "conf/conf.h"

/*
 * The domains that mail is taken for, where the setting `domains` says they are kept:
 *
 *     directory   FOLDER/example.org             served: its file, in which its aliases stand
 *                 FOLDER/.removed-example.org    removed; policyd asks for no name that begins with a dot
 *     sqlite      domains(name TEXT PRIMARY KEY COLLATE NOCASE, created INTEGER NOT NULL, removed INTEGER)
 *
 * policyd looks at either each time it is asked, so that a change counts at once.  A removed domain keeps what stands in its file, and
 * `restore` brings it back; nothing that is there is ever written over.
 *
 * `domain` is always canonical (mail_domain_parse) and no address literal: what else there is never gets here, and not to the file
 * system.  All calls block on the disk, and at most some seconds on another command.
 *
 * Outcomes: DONE; NOT_FOUND; NOT_ALLOWED: it is there already, or another file is in the way; BAD_INPUT: too long for a file's name;
 * BUSY: another command writes; IO_ERROR: everything else.  But for DONE, `why` has a sentence.
 */
struct domains;

/* With `create` the database is made where it is missing (as users.db is); a folder never is.  NULL with a sentence in `why`. */
struct domains *domains_open(const struct conf_table *table, bool create, struct buf *why);
void domains_close(struct domains **dp);

enum outcome domains_add(struct domains *d, struct slice domain, struct buf *why) __attribute__((warn_unused_result));
enum outcome domains_remove(struct domains *d, struct slice domain, struct buf *why) __attribute__((warn_unused_result));
enum outcome domains_restore(struct domains *d, struct slice domain, struct buf *why) __attribute__((warn_unused_result));

#define DOMAINS_UNCOUNTED SIZE_MAX

struct domains_entry {
	struct slice name; /* borrowed for the call */
	int64_t created_s, removed_s; /* since 1970; removed_s 0: it is served */
	size_t aliases; /* domains_find alone, and in a directory: the lines of its file that begin an alias; else DOMAINS_UNCOUNTED */
};
typedef bool domains_fn(const struct domains_entry *e, void *arg);

/* One call for it; NOT_FOUND: none. */
enum outcome domains_find(struct domains *d, struct slice domain, domains_fn *fn, void *arg, struct buf *why)
	__attribute__((warn_unused_result));
/* In the order of the names; stops when fn returns false. */
enum outcome domains_list(struct domains *d, domains_fn *fn, void *arg, struct buf *why) __attribute__((warn_unused_result));

/* The lines of an alias file that begin an entry.  Pure. */
size_t domains_count_aliases(struct slice text);

#endif
