#include "rules/pattern.h"

#include "base/clock.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * PCRE2 counts its calls anew at each place where a match may begin, and one call may run over the whole subject.  So a match is looked for in
 * pieces of the subject: first with the whole as one piece, and few calls a place; where that is too few, anew in smaller pieces with more, down
 * to one place with all.  calls x places x (length + CALL_COST) is at most WORK_MAX in each piece, and between pieces the time is looked at.
 */
#define WORK_MAX (1u << 25)
#define CALL_COST 100u /* of a call itself, as bytes that it runs over */
#define CALLS_MAX 100000u /* from one place, however short the subject */
#define CPU_MAX_US 100000u
#define DEPTH_LIMIT 1000u
#define HEAP_LIMIT_KIB 1024u
#define NEST_LIMIT 50u

struct pattern {
	pcre2_code *code;
	pcre2_match_context *limits;
	bool utf8, anchored; /* anchored: it matches at the beginning, or nowhere */
};

/* PCRE2 keeps its objects in the arena, so that they end with the configuration. */
static void *from_arena(PCRE2_SIZE bytes, void *arena)
{
	return arena == NULL ? malloc(bytes) : arena_take(arena, bytes);
}

static void to_arena(void *at, void *arena)
{
	if (arena == NULL)
		free(at);
}

static bool contains(struct slice text, const char *needle, size_t *at_out)
{
	*at_out = slice_find(text, slice_of(needle));
	return *at_out != SLICE_NONE;
}

/* \G is where a search began, which is in each piece another place. */
static bool has_escape(struct slice text, char letter, size_t *at_out)
{
	for (size_t i = 0; i + 1 < text.len; i++) {
		*at_out = i;
		if (text.at[i] == '\\' && text.at[++i] == letter)
			return true;
	}
	*at_out = 0;
	return false;
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
	else if (has_escape(text, 'G', offset_out))
		snprintf(why, PATTERN_WHY_MAX, "a pattern must not hold \\G");
	else
		return false;
	return true;
}

static bool make_limits(struct pattern *p, pcre2_general_context *memory)
{
	p->limits = pcre2_match_context_create(memory);
	if (p->limits == NULL)
		return false;
	pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
	return true;
}

static uint32_t options_of(unsigned options)
{
	uint32_t of = PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;

	if (options & PATTERN_CASELESS)
		of |= PCRE2_CASELESS;
	if (options & PATTERN_DOT_ALL)
		of |= PCRE2_DOTALL;
	if (options & PATTERN_EXTENDED)
		of |= PCRE2_EXTENDED;
	if (options & PATTERN_UTF8)
		return of | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
	return of | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
}

static pcre2_code *compile(struct slice text, unsigned options, pcre2_general_context *memory, char why[PATTERN_WHY_MAX],
			   size_t *offset_out)
{
	pcre2_compile_context *how = pcre2_compile_context_create(memory);
	pcre2_code *code;
	int error = 0;

	if (how == NULL)
		return NULL;
	pcre2_set_parens_nest_limit(how, NEST_LIMIT);
	code = pcre2_compile((PCRE2_SPTR)text.at, text.len, options_of(options), &error, offset_out, how);
	if (code == NULL && error != PCRE2_ERROR_HEAP_FAILED)
		pcre2_get_error_message(error, (PCRE2_UCHAR *)why, PATTERN_WHY_MAX);
	pcre2_compile_context_free(how);
	return code;
}

static bool is_anchored(const pcre2_code *code)
{
	uint32_t options = 0;

	return pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options) == 0 && (options & PCRE2_ANCHORED) != 0;
}

struct pattern *pattern_new(struct arena *arena, struct slice text, unsigned options, char why[PATTERN_WHY_MAX],
			    size_t *offset_out)
{
	pcre2_general_context *memory = pcre2_general_context_create(from_arena, to_arena, arena);
	struct pattern *p = memory == NULL ? NULL : from_arena(sizeof(*p), arena);

	why[0] = '\0';
	if (p != NULL) {
		*p = (struct pattern){.utf8 = (options & PATTERN_UTF8) != 0};
		if (!is_refused(text, why, offset_out) && make_limits(p, memory))
			p->code = compile(text, options, memory, why, offset_out);
		if (p->code != NULL)
			p->anchored = is_anchored(p->code);
	}
	if (memory != NULL)
		pcre2_general_context_free(memory);
	if (p != NULL && p->code != NULL)
		return p;
	if (arena == NULL)
		pattern_free(&p);
	return NULL;
}

void pattern_free(struct pattern **pp)
{
	if (*pp == NULL)
		return;
	pcre2_code_free((*pp)->code);
	pcre2_match_context_free((*pp)->limits);
	free(*pp);
	*pp = NULL;
}

unsigned pattern_groups(const struct pattern *p)
{
	uint32_t count = 0;

	(void)pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &count);
	return count;
}

static void tell_groups(pcre2_match_data *data, struct slice subject, struct slice groups[PATTERN_GROUPS_MAX], uint32_t count)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);

	for (uint32_t i = 0; i < PATTERN_GROUPS_MAX; i++) {
		bool took_part = i < count && at[2 * i] != PCRE2_UNSET && at[2 * i] < at[2 * i + 1];

		groups[i] = took_part ? slice_sub(subject, at[2 * i], at[2 * i + 1] - at[2 * i]) : slice_empty();
	}
}

/* What a match needs is taken from the heap, and given back behind it. */
static pcre2_match_data *make_data(uint32_t groups)
{
	pcre2_general_context *memory = pcre2_general_context_create(from_arena, to_arena, NULL);
	pcre2_match_data *data = memory == NULL ? NULL : pcre2_match_data_create(groups, memory);

	if (memory != NULL)
		pcre2_general_context_free(memory);
	return data;
}

static enum pattern_match match_of(int rc)
{
	if (rc >= 0)
		return PATTERN_YES;
	if (rc == PCRE2_ERROR_NOMEMORY)
		return PATTERN_NO_MEMORY;
	return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_UNKNOWN;
}

/* A search: what is known of it, and what comes next. */
struct search {
	const struct pattern *p;
	struct slice subject;
	pcre2_match_data *data; /* owned */
	uint64_t until_us;
	size_t from, places; /* the next piece: a match begins at one of them */
};

/* A match begins where a character does; at the end of the subject is one more place. */
static size_t place_after(const struct search *s, size_t at)
{
	while (s->p->utf8 && at < s->subject.len && ((unsigned char)s->subject.at[at] & 0xc0) == 0x80)
		at++;
	return at;
}

static int match_piece(const struct search *s)
{
	size_t calls = WORK_MAX / ((s->subject.len + CALL_COST) * s->places);

	pcre2_set_match_limit(s->p->limits, (uint32_t)(calls > CALLS_MAX ? CALLS_MAX : calls));
	pcre2_set_offset_limit(s->p->limits, s->from + s->places - 1);
	return pcre2_match(s->p->code, (PCRE2_SPTR)s->subject.at, s->subject.len, s->from, 0, s->data, s->p->limits);
}

/* The first match of all: before it every place was looked at with enough calls. */
static int search(struct search *s)
{
	const size_t all = s->p->anchored ? 1 : s->subject.len + 1;
	int rc = PCRE2_ERROR_NOMATCH;

	s->places = all;
	while (s->from < all) {
		rc = match_piece(s);
		if (rc == PCRE2_ERROR_NOMATCH) {
			s->from = place_after(s, s->from + s->places);
			s->places *= 2;
		} else if (rc == PCRE2_ERROR_MATCHLIMIT && s->places > 1) {
			s->places = (s->places + 7) / 8;
		} else {
			return rc;
		}
		if (s->from + s->places > all)
			s->places = all - s->from;
		if (s->from < all && clock_cpu_us() > s->until_us)
			return PCRE2_ERROR_MATCHLIMIT;
	}
	return rc;
}

static enum pattern_match match(const struct pattern *p, struct slice subject, struct slice *groups)
{
	struct search s = {.p = p, .subject = subject, .until_us = clock_cpu_us() + CPU_MAX_US};
	int rc;

	if (subject.len > PATTERN_SUBJECT_MAX)
		return PATTERN_UNKNOWN;
	s.data = make_data(groups == NULL ? 1 : PATTERN_GROUPS_MAX);
	if (s.data == NULL)
		return PATTERN_NO_MEMORY;
	rc = search(&s);
	if (rc >= 0 && groups != NULL)
		tell_groups(s.data, subject, groups, rc == 0 ? PATTERN_GROUPS_MAX : (uint32_t)rc);
	pcre2_match_data_free(s.data);
	return match_of(rc);
}

enum pattern_match pattern_match(const struct pattern *p, struct slice subject)
{
	return match(p, subject, NULL);
}

enum pattern_match pattern_match_groups(const struct pattern *p, struct slice subject, struct slice groups[PATTERN_GROUPS_MAX])
{
	return match(p, subject, groups);
}
