#ifndef POSTERN_POLICYD_TAGS_H
#define POSTERN_POLICYD_TAGS_H

#include "base/slice.h"

/* The tags of one session: "connection.NAME" stands for all of it, "message.NAME" for the transaction. */
#define TAGS_BYTES_MAX 1024u

struct tags {
	char text[TAGS_BYTES_MAX]; /* words, a space behind each */
	size_t len;
};

bool tags_has(const struct tags *t, struct slice tag);
/* False: no room. */
bool tags_add(struct tags *t, struct slice tag);
void tags_end_message(struct tags *t);

#endif
