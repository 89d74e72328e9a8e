#include "base/mem.h"
#include "filter/exim_run.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES_A_STEP 256u /* of text: what long texts cost is counted */

static bool add(struct exim_run *run, uint32_t line, struct buf *out, struct slice text)
{
	if (text.len > out->max - out->len)
		return filter_fail(&run->gather, FILTER_ERROR, line, "the filter makes too much text (more than %zu bytes)", out->max);
	if (!filter_step(&run->gather, line, (uint32_t)(text.len / BYTES_A_STEP)))
		return false;
	return buf_add_slice(out, text) || filter_fail(&run->gather, FILTER_LATER, line, "no memory");
}

bool exim_put(struct exim_run *run, uint32_t line, struct buf *out, struct slice text)
{
	size_t start = out->len;

	if (!add(run, line, out, text))
		return false;
	for (size_t i = start; i < out->len; i++) {
		char c = out->at[i];

		if (c == '\0')
			out->at[i] = '?';
		else if (run->flat && (c == '\n' || c == '\r'))
			out->at[i] = ' ';
	}
	return true;
}

/* ---- functions ---- */

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool put_case(struct exim_run *run, uint32_t line, struct slice text, bool lower, struct buf *out)
{
	size_t start = out->len;

	if (!add(run, line, out, text))
		return false;
	for (size_t i = start; i < out->len; i++)
		out->at[i] = lower ? ascii_lower(out->at[i]) : upper(out->at[i]);
	return true;
}

static bool read_number(struct exim_run *run, uint32_t line, struct slice text, int64_t *out)
{
	return exim_number(text, out) || filter_fail(&run->gather, FILTER_ERROR, line, "a number expected in ${length or ${substr");
}

/* `start` and `length` as Exim counts: from the right when negative; without a length (-1) what lies on that side of it. */
static struct slice substring(struct slice text, int64_t start, int64_t length)
{
	int64_t size = (int64_t)text.len;

	if (start >= 0)
		return start >= size ? slice_empty() : slice_sub(text, (size_t)start, length < 0 ? SIZE_MAX : (size_t)length);
	start += size;
	if (length < 0)
		return start <= 0 ? slice_empty() : slice_sub(text, 0, (size_t)start);
	if (start < 0) {
		length += start;
		start = 0;
	}
	return length <= 0 ? slice_empty() : slice_sub(text, (size_t)start, (size_t)length);
}

static bool put_substring(struct exim_run *run, uint32_t line, const struct slice *args, size_t count, struct buf *out)
{
	int64_t start, length = -1;

	if (!read_number(run, line, args[0], &start) || (count > 2 && !read_number(run, line, args[1], &length)))
		return false;
	if (count > 2 && length < 0)
		length = 0;
	return add(run, line, out, substring(args[count - 1], start, length));
}

static bool put_length(struct exim_run *run, uint32_t line, const struct slice *args, struct buf *out)
{
	int64_t length;

	if (!read_number(run, line, args[0], &length))
		return false;
	return add(run, line, out, slice_sub(args[1], 0, length < 0 ? 0 : (size_t)length));
}

static bool is_bare(char c)
{
	return ascii_is_alnum(c) || c == '_' || c == '.' || c == '-';
}

/* In quotes, unless it needs none in any place: fit for the local part of an address. */
static bool put_quoted(struct exim_run *run, uint32_t line, struct slice text, struct buf *out)
{
	bool plain = text.len > 0;

	for (size_t i = 0; plain && i < text.len; i++)
		plain = is_bare(text.at[i]);
	if (plain)
		return add(run, line, out, text);
	if (!add(run, line, out, slice_of("\"")))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if ((c == '"' || c == '\\') && !add(run, line, out, slice_of("\\")))
			return false;
		if (!add(run, line, out, c == '\n' ? slice_of("\\n") : slice_sub(text, i, 1)))
			return false;
	}
	return add(run, line, out, slice_of("\""));
}

/* Such that a pattern matches just that. */
static bool put_pattern_quoted(struct exim_run *run, uint32_t line, struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		bool plain = ascii_is_alnum(text.at[i]) || text.at[i] == '_' || (unsigned char)text.at[i] >= 0x80;

		if ((!plain && !add(run, line, out, slice_of("\\"))) || !add(run, line, out, slice_sub(text, i, 1)))
			return false;
	}
	return true;
}

/* ${local_part:, ${domain:, ${address: of the first address in it; "" where there is none. */
static bool put_address(struct exim_run *run, uint32_t line, enum exim_function function, struct slice text, struct buf *out)
{
	struct arena *arena = arena_new(1 << 20);
	struct view_addresses list = {NULL, 0};
	struct slice address = slice_empty(), part;
	size_t at;
	bool good;

	if (arena == NULL || !view_addresses_parse(arena, slice_sub(text, 0, 4096), &list)) {
		arena_free(&arena);
		return filter_fail(&run->gather, FILTER_LATER, line, "no memory");
	}
	if (list.count == 1 && (list.at[0].good || slice_index(list.at[0].address, ' ') == SLICE_NONE))
		address = list.at[0].address;
	at = slice_rindex(address, '@');
	part = function == EXIM_ADDRESS	   ? address
	       : function == EXIM_DOMAIN ? (at == SLICE_NONE ? slice_empty() : slice_from(address, at + 1))
					 : slice_sub(address, 0, at);
	good = exim_put(run, line, out, part);
	arena_free(&arena);
	return good;
}

static bool put_call(struct exim_run *run, uint32_t line, enum exim_function function, const struct slice *args, size_t count,
		     struct buf *out)
{
	char number[24];

	switch (function) {
	case EXIM_LC:
	case EXIM_UC:
		return put_case(run, line, args[0], function == EXIM_LC, out);
	case EXIM_LENGTH:
		return put_length(run, line, args, out);
	case EXIM_SUBSTR:
		return put_substring(run, line, args, count, out);
	case EXIM_STRLEN:
		snprintf(number, sizeof(number), "%zu", args[0].len);
		return add(run, line, out, slice_of(number));
	case EXIM_LOCAL_PART:
	case EXIM_DOMAIN:
	case EXIM_ADDRESS:
		return put_address(run, line, function, args[0], out);
	case EXIM_QUOTE:
		return put_quoted(run, line, args[0], out);
	case EXIM_RXQUOTE:
		return put_pattern_quoted(run, line, args[0], out);
	}
	return false;
}

#define ARGS_MAX 3u

static bool run_call(struct exim_run *run, uint32_t line, const struct exim_part *p, struct buf *out)
{
	struct buf bufs[ARGS_MAX];
	struct slice args[ARGS_MAX] = {slice_empty(), slice_empty(), slice_empty()};
	size_t count = 0;
	bool good = true;

	for (const struct exim_text *t = p->args; good && t != NULL && count < ARGS_MAX; t = t->next) {
		bufs[count] = exim_room(run);
		good = exim_expand(run, t, &bufs[count]);
		args[count] = buf_slice(&bufs[count]);
		count++;
	}
	good = good && put_call(run, line, (enum exim_function)p->which, args, count, out);
	while (count > 0)
		buf_free(&bufs[--count]);
	return good;
}

/* ---- parts ---- */

/* What ${if matches is forgotten behind it. */
static bool run_if(struct exim_run *run, uint32_t line, const struct exim_part *p, struct buf *out)
{
	struct exim_groups *groups = run->groups;
	bool owns = run->owns_groups, holds, good;
	const struct exim_text *taken;

	run->owns_groups = false;
	good = exim_test(run, p->test, &holds);
	if (good && p->args == NULL) {
		good = add(run, line, out, slice_of(holds ? "true" : ""));
	} else if (good) {
		taken = holds ? p->args : p->args->next;
		good = taken == NULL || exim_expand(run, taken, out);
	}
	if (run->owns_groups) {
		buf_free(&run->groups->text);
		free(run->groups);
	}
	run->groups = groups;
	run->owns_groups = owns;
	return good;
}

static bool put_group(struct exim_run *run, uint32_t line, int which, struct buf *out)
{
	const struct exim_groups *g = run->groups;

	if (g == NULL || which >= (int)PATTERN_GROUPS_MAX)
		return true;
	return exim_put(run, line, out, slice_sub(buf_slice(&g->text), g->at[which], g->len[which]));
}

static bool put_counter(struct exim_run *run, uint32_t line, int which, struct buf *out)
{
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)run->counters[which]);
	return add(run, line, out, slice_of(number));
}

static bool put_part(struct exim_run *run, uint32_t line, const struct exim_part *p, struct buf *out)
{
	switch (p->kind) {
	case EXIM_PLAIN:
		return add(run, line, out, p->text);
	case EXIM_VARIABLE:
		return exim_variable_put(run, p->which, line, out);
	case EXIM_COUNTER:
		return put_counter(run, line, p->which, out);
	case EXIM_GROUP:
		return put_group(run, line, p->which, out);
	case EXIM_FIELD:
		return exim_field_put(run, p->text, (enum exim_field_form)p->which, line, out);
	case EXIM_IF:
		return run_if(run, line, p, out);
	case EXIM_CALL:
		return run_call(run, line, p, out);
	}
	return false;
}

bool exim_expand(struct exim_run *run, const struct exim_text *text, struct buf *out)
{
	for (const struct exim_part *p = text->first; p != NULL; p = p->next) {
		if (p->kind != EXIM_PLAIN && !filter_step(&run->gather, text->line, 1))
			return false;
		if (!put_part(run, text->line, p, out))
			return false;
	}
	return true;
}

bool exim_expand_flat(struct exim_run *run, const struct exim_text *text, struct buf *out)
{
	bool good;

	run->flat = true;
	good = exim_expand(run, text, out);
	run->flat = false;
	return good;
}
