#include "conf/unit.h"

#include "base/mem.h"

#include <inttypes.h>

struct unit {
	const char *name;
	uint64_t value;
};

/* Largest first: printing takes the first that divides. */
static const struct unit times[] = {
	{"w", 604800000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
static const struct unit sizes[] = {
	{"T", 1ull << 40}, {"G", 1ull << 30}, {"M", 1ull << 20}, {"K", 1ull << 10}, {"", 1},
};

static bool number_unit(struct slice s, const struct unit *units, size_t count, uint64_t *out)
{
	size_t digits = 0;
	uint64_t n;

	while (digits < s.len && ascii_is_digit(s.at[digits]))
		digits++;
	if (!slice_u64(slice_sub(s, 0, digits), UINT64_MAX, &n))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!slice_eq_nocase(slice_from(s, digits), slice_of(units[i].name)))
			continue;
		if (n > (uint64_t)INT64_MAX / units[i].value)
			return false;
		*out = n * units[i].value;
		return true;
	}
	return false;
}

bool unit_time(struct slice s, uint64_t *ms_out)
{
	if (slice_eq(s, slice_of("0"))) {
		*ms_out = 0;
		return true;
	}
	return number_unit(s, times, ARRAY_LEN(times), ms_out);
}

bool unit_size(struct slice s, uint64_t *bytes_out)
{
	return number_unit(s, sizes, ARRAY_LEN(sizes), bytes_out);
}

bool unit_permille(struct slice s, uint64_t *permille_out)
{
	size_t dot = slice_index(s, '.');
	struct slice decimals = dot == SLICE_NONE ? slice_of("0") : slice_from(s, dot + 1);
	uint64_t whole, part;

	if (!slice_u64(dot == SLICE_NONE ? s : slice_sub(s, 0, dot), 1000000, &whole))
		return false;
	if (decimals.len > 3 || !slice_u64(decimals, 999, &part))
		return false;
	for (size_t i = decimals.len; i < 3; i++)
		part *= 10;
	*permille_out = whole * 1000 + part;
	return true;
}

static void print(struct buf *out, uint64_t n, const struct unit *units, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (n % units[i].value == 0) {
			buf_addf(out, "%" PRIu64 "%s", n / units[i].value, units[i].name);
			return;
		}
}

void unit_print_time(struct buf *out, uint64_t ms)
{
	if (ms == 0)
		buf_add_text(out, "0s");
	else
		print(out, ms, times, ARRAY_LEN(times));
}

void unit_print_size(struct buf *out, uint64_t bytes)
{
	if (bytes == 0)
		buf_add_text(out, "0");
	else
		print(out, bytes, sizes, ARRAY_LEN(sizes));
}

void unit_print_permille(struct buf *out, uint64_t permille)
{
	uint64_t part = permille % 1000;
	int digits = 3;

	buf_addf(out, "%" PRIu64, permille / 1000);
	if (part == 0)
		return;
	for (; part % 10 == 0; part /= 10)
		digits--;
	buf_addf(out, ".%0*" PRIu64, digits, part);
}
