#include "quota/maildirsize.h"

int64_t maildirsize_add(int64_t a, int64_t b)
{
	int64_t sum = a + b;

	return sum > MAILDIRSIZE_COUNT_MAX ? MAILDIRSIZE_COUNT_MAX : sum < -MAILDIRSIZE_COUNT_MAX ? -MAILDIRSIZE_COUNT_MAX : sum;
}

static bool read_number(struct slice *rest, int64_t *out)
{
	struct slice word;
	bool minus;
	uint64_t n;

	if (!slice_word(rest, &word))
		return false;
	minus = word.at[0] == '-';
	if (!slice_u64(minus ? slice_from(word, 1) : word, MAILDIRSIZE_COUNT_MAX, &n))
		return false;
	*out = minus ? -(int64_t)n : (int64_t)n;
	return true;
}

/* "1000000S,100C"; of other units, and of what is none, nothing is known. */
static void read_limit(struct slice line, struct quota_limit *out)
{
	struct slice part;
	uint64_t n;

	*out = (struct quota_limit){0, 0};
	while (slice_cut(&line, ',', &part)) {
		if (part.len < 2 || !slice_u64(slice_sub(part, 0, part.len - 1), UINT64_MAX, &n))
			continue;
		if (part.at[part.len - 1] == 'S' && out->bytes == 0)
			out->bytes = n;
		if (part.at[part.len - 1] == 'C' && out->messages == 0)
			out->messages = n;
	}
}

bool maildirsize_read(struct slice text, struct maildirsize *out)
{
	struct slice line;
	int64_t bytes, files;

	*out = (struct maildirsize){.changes = 0};
	if (!slice_cut(&text, '\n', &line))
		return false;
	read_limit(line, &out->limit);
	while (slice_cut(&text, '\n', &line)) {
		if (!read_number(&line, &bytes) || !read_number(&line, &files))
			return false;
		out->bytes = maildirsize_add(out->bytes, bytes);
		out->files = maildirsize_add(out->files, files);
		out->changes++;
	}
	return out->bytes >= 0 && out->files >= 0;
}

void maildirsize_print(struct buf *out, const struct maildirsize *m)
{
	const struct quota_limit *l = &m->limit;

	if (l->bytes != 0)
		buf_addf(out, "%lluS", (unsigned long long)l->bytes);
	if (l->messages != 0)
		buf_addf(out, "%s%lluC", l->bytes != 0 ? "," : "", (unsigned long long)l->messages);
	buf_addf(out, "\n%lld %lld\n", (long long)m->bytes, (long long)m->files);
}
