#include "quota/quota_limit.h"

#include "conf/unit.h"

static bool fits(const struct quota_limit *l)
{
	return (l->bytes == 0 || l->bytes >= QUOTA_BYTES_MIN) && l->messages <= QUOTA_MESSAGES_MAX;
}

/* "524288000S,10000C": each at most once, more than 0. */
static bool read_maildir(struct slice text, struct quota_limit *l)
{
	struct slice part;

	*l = (struct quota_limit){0, 0};
	while (slice_cut(&text, ',', &part)) {
		struct slice digits = slice_sub(part, 0, part.len == 0 ? 0 : part.len - 1);
		char unit = part.len == 0 ? '\0' : part.at[part.len - 1];
		uint64_t *into = unit == 'S' ? &l->bytes : &l->messages;

		if ((unit != 'S' && unit != 'C') || *into != 0 || !slice_u64(digits, UINT64_MAX, into) || *into == 0)
			return false;
	}
	return !quota_limit_is_none(l);
}

static bool read_words(struct slice text, struct quota_limit *l)
{
	struct slice word;

	*l = (struct quota_limit){0, 0};
	if (!slice_word(&text, &word) || !unit_size(word, &l->bytes) || l->bytes == 0)
		return false;
	return !slice_word(&text, &word) ||
	       (slice_u64(word, QUOTA_MESSAGES_MAX, &l->messages) && l->messages > 0 && !slice_word(&text, &word));
}

bool quota_limit_read(struct slice text, struct quota_limit *out)
{
	struct quota_limit limit = {0, 0};

	text = slice_trim(text);
	if (!slice_eq_nocase(text, slice_of("none")) && !read_words(text, &limit) && !read_maildir(text, &limit))
		return false;
	if (!fits(&limit))
		return false;
	*out = limit;
	return true;
}

void quota_limit_print(struct buf *out, const struct quota_limit *limit)
{
	if (quota_limit_is_none(limit)) {
		buf_add_text(out, "none");
	} else if (limit->bytes == 0) {
		buf_addf(out, "%lluC", (unsigned long long)limit->messages);
	} else {
		unit_print_size(out, limit->bytes);
		if (limit->messages != 0)
			buf_addf(out, " %llu", (unsigned long long)limit->messages);
	}
}
