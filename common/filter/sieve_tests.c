#include "filter/sieve_run.h"

/* ---- RFC 5228 §5 ---- */

bool sieve_test_true(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	(void)r;
	(void)node;
	*out = true;
	return true;
}

bool sieve_test_false(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	(void)r;
	(void)node;
	*out = false;
	return true;
}

bool sieve_test_not(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	if (!sieve_test(r, &node->tests[0], out))
		return false;
	*out = !*out;
	return true;
}

/* Tests are carried out up to the first that decides. */
static bool until(struct sieve_run *r, const struct sieve_node *node, bool decides, bool *out)
{
	*out = !decides;
	for (size_t i = 0; i < node->test_count && *out != decides; i++)
		if (!sieve_test(r, &node->tests[i], out))
			return false;
	return true;
}

bool sieve_test_allof(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	return until(r, node, false, out);
}

bool sieve_test_anyof(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	return until(r, node, true, out);
}

bool sieve_test_exists(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	const struct sieve_arg *names = node->takes[0];

	*out = true;
	for (size_t i = 0; i < names->count && *out; i++) {
		struct slice name;

		if (!sieve_text(r, &names->strings[i], &name) || !sieve_spend(r, node->pos.line, view_field_count(r->view) * 8))
			return false;
		*out = name.len > 0 && view_field_next(r->view, name, 0) != SLICE_NONE;
	}
	return true;
}

bool sieve_test_size(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	uint64_t limit = node->takes[0]->number;

	*out = sieve_has_tag(node, SIEVE_TAG_OVER) ? r->message->size > limit : r->message->size < limit;
	return true;
}

/* Which field of a name: the n-th, perhaps from the end (RFC 5260 §6); 0: all. */
static uint64_t index_of(const struct sieve_node *node)
{
	const struct sieve_arg *index = sieve_tag_value(node, SIEVE_TAG_INDEX);

	return index == NULL ? 0 : index->number;
}

static size_t count_fields(const struct sieve_run *r, struct slice name)
{
	size_t count = 0;

	for (size_t at = view_field_next(r->view, name, 0); at != SLICE_NONE; at = view_field_next(r->view, name, at + 1))
		count++;
	return count;
}

typedef bool field_fn(struct sieve_run *r, const struct sieve_node *node, size_t field, struct sieve_matcher *m);

static bool each_field(struct sieve_run *r, const struct sieve_node *node, struct slice name, field_fn *fn, struct sieve_matcher *m)
{
	uint64_t wanted = index_of(node), number = 0, count;

	if (name.len == 0)
		return true;
	if (!sieve_spend(r, node->pos.line, view_field_count(r->view) * 8))
		return false;
	count = sieve_has_tag(node, SIEVE_TAG_LAST) ? count_fields(r, name) : 0;
	if (count > 0)
		wanted = wanted > count ? UINT64_MAX : count + 1 - wanted;
	for (size_t at = view_field_next(r->view, name, 0); at != SLICE_NONE && !m->found; at = view_field_next(r->view, name, at + 1))
		if ((wanted == 0 || ++number == wanted) && !fn(r, node, at, m))
			return false;
	return true;
}

/* Every field of every name. */
static bool compare_fields(struct sieve_run *r, const struct sieve_node *node, field_fn *fn, bool *out)
{
	const struct sieve_arg *names = node->takes[0];
	struct sieve_matcher m;

	if (!sieve_matcher_begin(&m, r, node))
		return false;
	for (size_t i = 0; i < names->count && !m.found; i++) {
		struct slice name;

		if (!sieve_text(r, &names->strings[i], &name) || !each_field(r, node, name, fn, &m))
			return false;
	}
	return sieve_matcher_end(&m, out);
}

static bool meet_field(struct sieve_run *r, const struct sieve_node *node, size_t field, struct sieve_matcher *m)
{
	struct slice value;

	(void)node;
	return view_field_decoded(r->view, field, &value) ? sieve_matcher_meet(m, value) : sieve_no_memory(r);
}

bool sieve_test_header(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	return compare_fields(r, node, meet_field, out);
}

/* ---- addresses (RFC 5228 §5.1, §5.4; RFC 5233) ---- */

struct parts {
	struct slice all, local, domain;
};

/* `:count` counts addresses (RFC 5231 §4.2), whatever part is asked for. */
static enum sieve_tag part_of(const struct sieve_node *node)
{
	if (node->match == SIEVE_COUNT)
		return SIEVE_TAG_ALL;
	for (size_t i = 0; i < node->tag_count; i++)
		if (node->tags[i].word->group == SIEVE_TAG_ALL)
			return sieve_tag_of(node->tags[i].word);
	return SIEVE_TAG_ALL;
}

/* Where the detail begins, its separator counted; SLICE_NONE: there is none. */
static size_t separator(const struct sieve_run *r, struct slice local)
{
	for (size_t i = 0; i < local.len; i++)
		if (slice_index(r->message->separators, local.at[i]) != SLICE_NONE)
			return i;
	return SLICE_NONE;
}

/* False: it has no such part. */
static bool cut_part(const struct sieve_run *r, enum sieve_tag part, const struct parts *a, struct slice *out)
{
	size_t at = separator(r, a->local);

	*out = part == SIEVE_TAG_ALL ? a->all : part == SIEVE_TAG_DOMAIN ? a->domain : a->local;
	if (part == SIEVE_TAG_USER && at != SLICE_NONE)
		*out = slice_sub(a->local, 0, at);
	if (part == SIEVE_TAG_DETAIL && at != SLICE_NONE)
		*out = slice_from(a->local, at + 1);
	return part != SIEVE_TAG_DETAIL || at != SLICE_NONE;
}

static bool meet_part(struct sieve_run *r, const struct sieve_node *node, const struct parts *a, struct sieve_matcher *m)
{
	struct slice value;

	return !cut_part(r, part_of(node), a, &value) || sieve_matcher_meet(m, value);
}

static bool meet_addresses(struct sieve_run *r, const struct sieve_node *node, size_t field, struct sieve_matcher *m)
{
	const struct view_addresses *list;

	if (!sieve_spend(r, node->pos.line, view_field_at(r->view, field)->raw.len))
		return false;
	if (!view_field_addresses(r->view, field, &list))
		return sieve_no_memory(r);
	for (size_t i = 0; i < list->count && !m->found; i++) {
		const struct view_address *a = &list->at[i];
		struct parts parts = {a->address, a->local, a->domain};

		if ((a->good || part_of(node) == SIEVE_TAG_ALL) && !meet_part(r, node, &parts, m))
			return false;
	}
	return true;
}

bool sieve_test_address(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	return compare_fields(r, node, meet_addresses, out);
}

/* The null sender is "" whatever part is asked for. */
static bool meet_envelope(struct sieve_run *r, const struct sieve_node *node, const struct sieve_envelope *e, struct sieve_matcher *m)
{
	struct parts parts = {e->text, e->text, slice_empty()};

	if (e->good)
		parts = (struct parts){e->text, mail_address_plain(&e->address), mail_address_domain(&e->address)};
	return e->text.len == 0 ? sieve_matcher_meet(m, e->text) : meet_part(r, node, &parts, m);
}

bool sieve_test_envelope(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	const struct sieve_arg *names = node->takes[0];
	struct sieve_matcher m;
	bool good = sieve_matcher_begin(&m, r, node);

	for (size_t i = 0; good && i < names->count && !m.found; i++) {
		struct slice name = slice_empty();

		good = sieve_text(r, &names->strings[i], &name);
		if (good && slice_eq_nocase(name, slice_of("from")))
			good = meet_envelope(r, node, &r->sender, &m);
		else if (good && slice_eq_nocase(name, slice_of("to")))
			good = meet_envelope(r, node, &r->recipient, &m);
	}
	return good && sieve_matcher_end(&m, out);
}

/* ---- the body (RFC 5173) ---- */

/* "" is every type, "text" all of it, "text/html" that one (§5.2). */
static bool is_type(struct slice wanted, struct slice type)
{
	size_t slash = slice_index(wanted, '/');

	if (wanted.len == 0)
		return true;
	if (slash == 0 || slash + 1 == wanted.len || (slash != SLICE_NONE && slice_index(slice_from(wanted, slash + 1), '/') != SLICE_NONE))
		return false;
	if (slash != SLICE_NONE)
		return slice_eq_nocase(wanted, type);
	return slice_starts_nocase(type, wanted) && type.len > wanted.len && type.at[wanted.len] == '/';
}

static bool is_wanted(struct sieve_run *r, const struct sieve_arg *types, struct slice type, bool *out)
{
	*out = types == NULL && is_type(slice_of("text"), type);
	for (size_t i = 0; types != NULL && i < types->count && !*out; i++) {
		struct slice wanted;

		if (!sieve_text(r, &types->strings[i], &wanted))
			return false;
		*out = is_type(wanted, type);
	}
	return true;
}

static bool meet_html(struct sieve_run *r, struct slice html, struct sieve_matcher *m)
{
	struct buf text = buf_make(html.len);
	bool good = view_html_text(html, &text) || sieve_no_memory(r);

	good = good && sieve_matcher_meet(m, buf_slice(&text));
	buf_free(&text);
	return good;
}

static bool meet_part_of_body(struct sieve_run *r, const struct sieve_node *node, const struct view_part *part, struct sieve_matcher *m)
{
	const struct sieve_arg *types = sieve_tag_value(node, SIEVE_TAG_CONTENT);
	bool wanted;

	if (!filter_step(&r->gather, node->pos.line, 1) || !is_wanted(r, types, part->type, &wanted))
		return false;
	if (!wanted)
		return true;
	if (types == NULL && slice_eq(part->type, slice_of("text/html")))
		return meet_html(r, part->content, m);
	return sieve_matcher_meet(m, part->content) && (part->epilogue.len == 0 || m->found || sieve_matcher_meet(m, part->epilogue));
}

static bool meet_parts(struct sieve_run *r, const struct sieve_node *node, struct sieve_matcher *m)
{
	const struct view_part *parts;
	size_t count;

	if (!view_parts(r->view, &parts, &count))
		return sieve_no_memory(r);
	for (size_t i = 0; i < count && !m->found; i++)
		if (!meet_part_of_body(r, node, &parts[i], m))
			return false;
	return true;
}

bool sieve_test_body(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	struct sieve_matcher m;
	struct slice body;
	bool good = sieve_matcher_begin(&m, r, node);

	m.quiet = true; /* §6: match variables are none of it */
	if (good && sieve_has_tag(node, SIEVE_TAG_RAW))
		good = view_body(r->view, &body) ? sieve_matcher_meet(&m, body) : sieve_no_memory(r);
	else if (good)
		good = meet_parts(r, node, &m);
	return good && sieve_matcher_end(&m, out);
}

/* ---- string (RFC 5229 §5), mailboxexists (5490 §3.1), environment (5183) ---- */

bool sieve_test_string(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	const struct sieve_arg *values = node->takes[0];
	struct sieve_matcher m;
	bool good = sieve_matcher_begin(&m, r, node);

	for (size_t i = 0; good && i < values->count && !m.found; i++) {
		struct slice value = slice_empty();

		good = sieve_text(r, &values->strings[i], &value);
		if (good && (value.len > 0 || node->match != SIEVE_COUNT)) /* empty ones do not count */
			good = sieve_matcher_meet(&m, value);
	}
	return good && sieve_matcher_end(&m, out);
}

bool sieve_test_mailboxexists(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	const struct sieve_arg *names = node->takes[0];

	*out = true;
	for (size_t i = 0; i < names->count && *out; i++) {
		struct slice name;

		if (!sieve_text(r, &names->strings[i], &name) || !sieve_spend(r, node->pos.line, 4096))
			return false;
		*out = slice_eq_nocase(name, slice_of("INBOX")) ||
		       (r->message->has_folder != NULL && sieve_is_folder(name) && r->message->has_folder(r->message->arg, name));
	}
	return true;
}

/* False: we do not know it. */
static bool environment(const struct sieve_run *r, struct slice name, struct slice *out)
{
	size_t at = slice_rindex(r->message->address, '@');

	*out = slice_empty();
	if (slice_eq_nocase(name, slice_of("host")))
		*out = r->message->host;
	else if (slice_eq_nocase(name, slice_of("domain")))
		*out = at == SLICE_NONE ? r->message->host : slice_from(r->message->address, at + 1);
	else if (slice_eq_nocase(name, slice_of("location")))
		*out = slice_of("MDA");
	else if (slice_eq_nocase(name, slice_of("phase")))
		*out = slice_of("during");
	else if (slice_eq_nocase(name, slice_of("name")))
		*out = slice_of("Postern");
	else if (slice_eq_nocase(name, slice_of("version")))
		*out = slice_of(POSTERN_VERSION);
	else
		return false;
	return true;
}

bool sieve_test_environment(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	struct sieve_matcher m;
	struct slice name, value;

	if (!sieve_matcher_begin(&m, r, node) || !sieve_text(r, &node->takes[0]->strings[0], &name))
		return false;
	if (environment(r, name, &value) && !sieve_matcher_meet(&m, value))
		return false;
	return sieve_matcher_end(&m, out);
}
