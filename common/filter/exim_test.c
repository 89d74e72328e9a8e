#include "base/mem.h"
#include "filter/exim_run.h"

#include <stdlib.h>

/* A match costs as much as many comparisons: the worst patterns that end within PCRE2's limits take milliseconds. */
#define STEPS_OF_A_MATCH 20u
#define NUMBER_MAX 1000000000000ll
#define ANY_MAX 1000u /* addresses that foranyaddress looks at */

static bool no_memory(struct exim_run *run, uint32_t line)
{
	return filter_fail(&run->gather, FILTER_LATER, line, "no memory");
}

bool exim_number(struct slice text, int64_t *out)
{
	uint64_t value, unit = 1;
	bool negative;

	text = slice_trim(text);
	negative = text.len > 0 && text.at[0] == '-';
	if (text.len > 0 && (text.at[0] == '-' || text.at[0] == '+'))
		text = slice_from(text, 1);
	if (text.len > 0 && ascii_lower(text.at[text.len - 1]) == 'k')
		unit = 1024;
	else if (text.len > 0 && ascii_lower(text.at[text.len - 1]) == 'm')
		unit = 1024 * 1024;
	if (!slice_u64(slice_sub(text, 0, text.len - (unit > 1)), NUMBER_MAX, &value) || value * unit > NUMBER_MAX)
		return false;
	*out = negative ? -(int64_t)(value * unit) : (int64_t)(value * unit);
	return true;
}

/* ---- words for people ---- */

static const char *yes_no(bool holds)
{
	return holds ? "yes" : "no";
}

static void tell_pair(struct exim_run *run, const struct exim_test *t, const char *verb, struct slice a, struct slice b, bool holds,
		      const char *note)
{
	struct buf words = buf_make(FILTER_TOLD_MAX);

	if (!filter_is_told(&run->gather))
		return;
	filter_show(a, &words);
	buf_addf(&words, " %s ", verb);
	filter_show(b, &words);
	filter_tell(&run->gather, t->line, "%s%s: %s", buf_text(&words), note, yes_no(holds));
	buf_free(&words);
}

static const char *verb_of(const struct exim_test *t)
{
	static const char *const verbs[5][2][2] = {
		[EXIM_IS] = {{"is", "IS"}, {"is not", "IS not"}},
		[EXIM_BEGINS] = {{"begins", "BEGINS"}, {"does not begin", "does not BEGIN"}},
		[EXIM_ENDS] = {{"ends", "ENDS"}, {"does not end", "does not END"}},
		[EXIM_CONTAINS] = {{"contains", "CONTAINS"}, {"does not contain", "does not CONTAIN"}},
		[EXIM_MATCHES] = {{"matches", "MATCHES"}, {"does not match", "does not MATCH"}},
	};

	return verbs[t->compare][t->negated][t->cased];
}

static const char *order_of(const struct exim_test *t)
{
	static const char *const orders[8][2] = {
		[EXIM_LESS] = {"is below", "is not below"},
		[EXIM_EQUAL] = {"=", "is not ="},
		[EXIM_LESS | EXIM_EQUAL] = {"<=", "is not <="},
		[EXIM_GREATER] = {"is above", "is not above"},
		[EXIM_GREATER | EXIM_EQUAL] = {">=", "is not >="},
	};
	const char *word = orders[t->order & 7][t->negated];

	return word == NULL ? "?" : word;
}

/* ---- texts ---- */

static void fold(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		b->at[i] = ascii_lower(b->at[i]);
}

static bool ends(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len && slice_eq(slice_from(s, s.len - suffix.len), suffix);
}

/* An empty text is in none, as in Exim (written in capitals it is in each): what is compared with a field that is not there is no match. */
static bool contains(struct slice a, struct slice b, bool cased)
{
	return b.len == 0 ? cased : slice_find(a, b) != SLICE_NONE;
}

static bool compare(const struct exim_test *t, struct slice a, struct slice b)
{
	switch (t->compare) {
	case EXIM_IS:
		return slice_eq(a, b);
	case EXIM_BEGINS:
		return slice_starts(a, b);
	case EXIM_ENDS:
		return ends(a, b) || b.len == 0;
	case EXIM_CONTAINS:
		return contains(a, b, t->cased);
	case EXIM_MATCHES:
		break;
	}
	return false;
}

/* ---- patterns ---- */

static void forget_groups(struct exim_run *run)
{
	if (run->owns_groups) {
		buf_free(&run->groups->text);
		free(run->groups);
	}
	run->groups = NULL;
	run->owns_groups = false;
}

static bool remember_groups(struct exim_run *run, uint32_t line, const struct slice groups[PATTERN_GROUPS_MAX])
{
	struct exim_groups *g = mem_new(1, sizeof(*g));

	if (g == NULL)
		return no_memory(run, line);
	g->text = buf_make(PATTERN_SUBJECT_MAX);
	for (size_t i = 0; i < PATTERN_GROUPS_MAX; i++) {
		bool inside = groups[i].len > 0 && groups[i].at >= groups[0].at &&
			      groups[i].at + groups[i].len <= groups[0].at + groups[0].len;

		g->at[i] = inside ? (size_t)(groups[i].at - groups[0].at) : 0;
		g->len[i] = inside ? groups[i].len : 0;
	}
	if (!buf_add_slice(&g->text, groups[0])) {
		free(g);
		return no_memory(run, line);
	}
	forget_groups(run);
	run->groups = g;
	run->owns_groups = true;
	return true;
}

static bool match(struct exim_run *run, const struct exim_test *t, struct slice a, struct slice b, bool *holds_out)
{
	char why[PATTERN_WHY_MAX];
	size_t offset;
	struct slice groups[PATTERN_GROUPS_MAX];
	struct pattern *p;
	enum pattern_match m;

	if (!filter_step_pattern(&run->gather, t->line, STEPS_OF_A_MATCH, &a))
		return false;
	p = pattern_new(NULL, b, t->cased ? 0 : PATTERN_CASELESS, why, &offset);
	if (p == NULL && why[0] == '\0')
		return no_memory(run, t->line);
	if (p == NULL)
		return filter_fail(&run->gather, FILTER_ERROR, t->line, "the pattern cannot be read: %s", why);
	m = pattern_match_groups(p, a, groups);
	pattern_free(&p);
	if (m == PATTERN_NO_MEMORY)
		return no_memory(run, t->line);
	if (m == PATTERN_UNKNOWN)
		return filter_fail(&run->gather, FILTER_ERROR, t->line, "the pattern takes too long");
	*holds_out = m == PATTERN_YES;
	return m == PATTERN_NO || remember_groups(run, t->line, groups);
}

/* ---- two operands ---- */

static bool compare_any_case(struct exim_run *run, const struct exim_test *t, struct slice a, struct slice b, bool *holds_out)
{
	struct buf x = exim_room(run), y = exim_room(run);
	bool good = buf_add_slice(&x, a) && buf_add_slice(&y, b);

	fold(&x);
	fold(&y);
	*holds_out = compare(t, buf_slice(&x), buf_slice(&y));
	buf_free(&x);
	buf_free(&y);
	return good || no_memory(run, t->line);
}

/* Told as written, also where the case does not count. */
static bool test_compare(struct exim_run *run, const struct exim_test *t, struct buf *a, struct buf *b, bool *holds_out)
{
	struct slice x = buf_slice(a), y = buf_slice(b);
	bool matches = t->compare == EXIM_MATCHES, good = true;

	if (matches)
		good = match(run, t, x, y, holds_out);
	else if (t->cased)
		*holds_out = compare(t, x, y);
	else
		good = compare_any_case(run, t, x, y, holds_out);
	if (!good)
		return false;
	*holds_out = *holds_out != t->negated;
	tell_pair(run, t, verb_of(t), x, y, *holds_out,
		  matches && x.len > PATTERN_SUBJECT_MAX ? " (in its first 2048 bytes)" : "");
	return true;
}

static bool in_order(unsigned order, int c)
{
	return (order & (c < 0 ? (unsigned)EXIM_LESS : c > 0 ? (unsigned)EXIM_GREATER : (unsigned)EXIM_EQUAL)) != 0;
}

/* What is no number is neither above nor below anything: a sender must not be able to stop a filter with it. */
static bool test_numbers(struct exim_run *run, const struct exim_test *t, struct buf *a, struct buf *b, bool *holds_out)
{
	int64_t x, y;
	bool numbers = exim_number(buf_slice(a), &x) && exim_number(buf_slice(b), &y);

	*holds_out = (numbers && in_order(t->order, (x > y) - (x < y))) != t->negated;
	tell_pair(run, t, order_of(t), buf_slice(a), buf_slice(b), *holds_out, numbers ? "" : " (not a number)");
	return true;
}

static bool test_order(struct exim_run *run, const struct exim_test *t, struct buf *a, struct buf *b, bool *holds_out)
{
	if (!t->cased) {
		fold(a);
		fold(b);
	}
	*holds_out = in_order(t->order, slice_cmp(buf_slice(a), buf_slice(b))) != t->negated;
	tell_pair(run, t, order_of(t), buf_slice(a), buf_slice(b), *holds_out, "");
	return true;
}

typedef bool two_fn(struct exim_run *run, const struct exim_test *t, struct buf *a, struct buf *b, bool *holds_out);

static bool with_operands(struct exim_run *run, const struct exim_test *t, two_fn *fn, bool *holds_out)
{
	struct buf a = exim_room(run), b = exim_room(run);
	bool good = exim_expand(run, t->a, &a) && exim_expand(run, t->b, &b) && fn(run, t, &a, &b, holds_out);

	buf_free(&a);
	buf_free(&b);
	return good;
}

/* ---- about the message ---- */

bool exim_is_own(const struct exim_run *run, struct slice address)
{
	size_t at = slice_rindex(address, '@');
	struct slice own = run->message->address, local = slice_sub(address, 0, at), detail = run->local;

	if (slice_eq_nocase(address, own) || slice_eq_nocase(address, run->message->recipient))
		return true;
	if (at == SLICE_NONE || !slice_eq_nocase(slice_from(address, at + 1), run->domain))
		return false;
	for (size_t i = 1; i < detail.len; i++)
		if (slice_index(run->message->separators, detail.at[i]) != SLICE_NONE)
			return slice_eq_nocase(local, slice_sub(detail, 0, i));
	return false;
}

static bool field_is(struct exim_run *run, const char *name, const char *const *values, size_t count, bool *is_out)
{
	struct slice text;

	*is_out = false;
	if (!view_first(run->view, slice_of(name), &text))
		return no_memory(run, 0);
	for (size_t i = 0; i < count; i++)
		*is_out = *is_out || slice_starts_nocase(text, slice_of(values[i]));
	return true;
}

static bool is_listed(struct exim_run *run)
{
	static const char *const names[] = {"list-id",	 "list-help",  "list-subscribe", "list-unsubscribe",
					    "list-post", "list-owner", "list-archive"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (view_field_next(run->view, slice_of(names[i]), 0) != SLICE_NONE)
			return true;
	return false;
}

bool exim_is_human(struct exim_run *run, bool *is_out)
{
	static const char *const bulk[] = {"bulk", "list", "junk"}, *const no[] = {"no"};
	bool is_bulk = false, is_no = true, has_auto = view_field_next(run->view, slice_of("auto-submitted"), 0) != SLICE_NONE;

	*is_out = false;
	if (!field_is(run, "precedence", bulk, ARRAY_LEN(bulk), &is_bulk) ||
	    (has_auto && !field_is(run, "auto-submitted", no, ARRAY_LEN(no), &is_no)))
		return false;
	*is_out = run->message->sender.len > 0 && !is_listed(run) && !is_bulk && is_no;
	return true;
}

static bool is_daemon(struct slice address)
{
	static const char *const names[] = {"server", "daemon", "root", "listserv", "majordomo"};
	struct slice local = slice_sub(address, 0, slice_rindex(address, '@'));

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_nocase(local, slice_of(names[i])))
			return true;
	return slice_ends_nocase(local, slice_of("-request")) || slice_ends_nocase(local, slice_of("-daemon")) ||
	       slice_starts_nocase(local, slice_of("owner-"));
}

/* `aliases`: a LF behind each. */
static bool is_me(const struct exim_run *run, struct slice address, struct slice aliases)
{
	struct slice one;

	if (exim_is_own(run, address))
		return true;
	while (slice_cut(&aliases, '\n', &one))
		if (slice_eq_nocase(one, address))
			return true;
	return false;
}

/* Does a field of that name hold one of them; with `or_daemon` also: one that no person writes from. */
static bool field_names_me(struct exim_run *run, uint32_t line, const char *name, struct slice aliases, bool or_daemon, bool *out)
{
	const struct view_addresses *list;

	*out = false;
	for (size_t i = view_field_next(run->view, slice_of(name), 0); i != SLICE_NONE;
	     i = view_field_next(run->view, slice_of(name), i + 1)) {
		if (!view_field_addresses(run->view, i, &list))
			return no_memory(run, line);
		if (!filter_step(&run->gather, line, (uint32_t)list->count))
			return false;
		for (size_t k = 0; k < list->count && !*out; k++)
			*out = is_me(run, list->at[k].address, aliases) || (or_daemon && is_daemon(list->at[k].address));
	}
	return true;
}

static bool personal(struct exim_run *run, const struct exim_test *t, struct slice aliases, bool *holds_out)
{
	bool human, to_me, from_me;

	if (!exim_is_human(run, &human) || !field_names_me(run, t->line, "to", aliases, false, &to_me) ||
	    !field_names_me(run, t->line, "from", aliases, true, &from_me))
		return false;
	*holds_out = (human && to_me && !from_me) != t->negated;
	filter_tell(&run->gather, t->line, "%spersonal (%s, %s, %s): %s", t->negated ? "not " : "",
		    human ? "from no machine" : "a report, from a list or from a machine",
		    to_me ? "To names you" : "To does not name you", from_me ? "From is you or a daemon" : "From is somebody else",
		    yes_no(*holds_out));
	return true;
}

static bool test_personal(struct exim_run *run, const struct exim_test *t, bool *holds_out)
{
	struct buf aliases = exim_room(run);
	bool good = true;

	for (const struct exim_text *a = t->a; good && a != NULL; a = a->next)
		good = exim_expand_flat(run, a, &aliases) && exim_put(run, t->line, &aliases, slice_of("\n"));
	good = good && personal(run, t, buf_slice(&aliases), holds_out);
	buf_free(&aliases);
	return good;
}

/* ---- for each of a list ---- */

static bool any_of(struct exim_run *run, const struct exim_test *t, const struct view_addresses *list, bool *holds_out)
{
	for (size_t i = 0; i < list->count && i < ANY_MAX; i++) {
		if (!list->at[i].good && slice_index(list->at[i].address, ' ') != SLICE_NONE)
			continue; /* not an address */
		run->this_address = list->at[i].address;
		if (!exim_test(run, t->inner, holds_out))
			return false;
		if (*holds_out)
			return true;
	}
	return true;
}

/* The last address is $thisaddress until the `if` is over, so it is kept with the result's texts. */
static bool test_for_any(struct exim_run *run, const struct exim_test *t, bool *holds_out)
{
	struct buf text = exim_room(run);
	struct arena *arena = arena_new(16 << 20);
	struct view_addresses list = {NULL, 0};
	struct slice before = run->this_address;
	bool good;

	*holds_out = false;
	good = (arena != NULL || no_memory(run, t->line)) && exim_expand_flat(run, t->a, &text);
	good = good && (view_addresses_parse(arena, buf_slice(&text), &list) || no_memory(run, t->line));
	good = good && any_of(run, t, &list, holds_out);
	if (good && run->this_address.at != before.at)
		good = filter_keep(&run->gather, t->line, run->this_address, &run->this_address);
	if (!good)
		run->this_address = before;
	*holds_out = *holds_out != t->negated;
	if (good)
		filter_tell(&run->gather, t->line, "%sforanyaddress, of %zu: %s", t->negated ? "not " : "", list.count,
			    yes_no(*holds_out));
	arena_free(&arena);
	buf_free(&text);
	return good;
}

/* ---- the tree ---- */

static bool test_all(struct exim_run *run, const struct exim_test *t, bool *holds_out)
{
	bool stops_at = t->kind == EXIM_OR;

	*holds_out = !stops_at;
	for (const struct exim_test *i = t->inner; i != NULL && *holds_out != stops_at; i = i->next)
		if (!exim_test(run, i, holds_out))
			return false;
	*holds_out = *holds_out != t->negated;
	return true;
}

static bool test_defined(struct exim_run *run, const struct exim_test *t, bool *holds_out)
{
	const struct exim_part *p = t->a->first;
	struct buf text = exim_room(run);
	bool good = true;

	if (p->kind == EXIM_FIELD) {
		*holds_out = view_field_next(run->view, p->text, 0) != SLICE_NONE;
	} else {
		good = exim_expand(run, t->a, &text);
		*holds_out = text.len > 0;
	}
	buf_free(&text);
	*holds_out = *holds_out != t->negated;
	return good;
}

static bool test_word(struct exim_run *run, const struct exim_test *t, const char *word, bool is, bool *holds_out)
{
	*holds_out = is != t->negated;
	filter_tell(&run->gather, t->line, "%s%s: %s", t->negated ? "not " : "", word, yes_no(*holds_out));
	return true;
}

bool exim_test(struct exim_run *run, const struct exim_test *t, bool *holds_out)
{
	if (!filter_step(&run->gather, t->line, 1))
		return false;
	switch (t->kind) {
	case EXIM_AND:
	case EXIM_OR:
		return test_all(run, t, holds_out);
	case EXIM_COMPARE:
		return with_operands(run, t, test_compare, holds_out);
	case EXIM_NUMBERS:
		return with_operands(run, t, test_numbers, holds_out);
	case EXIM_ORDER:
		return with_operands(run, t, test_order, holds_out);
	case EXIM_DEFINED:
		return test_defined(run, t, holds_out);
	case EXIM_DELIVERED:
		return test_word(run, t, "delivered", run->delivered, holds_out);
	case EXIM_ERROR_MESSAGE:
		return test_word(run, t, "error_message", run->message->sender.len == 0, holds_out);
	case EXIM_FIRST_DELIVERY:
		return test_word(run, t, "first_delivery", true, holds_out);
	case EXIM_MANUALLY_THAWED:
		return test_word(run, t, "manually_thawed", false, holds_out);
	case EXIM_PERSONAL:
		return test_personal(run, t, holds_out);
	case EXIM_FOR_ANY:
		return test_for_any(run, t, holds_out);
	}
	return false;
}
