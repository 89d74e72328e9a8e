#include "mail/subaddress.h"

struct subaddress subaddress_cut(struct slice separators, struct slice address)
{
	struct slice local = slice_sub(address, 0, slice_rindex(address, '@'));
	struct subaddress s = {local, slice_empty(), false};

	if (local.len == 0 || local.at[0] == '"')
		return s;
	for (size_t i = 1; i < local.len; i++) {
		if (slice_index(separators, local.at[i]) == SLICE_NONE)
			continue;
		s.user = slice_sub(local, 0, i);
		s.detail = slice_from(local, i + 1);
		s.is_there = true;
		break;
	}
	return s;
}

struct slice subaddress_base(struct slice separators, struct slice address, char space[MAIL_ADDRESS_MAX + 1])
{
	struct subaddress s = subaddress_cut(separators, address);
	size_t at = slice_rindex(address, '@');
	struct slice domain = at == SLICE_NONE ? slice_empty() : slice_from(address, at);

	if (!s.is_there || s.user.len + domain.len > MAIL_ADDRESS_MAX)
		return slice_empty();
	memcpy(space, s.user.at, s.user.len);
	memcpy(space + s.user.len, domain.at, domain.len);
	space[s.user.len + domain.len] = '\0';
	return slice_make(space, s.user.len + domain.len);
}
