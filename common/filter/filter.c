#include "filter/filter.h"

#include "base/mem.h"
#include "filter/exim_filter.h"
#include "filter/forward.h"
#include "filter/sieve.h"

#include <stdlib.h>

/* A language: a row of the table below, and what it has made of a text. */
struct filter {
	const struct language *language;
	void *program; /* owned */
};

struct language {
	enum filter_kind kind;
	const char *name;
	bool waits; /* filter_kind_waits */
	const char *word; /* a text is its own that begins with the words "# WORD filter"; NULL: that is no other's */
	void *(*compile)(struct slice text, struct filter_mistake *mistake);
	void (*run)(const void *program, const struct filter_message *message, const struct filter_limits *limits,
		    const struct filter_trace *trace, struct filter_result *result);
	void (*free)(void *program);
};

static void *compile_exim(struct slice text, struct filter_mistake *mistake)
{
	return exim_filter_compile(text, mistake);
}

static void run_exim(const void *program, const struct filter_message *message, const struct filter_limits *limits,
		     const struct filter_trace *trace, struct filter_result *result)
{
	exim_filter_run(program, message, limits, trace, result);
}

static void free_exim(void *program)
{
	struct exim_filter *f = program;

	exim_filter_free(&f);
}

static void *compile_forward(struct slice text, struct filter_mistake *mistake)
{
	return forward_parse(text, mistake);
}

static void run_forward(const void *program, const struct filter_message *message, const struct filter_limits *limits,
			const struct filter_trace *trace, struct filter_result *result)
{
	forward_run(program, message, limits, trace, result);
}

static void free_forward(void *program)
{
	struct forward *f = program;

	forward_free(&f);
}

static void *compile_sieve(struct slice text, struct filter_mistake *mistake)
{
	return sieve_compile(text, mistake);
}

static void run_sieve(const void *program, const struct filter_message *message, const struct filter_limits *limits,
		      const struct filter_trace *trace, struct filter_result *result)
{
	sieve_run(program, message, limits, trace, result);
}

static void free_sieve(void *program)
{
	struct sieve *s = program;

	sieve_free(&s);
}

static const struct language languages[] = {
	{FILTER_KIND_SIEVE, "Sieve filter", false, "sieve", compile_sieve, run_sieve, free_sieve},
	{FILTER_KIND_EXIM, "Exim filter", true, "exim", compile_exim, run_exim, free_exim},
	{FILTER_KIND_FORWARD, "forward list", true, NULL, compile_forward, run_forward, free_forward},
};

static const struct language *find(enum filter_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		if (languages[i].kind == kind)
			return &languages[i];
	return NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice skip_blanks(struct slice text)
{
	while (text.len > 0 && is_blank(text.at[0]))
		text = slice_from(text, 1);
	return text;
}

/* In any case, blanks anywhere between. */
static bool begins_with(struct slice text, const char *word)
{
	const char *const words[] = {"#", word, "filter"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		text = skip_blanks(text);
		if (!slice_starts_nocase(text, slice_of(words[i])))
			return false;
		text = slice_from(text, strlen(words[i]));
	}
	return text.len == 0 || !ascii_is_alnum(text.at[0]);
}

enum filter_kind filter_kind_of(struct slice text)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		if (languages[i].word == NULL || begins_with(text, languages[i].word))
			return languages[i].kind;
	return FILTER_KIND_FORWARD;
}

const char *filter_kind_name(enum filter_kind kind)
{
	const struct language *l = find(kind);

	return l == NULL ? "filter" : l->name;
}

bool filter_kind_waits(enum filter_kind kind)
{
	const struct language *l = find(kind);

	return l == NULL || l->waits;
}

struct filter *filter_compile(struct slice text, enum filter_kind kind, struct filter_mistake *mistake)
{
	const struct language *l = find(kind == FILTER_KIND_ANY ? filter_kind_of(text) : kind);
	struct filter *f = l == NULL ? NULL : mem_new(1, sizeof(*f));

	*mistake = (struct filter_mistake){0, 0, ""};
	if (f == NULL)
		return NULL;
	f->language = l;
	f->program = l->compile(text, mistake);
	if (f->program == NULL)
		filter_free(&f);
	return f;
}

enum filter_kind filter_kind(const struct filter *f)
{
	return f->language->kind;
}

void filter_run(const struct filter *f, const struct filter_message *message, const struct filter_limits *limits,
		const struct filter_trace *trace, struct filter_result *result)
{
	f->language->run(f->program, message, limits, trace, result);
}

void filter_free(struct filter **fp)
{
	if (*fp == NULL)
		return;
	if ((*fp)->program != NULL)
		(*fp)->language->free((*fp)->program);
	free(*fp);
	*fp = NULL;
}
