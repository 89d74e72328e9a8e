#include "mailbox_user.h"

#include "mailbox_entry.h"

#include <stdio.h>

/* An empty entry is a mistake, too: somebody meant something by it. */
static enum answer read_value(const struct buf *value, struct mailbox_user *out, char why[MAILBOX_USER_WHY_MAX])
{
	struct slice name = buf_ok(value) ? slice_trim(buf_slice(value)) : slice_of("...");

	out->by_table = os_user_is_name(name) && slice_copy(name, out->name, sizeof(out->name));
	if (out->by_table)
		return ANSWER_YES;
	snprintf(why, MAILBOX_USER_WHY_MAX, "\"%.*s\" is no name of a system user", SLICE_ARG(slice_sub(name, 0, 60)));
	return ANSWER_UNKNOWN;
}

static enum answer ask_table(const struct conf *conf, const struct conf_table *table, struct slice address, const struct lookups *lookups,
			     struct mailbox_user *out, char why[MAILBOX_USER_WHY_MAX])
{
	struct buf value = buf_make(MAILBOX_ENTRY_MAX);
	enum answer answer = mailbox_entry_find(conf, table, address, lookups, &value);

	if (answer == ANSWER_YES)
		answer = read_value(&value, out, why);
	buf_free(&value);
	return answer;
}

enum answer mailbox_user_find(const struct conf *conf, const struct conf_transport *transport, struct slice address, const struct lookups *lookups,
			      struct mailbox_user *out, char why[MAILBOX_USER_WHY_MAX])
{
	enum answer answer = ANSWER_NO;

	*out = (struct mailbox_user){"", false};
	snprintf(why, MAILBOX_USER_WHY_MAX, "the table cannot be asked now");
	if (transport->user_table != NULL)
		answer = ask_table(conf, transport->user_table, address, lookups, out, why);
	if (answer != ANSWER_NO)
		return answer;
	snprintf(why, MAILBOX_USER_WHY_MAX, "the table has no entry for it");
	return transport->user != NULL && slice_copy(slice_of(transport->user), out->name, sizeof(out->name)) ? ANSWER_YES : ANSWER_NO;
}
