#include "rules/mailbox.h"

#include "base/mem.h"
#include "rules/fact.h"

#define PART_MAX 255u /* NAME_MAX */
#define USER_MAX 64u

bool mailbox_is_safe_part(struct slice part)
{
	if (part.len == 0 || part.len > PART_MAX || part.at[0] == '.')
		return false;
	for (size_t i = 0; i < part.len; i++) {
		unsigned char c = (unsigned char)part.at[i];

		/* A quoted local part keeps its quotes: it is not the name that a person would look for. */
		if (c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '"')
			return false;
	}
	return true;
}

static bool add_lower(struct buf *out, struct slice part)
{
	for (size_t i = 0; i < part.len; i++)
		if (!buf_add_char(out, ascii_lower(part.at[i])))
			return false;
	return true;
}

static struct slice whole(struct slice address)
{
	return address;
}

static const struct {
	const char *name;
	struct slice (*of)(struct slice address);
} parts[] = {
	{"domain", fact_domain_part},
	{"local", fact_local_part},
	{"address", whole},
};

static enum mailbox_answer add_part(struct slice name, struct slice address, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct slice part;

		if (!slice_eq(name, slice_of(parts[i].name)))
			continue;
		part = parts[i].of(address);
		if (!mailbox_is_safe_part(part))
			return MAILBOX_NONE;
		return add_lower(out, part) ? MAILBOX_DONE : MAILBOX_NONE;
	}
	return MAILBOX_BAD_TEMPLATE;
}

static enum mailbox_answer expand(struct slice template, struct slice address, struct buf *out)
{
	enum mailbox_answer answer;
	struct slice text, name;

	while (template.len > 0) {
		size_t open = slice_index(template, '{'), close = slice_index(template, '}');

		text = slice_sub(template, 0, open);
		if (!buf_add_slice(out, text))
			return MAILBOX_BAD_TEMPLATE;
		if (open == SLICE_NONE)
			return MAILBOX_DONE;
		if (close == SLICE_NONE || close < open)
			return MAILBOX_BAD_TEMPLATE;
		name = slice_sub(template, open + 1, close - open - 1);
		answer = add_part(name, address, out);
		if (answer != MAILBOX_DONE)
			return answer;
		template = slice_from(template, close + 1);
	}
	return MAILBOX_DONE;
}

enum mailbox_answer mailbox_path(struct slice template, struct slice address, struct buf *out)
{
	struct buf path = buf_make(MAILBOX_PATH_MAX);
	enum mailbox_answer answer = expand(template, address, &path);

	if (answer == MAILBOX_DONE && !buf_add_slice(out, buf_slice(&path)))
		answer = MAILBOX_BAD_TEMPLATE;
	buf_free(&path);
	return answer;
}

enum mailbox_answer mailbox_user(struct slice address, struct buf *out)
{
	struct slice local = fact_local_part(address);

	if (local.len == 0 || local.len > USER_MAX || !(ascii_is_alnum(local.at[0]) || local.at[0] == '_'))
		return MAILBOX_NONE;
	for (size_t i = 0; i < local.len; i++)
		if (!ascii_is_alnum(local.at[i]) && strchr("._-", local.at[i]) == NULL)
			return MAILBOX_NONE;
	return add_lower(out, local) ? MAILBOX_DONE : MAILBOX_BAD_TEMPLATE;
}
