#include "route_tree.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "rows.h"

#define ROWS_MAX 1000000u
#define DEPTH_MAX 64u
#define NO_NUMBER UINT64_MAX

struct row {
	struct slice kind, fields;
	uint64_t number, parent; /* NO_NUMBER: none */
};

struct tree {
	struct row *rows; /* owned */
	size_t count, cap;
	struct buf *out;
};

static struct slice field(const struct row *row, const char *key)
{
	struct slice rest = row->fields;
	struct rec_control_field f;

	while (rec_control_field_next(&rest, &f))
		if (slice_eq(f.key, slice_of(key)))
			return f.value;
	return slice_empty();
}

static uint64_t number_of(const struct row *row, const char *key)
{
	uint64_t n;

	return slice_u64(field(row, key), UINT64_MAX - 1, &n) ? n : NO_NUMBER;
}

static bool read_rows(struct tree *t, struct slice records)
{
	struct rec_control_row record;

	while (rec_control_row_next(&records, &record)) {
		void *rows = t->rows;
		struct row *row;

		if (!mem_grow(&rows, &t->cap, t->count, sizeof(*row), ROWS_MAX))
			return false;
		t->rows = rows;
		row = &t->rows[t->count++];
		row->fields = record.control_field_records;
		row->kind = field(row, "kind");
		row->number = number_of(row, "number");
		row->parent = number_of(row, "parent");
	}
	return records.len == 0;
}

/* ---- lines ---- */

static void indent(struct tree *t, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_add_text(t->out, "  ");
}

static void say(struct tree *t, const struct row *row, const char *before, const char *key, const char *behind)
{
	struct slice value = field(row, key);

	if (value.len == 0)
		return;
	buf_add_text(t->out, before);
	(void)text_add_safe(value, t->out);
	buf_add_text(t->out, behind);
}

static void print_address(struct tree *t, const struct row *row, unsigned depth)
{
	indent(t, depth);
	say(t, row, "", "address", "");
	say(t, row, "  (from ", "by", ")");
	buf_add_char(t->out, '\n');
}

static void print_rule(struct tree *t, const struct row *row, unsigned depth)
{
	struct slice matches = field(row, "matches");

	indent(t, depth);
	(void)text_add_safe(matches, t->out);
	for (size_t i = matches.len; i < 8; i++)
		buf_add_char(t->out, ' ');
	say(t, row, "", "rule", "  ");
	say(t, row, "", "statement", "\n");
	if (field(row, "because").len == 0)
		return;
	indent(t, depth);
	say(t, row, "          ", "because", "\n");
}

static void print_lookup(struct tree *t, const struct row *row, unsigned depth)
{
	indent(t, depth);
	say(t, row, "          table ", "table", ": ");
	say(t, row, "", "found", "");
	say(t, row, " at ", "where", "");
	say(t, row, ", ", "why", "");
	say(t, row, ": ", "value", "");
	buf_add_char(t->out, '\n');
}

static void print_owner(struct tree *t, const struct row *row, unsigned depth)
{
	indent(t, depth);
	say(t, row, "        sent on by its owner, to whom bounces go: ", "sender", "\n");
}

static void print_rewrite(struct tree *t, const struct row *row, unsigned depth)
{
	indent(t, depth);
	say(t, row, "        = ", "address", "\n");
}

static void print_target(struct tree *t, const struct row *row, unsigned depth)
{
	indent(t, depth);
	if (field(row, "transport").len == 0)
		buf_add_text(t->out, "      --> nowhere yet");
	say(t, row, "      --> ", "transport", "");
	say(t, row, " ", "nexthop", "");
	say(t, row, ", as user ", "user", "");
	say(t, row, " (", "user-by", ")");
	if (!slice_eq(field(row, "directive"), slice_of("none")))
		say(t, row, ", ", "directive", "");
	say(t, row, " ", "argument", "");
	if (slice_eq(field(row, "held"), slice_of("yes")))
		buf_add_text(t->out, ", held for the operator");
	if (slice_eq(field(row, "queue-only"), slice_of("yes")))
		buf_add_text(t->out, ", kept in the queue until `postern queue flush`");
	if (slice_eq(field(row, "leaves"), slice_of("yes")))
		buf_add_text(t->out, ", leaves this host");
	buf_add_char(t->out, '\n');
}

static void print_end(struct tree *t, const struct row *row, unsigned depth)
{
	indent(t, depth);
	say(t, row, "      --> ", "kind", "");
	say(t, row, " ", "code", "");
	say(t, row, ": ", "text", "");
	buf_add_char(t->out, '\n');
}

static const struct {
	const char *kind;
	void (*print)(struct tree *t, const struct row *row, unsigned depth);
} kinds[] = {{"rule", print_rule},     {"lookup", print_lookup}, {"owner", print_owner},
	     {"rewrite", print_rewrite}, {"target", print_target},
	     {"refused", print_end},   {"deferred", print_end},	 {"discarded", print_end},   {"waiting", print_target}};

static void print_row(struct tree *t, const struct row *row, unsigned depth)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_eq(row->kind, slice_of(kinds[i].kind)))
			kinds[i].print(t, row, depth);
}

/* Whose parent is not there is nobody's child, so a walk of children comes to an end: each address has one parent, of a lower
 * number. */
static void print_item(struct tree *t, const struct row *address, unsigned depth)
{
	if (depth > DEPTH_MAX)
		return;
	print_address(t, address, depth);
	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i].number == address->number)
			print_row(t, &t->rows[i], depth + 1);
	for (size_t i = 0; i < t->count; i++)
		if (slice_eq(t->rows[i].kind, slice_of("address")) && t->rows[i].parent == address->number &&
		    t->rows[i].number > address->number && t->rows[i].number != NO_NUMBER)
			print_item(t, &t->rows[i], depth + 1);
}

static void print_result(struct tree *t, const struct row *row)
{
	if (!slice_eq(field(row, "not-shown"), slice_of("0")))
		say(t, row, "  and ", "not-shown", " more addresses, which are not shown\n");
	say(t, row, "", "outcome", "");
	if (slice_eq(field(row, "outcome"), slice_of("accepted")))
		say(t, row, ", targets: ", "targets", "");
	say(t, row, ": ", "code", "");
	say(t, row, " ", "dsn", "");
	say(t, row, " ", "text", "");
	say(t, row, " (", "rule", ")");
	if (!slice_eq(field(row, "relay"), slice_of("not needed")))
		say(t, row, "\nleaves this host, which needs a login, a trusted client or a relay domain: ", "relay", "");
	buf_add_char(t->out, '\n');
}

static enum route_end_word end_word(const struct row *row)
{
	struct slice outcome = field(row, "outcome");

	if (slice_eq(outcome, slice_of("accepted")))
		return ROUTE_END_ACCEPTED;
	return slice_eq(outcome, slice_of("refused")) ? ROUTE_END_REFUSED : ROUTE_END_DEFERRED;
}

enum route_end_word route_tree_print(struct slice records, struct buf *out)
{
	struct tree t = {.out = out};
	bool ok = read_rows(&t, records);
	const struct row *last = t.count > 0 ? &t.rows[t.count - 1] : NULL;
	enum route_end_word word = ROUTE_END_NONE;

	if (ok && last != NULL && slice_eq(last->kind, slice_of("result")))
		word = end_word(last);
	for (size_t i = 0; out != NULL && word != ROUTE_END_NONE && i < t.count; i++)
		if (slice_eq(t.rows[i].kind, slice_of("address")) && t.rows[i].parent == NO_NUMBER)
			print_item(&t, &t.rows[i], 0);
	if (out != NULL && word != ROUTE_END_NONE)
		print_result(&t, last);
	free(t.rows);
	return word;
}
