#ifndef POSTERN_POLICYD_TABLE_TEXT_H
#define POSTERN_POLICYD_TABLE_TEXT_H

#include "base/buf.h"
#include "conf/conf.h"

/*
 * A table of texts, whole in memory: of a file with lines `key: value` or `key`, or inline in the configuration.  Keys are found
 * without regard to ASCII case; each stands in it once.  A key may stand in "quotes" (\" and \\ in it), and a line that begins with a
 * blank goes on with the one before.  Pure.
 */
struct table_text;

#define TABLE_ENTRIES_MAX 1000000u
#define TABLE_KEY_MAX 1024u
#define TABLE_VALUE_MAX (1u << 20)

/* Takes the content of `text` (it is empty afterwards) in every case.  NULL with "LINE: what is wrong" in `why`. */
struct table_text *table_text_parse(struct buf *text, struct buf *why);
/* The entries of an inline table (borrowed). */
struct table_text *table_text_of(const struct conf_table_entry *entries, size_t count, struct buf *why);
void table_text_free(struct table_text **tp);

size_t table_text_count(const struct table_text *t);
/* The entries in the order of their keys, from 0. */
void table_text_at(const struct table_text *t, size_t i, struct slice *key_out, struct slice *value_out, size_t *line_out);
/* `value_out` is borrowed from the table; "" where there is only a key. */
bool table_text_find(const struct table_text *t, struct slice key, struct slice *value_out);
/* The line of the key that was found last, from 1 (inline: the entry's number); for people. */
size_t table_text_line(const struct table_text *t, struct slice key);

#endif
