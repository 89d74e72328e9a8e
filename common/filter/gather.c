#include "filter/gather.h"

#include "base/mem.h"
#include "conf/arena.h"
#include "rules/pattern.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#define SQUARE_A_STEP 2048u /* bytes by bytes, of what a pattern is held against */
#define SHOWN_MAX 72u /* bytes of a text that a trace shows */
#define ARENA_EXTRA (1u << 20) /* beside the texts: what an arena loses at the ends of its blocks */

struct filter_memory {
	struct arena *arena;
};

void filter_gather_begin(struct filter_gather *g, const struct filter_limits *limits, const struct filter_trace *trace,
			 struct filter_result *result)
{
	*g = (struct filter_gather){result, *limits, trace, 0, 0, 0, 0};
	*result = (struct filter_result){FILTER_DONE, "", NULL, 0, NULL};
}

void filter_result_free(struct filter_result *r)
{
	if (r->memory != NULL)
		arena_free(&r->memory->arena);
	free(r->memory);
	free(r->actions);
	*r = (struct filter_result){r->outcome, "", NULL, 0, NULL};
}

static bool drop(struct filter_gather *g, enum filter_outcome outcome, const char *why)
{
	filter_result_free(g->result);
	g->capacity = 0;
	g->result->outcome = outcome;
	snprintf(g->result->why, FILTER_WHY_MAX, "%s", why);
	return false;
}

bool filter_fail(struct filter_gather *g, enum filter_outcome outcome, uint32_t line, const char *why, ...)
{
	char text[FILTER_WHY_MAX];
	int n = line == 0 ? 0 : snprintf(text, sizeof(text), "line %u: ", line);
	va_list args;

	va_start(args, why);
	vsnprintf(text + n, sizeof(text) - (size_t)n, why, args);
	va_end(args);
	return drop(g, outcome, text);
}

static bool no_memory(struct filter_gather *g)
{
	return drop(g, FILTER_LATER, "no memory");
}

bool filter_step(struct filter_gather *g, uint32_t line, uint32_t weight)
{
	if (weight <= g->limits.steps - g->steps) {
		g->steps += weight;
		return true;
	}
	return filter_fail(g, FILTER_ERROR, line, "the filter takes too many steps (more than %u)", g->limits.steps);
}

bool filter_step_pattern(struct filter_gather *g, uint32_t line, uint32_t weight, struct slice *value)
{
	*value = slice_sub(*value, 0, PATTERN_SUBJECT_MAX);
	return filter_step(g, line, weight + (uint32_t)(value->len * value->len / SQUARE_A_STEP));
}

static bool has_arena(struct filter_gather *g)
{
	struct filter_result *r = g->result;

	if (r->memory == NULL)
		r->memory = mem_new(1, sizeof(*r->memory));
	if (r->memory != NULL && r->memory->arena == NULL)
		r->memory->arena = arena_new(g->limits.text + ARENA_EXTRA);
	return r->memory != NULL && r->memory->arena != NULL;
}

bool filter_keep(struct filter_gather *g, uint32_t line, struct slice text, struct slice *kept_out)
{
	char *at;

	*kept_out = slice_empty();
	if (text.len > g->limits.text - g->text)
		return filter_fail(g, FILTER_ERROR, line, "the filter makes too much text (more than %zu bytes)",
				   g->limits.text);
	if (text.len == 0)
		return true;
	at = has_arena(g) ? arena_take(g->result->memory->arena, text.len) : NULL;
	if (at == NULL)
		return no_memory(g);
	memcpy(at, text.at, text.len);
	g->text += text.len;
	*kept_out = slice_make(at, text.len);
	return true;
}

bool filter_keep_digest(struct filter_gather *g, uint32_t line, struct slice what, struct slice *kept_out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	/* In the cage of a mailbox worker the library must not look for its configuration. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
	    EVP_Digest(what.at, what.len, digest, &len, EVP_sha256(), NULL) != 1)
		return no_memory(g);
	return filter_keep(g, line, slice_make((const char *)digest, len), kept_out);
}

static bool makes_mail(enum filter_action_kind kind)
{
	return kind == FILTER_REDIRECT || kind == FILTER_MAIL;
}

struct filter_action *filter_act(struct filter_gather *g, enum filter_action_kind kind, uint32_t line, struct slice text)
{
	struct filter_result *r = g->result;
	void *actions = r->actions;
	struct filter_action a = {.kind = kind, .line = line, .to = {"", 0}, .flags = {"", 0}, .once_key = {"", 0}};

	if (r->count >= g->limits.actions) {
		filter_fail(g, FILTER_ERROR, line, "the filter asks for too much (more than %u things)", g->limits.actions);
		return NULL;
	}
	if (makes_mail(kind) && g->redirects >= g->limits.redirects) {
		filter_fail(g, FILTER_ERROR, line, "the filter sends too many mails (more than %u)", g->limits.redirects);
		return NULL;
	}
	if (!filter_keep(g, line, text, &a.text))
		return NULL;
	if (!mem_grow(&actions, &g->capacity, r->count, sizeof(*r->actions), g->limits.actions)) {
		no_memory(g);
		return NULL;
	}
	r->actions = actions;
	r->actions[r->count] = a;
	g->redirects += makes_mail(kind);
	return &r->actions[r->count++];
}

bool filter_has(const struct filter_gather *g, enum filter_action_kind kind, struct slice text)
{
	for (size_t i = 0; i < g->result->count; i++)
		if (g->result->actions[i].kind == kind && slice_eq(g->result->actions[i].text, text))
			return true;
	return false;
}

/* ---- for people ---- */

void filter_tell(const struct filter_gather *g, uint32_t line, const char *what, ...)
{
	struct buf text = buf_make(FILTER_TOLD_MAX);
	va_list args;

	if (g->trace == NULL)
		return;
	va_start(args, what);
	buf_addv(&text, what, args);
	va_end(args);
	if (buf_ok(&text))
		g->trace->step(g->trace->arg, line, buf_slice(&text));
	buf_free(&text);
}

static void show_char(unsigned char c, struct buf *out)
{
	if (c == '\n')
		buf_add_text(out, "\\n");
	else if (c == '"' || c == '\\')
		buf_addf(out, "\\%c", c);
	else if (c < ' ' || c == 0x7f)
		buf_addf(out, "\\x%02x", c);
	else
		buf_add_char(out, (char)c);
}

void filter_show(struct slice text, struct buf *out)
{
	filter_show_up_to(text, SHOWN_MAX, out);
}

void filter_show_up_to(struct slice text, size_t max, struct buf *out)
{
	struct slice shown = slice_sub(text, 0, max);

	while (shown.len < text.len && shown.len > 0 && ((unsigned char)text.at[shown.len] & 0xc0) == 0x80)
		shown.len--; /* not in the middle of a character */
	buf_add_char(out, '"');
	for (size_t i = 0; i < shown.len; i++)
		show_char((unsigned char)shown.at[i], out);
	buf_add_text(out, shown.len < text.len ? "...\"" : "\"");
}
