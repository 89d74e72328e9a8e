#include "mailbox_user.h"

#include "mail/subaddress.h"

#include <stdio.h>

#define VALUE_MAX 200u

/* An empty entry is a mistake, too: somebody meant something by it. */
static enum answer read_value(struct slice value, struct mailbox_user *out, char why[MAILBOX_USER_WHY_MAX])
{
	struct slice name = slice_trim(value);

	out->by_table = os_user_is_name(name) && slice_copy(name, out->name, sizeof(out->name));
	if (out->by_table)
		return ANSWER_YES;
	snprintf(why, MAILBOX_USER_WHY_MAX, "\"%.*s\" is no name of a system user", SLICE_ARG(slice_sub(name, 0, 60)));
	return ANSWER_UNKNOWN;
}

static enum answer ask_table(const struct conf *conf, const struct conf_table *table, struct slice address, const struct lookups *lookups,
			     struct mailbox_user *out, char why[MAILBOX_USER_WHY_MAX])
{
	struct buf value = buf_make(VALUE_MAX);
	char space[MAIL_ADDRESS_MAX + 1];
	enum answer answer = lookups->alias(lookups->arg, table, address,
					    subaddress_base(slice_of(conf->set.sub_address), address, space), &value);

	if (answer == ANSWER_YES)
		answer = read_value(buf_ok(&value) ? buf_slice(&value) : slice_empty(), out, why); /* what is too long is no name */
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
