#include "table_net.h"

#include "base/mem.h"
#include "conf/net.h"
#include "lines.h"
#include "table_text.h"

/* Always, once made: sorted by prefix length, the longest first, then by network; none stands twice. */
struct entry {
	struct conf_cidr net;
	struct slice value; /* into `text` */
	size_t line;
};

struct table_net {
	struct buf text; /* owned */
	struct entry *entries; /* owned */
	size_t count, cap;
};

static int compare_nets(const struct conf_cidr *a, const struct conf_cidr *b)
{
	if (a->bits != b->bits)
		return a->bits > b->bits ? -1 : 1;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int diff = compare_nets(&x->net, &y->net);

	return diff != 0 ? diff : x->line < y->line ? -1 : 1;
}

static bool refuse(struct buf *why, size_t line, const char *what)
{
	buf_addf(why, "%zu: %s", line, what);
	return false;
}

static bool refuse_host_bits(struct buf *why, size_t line, const struct conf_cidr *meant)
{
	buf_addf(why, "%zu: bits behind the prefix are set; ", line);
	net_print(why, meant);
	buf_add_text(why, " is the network");
	return false;
}

/* "2001:db8::" keeps its colons, "2001:db8:::" loses one. */
static struct slice without_colon(struct slice word)
{
	bool is_own = slice_ends_nocase(word, slice_of("::")) && !slice_ends_nocase(word, slice_of(":::"));

	return word.len > 0 && word.at[word.len - 1] == ':' && !is_own ? slice_sub(word, 0, word.len - 1) : word;
}

/* "NET", "NET: value" and "NET value": the first word, less a colon at its end. */
static bool add_line(struct table_net *t, struct slice line, size_t number, struct buf *why)
{
	struct slice rest = line, word = slice_empty();
	void *items = t->entries;
	struct conf_cidr net;

	(void)slice_word(&rest, &word);
	switch (net_cidr(without_colon(word), &net)) {
	case NET_BAD:
		return refuse(why, number, "expected a network, like 192.0.2.0/24 or 2001:db8::/32");
	case NET_HOST_BITS:
		return refuse_host_bits(why, number, &net);
	case NET_OK:
		break;
	}
	if (!mem_grow(&items, &t->cap, t->count, sizeof(struct entry), TABLE_ENTRIES_MAX))
		return refuse(why, number, "more networks than a table can have");
	t->entries = items;
	t->entries[t->count++] = (struct entry){net, slice_trim(rest), number};
	return true;
}

static bool sort(struct table_net *t, struct buf *why)
{
	if (t->count > 1)
		qsort(t->entries, t->count, sizeof(struct entry), compare_entries);
	for (size_t i = 1; i < t->count; i++) {
		const struct entry *e = &t->entries[i];

		if (compare_nets(&e[-1].net, &e->net) != 0)
			continue;
		buf_addf(why, "%zu: this network stood in line %zu already", e->line, e[-1].line);
		return false;
	}
	return true;
}

static bool parse(struct table_net *t, struct buf *why)
{
	struct lines lines = lines_of(buf_slice(&t->text));

	while (lines_next(&lines))
		if (!add_line(t, lines.line, lines.number, why))
			return false;
	if (lines.mistake != NULL)
		return refuse(why, lines.number, lines.mistake);
	return sort(t, why);
}

struct table_net *table_net_parse(struct buf *text, struct buf *why)
{
	struct table_net *t = mem_new(1, sizeof(*t));

	if (t == NULL) {
		buf_free(text);
		refuse(why, 0, "out of memory");
		return NULL;
	}
	t->text = *text;
	*text = buf_make(text->max);
	if (!parse(t, why))
		table_net_free(&t);
	return t;
}

void table_net_free(struct table_net **tp)
{
	struct table_net *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	buf_free(&t->text);
	free(t->entries);
	free(t);
}

size_t table_net_count(const struct table_net *t)
{
	return t->count;
}

static void keep_bits(struct in6_addr *a, unsigned bits)
{
	for (unsigned i = 0; i < sizeof(a->s6_addr); i++) {
		unsigned here = bits > i * 8 ? bits - i * 8 : 0;

		if (here < 8)
			a->s6_addr[i] &= (uint8_t)(0xff00u >> here);
	}
}

/* Where `wanted` is or would be. */
static size_t position(const struct table_net *t, const struct conf_cidr *wanted)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_nets(&t->entries[middle].net, wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool table_net_find(const struct table_net *t, struct slice key, struct slice *value_out, size_t *line_out)
{
	struct conf_cidr wanted;
	size_t at = 0;

	if (!net_address(key, &wanted.address))
		return false;
	/* One search for each prefix length that occurs. */
	while (at < t->count) {
		wanted.bits = t->entries[at].net.bits;
		keep_bits(&wanted.address, wanted.bits);
		at = position(t, &wanted);
		if (at < t->count && compare_nets(&t->entries[at].net, &wanted) == 0) {
			*value_out = t->entries[at].value;
			*line_out = t->entries[at].line;
			return true;
		}
		if (wanted.bits == 0)
			return false;
		at = position(t, &(struct conf_cidr){IN6ADDR_ANY_INIT, wanted.bits - 1});
	}
	return false;
}
