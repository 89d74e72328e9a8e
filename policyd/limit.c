#include "limit.h"

#include "base/mem.h"
#include "mail/subaddress.h"

#include <stdio.h>

#define VALUE_MAX 200u

static enum answer read_value(struct slice value, struct quota_limit *out, char why[LIMIT_WHY_MAX])
{
	struct slice limit = slice_trim(value);

	/* A row of a database without one. */
	if (limit.len == 0 || quota_limit_read(limit, out))
		return ANSWER_YES;
	snprintf(why, LIMIT_WHY_MAX, "\"%.*s\" is no quota; write one such as 500M, 500M 10000 or none", SLICE_ARG(slice_sub(limit, 0, 60)));
	return ANSWER_UNKNOWN;
}

static enum answer ask_table(const struct conf *conf, const struct conf_table *table, struct slice address, const struct lookups *lookups,
			     struct quota_limit *out, char why[LIMIT_WHY_MAX])
{
	struct buf value = buf_make(VALUE_MAX);
	char space[MAIL_ADDRESS_MAX + 1];
	enum answer answer = lookups->alias(lookups->arg, table, address,
					    subaddress_base(slice_of(conf->set.sub_address), address, space), &value);

	if (answer == ANSWER_YES)
		answer = read_value(buf_slice(&value), out, why);
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
