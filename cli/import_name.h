#ifndef POSTERN_CLI_IMPORT_NAME_H
#define POSTERN_CLI_IMPORT_NAME_H

#include "base/slice.h"

/*
 * A name for what an import makes: by what it is, and never by its place among others.  Who imports again while the first import is in
 * force may add a line anywhere: what is the same keeps its name, and a name never comes to mean another thing.
 *
 *     hub.test-25-3f0c5d1e9a77    what people see of it, and the first 48 bits of the SHA-256 of all that it is
 */
#define IMPORT_LABEL_MAX 24u
#define IMPORT_HASH_BYTES 6u
#define IMPORT_NAME_BYTES (IMPORT_LABEL_MAX + 1 + 2 * IMPORT_HASH_BYTES + 1)

/* Letters, digits, dots and dashes.  False: no memory. */
bool import_name_of(struct slice label, struct slice what, char out[IMPORT_NAME_BYTES]) __attribute__((warn_unused_result));

#endif
