#include "users/users_file.h"

#include "file_at/file_edit.h"
#include "users/users.h"

static enum outcome fail(struct buf *why, enum outcome oc, const char *text)
{
	buf_add_text(why, text);
	return oc;
}

/* ---- the text ---- */

struct line {
	struct slice whole; /* without its LF */
	struct slice login; /* empty: a comment, or nothing */
	size_t number;
};

static const char *read_line(struct line *l)
{
	struct slice text = slice_trim(l->whole);
	size_t colon = slice_index(text, ':');

	l->login = slice_empty();
	for (size_t i = 0; i < l->whole.len; i++)
		if (((unsigned char)l->whole.at[i] < ' ' && l->whole.at[i] != '\t') || l->whole.at[i] == 0x7f)
			return "a control character";
	if (text.len == 0 || text.at[0] == '#')
		return NULL;
	if (colon == SLICE_NONE)
		return "expected login:hash";
	l->login = slice_trim(slice_sub(text, 0, colon));
	return l->login.len > 0 ? NULL : "no login before the colon";
}

/* False at the end, or with `*oc` BAD_INPUT. */
static bool next_line(struct slice *rest, struct line *l, enum outcome *oc, struct buf *why)
{
	const char *mistake;

	if (*oc != OC_DONE || !slice_cut(rest, '\n', &l->whole))
		return false;
	l->number++;
	mistake = read_line(l);
	if (mistake == NULL)
		return true;
	buf_addf(why, "line %zu: %s; nothing was changed", l->number, mistake);
	*oc = OC_BAD_INPUT;
	return false;
}

static bool add_login(struct slice login, struct slice hash, struct buf *out)
{
	return buf_add_slice(out, login) && buf_add_char(out, ':') && buf_add_slice(out, hash) && buf_add_char(out, '\n');
}

static bool add_line(const struct line *l, bool is_it, enum users_file_change change, struct slice hash, struct buf *out)
{
	if (!is_it)
		return buf_add_slice(out, l->whole) && buf_add_char(out, '\n');
	return change == USERS_FILE_REMOVE || add_login(l->login, hash, out);
}

static enum outcome judge(enum users_file_change change, size_t found, struct buf *why)
{
	if (found > 1)
		return fail(why, OC_BAD_INPUT, "this login stands in the file twice; take one of the lines out");
	if (change == USERS_FILE_ADD)
		return found == 0 ? OC_DONE : fail(why, OC_NOT_ALLOWED, "there is such a user already");
	return found == 1 ? OC_DONE : fail(why, OC_NOT_FOUND, "there is no such user");
}

enum outcome users_file_edit(struct slice text, enum users_file_change change, struct slice address, struct slice hash, struct buf *out,
			     struct buf *why)
{
	struct line l = {.number = 0};
	enum outcome oc = OC_DONE;
	size_t found = 0;

	while (next_line(&text, &l, &oc, why)) {
		bool is_it = l.login.len > 0 && slice_eq_nocase(l.login, address);

		found += is_it;
		(void)add_line(&l, is_it, change, hash, out);
	}
	if (oc == OC_DONE)
		oc = judge(change, found, why);
	if (oc == OC_DONE && change == USERS_FILE_ADD)
		(void)add_login(address, hash, out);
	return oc != OC_DONE || buf_ok(out) ? oc : fail(why, OC_SPOOL_FULL, "the file would be larger than 4 MiB; use sqlite");
}

/* ---- the file ---- */

struct edit {
	enum users_file_change change;
	struct slice address, hash;
};

static enum outcome edit_text(void *arg, struct slice text, struct buf *out, struct buf *why)
{
	const struct edit *e = arg;

	return users_file_edit(text, e->change, e->address, e->hash, out, why);
}

static enum outcome edit(const char *path, const gid_t *make_gid, enum users_file_change change, struct slice address, struct slice hash,
			 struct buf *why)
{
	struct edit e = {change, address, hash};
	const struct file_edit how = {.path = path, .make_gid = make_gid, .bytes_max = USERS_FILE_MAX, .secret = true, .edit = edit_text, .arg = &e};

	return file_edit(&how, why);
}

/* ---- what is asked for ---- */

static enum outcome set(const char *path, const gid_t *make_gid, enum users_file_change change, struct slice address,
			struct slice password, struct buf *why)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX + 1);
	enum outcome oc;

	if (!users_is_address(address) || slice_index(address, ':') != SLICE_NONE || address.at[0] == '#')
		oc = fail(why, OC_BAD_INPUT, "a user in a file is an address without a colon, like alice@example.org");
	else if (!users_hash(password, &hash))
		oc = fail(why, OC_BAD_INPUT, "a password has 1 to 511 bytes");
	else
		oc = edit(path, make_gid, change, address, buf_slice(&hash), why);
	buf_free(&hash);
	return oc;
}

enum outcome users_file_add(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why)
{
	return set(path, &gid, USERS_FILE_ADD, address, password, why);
}

enum outcome users_file_set_password(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why)
{
	(void)gid;
	return set(path, NULL, USERS_FILE_SET, address, password, why);
}

enum outcome users_file_remove(const char *path, struct slice address, struct buf *why)
{
	return edit(path, NULL, USERS_FILE_REMOVE, address, slice_empty(), why);
}

enum outcome users_file_list(const char *path, users_file_fn *fn, void *arg, struct buf *why)
{
	struct line l = {.number = 0};
	struct buf text = buf_make_secret(USERS_FILE_MAX);
	enum outcome oc = file_edit_read(path, &text, why);
	struct slice rest = buf_slice(&text);

	while (next_line(&rest, &l, &oc, why))
		if (l.login.len > 0 && !fn(l.login, arg))
			break;
	buf_free(&text);
	return oc;
}
