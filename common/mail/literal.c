#include "mail/literal.h"

#include <arpa/inet.h>
#include <stdio.h>

/* "::" stands for two groups or more (RFC 5321 §4.1.3), which inet_pton does not insist on. */
#define GROUPS_BESIDE_GAP 6

static unsigned count_groups(struct slice text)
{
	unsigned groups = slice_index(text, '.') != SLICE_NONE ? 1 : 0; /* a dotted tail is two */
	struct slice group;

	while (slice_cut(&text, ':', &group))
		groups += group.len > 0;
	return groups;
}

static bool v6_parse(struct slice text, char out[MAIL_DOMAIN_MAX + 1])
{
	char given[INET6_ADDRSTRLEN], made[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (!slice_copy(text, given, sizeof(given)) || inet_pton(AF_INET6, given, &address) != 1)
		return false;
	if (slice_find(text, slice_of("::")) != SLICE_NONE && count_groups(text) > GROUPS_BESIDE_GAP)
		return false;
	return inet_ntop(AF_INET6, &address, made, sizeof(made)) != NULL &&
	       snprintf(out, MAIL_DOMAIN_MAX + 1, "[IPv6:%s]", made) > 0;
}

static bool v4_parse(struct slice text, char out[MAIL_DOMAIN_MAX + 1])
{
	char given[INET_ADDRSTRLEN];
	struct in_addr address;

	if (!slice_copy(text, given, sizeof(given)) || inet_pton(AF_INET, given, &address) != 1)
		return false;
	return snprintf(out, MAIL_DOMAIN_MAX + 1, "[%s]", given) > 0;
}

bool literal_parse(struct slice text, char out[MAIL_DOMAIN_MAX + 1])
{
	struct slice inside;

	if (text.len < 2 || text.at[0] != '[' || text.at[text.len - 1] != ']')
		return false;
	inside = slice_sub(text, 1, text.len - 2);
	if (slice_starts_nocase(inside, slice_of("IPv6:")))
		return v6_parse(slice_from(inside, 5), out);
	return v4_parse(inside, out);
}
