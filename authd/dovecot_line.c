#include "dovecot_line.h"

#include "base/mem.h"
#include "mail/address.h"

#define REQUEST_MAX UINT32_MAX

/* "key=value": the value. */
static bool is_key(struct slice word, const char *key, struct slice *value_out)
{
	size_t len = strlen(key);

	if (!slice_starts(word, slice_of(key)) || word.len <= len || word.at[len] != '=')
		return false;
	*value_out = slice_from(word, len + 1);
	return true;
}

static bool is_user(struct slice user)
{
	return user.len > 0 && user.len <= DOVECOT_USER_MAX && mail_utf8_is_clean(user);
}

static bool take_ok(struct slice rest, struct dovecot_line *out)
{
	struct slice word;

	while (slice_cut(&rest, '\t', &word))
		(void)is_key(word, "user", &out->user);
	return is_user(out->user);
}

/* temp, authz, user_disabled, pass_expired are words, or from 2.3 on code=WORD; only temp is not the client's fault. */
static bool take_fail(struct slice rest, struct dovecot_line *out)
{
	struct slice word, code;

	while (slice_cut(&rest, '\t', &word)) {
		(void)(is_key(word, "user", &out->user) || is_key(word, "reason", &out->reason));
		if (slice_eq(word, slice_of("temp")) || (is_key(word, "code", &code) && slice_eq(code, slice_of("temp_fail"))))
			out->temporary = true;
	}
	if (!is_user(out->user))
		out->user = slice_empty();
	return true;
}

static bool take_cont(struct slice rest, struct dovecot_line *out)
{
	(void)slice_cut(&rest, '\t', &out->text);
	return true;
}

static bool take_mech(struct slice rest, struct dovecot_line *out)
{
	return slice_cut(&rest, '\t', &out->text) && out->text.len > 0;
}

static bool take_nothing(struct slice rest, struct dovecot_line *out)
{
	(void)rest;
	(void)out;
	return true;
}

static const struct {
	const char *name;
	enum dovecot_word word;
	bool numbered;
	bool (*take)(struct slice rest, struct dovecot_line *out);
} words[] = {
	{"VERSION", DOVECOT_VERSION, true, take_nothing}, {"MECH", DOVECOT_MECH, false, take_mech},
	{"DONE", DOVECOT_DONE, false, take_nothing},	  {"OK", DOVECOT_OK, true, take_ok},
	{"FAIL", DOVECOT_FAIL, true, take_fail},	  {"CONT", DOVECOT_CONT, true, take_cont},
};

bool dovecot_line_parse(struct slice line, struct dovecot_line *out)
{
	struct slice rest = line, word = slice_empty(), number;

	*out = (struct dovecot_line){DOVECOT_OTHER, 0, slice_empty(), slice_empty(), slice_empty(), false};
	if (slice_index(line, '\0') != SLICE_NONE || line.len > DOVECOT_LINE_MAX)
		return false;
	(void)slice_cut(&rest, '\t', &word);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!slice_eq(word, slice_of(words[i].name)))
			continue;
		out->word = words[i].word;
		if (words[i].numbered && (!slice_cut(&rest, '\t', &number) || !slice_u64(number, REQUEST_MAX, &out->number)))
			return false;
		return words[i].take(rest, out);
	}
	return true;
}
