#ifndef POSTERN_CLI_IMPORT_FILES_H
#define POSTERN_CLI_IMPORT_FILES_H

#include "base/buf.h"
#include "base/outcome.h"

#include <sys/types.h>

/* What an import makes: files of one folder, held in memory until they are shown or written. */
#define IMPORT_FILES_MAX 100000u
#define IMPORT_NAME_MAX 300u

struct import_file {
	char name[IMPORT_NAME_MAX]; /* beneath the folder; at most one folder deep */
	bool secret; /* mode 0600, at most 64 KiB (what postern-authd reads); its text is wiped, and never shown */
	struct buf text; /* owned */
};

struct import_files {
	struct import_file **all; /* owned */
	size_t count, cap;
};

/* The text of a new file (borrowed, stays where it is).  NULL: the name is too long, too many, or no memory. */
struct buf *import_files_add(struct import_files *f, const char *name, bool secret);
void import_files_free(struct import_files *f);
/* In the order they were added; secrets as what is left out. */
bool import_files_show(const struct import_files *f, const char *folder, struct buf *out);

/*
 * Writes them beneath `folder`, which is made where it is missing (mode 0755, whatever the umask): each synced and under its name by one rename, in their order, so that
 * what names others comes last.  Without `force` nothing is written where one of them is there.  Secrets are `secrets_uid`'s where that may
 * be said.  DONE; NOT_ALLOWED: one is there; IO_ERROR: `why` says what, those before it are written.
 */
enum outcome import_files_write(const struct import_files *f, const char *folder, bool force, uid_t secrets_uid, struct buf *why)
	__attribute__((warn_unused_result));

#endif
