#include "filter/exim_filter.h"

#include "base/mem.h"
#include "filter/exim_parse.h"
#include "filter/exim_run.h"

#include <stdio.h>
#include <stdlib.h>

/* More than a text of FILTER_SOURCE_MAX can become: see exim_no_memory. */
#define ARENA_MAX (64u << 20)

struct exim_filter *exim_filter_compile(struct slice text, struct filter_mistake *mistake)
{
	struct exim_source s = {text, 0, 1, NULL, 0, mistake};
	struct exim_filter *f;

	*mistake = (struct filter_mistake){0, 0, ""};
	if (text.len > FILTER_SOURCE_MAX) {
		exim_mistake(&s, FILTER_SOURCE_MAX, "the filter is longer than %u bytes", FILTER_SOURCE_MAX);
		return NULL;
	}
	f = mem_new(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->arena = s.arena = arena_new(ARENA_MAX);
	if (f->arena == NULL || !exim_commands_parse(&s, &f->commands))
		exim_filter_free(&f);
	return f;
}

void exim_filter_free(struct exim_filter **fp)
{
	if (*fp == NULL)
		return;
	arena_free(&(*fp)->arena);
	free(*fp);
	*fp = NULL;
}

static bool see_message(struct exim_run *run, uint64_t body_max)
{
	size_t at = slice_rindex(run->message->address, '@');

	run->local = slice_sub(run->message->address, 0, at);
	run->domain = at == SLICE_NONE ? slice_empty() : slice_from(run->message->address, at + 1);
	switch (view_new(run->message, body_max, &run->view)) {
	case VIEW_MADE:
		return true;
	case VIEW_TOO_MANY_FIELDS:
		return filter_fail(&run->gather, FILTER_ERROR, 0, "the message has more than %u header fields", VIEW_FIELDS_MAX);
	case VIEW_NO_MEMORY:
		break;
	}
	return filter_fail(&run->gather, FILTER_LATER, 0, "no memory");
}

static void keep_in_inbox(struct exim_run *run)
{
	if (run->delivered || filter_has(&run->gather, FILTER_INBOX, slice_empty()))
		return;
	if (filter_act(&run->gather, FILTER_INBOX, 0, slice_empty()) != NULL)
		filter_tell(&run->gather, 0, "nothing took it: into the inbox");
}

void exim_filter_run(const struct exim_filter *filter, const struct filter_message *message, const struct filter_limits *limits,
		     const struct filter_trace *trace, struct filter_result *result)
{
	struct exim_run run = {.message = message};

	filter_gather_begin(&run.gather, limits, trace, result);
	if (see_message(&run, limits->body) && exim_run_commands(&run, filter->commands))
		keep_in_inbox(&run);
	if (run.owns_groups) {
		buf_free(&run.groups->text);
		free(run.groups);
	}
	view_free(&run.view);
}
