#include "tables_own.h"

#include "folder.h"
#include "mail/address.h"

/*
 * A folder with a file for each domain.  The domain decides which file; what is no domain in its canonical form (A-labels, lower case) never
 * reaches the file system, and is in no folder.  Asked for a domain alone, the file's being there is the answer.
 */

static bool file_of(struct slice domain, char out[MAIL_DOMAIN_MAX + 1])
{
	/* An address literal is a domain of an envelope, and of no file. */
	return mail_domain_parse(domain, MAIL_ALLOW_UTF8, out) && out[0] != '[' && out[0] != '.' && strchr(out, '/') == NULL;
}

static enum answer find_key(struct table *t, const struct table_text *text, const char *name, const struct table_ask *ask)
{
	struct slice value;

	if (!table_text_find(text, ask->key, &value))
		return ANSWER_NO;
	table_found_at(t, name, table_text_line(text, ask->key));
	return table_add_value(ask, value) ? ANSWER_YES : ANSWER_UNKNOWN;
}

static void complain(struct table *t, const char *name, struct slice why)
{
	struct buf text = buf_make(600);

	buf_addf(&text, "%.255s%s%.*s", name, why.len > 0 && ascii_is_digit(why.at[0]) ? ":" : ": ", SLICE_ARG(why));
	table_complain(t, "table-malformed", buf_slice(&text));
	buf_free(&text);
}

static enum answer find_domain(struct table *t, const struct table_ask *ask)
{
	bool whole = ask->domain.len == 0;
	struct buf why = buf_make(512);
	char name[MAIL_DOMAIN_MAX + 1];
	const struct table_text *text;
	enum answer answer = ANSWER_NO;

	if (file_of(whole ? ask->key : ask->domain, name))
		answer = folder_find(t->folder, slice_of(name), &text, &why);
	if (why.len > 0)
		complain(t, name, buf_slice(&why));
	if (answer == ANSWER_YES && !whole)
		answer = find_key(t, text, name, ask);
	else if (answer == ANSWER_YES)
		table_found_at(t, name, 0);
	buf_free(&why);
	return answer;
}

static void close_folder(struct table *t)
{
	folder_free(&t->folder);
}

const struct table_kind table_kind_directory = {NULL, find_domain, NULL, close_folder};
