#ifndef POSTERN_FILTER_VIEW_DATE_H
#define POSTERN_FILTER_VIEW_DATE_H

#include "base/slice.h"

/* date-time of RFC 5322 §3.3 with the obsolete forms of §4.3: two and three figures of a year, zones by name, comments anywhere. */
struct view_date {
	int64_t at; /* seconds since 1970, UTC */
	int zone_minutes; /* east of UTC, as written; 0 of a zone nobody knows */
};

/* False: no date.  A second 60 is the one behind it. */
bool view_date_parse(struct slice text, struct view_date *out);
/* "+hhmm" or "-hhmm", minutes below 60, hours below 24. */
bool view_zone_parse(struct slice text, int *minutes_out);

/* A moment as the clocks of a zone show it (proleptic Gregorian). */
struct view_calendar {
	int64_t year;
	unsigned month, day; /* from 1 */
	unsigned hour, minute, second;
	unsigned weekday; /* 0 is Sunday */
	int64_t julian; /* the Modified Julian Day */
};
struct view_calendar view_calendar(int64_t at, int zone_minutes);
/* "Jan", from 1; "Sun", from 0. */
const char *view_month_name(unsigned month);
const char *view_weekday_name(unsigned weekday);

#endif
