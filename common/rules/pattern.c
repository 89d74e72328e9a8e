#include "rules/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

#define MATCH_LIMIT 100000u
#define DEPTH_LIMIT 1000u
#define HEAP_LIMIT_KIB 1024u
#define NEST_LIMIT 50u

struct pattern {
	pcre2_code *code;
	pcre2_match_context *limits;
};

/* PCRE2 keeps its objects in the arena, so that they end with the configuration. */
static void *from_arena(PCRE2_SIZE bytes, void *arena)
{
	return arena_take(arena, bytes);
}

static void to_arena(void *at, void *arena)
{
	(void)at;
	(void)arena;
}

static bool contains(struct slice text, const char *needle, size_t *at_out)
{
	*at_out = slice_find(text, slice_of(needle));
	return *at_out != SLICE_NONE;
}

static bool is_refused(struct slice text, char why[PATTERN_WHY_MAX], size_t *offset_out)
{
	*offset_out = 0;
	if (text.len > PATTERN_BYTES_MAX)
		snprintf(why, PATTERN_WHY_MAX, "the pattern is longer than %u bytes",
			 PATTERN_BYTES_MAX);
	else if (slice_starts(text, slice_of("(*")))
		snprintf(why, PATTERN_WHY_MAX, "a pattern must not begin with (*");
	else if (contains(text, "(?C", offset_out))
		snprintf(why, PATTERN_WHY_MAX, "a pattern must not hold callouts");
	else
		return false;
	return true;
}

static bool make_limits(struct pattern *p, pcre2_general_context *memory)
{
	p->limits = pcre2_match_context_create(memory);
	if (p->limits == NULL)
		return false;
	pcre2_set_match_limit(p->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
	return true;
}

struct pattern *pattern_new(struct arena *arena, struct slice text, char why[PATTERN_WHY_MAX],
			    size_t *offset_out)
{
	const uint32_t options =
		PCRE2_CASELESS | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
	pcre2_general_context *memory = pcre2_general_context_create(from_arena, to_arena, arena);
	pcre2_compile_context *how = memory == NULL ? NULL : pcre2_compile_context_create(memory);
	struct pattern *p = arena_take(arena, sizeof(*p));
	int error = 0;

	why[0] = '\0';
	if (how == NULL || p == NULL || is_refused(text, why, offset_out) || !make_limits(p, memory))
		return NULL;
	pcre2_set_parens_nest_limit(how, NEST_LIMIT);
	p->code = pcre2_compile((PCRE2_SPTR)text.at, text.len, options, &error, offset_out, how);
	if (p->code != NULL)
		return p;
	pcre2_get_error_message(error, (PCRE2_UCHAR *)why, PATTERN_WHY_MAX);
	return NULL;
}

enum pattern_match pattern_match(const struct pattern *p, struct slice subject)
{
	pcre2_match_data *data;
	int rc;

	if (subject.len > PATTERN_SUBJECT_MAX)
		return PATTERN_UNKNOWN;
	data = pcre2_match_data_create(1, NULL);
	if (data == NULL)
		return PATTERN_UNKNOWN;
	rc = pcre2_match(p->code, (PCRE2_SPTR)subject.at, subject.len, 0, 0, data, p->limits);
	pcre2_match_data_free(data);
	if (rc >= 0)
		return PATTERN_YES;
	return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_UNKNOWN;
}
