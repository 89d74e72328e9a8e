#include "base/id.h"

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void id_text(uint64_t id, char out[ID_CHARS + 1])
{
	for (int i = ID_CHARS - 1; i >= 0; i--) {
		out[i] = digits[id & 31];
		id >>= 5;
	}
	out[ID_CHARS] = '\0';
}

bool id_parse(struct slice text, uint64_t *out)
{
	uint64_t id = 0;

	if (text.len != ID_CHARS)
		return false;
	for (size_t i = 0; i < ID_CHARS; i++) {
		const char *at = text.at[i] == '\0' ? NULL : strchr(digits, text.at[i]);

		if (at == NULL || id >> 59 != 0)
			return false;
		id = id << 5 | (uint64_t)(at - digits);
	}
	*out = id;
	return true;
}
