#include "filter/view_date.h"

#include "base/mem.h"
#include "filter/view_words.h"

#define DAY_SECONDS 86400
#define MJD_OF_1970 40587

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

const char *view_month_name(unsigned month)
{
	return months[(month - 1) % 12];
}

const char *view_weekday_name(unsigned weekday)
{
	return weekdays[weekday % 7];
}

/* Days since 1970-01-01.  A year that begins in March has its leap day at its end. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	unsigned of_era = (unsigned)(y - era * 400);
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

static void date_of(int64_t days, struct view_calendar *out)
{
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	unsigned of_era = (unsigned)(shifted - era * 146097);
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153;

	out->day = of_year - (153 * month + 2) / 5 + 1;
	out->month = month < 10 ? month + 3 : month - 9;
	out->year = (int64_t)year + era * 400 + (out->month <= 2);
}

struct view_calendar view_calendar(int64_t at, int zone_minutes)
{
	struct view_calendar c = {0};
	int64_t local = at + (int64_t)zone_minutes * 60;
	int64_t days = local / DAY_SECONDS - (local % DAY_SECONDS < 0);
	unsigned left = (unsigned)(local - days * DAY_SECONDS);

	date_of(days, &c);
	c.hour = left / 3600;
	c.minute = left / 60 % 60;
	c.second = left % 60;
	c.weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
	c.julian = days + MJD_OF_1970;
	return c;
}

static void skip_blanks(struct slice *s)
{
	while (s->len > 0 && (strchr(" \t\r\n", s->at[0]) != NULL ? s->at[0] != '\0' : s->at[0] == '('))
		*s = slice_from(*s, s->at[0] == '(' ? view_comment_length(*s) : 1);
}

static bool take_char(struct slice *s, char c)
{
	skip_blanks(s);
	if (s->len == 0 || s->at[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

/* `least` to `most` figures. */
static bool take_number(struct slice *s, size_t least, size_t most, unsigned *out, size_t *figures_out)
{
	size_t n = 0;

	skip_blanks(s);
	*out = 0;
	for (; n < s->len && n < most && ascii_is_digit(s->at[n]); n++)
		*out = *out * 10 + (unsigned)(s->at[n] - '0');
	*s = slice_from(*s, n);
	*figures_out = n;
	return n >= least && (s->len == 0 || !ascii_is_digit(s->at[0]));
}

static struct slice take_letters(struct slice *s)
{
	struct slice all;
	size_t n = 0;

	skip_blanks(s);
	all = *s;
	while (n < s->len && ascii_is_alpha(s->at[n]))
		n++;
	*s = slice_from(*s, n);
	return slice_sub(all, 0, n);
}

static bool index_of(struct slice word, const char *const *names, size_t count, unsigned *out)
{
	for (*out = 0; *out < count; ++*out)
		if (slice_eq_nocase(word, slice_of(names[*out])))
			return true;
	return false;
}

static unsigned days_in(int64_t year, unsigned month)
{
	return (unsigned)(days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) - days_of(year, month, 1));
}

static bool take_day(struct slice *s, int64_t *days_out)
{
	unsigned day, month, year;
	size_t figures;

	if (!take_number(s, 1, 2, &day, &figures) || !index_of(take_letters(s), months, ARRAY_LEN(months), &month) ||
	    !take_number(s, 2, 4, &year, &figures))
		return false;
	if (figures < 4) /* §4.3 */
		year += figures == 2 && year < 50 ? 2000 : 1900;
	if (day == 0 || day > days_in(year, month + 1))
		return false;
	*days_out = days_of(year, month + 1, day);
	return true;
}

static bool take_time(struct slice *s, int64_t *seconds_out)
{
	unsigned hour, minute, second = 0;
	size_t figures;

	if (!take_number(s, 1, 2, &hour, &figures) || !take_char(s, ':') || !take_number(s, 2, 2, &minute, &figures))
		return false;
	if (take_char(s, ':') && !take_number(s, 2, 2, &second, &figures))
		return false;
	*seconds_out = (int64_t)hour * 3600 + minute * 60 + second;
	return hour < 24 && minute < 60 && second <= 60;
}

bool view_zone_parse(struct slice text, int *minutes_out)
{
	uint64_t figures;

	if (text.len != 5 || (text.at[0] != '+' && text.at[0] != '-') || !slice_u64(slice_from(text, 1), 9999, &figures) ||
	    figures % 100 >= 60 || figures / 100 >= 24)
		return false;
	*minutes_out = (int)(figures / 100 * 60 + figures % 100) * (text.at[0] == '-' ? -1 : 1);
	return true;
}

/* §4.3; the letters of the military and everything else say nothing. */
static int named_zone(struct slice name)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = {{"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6}, {"MDT", -6}, {"MST", -7}, {"PDT", -7}, {"PST", -8}};

	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		if (slice_eq_nocase(name, slice_of(zones[i].name)))
			return zones[i].hours * 60;
	return 0;
}

/* A date without a zone is taken for UTC. */
static bool take_zone(struct slice *s, int *minutes_out)
{
	struct slice name = take_letters(s);

	*minutes_out = named_zone(name);
	if (name.len > 0 || s->len == 0)
		return true;
	name = slice_sub(*s, 0, 5);
	*s = slice_from(*s, 5);
	return view_zone_parse(name, minutes_out);
}

bool view_date_parse(struct slice text, struct view_date *out)
{
	unsigned weekday;
	int64_t days, seconds;
	int zone;
	struct slice name = take_letters(&text);

	if (name.len > 0 && (!index_of(name, weekdays, ARRAY_LEN(weekdays), &weekday) || !take_char(&text, ',')))
		return false;
	if (!take_day(&text, &days) || !take_time(&text, &seconds) || !take_zone(&text, &zone))
		return false;
	skip_blanks(&text);
	if (text.len > 0)
		return false;
	*out = (struct view_date){days * DAY_SECONDS + seconds - zone * 60, zone};
	return true;
}
