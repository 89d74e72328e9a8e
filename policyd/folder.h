#ifndef POSTERN_POLICYD_FOLDER_H
#define POSTERN_POLICYD_FOLDER_H

#include "rules/rules.h"
#include "table_text.h"

/*
 * A folder of tables: one file a name, each read whole and checked before it takes the place of the one before, and looked at each
 * time it is asked for, so that one that appears, changes or goes counts at once.  What was read is kept while there is room; what was
 * asked for longest ago makes it.  Blocks on the disk.
 *
 * Always: a name is one part of a path, never "." or ".."; no symbolic link is followed; what is no ordinary file is unknown.
 */
struct folder;

#define FOLDER_FILES_MAX 1000u /* kept */
#define FOLDER_BYTES_MAX (64u << 20) /* of these */
#define FOLDER_FILE_MAX (16u << 20)

/* `fd` (borrowed, -1: never given to us) is the folder's.  NULL: no memory. */
struct folder *folder_new(int fd);
void folder_free(struct folder **fp);

size_t folder_kept(const struct folder *f);

/* YES with the table (borrowed until the next call); NO: there is no such file; UNKNOWN with "what" or "LINE: what" in `why`: it cannot
 * be read, or is not well formed and never was. `why` is also written to when an older state of it serves. */
enum answer folder_find(struct folder *f, struct slice name, const struct table_text **out, struct buf *why);

#endif
