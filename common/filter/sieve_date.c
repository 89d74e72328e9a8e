#include "filter/sieve_run.h"
#include "filter/view_date.h"

#include "base/mem.h"

/* The tests of RFC 5260. */
#define PART_OCTETS 64u

static void say_zone(struct buf *out, int minutes, const char *between)
{
	int of = minutes < 0 ? -minutes : minutes;

	buf_addf(out, "%c%02d%s%02d", minutes < 0 ? '-' : '+', of / 60, between, of % 60);
}

static void year(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%04lld", (long long)c->year);
}

static void month(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%02u", c->month);
}

static void day(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%02u", c->day);
}

static void date(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%04lld-%02u-%02u", (long long)c->year, c->month, c->day);
}

static void julian(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%lld", (long long)c->julian);
}

static void hour(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%02u", c->hour);
}

static void minute(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%02u", c->minute);
}

static void second(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%02u", c->second);
}

static void time_of_day(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%02u:%02u:%02u", c->hour, c->minute, c->second);
}

static void iso8601(struct buf *out, const struct view_calendar *c, int zone)
{
	date(out, c, zone);
	buf_add_char(out, 'T');
	time_of_day(out, c, zone);
	say_zone(out, zone, ":");
}

static void std11(struct buf *out, const struct view_calendar *c, int zone)
{
	buf_addf(out, "%s, %02u %s %04lld ", view_weekday_name(c->weekday), c->day, view_month_name(c->month), (long long)c->year);
	time_of_day(out, c, zone);
	buf_add_char(out, ' ');
	say_zone(out, zone, "");
}

static void zone_only(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)c;
	say_zone(out, zone, "");
}

static void weekday(struct buf *out, const struct view_calendar *c, int zone)
{
	(void)zone;
	buf_addf(out, "%u", c->weekday);
}

static const struct {
	const char *name;
	void (*say)(struct buf *out, const struct view_calendar *c, int zone);
} parts[] = {
	{"year", year},	    {"month", month},	  {"day", day},		   {"date", date},	 {"julian", julian},
	{"hour", hour},	    {"minute", minute},	  {"second", second},	   {"time", time_of_day}, {"iso8601", iso8601},
	{"std11", std11},   {"zone", zone_only},  {"weekday", weekday},
};

const char *sieve_date_part_name(size_t i)
{
	return i < ARRAY_LEN(parts) ? parts[i].name : NULL;
}

bool sieve_zone(struct slice text, int *minutes_out)
{
	return view_zone_parse(text, minutes_out);
}

static bool meet_part(struct sieve_run *r, const struct sieve_arg *part, int64_t at, int zone, struct sieve_matcher *m)
{
	struct view_calendar c = view_calendar(at, zone);
	struct buf text = buf_make(PART_OCTETS);
	struct slice kept;
	bool good;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (slice_eq_nocase(part->strings[0].text, slice_of(parts[i].name)))
			parts[i].say(&text, &c, zone);
	good = buf_ok(&text) ? sieve_keep(r, m->node->pos.line, buf_slice(&text), &kept) : sieve_no_memory(r);
	good = good && sieve_matcher_meet(m, kept);
	buf_free(&text);
	return good;
}

/* The zone that a test asks for. */
static bool zone_of(struct sieve_run *r, const struct sieve_node *node, int original, int *out)
{
	const struct sieve_arg *zone = sieve_tag_value(node, SIEVE_TAG_ZONE);
	struct slice text;

	*out = sieve_has_tag(node, SIEVE_TAG_ORIGINALZONE) ? original : r->message->zone_minutes;
	if (zone == NULL)
		return true;
	return sieve_text(r, &zone->strings[0], &text) &&
	       (sieve_zone(text, out) ||
		filter_fail(&r->gather, FILTER_ERROR, zone->pos.line, "not a time zone such as \"+0100\""));
}

/* The n-th field of a name, from the end where `last`; SLICE_NONE: there is none. */
static size_t nth_field(const struct view *v, struct slice name, uint64_t n, bool last)
{
	uint64_t count = 0;
	size_t at;

	for (at = view_field_next(v, name, 0); last && at != SLICE_NONE; at = view_field_next(v, name, at + 1))
		count++;
	if (n == 0 || (last && n > count))
		return SLICE_NONE;
	n = last ? count + 1 - n : n;
	for (at = view_field_next(v, name, 0); at != SLICE_NONE && --n > 0;)
		at = view_field_next(v, name, at + 1);
	return at;
}

/* A date stands behind the last `;`, as in Received (§4); of more fields than one the first, unless an index is given. */
static bool find_date(struct sieve_run *r, const struct sieve_node *node, struct slice name, struct view_date *out, bool *found)
{
	const struct sieve_arg *index = sieve_tag_value(node, SIEVE_TAG_INDEX);
	size_t semicolon, at = name.len == 0 ? SLICE_NONE
					     : nth_field(r->view, name, index == NULL ? 1 : index->number,
							 sieve_has_tag(node, SIEVE_TAG_LAST));
	struct slice text;

	*found = false;
	if (at == SLICE_NONE)
		return true;
	if (!view_field_text(r->view, at, &text))
		return sieve_no_memory(r);
	semicolon = slice_rindex(text, ';');
	*found = view_date_parse(slice_from(text, semicolon == SLICE_NONE ? 0 : semicolon + 1), out);
	return true;
}

bool sieve_test_date(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	struct sieve_matcher m;
	struct view_date date = {0, 0};
	struct slice name;
	int zone;
	bool found;

	if (!sieve_matcher_begin(&m, r, node) || !sieve_text(r, &node->takes[0]->strings[0], &name) ||
	    !sieve_spend(r, node->pos.line, view_field_count(r->view) * 8) || !find_date(r, node, name, &date, &found) ||
	    !zone_of(r, node, date.zone_minutes, &zone))
		return false;
	return (!found || meet_part(r, node->takes[1], date.at, zone, &m)) && sieve_matcher_end(&m, out);
}

bool sieve_test_currentdate(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	struct sieve_matcher m;
	int zone;

	return sieve_matcher_begin(&m, r, node) && zone_of(r, node, 0, &zone) &&
	       meet_part(r, node->takes[0], r->message->now, zone, &m) && sieve_matcher_end(&m, out);
}
