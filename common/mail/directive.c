#include "mail/directive.h"

#include "base/mem.h"
#include "mail/address.h"

static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f)
			return false;
	return true;
}

static bool is_octal(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < '0' || s.at[i] > '7')
			return false;
	return s.len <= 4;
}

/* TEXT, or TEXT NUL EXTRA. */
static bool cut_extra(struct slice argument, struct directive *out)
{
	size_t nul = slice_index(argument, '\0');

	out->text = slice_sub(argument, 0, nul);
	out->extra = nul == SLICE_NONE ? slice_empty() : slice_from(argument, nul + 1);
	return is_plain(out->text) && is_plain(out->extra);
}

static bool decode_none(struct slice argument, struct directive *out)
{
	(void)out;
	return argument.len == 0;
}

static bool decode_inbox(struct slice argument, struct directive *out)
{
	return cut_extra(argument, out) && out->text.len == 0;
}

static bool decode_folder(struct slice argument, struct directive *out)
{
	return cut_extra(argument, out) && out->text.len > 0;
}

static bool decode_file(struct slice argument, struct directive *out)
{
	return cut_extra(argument, out) && out->text.len > 0 && is_octal(out->extra);
}

static bool decode_pipe(struct slice argument, struct directive *out)
{
	size_t words = 0;

	for (size_t i = 0; i < argument.len; i++)
		words += argument.at[i] == '\0';
	out->text = argument;
	return argument.len > 0 && argument.at[0] != '\0' && argument.at[argument.len - 1] == '\0' && words <= DIRECTIVE_WORDS_MAX;
}

static bool decode_list(struct slice argument, struct directive *out)
{
	struct mail_address owner;

	out->text = argument;
	return mail_address_parse(argument, MAIL_ALLOW_UTF8, &owner) == MAIL_OK;
}

static const struct {
	const char *name;
	bool (*decode)(struct slice argument, struct directive *out);
	bool is_bound;
} kinds[DIRECTIVE_COUNT] = {
	[DIRECTIVE_NONE] = {"none", decode_none, false},       [DIRECTIVE_INBOX] = {"inbox", decode_inbox, false},
	[DIRECTIVE_FOLDER] = {"folder", decode_folder, false}, [DIRECTIVE_FILE] = {"file", decode_file, true},
	[DIRECTIVE_PIPE] = {"pipe", decode_pipe, true},       [DIRECTIVE_LIST] = {"list", decode_list, false},
};

bool directive_decode(uint64_t kind, struct slice argument, struct directive *out)
{
	*out = (struct directive){DIRECTIVE_NONE, slice_empty(), slice_empty()};
	if (kind >= DIRECTIVE_COUNT || argument.len > DIRECTIVE_ARGUMENT_MAX)
		return false;
	out->kind = (enum directive_kind)kind;
	return kinds[kind].decode(argument, out);
}

const char *directive_name(uint64_t kind)
{
	return kind < DIRECTIVE_COUNT ? kinds[kind].name : "?";
}

/* What is not known here is not to be moved to another either. */
bool directive_is_bound(uint64_t kind)
{
	return kind >= DIRECTIVE_COUNT || kinds[kind].is_bound;
}

bool ancestors_have(struct slice ancestors, struct slice address)
{
	struct slice one;

	while (slice_cut(&ancestors, '\n', &one))
		if (slice_eq_nocase(one, address))
			return true;
	return false;
}
