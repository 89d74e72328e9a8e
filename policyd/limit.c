#include "limit.h"

#include "mailbox_entry.h"

#include <stdio.h>

static enum answer read_value(const struct buf *value, struct quota_limit *out, char why[LIMIT_WHY_MAX])
{
	struct slice limit = buf_ok(value) ? slice_trim(buf_slice(value)) : slice_of("...");

	/* Empty: a row of a database without one. */
	if (limit.len == 0 || quota_limit_read(limit, out))
		return ANSWER_YES;
	snprintf(why, LIMIT_WHY_MAX, "\"%.*s\" is no quota; write one such as 500M, 500M 10000 or none", SLICE_ARG(slice_sub(limit, 0, 60)));
	return ANSWER_UNKNOWN;
}

static enum answer ask_table(const struct conf *conf, const struct conf_table *table, struct slice address, const struct lookups *lookups,
			     struct quota_limit *out, char why[LIMIT_WHY_MAX])
{
	struct buf value = buf_make(MAILBOX_ENTRY_MAX);
	enum answer answer = mailbox_entry_find(conf, table, address, lookups, &value);

	if (answer == ANSWER_YES)
		answer = read_value(&value, out, why);
	buf_free(&value);
	return answer;
}

enum answer limit_find(const struct conf *conf, const struct conf_transport *transport, struct slice address, const struct lookups *lookups,
		       struct quota_limit *out, char why[LIMIT_WHY_MAX])
{
	enum answer answer = ANSWER_NO;

	*out = transport->quota;
	snprintf(why, LIMIT_WHY_MAX, "the table cannot be asked now");
	if (transport->quota_table != NULL)
		answer = ask_table(conf, transport->quota_table, address, lookups, out, why);
	return answer == ANSWER_NO ? ANSWER_YES : answer;
}
