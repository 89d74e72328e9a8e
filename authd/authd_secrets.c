#include "authd_secrets.h"

#include "mail/address.h"

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && strchr("-_.", s.at[i]) == NULL)
			return false;
	return s.len > 0 && s.len <= 64;
}

static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.at[i] < ' ' && s.at[i] != '\t') || s.at[i] == 0x7f)
			return true;
	return false;
}

static const char *read_credential(struct slice line, struct credential *out)
{
	size_t colon = slice_index(line, ':');
	struct slice rest;

	if (colon == SLICE_NONE)
		return "expected NAME: user password";
	out->name = slice_trim(slice_sub(line, 0, colon));
	rest = slice_from(line, colon + 1);
	if (!is_name(out->name))
		return "a name has 1 to 64 letters, digits, '-', '_' and '.'";
	if (!slice_word(&rest, &out->user))
		return "there is no user behind the name";
	out->password = slice_trim(rest);
	if (out->password.len == 0)
		return "there is no password behind the user";
	if (out->user.len > CREDENTIAL_USER_MAX || out->password.len > CREDENTIAL_SECRET_MAX)
		return "user or password is too long";
	return NULL;
}

static bool next_line(struct slice *rest, size_t *number, struct slice *line)
{
	while (slice_cut(rest, '\n', line)) {
		++*number;
		if (line->len > 0 && line->at[line->len - 1] == '\r')
			*line = slice_sub(*line, 0, line->len - 1);
		if (slice_trim(*line).len > 0 && slice_trim(*line).at[0] != '#')
			return true;
	}
	return false;
}

bool credential_next(struct slice *rest, size_t *line, struct credential *out, const char **mistake)
{
	struct slice text;

	*mistake = NULL;
	if (!next_line(rest, line, &text))
		return false;
	*mistake = has_control(text) ? "a control character (is this a text file?)" : read_credential(text, out);
	return *mistake == NULL;
}

bool credential_find(struct slice text, struct slice name, struct credential *out)
{
	const char *mistake;
	size_t line = 0;

	while (credential_next(&text, &line, out, &mistake))
		if (slice_eq(out->name, name))
			return true;
	return false;
}

/* The name in hand stands again in what is left: quadratic, in a file of a few lines. */
static bool stands_again(struct slice rest, struct slice name)
{
	struct credential other;

	return credential_find(rest, name, &other);
}

bool credentials_check(struct slice text, struct buf *why)
{
	struct credential c;
	const char *mistake;
	size_t line = 0;

	while (credential_next(&text, &line, &c, &mistake)) {
		if (!stands_again(text, c.name))
			continue;
		buf_addf(why, "%zu: the name %.*s stands in it twice", line, SLICE_ARG(c.name));
		return false;
	}
	if (mistake != NULL)
		buf_addf(why, "%zu: %s", line, mistake);
	return mistake == NULL;
}

enum outcome flat_find(struct slice text, struct slice key, struct slice *value_out)
{
	struct slice line, name;
	size_t number = 0;

	while (next_line(&text, &number, &line)) {
		size_t colon = slice_index(line, ':');

		name = slice_trim(slice_sub(line, 0, colon));
		if (colon == SLICE_NONE || name.len == 0 || has_control(line) || !slice_eq_nocase(name, key))
			continue;
		*value_out = slice_trim(slice_from(line, colon + 1));
		return OC_DONE;
	}
	return OC_NOT_FOUND;
}

#define LOGIN_MAX 255u
#define KNOWN_BY_MAX 16u /* each costs a look at the whole text */

enum outcome certificates_find(struct slice text, struct slice known_by, struct slice *login_out)
{
	struct slice one;

	for (size_t i = 0; i < KNOWN_BY_MAX && slice_word(&known_by, &one); i++)
		if (flat_find(text, one, login_out) == OC_DONE)
			return login_out->len > 0 && login_out->len <= LOGIN_MAX && mail_utf8_is_clean(*login_out) ? OC_DONE : OC_BAD_INPUT;
	return OC_NOT_FOUND;
}
