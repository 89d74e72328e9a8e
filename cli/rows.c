#include "rows.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ipc/message.h"

/* ---- bytes that are safe to show ---- */

/* Length of the well-formed UTF-8 character at the start (RFC 3629 §4), 0: none; its number in `*point`. */
static size_t utf8_length(struct slice s, uint32_t *point)
{
	static const struct {
		unsigned char mask, mark;
		size_t len;
		uint32_t least;
	} forms[] = {{0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};
	unsigned char first = (unsigned char)s.at[0];

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		uint32_t v = first & (unsigned char)~forms[i].mask;

		if ((first & forms[i].mask) != forms[i].mark || s.len < forms[i].len)
			continue;
		for (size_t k = 1; k < forms[i].len; k++) {
			if (((unsigned char)s.at[k] & 0xc0) != 0x80)
				return 0;
			v = v << 6 | ((unsigned char)s.at[k] & 0x3f);
		}
		if (v < forms[i].least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
			return 0;
		*point = v;
		return forms[i].len;
	}
	return 0;
}

/* C1 controls, and characters that reorder or hide text on a terminal. */
static bool is_harmful(uint32_t point)
{
	return point < 0xa0 || (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2060 && point <= 0x206f) || point == 0xfeff;
}

/* How many bytes from the start may be shown as they are. */
static size_t safe_length(struct slice s)
{
	uint32_t point = 0;
	size_t n;

	if ((unsigned char)s.at[0] < 0x80)
		return s.at[0] >= ' ' && s.at[0] != 0x7f ? 1 : 0;
	n = utf8_length(s, &point);
	return n > 0 && !is_harmful(point) ? n : 0;
}

bool text_add_safe(struct slice text, struct buf *out)
{
	bool ok = true;

	while (ok && text.len > 0) {
		size_t n = safe_length(text);

		ok = n > 0 ? buf_add(out, text.at, n) : buf_addf(out, "\\x%02x", (unsigned char)text.at[0]);
		text = slice_from(text, n > 0 ? n : 1);
	}
	return ok;
}

bool text_add_safe_lines(struct slice text, struct buf *out)
{
	struct slice line;
	bool ok = true, first = true;

	while (text.len > 0 && text.at[text.len - 1] == '\n')
		text.len--;
	while (ok && slice_cut(&text, '\n', &line)) {
		ok = (first || buf_add_char(out, '\n')) && text_add_safe(line, out);
		first = false;
	}
	return ok;
}

static bool add_json_byte(unsigned char c, struct buf *out)
{
	if (c == '"' || c == '\\')
		return buf_addf(out, "\\%c", c);
	if (c < ' ' || c == 0x7f)
		return buf_addf(out, "\\u%04x", c);
	return buf_add_char(out, (char)c);
}

bool text_add_json(struct slice text, struct buf *out)
{
	bool ok = buf_add_char(out, '"');

	while (ok && text.len > 0) {
		uint32_t point = 0;
		size_t n = 1;

		if ((unsigned char)text.at[0] < 0x80) {
			ok = add_json_byte((unsigned char)text.at[0], out);
		} else if ((n = utf8_length(text, &point)) > 0) {
			ok = is_harmful(point) ? buf_addf(out, "\\u%04x", point) : buf_add(out, text.at, n);
		} else {
			ok = buf_add_text(out, "\\ufffd");
			n = 1;
		}
		text = slice_from(text, n);
	}
	return ok && buf_add_char(out, '"');
}

/* ---- values in short ---- */

struct unit {
	uint64_t size;
	char letter;
};

static const struct unit times[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
static const struct unit dates[] = {{0, '\0'}}; /* a moment, in seconds since 1970 */
static const struct unit sizes[] = {{1u << 30, 'G'}, {1u << 20, 'M'}, {1u << 10, 'K'}};

static const struct {
	const char *key;
	const struct unit *units; /* NULL: a plain number */
	size_t count;
} numbers[] = {
	{"age", times, ARRAY_LEN(times)},   {"next", times, ARRAY_LEN(times)},
	{"uptime", times, ARRAY_LEN(times)}, {"size", sizes, ARRAY_LEN(sizes)},
	{"tries", NULL, 0},		    {"pid", NULL, 0},
	{"uid", NULL, 0},		    {"restarts", NULL, 0},
	{"instance", NULL, 0},		    {"recipients", NULL, 0},
	{"created", dates, 0},	    {"generation", NULL, 0},
	{"removed", dates, 0},	    {"users", NULL, 0},
	{"aliases", NULL, 0},	    {"messages", NULL, 0},
	{"used", sizes, ARRAY_LEN(sizes)},  {"limit", sizes, ARRAY_LEN(sizes)},
	{"limit_messages", NULL, 0},
};

#define NOT_A_NUMBER SIZE_MAX

/* Index into `numbers` when the key is one of them and the value a number. */
static size_t number_of(struct slice key, struct slice value, uint64_t *out)
{
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (slice_eq(key, slice_of(numbers[i].key)))
			return slice_u64(value, INT64_MAX, out) ? i : NOT_A_NUMBER;
	return NOT_A_NUMBER;
}

/* "95s" and "95m" rather than "1m35s": short enough for a column, exact enough for people. */
static bool add_in_units(uint64_t v, const struct unit *units, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++)
		if (v >= 2 * units[i].size || (v > 0 && v % units[i].size == 0))
			return buf_addf(out, "%llu%c", (unsigned long long)(v / units[i].size), units[i].letter);
	return buf_addf(out, "%llu", (unsigned long long)v);
}

static bool add_date(uint64_t wall_s, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];

	clock_rfc5322((int64_t)wall_s, date);
	return buf_add_text(out, date);
}

static bool add_value(struct slice key, struct slice value, struct buf *out)
{
	uint64_t v = 0;
	size_t kind = number_of(key, value, &v);

	if (kind != NOT_A_NUMBER && numbers[kind].units == dates)
		return add_date(v, out);
	if (kind != NOT_A_NUMBER && numbers[kind].units != NULL)
		return add_in_units(v, numbers[kind].units, numbers[kind].count, out);
	return text_add_safe(value, out);
}

/* A key "now.sessions" is `sessions` in the group `now`: an object of its own in JSON, one column of a table.  Where a group has
 * numbers they are numbers, whatever their names are. */
static struct slice group_of(struct slice key)
{
	size_t dot = slice_index(key, '.');

	return dot == SLICE_NONE ? slice_empty() : slice_sub(key, 0, dot);
}

static struct slice name_of(struct slice key)
{
	size_t dot = slice_index(key, '.');

	return dot == SLICE_NONE ? key : slice_from(key, dot + 1);
}

static bool is_plain_number(struct slice value)
{
	uint64_t v;

	return slice_u64(value, INT64_MAX, &v) && (value.len == 1 || value.at[0] != '0');
}

static bool is_number_key(struct slice key)
{
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (slice_eq(key, slice_of(numbers[i].key)))
			return true;
	return false;
}

/* Of what is a number there may be none. */
static bool add_json_value(struct slice key, struct slice value, struct buf *out)
{
	uint64_t v = 0;

	if (value.len == 0 && is_number_key(key))
		return buf_add_text(out, "null");
	if (number_of(key, value, &v) != NOT_A_NUMBER)
		return buf_addf(out, "%llu", (unsigned long long)v);
	if (group_of(key).len > 0 && is_plain_number(value))
		return buf_add_slice(out, value);
	return text_add_json(value, out);
}

/* ---- the three styles ---- */

struct rows rows_begin(enum rows_style style, struct buf *out)
{
	struct rows r = {.style = style, .out = out};

	if (style == ROWS_JSON)
		buf_add_char(out, '[');
	return r;
}

/* Ends the group that is open and begins that of `key`, where they differ. */
static bool change_group(struct rows *r, struct slice *open, struct slice key, bool *first)
{
	struct slice group = group_of(key);
	bool ok = true;

	if (slice_eq(group, *open))
		return true;
	if (open->len > 0) {
		ok = buf_add_char(r->out, '}');
		*first = false;
	}
	if (group.len > 0) {
		ok = ok && (*first || buf_add_text(r->out, ", ")) && text_add_json(group, r->out) && buf_add_text(r->out, ": {");
		*first = true;
	}
	*open = group;
	return ok;
}

static bool add_json_row(struct rows *r, struct slice fields)
{
	struct rec_control_field f;
	struct slice open = slice_empty();
	bool ok = buf_add_text(r->out, r->count > 0 ? ",\n {" : "\n {"), first = true;

	while (ok && rec_control_field_next(&fields, &f)) {
		ok = change_group(r, &open, f.key, &first) && (first || buf_add_text(r->out, ", ")) &&
		     text_add_json(name_of(f.key), r->out) && buf_add_text(r->out, ": ") && add_json_value(f.key, f.value, r->out);
		first = false;
	}
	return ok && fields.len == 0 && change_group(r, &open, slice_empty(), &first) && buf_add_char(r->out, '}');
}

static bool add_lines_row(struct rows *r, struct slice fields)
{
	struct rec_control_field f;
	bool ok = r->count == 0 || buf_add_char(r->out, '\n');

	while (ok && rec_control_field_next(&fields, &f))
		ok = text_add_safe(f.key, r->out) && buf_add_text(r->out, ": ") && add_value(f.key, f.value, r->out) &&
		     buf_add_char(r->out, '\n');
	return ok && fields.len == 0;
}

static size_t characters(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return n;
}

static void widen(size_t *width, size_t to)
{
	if (to > *width)
		*width = to;
}

static void set_columns(struct rows *r, struct slice fields)
{
	struct rec_control_field f;

	while (r->columns < ROWS_COLUMNS_MAX && rec_control_field_next(&fields, &f)) {
		struct slice name = group_of(f.key).len > 0 ? group_of(f.key) : f.key;

		if (r->columns > 0 && slice_eq(name, slice_of(r->column[r->columns - 1].key)))
			continue;
		(void)slice_copy(name, r->column[r->columns].key, sizeof(r->column[0].key));
		r->column[r->columns++].width = characters(name);
	}
}

static struct slice find_field(struct slice fields, const char *key)
{
	struct rec_control_field f;

	while (rec_control_field_next(&fields, &f))
		if (slice_eq(f.key, slice_of(key)))
			return f.value;
	return slice_empty();
}

/* "sessions 3, active jobs 1" */
static bool add_group(struct slice fields, struct slice group, struct buf *out)
{
	struct rec_control_field f;
	bool ok = true;

	while (ok && rec_control_field_next(&fields, &f)) {
		struct slice name = name_of(f.key);

		if (!slice_eq(group_of(f.key), group))
			continue;
		ok = out->len == 0 || buf_add_text(out, ", ");
		for (size_t i = 0; ok && i < name.len; i++)
			ok = name.at[i] == '_' ? buf_add_char(out, ' ') : text_add_safe(slice_make(name.at + i, 1), out);
		ok = ok && buf_add_char(out, ' ') && text_add_safe(f.value, out);
	}
	return ok;
}

static bool cell(const struct rows *r, size_t column, struct slice fields, struct buf *out)
{
	struct slice value = find_field(fields, r->column[column].key);
	bool ok;

	buf_clear(out);
	ok = add_group(fields, slice_of(r->column[column].key), out);
	if (!ok || out->len > 0)
		return ok;
	return value.len == 0 ? buf_add_char(out, '-') : add_value(slice_of(r->column[column].key), value, out);
}

static bool pad(struct buf *out, size_t have, size_t want)
{
	bool ok = true;

	for (; ok && have < want; have++)
		ok = buf_add_char(out, ' ');
	return ok;
}

/* The last column is as long as it is. */
static bool add_cell(struct rows *r, size_t column, struct slice text)
{
	bool last = column + 1 == r->columns;

	return buf_add_slice(r->out, text) &&
	       (last || (pad(r->out, characters(text), r->column[column].width) && buf_add_text(r->out, "  ")));
}

static bool add_table_row(struct rows *r, struct slice fields, struct buf *scratch)
{
	bool ok = true;

	for (size_t i = 0; ok && i < r->columns; i++)
		ok = cell(r, i, fields, scratch) && add_cell(r, i, buf_slice(scratch));
	return ok && buf_add_char(r->out, '\n');
}

static bool add_heading(struct rows *r)
{
	bool ok = true;

	for (size_t i = 0; ok && i < r->columns; i++) {
		char upper[ROWS_KEY_MAX + 1];
		size_t n = strlen(r->column[i].key);

		for (size_t k = 0; k < n; k++)
			upper[k] = r->column[i].key[k] >= 'a' && r->column[i].key[k] <= 'z'
					   ? (char)(r->column[i].key[k] - 'a' + 'A')
					   : r->column[i].key[k];
		ok = add_cell(r, i, slice_make(upper, n));
	}
	return ok && buf_add_char(r->out, '\n');
}

static void measure(struct rows *r, struct slice records, struct buf *scratch)
{
	struct rec_control_row row;

	while (rec_control_row_next(&records, &row)) {
		if (r->columns == 0)
			set_columns(r, row.control_field_records);
		for (size_t i = 0; i < r->columns; i++)
			if (cell(r, i, row.control_field_records, scratch))
				widen(&r->column[i].width, characters(buf_slice(scratch)));
	}
}

static bool add_row(struct rows *r, struct slice fields, struct buf *scratch)
{
	switch (r->style) {
	case ROWS_JSON:
		return add_json_row(r, fields);
	case ROWS_LINES:
		return add_lines_row(r, fields);
	case ROWS_TABLE:
		return add_table_row(r, fields, scratch);
	}
	return false;
}

bool rows_page(struct rows *r, struct slice records)
{
	struct buf scratch = buf_make(1 << 18);
	struct rec_control_row row;
	bool ok = true, heading = r->style == ROWS_TABLE && r->columns == 0;

	if (r->style == ROWS_TABLE)
		measure(r, records, &scratch);
	if (heading && r->columns > 0)
		ok = add_heading(r);
	while (ok && rec_control_row_next(&records, &row)) {
		ok = add_row(r, row.control_field_records, &scratch);
		r->count++;
	}
	buf_free(&scratch);
	return ok && records.len == 0;
}

bool rows_end(struct rows *r, const char *nothing)
{
	if (r->style == ROWS_JSON)
		return buf_add_text(r->out, r->count > 0 ? "\n]\n" : "]\n");
	return r->count > 0 || nothing[0] == '\0' || buf_addf(r->out, "%s\n", nothing);
}
