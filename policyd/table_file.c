#include "tables_own.h"

#include "base/log.h"
#include "table_net.h"
#include "table_pattern.h"
#include "table_text.h"

#include <errno.h>

/* Tables that are whole in memory: inline, and files that are read whole (file, cidr, pcre2). */

static bool parse_text(struct table *t, struct buf *text, struct buf *why)
{
	struct table_text *fresh = table_text_parse(text, why);

	if (fresh == NULL)
		return false;
	table_text_free(&t->text);
	t->text = fresh;
	return true;
}

static bool parse_net(struct table *t, struct buf *text, struct buf *why)
{
	struct table_net *fresh = table_net_parse(text, why);

	if (fresh == NULL)
		return false;
	table_net_free(&t->net);
	t->net = fresh;
	return true;
}

static bool parse_patterns(struct table *t, struct buf *text, struct buf *why)
{
	struct table_pattern *fresh = table_pattern_parse(text, why);

	if (fresh == NULL)
		return false;
	table_pattern_free(&t->patterns);
	t->patterns = fresh;
	return true;
}

/* `mistake` gets "LINE: what" when the file can be read and is not well formed. */
static void read_file(struct table *t, bool (*parse)(struct table *t, struct buf *text, struct buf *why), struct buf *mistake)
{
	struct buf text = buf_make(TABLE_FILE_MAX);
	struct stat st;

	t->marked = file_at_read(&t->file, &text, &st, &t->mark);
	if (!t->marked) {
		(void)table_unreadable(t, log_errno_text(errno));
	} else {
		if (!parse(t, &text, mistake))
			table_complain(t, "table-malformed", buf_slice(mistake));
		t->readable = t->text != NULL; /* of whichever kind */
	}
	buf_free(&text);
}

static bool is_changed(struct table *t)
{
	struct file_at_mark mark;
	struct stat st;

	return !t->marked || !file_at_look(&t->file, &st, &mark) || !file_at_mark_eq(&mark, &t->mark);
}

static bool refresh_with(struct table *t, void (*check)(struct table *t, struct buf *mistake))
{
	struct buf mistake = buf_make(512);

	if (is_changed(t))
		check(t, &mistake);
	buf_free(&mistake);
	return t->readable;
}

/* ---- texts ---- */

static enum answer find_text(struct table *t, const struct table_ask *ask)
{
	struct slice value;

	if (!table_text_find(t->text, ask->key, &value))
		return ANSWER_NO;
	table_found_at(t, "", table_text_line(t->text, ask->key));
	return table_add_value(ask, value) ? ANSWER_YES : ANSWER_UNKNOWN;
}

static void check_text(struct table *t, struct buf *mistake)
{
	read_file(t, parse_text, mistake);
}

static bool refresh_text(struct table *t)
{
	return refresh_with(t, check_text);
}

static void close_text(struct table *t)
{
	table_text_free(&t->text);
}

const struct table_kind table_kind_inline = {NULL, find_text, NULL, close_text};
const struct table_kind table_kind_file = {refresh_text, find_text, check_text, close_text};

/* ---- networks ---- */

static enum answer find_net(struct table *t, const struct table_ask *ask)
{
	struct slice value;
	size_t line;

	if (!table_net_find(t->net, ask->key, &value, &line))
		return ANSWER_NO;
	table_found_at(t, "", line);
	return table_add_value(ask, value) ? ANSWER_YES : ANSWER_UNKNOWN;
}

static void check_net(struct table *t, struct buf *mistake)
{
	read_file(t, parse_net, mistake);
}

static bool refresh_net(struct table *t)
{
	return refresh_with(t, check_net);
}

static void close_net(struct table *t)
{
	table_net_free(&t->net);
}

const struct table_kind table_kind_cidr = {refresh_net, find_net, check_net, close_net};

/* ---- patterns ---- */

static enum answer find_pattern(struct table *t, const struct table_ask *ask)
{
	struct buf why = buf_make(256);
	size_t line = 0;
	enum answer answer = table_pattern_find(t->patterns, ask->key, ask->value_out, &line, &why);

	if (answer == ANSWER_UNKNOWN)
		table_complain(t, "table-failed", buf_slice(&why));
	if (answer == ANSWER_YES)
		table_found_at(t, "", line);
	buf_free(&why);
	return answer;
}

static void check_patterns(struct table *t, struct buf *mistake)
{
	read_file(t, parse_patterns, mistake);
}

static bool refresh_patterns(struct table *t)
{
	return refresh_with(t, check_patterns);
}

static void close_patterns(struct table *t)
{
	table_pattern_free(&t->patterns);
}

const struct table_kind table_kind_pcre2 = {refresh_patterns, find_pattern, check_patterns, close_patterns};
