#include "mail/dsn.h"

#include "base/mem.h"
#include "mail/address.h"
#include "mail/xtext.h"

#define ALL_BITS (DSN_NEVER | DSN_SUCCESS | DSN_FAILURE | DSN_DELAY)
#define USUAL ((uint64_t)(DSN_FAILURE | DSN_DELAY))

/* ---- NOTIFY ---- */

static const struct {
	const char *word;
	enum dsn_notify bit;
} notify_words[] = {{"NEVER", DSN_NEVER}, {"SUCCESS", DSN_SUCCESS}, {"FAILURE", DSN_FAILURE}, {"DELAY", DSN_DELAY}};

static uint64_t notify_bit(struct slice word)
{
	for (size_t i = 0; i < ARRAY_LEN(notify_words); i++)
		if (slice_eq_nocase(word, slice_of(notify_words[i].word)))
			return notify_words[i].bit;
	return 0;
}

bool dsn_notify_is_valid(uint64_t notify)
{
	return (notify & ~(uint64_t)ALL_BITS) == 0 && ((notify & DSN_NEVER) == 0 || notify == DSN_NEVER);
}

/* Each word at most once; a list neither begins nor ends with its comma. */
bool dsn_notify_parse(struct slice value, uint64_t *out)
{
	struct slice word;

	*out = 0;
	if (value.len == 0 || value.at[value.len - 1] == ',')
		return false;
	while (slice_cut(&value, ',', &word)) {
		uint64_t bit = notify_bit(word);

		if (bit == 0 || (*out & bit) != 0)
			return false;
		*out |= bit;
	}
	return dsn_notify_is_valid(*out);
}

bool dsn_notify_add(uint64_t notify, struct buf *out)
{
	bool first = true;

	for (size_t i = 0; i < ARRAY_LEN(notify_words); i++) {
		if ((notify & notify_words[i].bit) == 0)
			continue;
		buf_addf(out, "%s%s", first ? "" : ",", notify_words[i].word);
		first = false;
	}
	return buf_ok(out);
}

static uint64_t meant(uint64_t notify)
{
	return notify == 0 ? USUAL : notify & ~(uint64_t)DSN_NEVER;
}

bool dsn_wants(uint64_t notify, enum dsn_notify what)
{
	return (meant(notify) & what) != 0;
}

uint64_t dsn_notify_join(uint64_t a, uint64_t b)
{
	uint64_t both = meant(a) | meant(b);

	if (a == b)
		return a;
	return both == 0 ? DSN_NEVER : both;
}

uint64_t dsn_notify_of_member(uint64_t notify)
{
	return notify == DSN_SUCCESS ? DSN_NEVER : notify & ~(uint64_t)DSN_SUCCESS;
}

/* ---- RET ---- */

static const char *const ret_words[] = {[DSN_RET_UNSAID] = "", [DSN_RET_FULL] = "FULL", [DSN_RET_HDRS] = "HDRS"};

bool dsn_ret_parse(struct slice value, uint64_t *out)
{
	for (uint64_t i = DSN_RET_FULL; i < ARRAY_LEN(ret_words); i++)
		if (slice_eq_nocase(value, slice_of(ret_words[i]))) {
			*out = i;
			return true;
		}
	return false;
}

const char *dsn_ret_text(uint64_t ret)
{
	return ret < ARRAY_LEN(ret_words) ? ret_words[ret] : "";
}

/* ---- ENVID ---- */

static bool is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] > '~')
			return false;
	return true;
}

bool dsn_envid_is_valid(struct slice envid)
{
	return envid.len <= DSN_ENVID_MAX && is_printable(envid);
}

bool dsn_envid_parse(struct slice value, struct buf *out)
{
	size_t start = out->len;

	return value.len > 0 && value.len <= DSN_ENVID_MAX && xtext_decode(value, out) &&
	       dsn_envid_is_valid(slice_from(buf_slice(out), start));
}

bool dsn_envid_add(struct slice envid, struct buf *out)
{
	return xtext_encode(envid, out);
}

/* ---- ORCPT ---- */

/* RFC 5322 §3.2.3. */
static bool is_atom(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && (s.at[i] == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", s.at[i]) == NULL))
			return false;
	return s.len > 0;
}

static bool is_utf8_type(struct slice type)
{
	return slice_eq_nocase(type, slice_of("utf-8"));
}

static bool cut_type(struct slice orcpt, struct slice *type, struct slice *address)
{
	*address = orcpt;
	return slice_cut(address, ';', type) && is_atom(*type) && address->len > 0;
}

bool dsn_orcpt_is_valid(struct slice orcpt)
{
	struct slice type, address;

	if (orcpt.len == 0)
		return true;
	if (orcpt.len > DSN_ORCPT_MAX || !cut_type(orcpt, &type, &address))
		return false;
	return is_utf8_type(type) ? mail_utf8_is_clean(address) : is_printable(address);
}

static void add_point(uint32_t point, struct buf *out)
{
	static const struct {
		uint32_t below;
		unsigned char mark, shift;
	} forms[] = {{0x80, 0, 0}, {0x800, 0xc0, 6}, {0x10000, 0xe0, 12}, {0x110000, 0xf0, 18}};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (point >= forms[i].below)
			continue;
		buf_add_char(out, (char)(forms[i].mark | point >> forms[i].shift));
		for (unsigned shift = forms[i].shift; shift > 0; shift -= 6)
			buf_add_char(out, (char)(0x80 | (point >> (shift - 6) & 0x3f)));
		return;
	}
}

/* "\x{F6}" off the front: two to six upper-case digits. */
static bool take_escape(struct slice *rest, uint32_t *point)
{
	size_t i = 3;

	*point = 0;
	if (!slice_starts(*rest, slice_of("\\x{")))
		return false;
	for (; i < rest->len && i < 9 && rest->at[i] != '}'; i++) {
		char c = rest->at[i];

		if (!ascii_is_digit(c) && (c < 'A' || c > 'F'))
			return false;
		*point = *point << 4 | (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'A' + 10);
	}
	if (i < 5 || i >= rest->len || rest->at[i] != '}' || *point > 0x10ffff)
		return false;
	*rest = slice_from(*rest, i + 1);
	return true;
}

/* QCHAR, and UTF-8 where it may be.  What the octets mean together is looked at when all are there. */
static bool stands_for_itself(char c, bool utf8)
{
	return (unsigned char)c >= 0x80 ? utf8 : c > ' ' && c <= '~' && c != '+' && c != '=' && c != '\\';
}

static bool utf8_address_decode(struct slice rest, bool utf8, struct buf *out)
{
	while (rest.len > 0) {
		uint32_t point;

		if (stands_for_itself(rest.at[0], utf8)) {
			buf_add_char(out, rest.at[0]);
			rest = slice_from(rest, 1);
		} else if (take_escape(&rest, &point)) {
			add_point(point, out);
		} else {
			return false;
		}
	}
	return buf_ok(out);
}

bool dsn_orcpt_parse(struct slice value, bool utf8, struct buf *out)
{
	struct slice type, address;
	size_t start = out->len;
	bool ok;

	if (value.len > DSN_ORCPT_MAX || !cut_type(value, &type, &address))
		return false;
	buf_add_slice(out, type);
	buf_add_char(out, ';');
	ok = is_utf8_type(type) ? utf8_address_decode(address, utf8, out) : xtext_decode(address, out);
	return ok && dsn_orcpt_is_valid(slice_from(buf_slice(out), start));
}

bool dsn_orcpt_add(struct slice orcpt, struct buf *out)
{
	struct buf value = buf_make(DSN_ORCPT_MAX);
	struct slice type, address;
	bool ok = cut_type(orcpt, &type, &address);

	if (ok) {
		buf_add_slice(&value, type);
		buf_add_char(&value, ';');
		if (is_utf8_type(type))
			dsn_utf8_address_add(address, SIZE_MAX / 2, &value);
		else
			xtext_encode(address, &value);
	}
	ok = ok && buf_ok(&value) && buf_add_slice(out, buf_slice(&value));
	buf_free(&value);
	return ok;
}

/* ---- utf-8-addr-xtext ---- */

/* One code point off the front; what is no UTF-8 is given octet by octet. */
static uint32_t take_point(struct slice *rest)
{
	unsigned char first = (unsigned char)rest->at[0];
	size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	uint32_t point = more == 0 ? first : first & (0x3fu >> more);

	if (more >= rest->len)
		more = 0;
	for (size_t i = 1; i <= more; i++) {
		if (((unsigned char)rest->at[i] & 0xc0) != 0x80) {
			more = 0;
			break;
		}
		point = point << 6 | ((unsigned char)rest->at[i] & 0x3fu);
	}
	*rest = slice_from(*rest, more + 1);
	return more == 0 ? first : point;
}

void dsn_utf8_address_add(struct slice address, size_t max, struct buf *out)
{
	size_t end = out->len + max;

	while (address.len > 0 && out->len < end && buf_ok(out)) {
		uint32_t point = take_point(&address);

		if (point >= 0x80 || point == ' ' || point == '+' || point == '=' || point == '\\')
			buf_addf(out, "\\x{%02X}", point);
		else
			buf_add_char(out, point < ' ' || point == 0x7f ? '?' : (char)point);
	}
}

bool dsn_is_status(struct slice s, uint64_t class)
{
	struct slice rest = s, part;
	uint64_t n[3];
	size_t count = 0;

	while (count < 3 && slice_cut(&rest, '.', &part))
		if (part.len > 3 || !slice_u64(part, 999, &n[count++]))
			return false;
	return count == 3 && rest.len == 0 && s.at[s.len - 1] != '.' && n[0] == class;
}
