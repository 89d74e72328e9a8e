#include "filter/exim_run.h"

#include "base/mem.h"
#include "conf/arena.h"
#include "filter/exim_text.h"
#include "mail/address.h"
#include "mail/directive.h"

#include <stdlib.h>

#define FIELD_NAME_MAX 64u

typedef bool command_fn(struct exim_run *run, const struct exim_command *c);

/* With one argument as text: `flat`, line ends of values are blanks. */
static bool with_text(struct exim_run *run, const struct exim_command *c, const struct exim_text *t, struct buf *out)
{
	*out = exim_room(run);
	if (t != NULL && exim_expand_flat(run, t, out))
		return true;
	buf_free(out);
	return t == NULL && filter_fail(&run->gather, FILTER_ERROR, c->line, "an argument is missing");
}

static bool is_significant(const struct exim_command *c, bool by_nature)
{
	return c->seen || (by_nature && !c->unseen);
}

/* ---- words for people ---- */

static void tell_command(struct exim_run *run, const struct exim_command *c, const char *verb, struct slice text, const char *note)
{
	struct buf words = buf_make(FILTER_TOLD_MAX);

	if (!filter_is_told(&run->gather))
		return;
	buf_addf(&words, "%s%s%s ", c->unseen ? "unseen " : c->seen ? "seen " : "", c->noerror ? "noerror " : "", verb);
	filter_show(text, &words);
	filter_tell(&run->gather, c->line, "%s%s", buf_text(&words), note);
	buf_free(&words);
}

/* ---- deliver ---- */

static bool is_address(struct slice text, struct mail_address *out)
{
	return mail_address_parse(text, MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE, out) == MAIL_OK && !mail_address_is_routed(out);
}

bool exim_address(struct exim_run *run, uint32_t line, struct slice text, struct buf *out, bool *is_out)
{
	struct arena *arena = arena_new(1 << 20);
	struct view_addresses list = {NULL, 0};
	struct mail_address a;
	bool good = arena != NULL && view_addresses_parse(arena, slice_sub(slice_trim(text), 0, 4096), &list);

	*is_out = good && list.count == 1 && is_address(list.at[0].address, &a);
	if (*is_out) {
		buf_add_slice(out, mail_address_text(&a));
		if (mail_address_domain(&a).len == 0) {
			buf_add_char(out, '@');
			buf_add_slice(out, run->domain);
		}
	}
	arena_free(&arena);
	return (good && buf_ok(out)) || filter_fail(&run->gather, FILTER_LATER, line, "no memory");
}

/* The mailbox itself: nothing has to be sent on its way again. */
static bool act_once(struct exim_run *run, const struct exim_command *c, enum filter_action_kind kind, struct slice text,
		     struct filter_action **action_out)
{
	*action_out = NULL;
	run->delivered = run->delivered || is_significant(c, true);
	if (filter_has(&run->gather, kind, text)) {
		filter_tell(&run->gather, c->line, "asked for already: once is enough");
		return true;
	}
	*action_out = filter_act(&run->gather, kind, c->line, text);
	return *action_out != NULL;
}

static bool deliver_to(struct exim_run *run, const struct exim_command *c, struct slice address)
{
	struct filter_action *action;
	bool own = exim_is_own(run, address);

	tell_command(run, c, "deliver", address, own ? " (the mailbox itself)" : c->noerror ? " (noerror is not carried out)" : "");
	return act_once(run, c, own ? FILTER_INBOX : FILTER_REDIRECT, own ? slice_empty() : address, &action);
}

static bool run_errors_to(struct exim_run *run, const struct exim_command *c)
{
	struct buf text, address = buf_make(1024);
	bool good, is;

	if (c->b == NULL)
		return true;
	if (!with_text(run, c, c->b, &text))
		return false;
	good = exim_address(run, c->line, buf_slice(&text), &address, &is);
	if (good && (!is || !exim_is_own(run, buf_slice(&address))))
		good = filter_fail(&run->gather, FILTER_ERROR, c->line, "errors_to can only be your own address");
	if (good)
		filter_tell(&run->gather, c->line, "errors_to is not carried out: reports go to the sender");
	buf_free(&text);
	buf_free(&address);
	return good;
}

static bool not_one_address(struct exim_run *run, const struct exim_command *c, struct slice text)
{
	struct buf shown = buf_make(512);

	filter_show(text, &shown);
	filter_fail(&run->gather, FILTER_ERROR, c->line, "%s is not one address", buf_text(&shown));
	buf_free(&shown);
	return false;
}

static bool run_deliver(struct exim_run *run, const struct exim_command *c)
{
	struct buf text, address = buf_make(1024);
	bool good, is;

	if (!with_text(run, c, c->a, &text))
		return false;
	good = exim_address(run, c->line, buf_slice(&text), &address, &is) && (is || not_one_address(run, c, buf_slice(&text))) &&
	       run_errors_to(run, c) && deliver_to(run, c, buf_slice(&address));
	buf_free(&text);
	buf_free(&address);
	return good;
}

/* ---- save ---- */

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

/* What a sender wrote may be in it: it never leads above the folder that the filter names. */
static const char *path_mistake(struct slice path)
{
	struct slice rest = path, part;

	if (path.len == 0)
		return "a file's name is empty";
	if (path.len > DIRECTIVE_PATH_MAX)
		return "a file's name is too long";
	for (size_t i = 0; i < path.len; i++)
		if (is_control(path.at[i]))
			return "a file's name holds a control character";
	while (slice_cut(&rest, '/', &part))
		if (slice_eq(part, slice_of("..")))
			return "a file's name holds `..`";
	return NULL;
}

static bool save_to(struct exim_run *run, const struct exim_command *c, struct slice path)
{
	const char *mistake = path_mistake(path);
	struct filter_action *action;

	if (mistake != NULL)
		return filter_fail(&run->gather, FILTER_ERROR, c->line, "%s", mistake);
	tell_command(run, c, "save", path, "");
	if (slice_eq(path, slice_of("/dev/null"))) {
		run->delivered = run->delivered || is_significant(c, true);
		return true;
	}
	if (!act_once(run, c, FILTER_FILE, path, &action))
		return false;
	if (action != NULL)
		action->mode = c->mode;
	return true;
}

static bool run_save(struct exim_run *run, const struct exim_command *c)
{
	struct buf path = exim_room(run);
	bool good = exim_expand(run, c->a, &path) && save_to(run, c, buf_slice(&path));

	buf_free(&path);
	return good;
}

/* ---- pipe ---- */

static void tell_program(struct exim_run *run, const struct exim_command *c, struct slice words)
{
	struct buf line = exim_room(run);
	struct slice word;

	while (slice_cut(&words, '\0', &word)) {
		buf_add_text(&line, line.len > 0 ? " " : "");
		buf_add_slice(&line, word);
	}
	tell_command(run, c, "pipe", buf_slice(&line), "");
	buf_free(&line);
}

static bool run_program(struct exim_run *run, const struct exim_command *c, struct slice words)
{
	struct filter_action *action;

	if (words.at[0] != '/')
		return filter_fail(&run->gather, FILTER_ERROR, c->line, "a program is named by its whole path");
	if (words.len > DIRECTIVE_ARGUMENT_MAX)
		return filter_fail(&run->gather, FILTER_ERROR, c->line, "a command is too long (more than %u bytes)", DIRECTIVE_ARGUMENT_MAX);
	tell_program(run, c, words);
	return act_once(run, c, FILTER_PIPE, words, &action);
}

static bool end_word(struct exim_run *run, const struct exim_command *c, struct buf *words)
{
	if (words->len >= words->max)
		return filter_fail(&run->gather, FILTER_ERROR, c->line, "a command is too long");
	return buf_add_char(words, '\0') || filter_fail(&run->gather, FILTER_LATER, c->line, "no memory");
}

static bool run_pipe(struct exim_run *run, const struct exim_command *c)
{
	struct buf words = exim_room(run);
	bool good = true;

	for (const struct exim_text *t = c->a; good && t != NULL; t = t->next)
		good = exim_expand(run, t, &words) && end_word(run, c, &words);
	good = good && run_program(run, c, buf_slice(&words));
	buf_free(&words);
	return good;
}

/* ---- the end, and what the operator hears ---- */

static bool run_finish(struct exim_run *run, const struct exim_command *c)
{
	run->delivered = run->delivered || c->seen;
	run->finished = true;
	filter_tell(&run->gather, c->line, "%sfinish", c->seen ? "seen " : "");
	return true;
}

static bool end_with(struct exim_run *run, const struct exim_command *c, enum filter_action_kind kind, const char *verb,
		     const char *otherwise)
{
	struct buf text = exim_room(run);
	bool good = c->a == NULL || exim_expand_flat(run, c->a, &text);
	struct slice why = text.len > 0 ? buf_slice(&text) : slice_of(otherwise);

	if (good) {
		tell_command(run, c, verb, why, "");
		good = filter_act(&run->gather, kind, c->line, why) != NULL;
	}
	run->finished = true;
	run->delivered = true;
	buf_free(&text);
	return good;
}

static bool run_fail(struct exim_run *run, const struct exim_command *c)
{
	return end_with(run, c, FILTER_REJECT, "fail", "refused by the recipient's filter");
}

static bool run_freeze(struct exim_run *run, const struct exim_command *c)
{
	return end_with(run, c, FILTER_HOLD, "freeze", "held by the recipient's filter");
}

static bool run_defer(struct exim_run *run, const struct exim_command *c)
{
	struct buf text = exim_room(run), shown = buf_make(512);

	if (c->a == NULL || exim_expand_flat(run, c->a, &text)) {
		filter_show(text.len > 0 ? buf_slice(&text) : slice_of("later, please"), &shown);
		filter_fail(&run->gather, FILTER_LATER, c->line, "the filter defers it: %s", buf_text(&shown));
	}
	buf_free(&text);
	buf_free(&shown);
	return false;
}

/* ---- headers ---- */

static bool is_field_name(struct slice name)
{
	if (name.len == 0 || name.len > FIELD_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= ' ' || name.at[i] > '~' || name.at[i] == ':')
			return false;
	return true;
}

/* One field, unfolded: a line that begins with a blank goes on the one before. */
static bool take_field(struct slice *rest, struct buf *field)
{
	struct slice line;

	buf_clear(field);
	if (!slice_cut(rest, '\n', &line))
		return false;
	buf_add_slice(field, line);
	while (rest->len > 0 && (rest->at[0] == ' ' || rest->at[0] == '\t') && slice_cut(rest, '\n', &line))
		buf_add_slice(field, line);
	return true;
}

static bool add_field(struct exim_run *run, const struct exim_command *c, struct slice field)
{
	size_t colon = slice_index(field, ':');

	for (size_t i = 0; i < field.len; i++)
		if (is_control(field.at[i]) && field.at[i] != '\t')
			return filter_fail(&run->gather, FILTER_ERROR, c->line, "a header line holds a control character");
	if (!is_field_name(slice_sub(field, 0, colon == SLICE_NONE ? 0 : colon)))
		return filter_fail(&run->gather, FILTER_ERROR, c->line, "headers add takes lines like \"X-Name: text\"");
	tell_command(run, c, "headers add", field, "");
	return filter_act(&run->gather, FILTER_ADD_HEADER, c->line, field) != NULL;
}

static bool run_headers_add(struct exim_run *run, const struct exim_command *c)
{
	struct buf text, field = exim_room(run);
	struct slice rest;
	bool good = with_text(run, c, c->a, &text);

	if (!good)
		return false;
	for (rest = buf_slice(&text); good && take_field(&rest, &field);)
		good = field.len == 0 || add_field(run, c, buf_slice(&field));
	buf_free(&field);
	buf_free(&text);
	return good;
}

static bool remove_field(struct exim_run *run, const struct exim_command *c, struct slice name)
{
	if (!is_field_name(name))
		return filter_fail(&run->gather, FILTER_ERROR, c->line, "headers remove takes names, with colons between them");
	tell_command(run, c, "headers remove", name, "");
	return filter_act(&run->gather, FILTER_REMOVE_HEADER, c->line, name) != NULL;
}

static bool run_headers_remove(struct exim_run *run, const struct exim_command *c)
{
	struct buf text;
	struct slice rest, name;
	bool good = with_text(run, c, c->a, &text);

	if (!good)
		return false;
	for (rest = buf_slice(&text); good && slice_cut(&rest, ':', &name);) {
		name = slice_trim(name);
		good = name.len == 0 || remove_field(run, c, name);
	}
	buf_free(&text);
	return good;
}

static bool run_headers_charset(struct exim_run *run, const struct exim_command *c)
{
	filter_tell(&run->gather, c->line, "headers charset: they are read as UTF-8");
	return true;
}

/* ---- the others ---- */

static bool run_add(struct exim_run *run, const struct exim_command *c)
{
	struct buf text;
	int64_t value;

	if (!with_text(run, c, c->a, &text))
		return false;
	if (exim_number(buf_slice(&text), &value)) {
		run->counters[c->mode] += value; /* each is below 2^40, and there are not 2^20 steps */
		filter_tell(&run->gather, c->line, "add %lld to n%u: %lld", (long long)value, c->mode,
			    (long long)run->counters[c->mode]);
	} else {
		tell_command(run, c, "add", buf_slice(&text), " (not a number: nothing is added)");
	}
	buf_free(&text);
	return true;
}

static bool say(struct exim_run *run, const struct exim_command *c, const char *verb, const char *note)
{
	struct buf text = exim_room(run);
	bool good = exim_expand(run, c->a, &text);

	if (good)
		tell_command(run, c, verb, buf_slice(&text), note);
	buf_free(&text);
	return good;
}

static bool run_logfile(struct exim_run *run, const struct exim_command *c)
{
	return say(run, c, "logfile", " (nothing is written)");
}

static bool run_logwrite(struct exim_run *run, const struct exim_command *c)
{
	return say(run, c, "logwrite", " (nothing is written)");
}

/* Told whole, as far as there is room: that is what it is for. */
static bool run_testprint(struct exim_run *run, const struct exim_command *c)
{
	struct buf text = exim_room(run), words = buf_make(FILTER_TOLD_MAX);
	bool good = exim_expand(run, c->a, &text);

	if (good && filter_is_told(&run->gather)) {
		filter_show_up_to(buf_slice(&text), FILTER_TOLD_MAX / 5, &words);
		filter_tell(&run->gather, c->line, "testprint %s", buf_text(&words));
	}
	buf_free(&text);
	buf_free(&words);
	return good;
}

static bool run_if(struct exim_run *run, const struct exim_command *c)
{
	struct slice before = run->this_address;
	const struct exim_branch *b;
	bool holds = false, good = true;

	if (c->open)
		filter_tell(&run->gather, c->line, "this `if` has no `endif`: it ends with the file");
	for (b = c->branches; b != NULL; b = b->next) {
		if (b->test != NULL && !exim_test(run, b->test, &holds))
			return false;
		if (b->test == NULL || holds)
			break;
	}
	if (b != NULL)
		good = exim_run_commands(run, b->commands);
	run->this_address = before;
	return good;
}

static command_fn *const commands[] = {
	[EXIM_ADD] = run_add,
	[EXIM_DELIVER] = run_deliver,
	[EXIM_SAVE] = run_save,
	[EXIM_PIPE] = run_pipe,
	[EXIM_MAIL] = exim_run_mail,
	[EXIM_VACATION] = exim_run_mail,
	[EXIM_FINISH] = run_finish,
	[EXIM_FAIL] = run_fail,
	[EXIM_FREEZE] = run_freeze,
	[EXIM_DEFER] = run_defer,
	[EXIM_HEADERS_ADD] = run_headers_add,
	[EXIM_HEADERS_REMOVE] = run_headers_remove,
	[EXIM_HEADERS_CHARSET] = run_headers_charset,
	[EXIM_LOGFILE] = run_logfile,
	[EXIM_LOGWRITE] = run_logwrite,
	[EXIM_TESTPRINT] = run_testprint,
	[EXIM_IF_COMMAND] = run_if,
};

bool exim_run_commands(struct exim_run *run, const struct exim_command *c)
{
	for (; c != NULL && !run->finished; c = c->next)
		if (!filter_step(&run->gather, c->line, 1) || !commands[c->kind](run, c))
			return false;
	return true;
}
