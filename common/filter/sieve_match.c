#include "base/utf8.h"
#include "filter/sieve_run.h"

#define PATTERN_WEIGHT 50u /* steps of one match of :regex, which has limits of its own */
#define GLOB_WEIGHT 8u /* octets of work of one step of :matches */
#define COUNT_FIGURES 24u

struct sieve_arg *sieve_keys(const struct sieve_node *node)
{
	struct sieve_arg *last = NULL;

	for (size_t i = 0; i < SIEVE_TAKES_MAX; i++)
		if (node->takes[i] != NULL)
			last = node->takes[i];
	return last;
}

unsigned sieve_pattern_options(const struct sieve_node *node)
{
	return PATTERN_UTF8 | (node->comparator == SIEVE_CASEMAP ? PATTERN_CASELESS : 0);
}

/* ---- :matches ---- */

/* Where a pattern and a value may be tried again: behind a `*` that takes one character more. */
struct glob {
	struct slice pattern, value; /* what is left of both */
	bool fold;
	bool has_star;
	struct slice after_star, star_value; /* left behind the star, and of the value where it ends */
	size_t star_part;
	struct slice *parts;
	size_t count, part; /* how many may be told; the next wildcard */
};

static size_t character(struct slice s)
{
	uint32_t point;
	size_t len = utf8_next(s, &point);

	return len == 0 ? 1 : len;
}

static void tell_part(struct glob *g, size_t part, struct slice text)
{
	if (part < g->count)
		g->parts[part] = text;
}

static void meet_star(struct glob *g)
{
	g->pattern = slice_from(g->pattern, 1);
	g->has_star = true;
	g->after_star = g->pattern;
	g->star_value = g->value;
	g->star_part = g->part++;
	tell_part(g, g->star_part, slice_sub(g->value, 0, 0));
}

/* One more character for the last star; false: there is none, or nothing is left for it. */
static bool widen_star(struct glob *g)
{
	struct slice from;
	size_t more;

	if (!g->has_star || g->star_value.len == 0)
		return false;
	more = character(g->star_value);
	from = g->star_part < g->count ? g->parts[g->star_part] : slice_empty();
	if (from.len == 0)
		from.at = g->star_value.at;
	tell_part(g, g->star_part, slice_make(from.at, from.len + more));
	g->star_value = slice_from(g->star_value, more);
	g->value = g->star_value;
	g->pattern = g->after_star;
	g->part = g->star_part + 1;
	return true;
}

/* One character of the pattern against one of the value. */
static bool step(struct glob *g)
{
	size_t escaped = g->pattern.at[0] == '\\' && g->pattern.len > 1 ? 1 : 0, len;
	char p = g->pattern.at[escaped], v;

	if (g->value.len == 0)
		return false;
	if (p == '?' && !escaped) {
		len = character(g->value);
		tell_part(g, g->part++, slice_sub(g->value, 0, len));
		g->pattern = slice_from(g->pattern, 1);
		g->value = slice_from(g->value, len);
		return true;
	}
	v = g->value.at[0];
	if (g->fold ? ascii_lower(p) != ascii_lower(v) : p != v)
		return false;
	g->pattern = slice_from(g->pattern, 1 + escaped);
	g->value = slice_from(g->value, 1);
	return true;
}

enum pattern_match sieve_glob(struct slice pattern, struct slice value, bool fold, struct slice *parts, size_t count, uint64_t *work,
			      uint64_t most)
{
	struct glob g = {.pattern = pattern, .value = value, .fold = fold, .parts = parts, .count = count};

	for (size_t i = 0; i < count; i++)
		parts[i] = slice_empty();
	while (g.pattern.len > 0 || g.value.len > 0) {
		*work += GLOB_WEIGHT;
		if (*work > most)
			return PATTERN_UNKNOWN;
		if (g.pattern.len > 0 && g.pattern.at[0] == '*')
			meet_star(&g);
		else if ((g.pattern.len == 0 || !step(&g)) && !widen_star(&g))
			return PATTERN_NO;
	}
	return PATTERN_YES;
}

/* ---- :is, :contains, :value ---- */

static bool fold_into(struct buf *out, struct slice s)
{
	buf_clear(out);
	for (size_t i = 0; i < s.len; i++)
		buf_add_char(out, ascii_lower(s.at[i]));
	return buf_ok(out);
}

/* The figures a text begins with, leading zeros left out; false: it has none, and is beyond all numbers (RFC 4790 §9.1). */
static bool number_of(struct slice s, struct slice *out)
{
	size_t n = 0, zeros = 0;

	while (n < s.len && ascii_is_digit(s.at[n]))
		n++;
	while (zeros + 1 < n && s.at[zeros] == '0')
		zeros++;
	*out = slice_sub(s, zeros, n - zeros);
	return n > 0;
}

static int compare_numbers(struct slice a, struct slice b)
{
	bool is_a = number_of(a, &a), is_b = number_of(b, &b);

	if (!is_a || !is_b)
		return is_a == is_b ? 0 : is_a ? -1 : 1;
	return a.len != b.len ? (a.len < b.len ? -1 : 1) : slice_cmp(a, b);
}

static int compare_folded(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		unsigned char x = (unsigned char)ascii_lower(a.at[i]), y = (unsigned char)ascii_lower(b.at[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static int compare(enum sieve_comparator comparator, struct slice a, struct slice b)
{
	if (comparator == SIEVE_NUMERIC)
		return compare_numbers(a, b);
	return comparator == SIEVE_OCTET ? slice_cmp(a, b) : compare_folded(a, b);
}

static bool holds(enum sieve_relation relation, int order)
{
	const bool truths[SIEVE_RELATION_COUNT] = {
		[SIEVE_GT] = order > 0,	 [SIEVE_GE] = order >= 0, [SIEVE_LT] = order < 0,
		[SIEVE_LE] = order <= 0, [SIEVE_EQ] = order == 0, [SIEVE_NE] = order != 0,
	};

	return truths[relation];
}

static bool contains(struct sieve_matcher *m, struct slice value, struct slice key, bool *out)
{
	struct sieve_run *r = m->run;

	if (m->node->comparator == SIEVE_CASEMAP) {
		if (!fold_into(&r->folded_key, key))
			return sieve_no_memory(r);
		value = buf_slice(&r->folded);
		key = buf_slice(&r->folded_key);
	}
	*out = slice_find(value, key) != SLICE_NONE;
	return true;
}

/* ---- one key ---- */

static struct slice key_of(const struct sieve_matcher *m, size_t i)
{
	return m->made == NULL ? m->keys->strings[i].text : m->made[i];
}

static void set_matched(struct sieve_matcher *m, const struct slice parts[PATTERN_GROUPS_MAX])
{
	if (!m->quiet && m->run->tree->matches_kept)
		memcpy(m->run->matched, parts, sizeof(m->run->matched));
}

static bool took_too_long(struct sieve_matcher *m)
{
	return filter_fail(&m->run->gather, FILTER_ERROR, m->node->pos.line, "a pattern takes too long");
}

static bool matches(struct sieve_matcher *m, struct slice value, struct slice key, bool *out)
{
	struct sieve_run *r = m->run;
	struct slice parts[PATTERN_GROUPS_MAX];
	uint64_t work = 0;
	/* what is left of all steps is the bound of one match */
	uint64_t most = ((uint64_t)r->gather.limits.steps - r->gather.steps + 1) * 4096;
	enum pattern_match found =
		sieve_glob(key, value, m->node->comparator == SIEVE_CASEMAP, parts + 1, PATTERN_GROUPS_MAX - 1, &work, most);

	if (found == PATTERN_UNKNOWN)
		return took_too_long(m);
	*out = found == PATTERN_YES;
	parts[0] = value;
	if (*out)
		set_matched(m, parts);
	return sieve_spend(r, m->node->pos.line, work);
}

static bool matches_regex(struct sieve_matcher *m, struct slice value, size_t i, bool *out)
{
	const struct sieve_string *s = &m->keys->strings[i];
	char why[PATTERN_WHY_MAX];
	size_t offset;
	struct slice parts[PATTERN_GROUPS_MAX];
	struct pattern *own = NULL;
	enum pattern_match found;

	if (!filter_step_pattern(&m->run->gather, m->node->pos.line, PATTERN_WEIGHT, &value))
		return false;
	if (s->pattern == NULL) {
		own = pattern_new(NULL, key_of(m, i), sieve_pattern_options(m->node), why, &offset);
		if (own == NULL && why[0] == '\0')
			return sieve_no_memory(m->run);
		if (own == NULL) { /* a sender's text may be in it, and must not end the script */
			filter_tell(&m->run->gather, s->pos.line, "a bad pattern, which matches nothing: %s", why);
			*out = false;
			return true;
		}
	}
	found = pattern_match_groups(own == NULL ? s->pattern : own, value, parts);
	pattern_free(&own);
	*out = found == PATTERN_YES;
	if (*out)
		set_matched(m, parts);
	if (found == PATTERN_NO_MEMORY)
		return sieve_no_memory(m->run);
	return found != PATTERN_UNKNOWN || took_too_long(m);
}

static bool meets_key(struct sieve_matcher *m, struct slice value, size_t i, bool *out)
{
	enum sieve_comparator comparator = (enum sieve_comparator)m->node->comparator;
	struct slice key = key_of(m, i);

	switch ((enum sieve_match)m->node->match) {
	case SIEVE_IS:
		*out = compare(comparator, value, key) == 0;
		return true;
	case SIEVE_CONTAINS:
		return contains(m, value, key, out);
	case SIEVE_MATCHES:
		return matches(m, value, key, out);
	case SIEVE_MATCHES_REGEX:
		return matches_regex(m, value, i, out);
	case SIEVE_COUNT:
	case SIEVE_VALUE:
		*out = holds((enum sieve_relation)m->node->relation, compare(comparator, value, key));
		return true;
	}
	return true;
}

/* ---- the matcher ---- */

static bool has_variables(const struct sieve_arg *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		if (keys->strings[i].pieces != NULL)
			return true;
	return false;
}

bool sieve_matcher_begin(struct sieve_matcher *m, struct sieve_run *r, const struct sieve_node *node)
{
	const struct sieve_arg *keys = sieve_keys(node);

	*m = (struct sieve_matcher){.run = r, .node = node, .keys = keys};
	if (!has_variables(keys))
		return true;
	m->made = sieve_room(r, node->pos.line, keys->count * sizeof(struct slice));
	if (m->made == NULL)
		return false;
	for (size_t i = 0; i < keys->count; i++)
		if (!sieve_text(r, &keys->strings[i], &m->made[i]))
			return false;
	return true;
}

static void tell_found(const struct sieve_matcher *m, struct slice value, struct slice key)
{
	struct buf what = buf_make(FILTER_TOLD_MAX);

	if (filter_is_told(&m->run->gather)) {
		filter_show(value, &what);
		buf_add_text(&what, " meets ");
		filter_show(key, &what);
		filter_tell(&m->run->gather, m->node->pos.line, "%s: %s", m->node->word->name, buf_text(&what));
	}
	buf_free(&what);
}

static bool meet_keys(struct sieve_matcher *m, struct slice value)
{
	bool folds = m->node->match == SIEVE_CONTAINS && m->node->comparator == SIEVE_CASEMAP;

	if (folds && !fold_into(&m->run->folded, value))
		return sieve_no_memory(m->run);
	for (size_t i = 0; i < m->keys->count && !m->found; i++) {
		if (!sieve_spend(m->run, m->node->pos.line, value.len + key_of(m, i).len + 64) || !meets_key(m, value, i, &m->found))
			return false;
		if (m->found)
			tell_found(m, value, key_of(m, i));
	}
	return true;
}

bool sieve_matcher_meet(struct sieve_matcher *m, struct slice value)
{
	m->count++;
	return m->found || m->node->match == SIEVE_COUNT || meet_keys(m, value);
}

bool sieve_matcher_end(struct sieve_matcher *m, bool *out)
{
	struct buf figures = buf_make(COUNT_FIGURES);
	struct sieve_node counts = *m->node;
	bool good = true;

	if (m->node->match == SIEVE_COUNT) {
		const struct sieve_node *node = m->node;

		counts.comparator = SIEVE_NUMERIC; /* RFC 5231 §4.2 */
		m->node = &counts;
		good = buf_addf(&figures, "%llu", (unsigned long long)m->count) && meet_keys(m, buf_slice(&figures));
		m->node = node;
	}
	*out = m->found;
	buf_free(&figures);
	return good;
}
