#include "filter/exim_parse.h"

#include "base/mem.h"
#include "filter/exim_condition.h"
#include "filter/exim_text.h"
#include "mail/directive.h"
#include "mail/target_list.h"

#include <stdio.h>

#define MODE_MAX 07777u

static bool next(struct exim_source *s, struct exim_item *out)
{
	return exim_next(s, false, out);
}

static bool takes(struct exim_source *s, const char *word)
{
	struct exim_item item;

	if (!exim_peek(s, false, &item) || !exim_item_is(&item, word))
		return false;
	return next(s, &item);
}

static bool next_item(struct exim_source *s, const char *what, struct exim_item *out)
{
	if (!next(s, out))
		return false;
	return out->kind != EXIM_ITEM_END || exim_mistake(s, out->start, "%s expected, not the end of the file", what);
}

static bool next_data(struct exim_source *s, const char *what, struct exim_text **out)
{
	struct exim_item item;

	return next_item(s, what, &item) && exim_text_compile(s, &item, out);
}

/* ---- one command each: behind its word ---- */

static bool read_add(struct exim_source *s, struct exim_command *c)
{
	struct exim_item item;

	if (!next_data(s, "a number behind `add`", &c->a) || !next_item(s, "`to`", &item))
		return false;
	if (!exim_item_is(&item, "to"))
		return exim_mistake(s, item.start, "`to` expected: add 2 to n1");
	if (!next_item(s, "n0 to n9", &item))
		return false;
	if (item.text.len != 2 || item.text.at[0] != 'n' || !ascii_is_digit(item.text.at[1]))
		return exim_mistake(s, item.start, "n0 to n9 expected: add 2 to n1");
	c->mode = (uint32_t)(item.text.at[1] - '0');
	return true;
}

static bool read_deliver(struct exim_source *s, struct exim_command *c)
{
	if (!next_data(s, "an address behind `deliver`", &c->a))
		return false;
	return !takes(s, "errors_to") || next_data(s, "an address behind `errors_to`", &c->b);
}

/* Octal, whether or not a 0 begins it. */
static bool read_mode(struct exim_source *s, uint32_t *out)
{
	struct exim_item item;
	uint32_t mode = 0;

	if (!exim_peek(s, false, &item))
		return false;
	if (item.kind != EXIM_ITEM_WORD || !ascii_is_digit(item.text.at[0]))
		return true;
	for (size_t i = 0; i < item.text.len; i++) {
		if (item.text.at[i] < '0' || item.text.at[i] > '7' || mode > MODE_MAX)
			return exim_mistake(s, item.start, "a mode in octal figures expected, like 600");
		mode = mode * 8 + (uint32_t)(item.text.at[i] - '0');
	}
	if ((mode & 0777) != mode)
		return exim_mistake(s, item.start, "a mode of a file is between 0 and 777");
	*out = mode;
	return next(s, &item);
}

static bool read_save(struct exim_source *s, struct exim_command *c)
{
	return next_data(s, "a file's name behind `save`", &c->a) && read_mode(s, &c->mode);
}

/* ---- pipe: cut into words before anything is put in, so that nothing that is put in can make words ---- */

struct words {
	struct exim_source *s;
	const struct exim_item *item;
	size_t at;
	char *out;
	uint32_t *places;
	size_t used;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void put(struct words *w)
{
	w->places[w->used] = w->item->places[w->at];
	w->out[w->used++] = w->item->text.at[w->at++];
}

/* Blanks inside ${...} end a word as elsewhere; within quotes they do not. */
static bool cut_word(struct words *w, struct exim_text **out)
{
	size_t start = w->used, begin = w->at;
	char quote = '\0';

	while (w->at < w->item->text.len && (quote != '\0' || !is_space(w->item->text.at[w->at]))) {
		char c = w->item->text.at[w->at], after = w->at + 1 < w->item->text.len ? w->item->text.at[w->at + 1] : '\0';

		if (quote == '\0' && (c == '"' || c == '\'')) {
			quote = c;
			w->at++;
		} else if (quote != '\0' && c == quote) {
			quote = '\0';
			w->at++;
		} else {
			w->at += quote == '"' && c == '\\' && (after == '"' || after == '\\');
			put(w);
		}
	}
	w->places[w->used] = w->item->places[w->at];
	if (quote != '\0')
		return exim_mistake(w->s, w->item->places[begin], "a quote without an end in the command");
	if (target_word_is_shells(slice_sub(w->item->text, begin, w->at - begin)))
		return exim_mistake(w->s, w->item->places[begin],
				    "no shell reads the command: it is a program and its arguments (in quotes where one is meant so)");
	return exim_text_compile_part(w->s, slice_make(w->out + start, w->used++ - start), w->places + start, w->item->line, out);
}

static bool cut_words(struct exim_source *s, const struct exim_item *item, struct exim_text **out)
{
	size_t room = item->text.len + 1;
	struct words w = {s, item, 0, arena_take(s->arena, room), arena_take(s->arena, room * sizeof(uint32_t)), 0};

	if (w.out == NULL || w.places == NULL)
		return exim_no_memory(s);
	for (size_t count = 1;; count++) {
		while (w.at < item->text.len && is_space(item->text.at[w.at]))
			w.at++;
		if (w.at == item->text.len)
			return true;
		if (count > DIRECTIVE_WORDS_MAX)
			return exim_mistake(s, item->places[w.at], "a command of more than 64 words");
		if (!cut_word(&w, out))
			return false;
		out = &(*out)->next;
	}
}

/* Where that can be seen now. */
static bool check_program(struct exim_source *s, const struct exim_text *program, size_t start)
{
	const struct exim_part *p = program->first;

	if (p == NULL || (p->kind == EXIM_PLAIN && p->text.at[0] != '/'))
		return exim_mistake(s, start, "a program is named by its whole path, and no shell reads this line");
	return true;
}

static bool read_pipe(struct exim_source *s, struct exim_command *c)
{
	struct exim_item item;

	if (!next_item(s, "a command behind `pipe`", &item) || !cut_words(s, &item, &c->a))
		return false;
	if (c->a == NULL)
		return exim_mistake(s, item.start, "a program and its arguments expected behind `pipe`");
	return check_program(s, c->a, item.start);
}

/* ---- mail and vacation ---- */

static const char *const mail_words[EXIM_MAIL_WORDS] = {
	[EXIM_TO] = "to",
	[EXIM_CC] = "cc",
	[EXIM_BCC] = "bcc",
	[EXIM_FROM] = "from",
	[EXIM_REPLY_TO] = "reply_to",
	[EXIM_SUBJECT] = "subject",
	[EXIM_EXTRA_HEADERS] = "extra_headers",
	[EXIM_TEXT] = "text",
	[EXIM_FILE] = "file",
	[EXIM_LOG] = "log",
	[EXIM_ONCE] = "once",
	[EXIM_ONCE_REPEAT] = "once_repeat",
};

static uint64_t unit_seconds(char c)
{
	switch (c) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

/* "5d4h" */
static bool read_interval(struct exim_source *s, uint64_t *out)
{
	struct exim_item item;
	uint64_t total = 0, value = 0, unit = 0;

	if (!next_item(s, "a time behind `once_repeat`", &item))
		return false;
	for (size_t i = 0; i < item.text.len; i++) {
		char c = item.text.at[i];

		unit = unit_seconds(c);
		if (ascii_is_digit(c))
			value = value * 10 + (uint64_t)(c - '0');
		else if (unit > 0 && i > 0 && ascii_is_digit(item.text.at[i - 1]))
			total += value * unit, value = 0;
		else
			break;
		if (value > 100000000 || total > 100000000000)
			break;
	}
	*out = total;
	return (value == 0 && total > 0 && unit > 0) || exim_mistake(s, item.start, "a time expected, like 7d or 5d4h");
}

static bool read_mail_word(struct exim_source *s, struct exim_mail *m, enum exim_mail_word word)
{
	char what[64];

	if (word == EXIM_ONCE_REPEAT)
		return read_interval(s, &m->once_seconds);
	snprintf(what, sizeof(what), "a text behind `%s`", mail_words[word]);
	return next_data(s, what, &m->words[word]);
}

/* One of the words of `mail`, in any order; *more_out: false behind the last one. */
static bool read_mail_option(struct exim_source *s, struct exim_mail *m, bool *more_out)
{
	struct exim_item item;

	*more_out = true;
	if (takes(s, "return")) {
		m->return_message = true;
		return takes(s, "message") || exim_mistake(s, s->at, "`message` expected behind `return`");
	}
	if (takes(s, "expand")) {
		m->expand_file = true;
		if (!takes(s, "file"))
			return exim_mistake(s, s->at, "`file` expected behind `expand`");
		return read_mail_word(s, m, EXIM_FILE);
	}
	if (!exim_peek(s, false, &item))
		return false;
	for (int i = 0; i < EXIM_MAIL_WORDS; i++)
		if (exim_item_is(&item, mail_words[i]))
			return next(s, &item) && read_mail_word(s, m, (enum exim_mail_word)i);
	*more_out = false;
	return true;
}

static bool read_mail(struct exim_source *s, struct exim_command *c)
{
	bool more = true;

	c->mail = arena_take(s->arena, sizeof(*c->mail));
	if (c->mail == NULL)
		return exim_no_memory(s);
	while (more)
		if (!read_mail_option(s, c->mail, &more))
			return false;
	return true;
}

/* ---- the others ---- */

static bool read_nothing(struct exim_source *s, struct exim_command *c)
{
	(void)s;
	(void)c;
	return true;
}

/* [text] "why" */
static bool read_reason(struct exim_source *s, struct exim_command *c)
{
	struct exim_item item;

	if (takes(s, "text"))
		return next_data(s, "a text behind `text`", &c->a);
	if (!exim_peek(s, false, &item))
		return false;
	return item.kind != EXIM_ITEM_QUOTED || next_data(s, "a text", &c->a);
}

static bool read_headers(struct exim_source *s, struct exim_command *c)
{
	static const struct {
		const char *word;
		enum exim_command_kind kind;
	} forms[] = {{"add", EXIM_HEADERS_ADD}, {"remove", EXIM_HEADERS_REMOVE}, {"charset", EXIM_HEADERS_CHARSET}};
	struct exim_item item;

	if (!next_item(s, "add, remove or charset", &item))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (exim_item_is(&item, forms[i].word)) {
			c->kind = forms[i].kind;
			return next_data(s, "a text behind `headers`", &c->a);
		}
	}
	return exim_mistake(s, item.start, "add, remove or charset expected behind `headers`");
}

static bool read_charset(struct exim_source *s, struct exim_command *c)
{
	size_t at = s->at;

	if (!read_headers(s, c))
		return false;
	if (c->kind != EXIM_HEADERS_CHARSET)
		return true;
	return slice_eq_nocase(c->a->source, slice_of("utf-8")) ||
	       exim_mistake(s, at, "headers are read as UTF-8 here, and as nothing else: leave this command out");
}

static bool read_log_file(struct exim_source *s, struct exim_command *c)
{
	return next_data(s, "a file's name behind `logfile`", &c->a) && read_mode(s, &c->mode);
}

static bool read_text(struct exim_source *s, struct exim_command *c)
{
	return next_data(s, "a text", &c->a);
}

static bool read_if(struct exim_source *s, struct exim_command *c);

static const struct {
	const char *word;
	enum exim_command_kind kind;
	bool (*read)(struct exim_source *s, struct exim_command *c);
} commands[] = {
	{"if", EXIM_IF_COMMAND, read_if},
	{"save", EXIM_SAVE, read_save},
	{"deliver", EXIM_DELIVER, read_deliver},
	{"pipe", EXIM_PIPE, read_pipe},
	{"finish", EXIM_FINISH, read_nothing},
	{"mail", EXIM_MAIL, read_mail},
	{"vacation", EXIM_VACATION, read_mail},
	{"add", EXIM_ADD, read_add},
	{"fail", EXIM_FAIL, read_reason},
	{"freeze", EXIM_FREEZE, read_reason},
	{"defer", EXIM_DEFER, read_reason},
	{"headers", EXIM_HEADERS_ADD, read_charset},
	{"logfile", EXIM_LOGFILE, read_log_file},
	{"logwrite", EXIM_LOGWRITE, read_text},
	{"testprint", EXIM_TESTPRINT, read_text},
};

static bool unknown(struct exim_source *s, const struct exim_item *item)
{
	static const char *const misplaced[] = {"elif", "else", "endif", "then"};

	for (size_t i = 0; i < ARRAY_LEN(misplaced); i++)
		if (exim_item_is(item, misplaced[i]))
			return exim_mistake(s, item->start, "`%s` without an `if` before it", misplaced[i]);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (slice_eq_nocase(item->text, slice_of(commands[i].word)))
			return exim_mistake(s, item->start, "commands are written small: `%s`", commands[i].word);
	return exim_mistake(s, item->start, "`%.*s` is no command of a filter", SLICE_ARG(slice_sub(item->text, 0, 40)));
}

static bool read_command(struct exim_source *s, const struct exim_item *item, struct exim_command *c)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (exim_item_is(item, commands[i].word)) {
			c->kind = commands[i].kind;
			return commands[i].read(s, c);
		}
	}
	return unknown(s, item);
}

/* seen, unseen, noerror before a command; *item is the command's word then. */
static bool read_prefixes(struct exim_source *s, struct exim_item *item, struct exim_command *c)
{
	for (;;) {
		bool seen = exim_item_is(item, "seen"), unseen = exim_item_is(item, "unseen"), noerror = exim_item_is(item, "noerror");

		if (!seen && !unseen && !noerror)
			break;
		if ((seen || unseen) && (c->seen || c->unseen))
			return exim_mistake(s, item->start, "`seen` or `unseen` stands there already");
		c->seen = c->seen || seen;
		c->unseen = c->unseen || unseen;
		c->noerror = c->noerror || noerror;
		if (!next_item(s, "a command", item))
			return false;
	}
	if ((c->seen || c->unseen || c->noerror) && exim_item_is(item, "if"))
		return exim_mistake(s, item->start, "`seen`, `unseen` and `noerror` belong before a command inside, not before `if`");
	return true;
}

static bool ends_list(const struct exim_item *item)
{
	return item->kind == EXIM_ITEM_END || exim_item_is(item, "elif") || exim_item_is(item, "else") ||
	       exim_item_is(item, "endif");
}

/* Up to a word that ends them; at the top that is the end of the file. */
static bool read_commands(struct exim_source *s, struct exim_command **end)
{
	struct exim_item item;

	for (;;) {
		if (!exim_peek(s, false, &item))
			return false;
		if (ends_list(&item))
			return true;
		*end = arena_take(s->arena, sizeof(**end));
		if (*end == NULL)
			return exim_no_memory(s);
		(*end)->line = item.line;
		if (!next(s, &item) || !read_prefixes(s, &item, *end) || !read_command(s, &item, *end))
			return false;
		end = &(*end)->next;
	}
}

static bool read_condition(struct exim_source *s, struct exim_branch *b)
{
	struct exim_item item;

	if (!exim_condition_parse(s, &b->test) || !exim_next(s, true, &item))
		return false;
	return exim_item_is(&item, "then") ||
	       exim_mistake(s, item.start, "`then` expected behind a condition, or `and`, or `or`");
}

/* Behind the word that begins it; *word_out: the one that ends it. */
static bool read_branch(struct exim_source *s, bool has_condition, struct exim_branch **out, struct exim_item *word_out)
{
	struct exim_branch *b = *out = arena_take(s->arena, sizeof(*b));

	if (b == NULL)
		return exim_no_memory(s);
	if (has_condition && !read_condition(s, b))
		return false;
	return read_commands(s, &b->commands) && next(s, word_out);
}

static bool read_branches(struct exim_source *s, struct exim_command *c)
{
	struct exim_branch **end = &c->branches;
	struct exim_item word;
	bool has_condition = true;

	for (;;) {
		if (!read_branch(s, has_condition, end, &word))
			return false;
		end = &(*end)->next;
		c->open = word.kind == EXIM_ITEM_END;
		if (c->open || exim_item_is(&word, "endif"))
			return true;
		if (!has_condition)
			return exim_mistake(s, word.start, "`endif` expected behind `else`, not `%.*s`", SLICE_ARG(word.text));
		has_condition = exim_item_is(&word, "elif");
	}
}

static bool read_if(struct exim_source *s, struct exim_command *c)
{
	bool good;

	if (!exim_enter(s, s->at))
		return false;
	good = read_branches(s, c);
	exim_leave(s);
	return good;
}

bool exim_commands_parse(struct exim_source *s, struct exim_command **out)
{
	struct exim_item item;

	if (!read_commands(s, out) || !next(s, &item))
		return false;
	return item.kind == EXIM_ITEM_END || unknown(s, &item);
}
