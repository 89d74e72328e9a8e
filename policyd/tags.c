#include "tags.h"

static struct slice all_of(const struct tags *t)
{
	return slice_make(t->text, t->len);
}

bool tags_has(const struct tags *t, struct slice tag)
{
	struct slice rest = all_of(t), word;

	while (slice_word(&rest, &word))
		if (slice_eq(word, tag))
			return true;
	return false;
}

bool tags_add(struct tags *t, struct slice tag)
{
	if (tags_has(t, tag))
		return true;
	if (tag.len == 0 || slice_index(tag, ' ') != SLICE_NONE || tag.len + 1 > sizeof(t->text) - t->len)
		return false;
	memcpy(t->text + t->len, tag.at, tag.len);
	t->text[t->len + tag.len] = ' ';
	t->len += tag.len + 1;
	return true;
}

void tags_end_message(struct tags *t)
{
	struct tags kept = {"", 0};
	struct slice rest = all_of(t), word;

	while (slice_word(&rest, &word))
		if (!slice_starts(word, slice_of("message.")))
			(void)tags_add(&kept, word);
	*t = kept;
}
