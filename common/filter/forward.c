#include "filter/forward.h"

#include "base/mem.h"
#include "filter/gather.h"
#include "mail/target_list.h"

#include <stdlib.h>

struct forward {
	struct buf text; /* owned */
};

struct walk {
	struct filter_gather gather;
	const struct filter_message *message;
	struct slice files[FORWARD_DEPTH_MAX]; /* that we are in, borrowed */
	unsigned depth;
	uint32_t items;
	uint32_t line; /* of the .forward file itself, also while we are in another */
	bool thrown_away;
};

static bool ignore(const struct target *target, void *arg)
{
	(void)target;
	(void)arg;
	return true;
}

struct forward *forward_parse(struct slice text, struct filter_mistake *mistake)
{
	struct target_mistake m;
	struct forward *f;

	*mistake = (struct filter_mistake){0, 0, ""};
	if (text.len > FILTER_SOURCE_MAX) {
		*mistake = (struct filter_mistake){1, 1, "the list is too long"};
		return NULL;
	}
	if (target_list_parse(text, ignore, NULL, &m) != TARGET_DONE) {
		*mistake = (struct filter_mistake){m.line, m.column, ""};
		slice_copy(slice_of(m.why), mistake->why, sizeof(mistake->why));
		return NULL;
	}
	f = mem_new(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->text = buf_make(FILTER_SOURCE_MAX);
	if (!buf_add_slice(&f->text, text))
		forward_free(&f);
	return f;
}

void forward_free(struct forward **fp)
{
	if (*fp == NULL)
		return;
	buf_free(&(*fp)->text);
	free(*fp);
	*fp = NULL;
}

/* ---- items ---- */

static bool delay(struct walk *w, const char *why, struct slice what)
{
	return filter_fail(&w->gather, FILTER_LATER, w->line, "%s%.*s", why, SLICE_ARG(slice_sub(what, 0, 120)));
}

static struct slice domain_of(struct slice address)
{
	size_t at = slice_rindex(address, '@');

	return at == SLICE_NONE ? slice_empty() : slice_from(address, at + 1);
}

/* The mailbox itself, as it is being delivered or as it was named. */
static bool is_own(const struct walk *w, struct slice address)
{
	return slice_eq_nocase(address, w->message->address) || slice_eq_nocase(address, w->message->recipient);
}

static bool act(struct walk *w, enum filter_action_kind kind, struct slice text)
{
	return filter_has(&w->gather, kind, text) || filter_act(&w->gather, kind, w->line, text) != NULL;
}

static bool to_address(struct walk *w, struct slice text)
{
	struct buf address = buf_make(1024);
	bool good, own;

	buf_add_slice(&address, text);
	if (slice_index(text, '@') == SLICE_NONE) {
		buf_add_char(&address, '@');
		buf_add_slice(&address, domain_of(w->message->address));
	}
	own = is_own(w, buf_slice(&address));
	filter_tell(&w->gather, w->line, own ? "to %s, the mailbox itself" : "to %s", buf_text(&address));
	good = buf_ok(&address) ? act(w, own ? FILTER_INBOX : FILTER_REDIRECT, own ? slice_empty() : buf_slice(&address))
				: delay(w, "no memory", slice_empty());
	buf_free(&address);
	return good;
}

static bool to_program(struct walk *w, struct slice words)
{
	filter_tell(&w->gather, w->line, "to the program %s", words.at); /* a NUL ends its path */
	return act(w, FILTER_PIPE, words);
}

static bool walk_text(struct walk *w, struct slice text, struct slice file);

static bool has_file(const struct walk *w, struct slice path)
{
	for (unsigned i = 0; i < w->depth; i++)
		if (slice_eq(w->files[i], path))
			return true;
	return false;
}

static bool include_text(struct walk *w, struct slice path, struct buf *text)
{
	switch (w->message->read == NULL ? FILTER_READ_REFUSED : w->message->read(w->message->arg, path, text)) {
	case FILTER_READ_DONE:
		return walk_text(w, buf_slice(text), path);
	case FILTER_READ_MISSING:
		return delay(w, "there is no file to include: ", path);
	case FILTER_READ_REFUSED:
		return delay(w, "this file cannot be included: ", path);
	case FILTER_READ_LATER:
		break;
	}
	return delay(w, "the file to include cannot be read now: ", path);
}

static bool include(struct walk *w, struct slice path)
{
	struct buf copy = buf_make(TARGET_TEXT_MAX), text = buf_make(FILTER_SOURCE_MAX);
	bool good;

	if (w->depth >= FORWARD_DEPTH_MAX)
		return delay(w, "files include each other too deep (more than 10): ", path);
	if (has_file(w, path))
		return delay(w, "this file includes itself: ", path);
	filter_tell(&w->gather, w->line, "including %.*s", SLICE_ARG(path));
	if (!buf_add_slice(&copy, path))
		return delay(w, "no memory", slice_empty());
	w->files[w->depth++] = buf_slice(&copy);
	good = include_text(w, buf_slice(&copy), &text);
	w->depth--;
	buf_free(&text);
	buf_free(&copy);
	return good;
}

static bool take(const struct target *t, void *arg)
{
	struct walk *w = arg;

	if (w->depth == 0)
		w->line = t->line;
	if (!filter_step(&w->gather, w->line, 1))
		return false;
	if (++w->items > FORWARD_WIDTH_MAX)
		return delay(w, "the list leads to too much (more than 1000 items)", slice_empty());
	switch (t->kind) {
	case TARGET_ADDRESS:
	case TARGET_LOCAL_USER:
		return to_address(w, t->text);
	case TARGET_PROGRAM:
		return to_program(w, t->text);
	case TARGET_FILE:
		filter_tell(&w->gather, w->line, "to the file %.*s", SLICE_ARG(t->text));
		return act(w, FILTER_FILE, t->text);
	case TARGET_INCLUDE:
		return include(w, t->text);
	case TARGET_FAIL:
		return act(w, FILTER_REJECT, t->text.len > 0 ? t->text : slice_of("refused by the recipient"));
	case TARGET_DEFER:
		return delay(w, t->text.len > 0 ? "" : "deferred by the recipient", t->text);
	case TARGET_BLACKHOLE:
		w->thrown_away = true;
		filter_tell(&w->gather, w->line, "thrown away");
		return true;
	}
	return false;
}

/* `file`: where it stands, "" for the .forward file itself. */
static bool walk_text(struct walk *w, struct slice text, struct slice file)
{
	struct target_mistake m;

	switch (target_list_parse(text, take, w, &m)) {
	case TARGET_DONE:
		return true;
	case TARGET_BAD:
		return filter_fail(&w->gather, FILTER_LATER, w->line, "%.*s:%u:%u: %s", SLICE_ARG(slice_sub(file, 0, 80)), m.line,
				   m.column, m.why);
	case TARGET_STOPPED:
		break;
	}
	return false;
}

void forward_run(const struct forward *forward, const struct filter_message *message, const struct filter_limits *limits,
		 const struct filter_trace *trace, struct filter_result *result)
{
	struct walk w = {.message = message};
	struct filter_limits own = *limits;

	own.actions = own.redirects = FORWARD_WIDTH_MAX;
	filter_gather_begin(&w.gather, &own, trace, result);
	if (walk_text(&w, buf_slice(&forward->text), slice_empty()) && result->count == 0 && !w.thrown_away)
		filter_act(&w.gather, FILTER_INBOX, 0, slice_empty());
	if (result->outcome == FILTER_ERROR)
		result->outcome = FILTER_LATER; /* a bound was reached: the list is broken */
}
