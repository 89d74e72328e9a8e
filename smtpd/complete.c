#include "complete.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "mail/field.h"

enum role { ROLE_OTHER, ROLE_DATE, ROLE_MESSAGE_ID, ROLE_SECRET };

static enum role role_of(struct slice name)
{
	static const struct {
		const char *name;
		enum role role;
	} roles[] = {
		{"Date", ROLE_DATE}, {"Message-ID", ROLE_MESSAGE_ID}, {"Bcc", ROLE_SECRET}, {"Resent-Bcc", ROLE_SECRET},
	};

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (slice_eq_nocase(name, slice_of(roles[i].name)))
			return roles[i].role;
	return ROLE_OTHER;
}

static bool has(struct slice header, enum role role)
{
	struct mail_field f;

	while (mail_field_next(&header, &f))
		if (role_of(f.name) == role)
			return true;
	return false;
}

static bool add_date(const struct completion *c, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];

	clock_rfc5322(c->wall_s, date);
	return buf_addf(out, "Date: %s\r\n", date);
}

static bool add_message_id(const struct completion *c, struct buf *out)
{
	char session[ID_CHARS + 1];

	id_text(c->session, session);
	return buf_addf(out, "Message-ID: <%lld.%s.%llu@%s>\r\n", (long long)c->wall_s, session, (unsigned long long)c->transaction,
			c->host);
}

bool complete_header(const struct completion *c, struct slice header, struct buf *out)
{
	struct mail_field f;
	/* Nothing of ours stands before a line that would go on with it. */
	bool loose = header.len > 0 && (header.at[0] == ' ' || header.at[0] == '\t');
	bool ok = loose || ((has(header, ROLE_DATE) || add_date(c, out)) && (has(header, ROLE_MESSAGE_ID) || add_message_id(c, out)));

	while (ok && mail_field_next(&header, &f))
		ok = role_of(f.name) == ROLE_SECRET || buf_add_slice(out, f.whole);
	return ok;
}
