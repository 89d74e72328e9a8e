#include "conf/compiler.h"

#include "base/mem.h"

/* The statements of a transport that are the local agent's. */

/* Nothing else stands in braces. */
static bool are_braces_of(struct slice path, const char *const *names, size_t count)
{
	size_t open;

	while ((open = slice_index(path, '{')) != SLICE_NONE) {
		size_t i = 0;

		path = slice_from(path, open);
		while (i < count && !slice_starts(path, slice_of(names[i])))
			i++;
		if (i == count)
			return false;
		path = slice_from(path, strlen(names[i]));
	}
	return slice_index(path, '}') == SLICE_NONE;
}

static bool are_braces_good(struct slice path)
{
	static const char *const names[] = {"{domain}", "{local}", "{address}"};

	return are_braces_of(path, names, ARRAY_LEN(names));
}

static bool has_dots(struct slice path)
{
	struct slice part;

	while (slice_cut(&path, '/', &part))
		if (slice_eq(part, slice_of("..")) || slice_eq(part, slice_of(".")))
			return true;
	return false;
}

static const char *place_mistake(struct slice path)
{
	if (!slice_starts(path, slice_of("~/")) && !slice_starts(path, slice_of("/")))
		return "a mailbox is beneath the home (~/Maildir/) or an absolute path";
	if (path.len > 1024 || memchr(path.at, '\0', path.len) != NULL)
		return "this is no path";
	if (has_dots(path))
		return "a mailbox's path has no . and .. in it";
	if (path.at[0] == '~' && (slice_index(path, '{') != SLICE_NONE || slice_find(path, slice_of("//")) != SLICE_NONE))
		return "a path beneath ~ is plain: no braces and no empty part in it";
	return are_braces_good(path) ? NULL : "in braces there may be {domain}, {local} or {address}";
}

static bool take_place(struct compiler *c, struct conf_transport *t)
{
	const char *mistake;
	struct token path;

	if (!take_text(c->p, "the path of a mailbox", &path))
		return false;
	mistake = place_mistake(path.text);
	if (mistake != NULL) {
		mistake_add(c->mistakes, path.pos,
			    "expected such as \"~/Maildir/\" or \"/var/mail/{domain}/{local}/\"", "%s",
			    mistake);
		return false;
	}
	t->maildir = arena_text(c->arena, path.text);
	return t->maildir != NULL;
}

bool read_maildir(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;

	(void)st;
	t->kind = TRANSPORT_MAILDIR;
	return take_place(c, t);
}

bool read_mbox(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;

	(void)st;
	t->kind = TRANSPORT_MBOX;
	return take_place(c, t);
}

/* ---- pipe PROGRAM "ARGUMENT"... ---- */

static bool add_word(struct compiler *c, struct buf *words, const struct token *word)
{
	if (slice_index(word->text, '\0') == SLICE_NONE && buf_add_slice(words, word->text) && buf_add_char(words, '\0'))
		return true;
	mistake_add(c->mistakes, word->pos, "expected at most 4096 bytes", "the command is too long");
	return false;
}

static bool take_arguments(struct compiler *c, struct buf *words)
{
	static const char *const names[] = {"{recipient}", "{local}", "{domain}", "{sender}", "{original}"};
	size_t count = 1;
	struct token word;

	while (parser_at(c->p, TOKEN_STRING)) {
		if (!take_text(c->p, "an argument", &word) || !add_word(c, words, &word))
			return false;
		if (++count > CONF_PROGRAM_WORDS_MAX) {
			mistake_add(c->mistakes, word.pos, "expected at most 64 words", "the command is too long");
			return false;
		}
		if (!are_braces_of(word.text, names, ARRAY_LEN(names))) {
			mistake_add(c->mistakes, word.pos, "", "in braces there may be {recipient}, {local}, {domain}, {original} or {sender}");
			return false;
		}
	}
	return true;
}

bool read_pipe(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;
	struct buf words = buf_make(CONF_PROGRAM_BYTES_MAX);
	struct token program;
	bool ok = true;

	(void)st;
	t->kind = TRANSPORT_PIPE;
	if ((parser_at(c->p, TOKEN_STRING) || parser_at(c->p, TOKEN_WORD)) && c->p->now.text.len > 0 && c->p->now.text.at[0] == '/') {
		ok = take_text(c->p, "the path of a program", &program) && add_word(c, &words, &program) && take_arguments(c, &words);
		if (ok) {
			char *copy = arena_take(c->arena, words.len);

			ok = copy != NULL;
			if (ok)
				memcpy(copy, words.at, words.len);
			t->program = copy;
			t->program_bytes = words.len;
		}
	}
	buf_free(&words);
	return ok;
}

/* ---- the others ---- */

bool read_add(struct compiler *c, const struct statement *st, void *into)
{
	static const char *const words[] = {"return-path", "delivered-to", "envelope-to", "delivery-date", NULL};
	static const unsigned bits[] = {0, 0, ADD_ENVELOPE_TO, ADD_DELIVERY_DATE};
	struct conf_transport *t = into;
	unsigned index;

	(void)st;
	do {
		if (!take_choice(c->p, "a field", words, &index))
			return false;
		t->add |= bits[index];
		t->delivered_to |= index == 1;
	} while (parser_at_word(c->p, words[0]) || parser_at_word(c->p, words[1]) || parser_at_word(c->p, words[2]) ||
		 parser_at_word(c->p, words[3]));
	return true;
}

/* user NAME, or user by TABLE [else NAME] */
bool read_user(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;

	(void)st;
	if (!parser_accept_word(c->p, "by"))
		return take_name(c->p, "a system user, or by TABLE", &t->user);
	t->user_at = c->p->now.pos;
	return take_name(c->p, "the name of a table", &t->user_by) &&
	       (!parser_accept_word(c->p, "else") || take_name(c->p, "a system user", &t->user));
}

static bool is_number_next(const struct parser *p)
{
	return parser_at(p, TOKEN_WORD) && p->now.text.len > 0 && ascii_is_digit(p->now.text.at[0]);
}

/* quota [TABLE] [SIZE [MESSAGES]], one of the two at least */
bool read_quota(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;
	struct conf_pos pos;

	(void)st;
	t->quota_at = c->p->now.pos;
	if (parser_at(c->p, TOKEN_WORD) && !is_number_next(c->p) && !take_name(c->p, "a size, or the name of a table", &t->quota_by))
		return false;
	if (t->quota_by != NULL && !is_number_next(c->p))
		return true;
	pos = c->p->now.pos;
	if (!take_size(c->p, &t->quota.bytes) || (is_number_next(c->p) && !take_number(c->p, 1, QUOTA_MESSAGES_MAX, &t->quota.messages)))
		return false;
	if (t->quota.bytes >= QUOTA_BYTES_MIN)
		return true;
	mistake_add(c->mistakes, pos, "expected at least 64K", "no mail would fit");
	return false;
}

/* "Name: value", one line. */
static bool is_field(struct slice text)
{
	size_t colon = slice_index(text, ':');

	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < ' ' || (i < colon && (text.at[i] == ' ' || (unsigned char)text.at[i] > '~')))
			return false;
	return colon != SLICE_NONE && colon > 0 && slice_trim(slice_from(text, colon + 1)).len > 0 && text.len <= 500;
}

bool read_junk(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;
	struct token field, folder;

	(void)st;
	if (!take_string(c->p, "a field and its value, such as \"X-Spam-Flag: YES\"", &field))
		return false;
	if (!is_field(field.text)) {
		mistake_add(c->mistakes, field.pos, "expected such as \"X-Spam-Flag: YES\"", "this is no field of a header");
		return false;
	}
	if (!take_text(c->p, "the name of a folder", &folder))
		return false;
	if (folder.text.len == 0 || folder.text.len > 200) {
		mistake_add(c->mistakes, folder.pos, "expected such as Junk", "this is no name of a folder");
		return false;
	}
	t->junk_field = arena_text(c->arena, field.text);
	t->junk_folder = arena_text(c->arena, folder.text);
	return t->junk_field != NULL && t->junk_folder != NULL;
}

bool read_owner_file(struct compiler *c, const struct statement *st, void *into)
{
	const char **field = (const char **)(void *)((char *)into + st->offset);
	struct token path;

	if (!take_text(c->p, "a path such as \"~/.forward\"", &path))
		return false;
	if (!slice_starts(path.text, slice_of("~/")) || path.text.len < 3 || place_mistake(path.text) != NULL) {
		mistake_add(c->mistakes, path.pos, "expected such as \"~/.forward\"", "its owner's file lies beneath the owner's folder, ~/");
		return false;
	}
	*field = arena_text(c->arena, path.text);
	return *field != NULL;
}
