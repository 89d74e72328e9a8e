#include "program.h"

#include "base/buf.h"

#define ENV_VALUE_MAX 4096u

static struct slice local_part(struct slice address)
{
	size_t at = slice_rindex(address, '@');

	return slice_sub(address, 0, at);
}

static struct slice domain(struct slice address)
{
	size_t at = slice_rindex(address, '@');

	return at == SLICE_NONE ? slice_empty() : slice_from(address, at + 1);
}

/* The name at the start of `text`, with its braces; its value. */
static size_t name_at(struct slice text, const struct program_facts *f, struct slice *value_out)
{
	const struct {
		const char *name;
		struct slice value;
	} rows[] = {
		{"{recipient}", f->recipient},		{"{local}", local_part(f->recipient)}, {"{domain}", domain(f->recipient)},
		{"{original}", f->original},		{"{sender}", f->sender},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_starts(text, slice_of(rows[i].name))) {
			*value_out = rows[i].value;
			return strlen(rows[i].name);
		}
	return 0;
}

/* What is filled in may not make an option of a word that was none (`--` in the configuration does not help with every program). */
enum outcome program_word(struct slice text, const struct program_facts *facts, char *out, size_t size)
{
	struct buf word = buf_make(size - 1);
	bool is_option = text.len > 0 && text.at[0] == '-';
	enum outcome outcome = OC_PROGRAM_FAILED;

	while (text.len > 0) {
		struct slice value;
		size_t n = text.at[0] == '{' ? name_at(text, facts, &value) : 0;

		if (n > 0)
			buf_add_slice(&word, value);
		else
			buf_add_char(&word, text.at[0]);
		text = slice_from(text, n > 0 ? n : 1);
	}
	if (word.no_memory)
		outcome = OC_NO_MEMORY;
	else if (buf_ok(&word) && slice_copy(buf_slice(&word), out, size) && (is_option || out[0] != '-'))
		outcome = OC_DONE;
	buf_free(&word);
	return outcome;
}

struct slice program_env_value(struct slice value)
{
	bool ok = value.len <= ENV_VALUE_MAX && slice_find(value, slice_of("() {")) == SLICE_NONE && !slice_starts(value, slice_of("()"));

	for (size_t i = 0; ok && i < value.len; i++)
		ok = (unsigned char)value.at[i] >= ' ' && value.at[i] != 0x7f;
	return ok ? value : slice_of("INVALID");
}
