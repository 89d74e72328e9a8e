#include "rules/build.h"
#include "rules/cond.h"

#include "conf/net.h"

/* Names to what they name, once everything was read. */

bool rules_collect_tags(struct rules_names *names, const struct rule_list *list)
{
	for (size_t i = 0; list != NULL && i < list->count; i++)
		if (list->rules[i].verb == VERB_TAG &&
		    !wordlist_add(names->arena, &names->tags, list->rules[i].name))
			return false;
	return true;
}

static const struct conf_table *find_table(struct rules_names *n, const char *name, struct conf_pos pos,
					   bool of_client)
{
	struct wordlist known = {NULL, 0};

	if (of_client)
		wordlist_add(n->arena, &known, "trusted");
	for (size_t i = 0; i < n->conf->table_count; i++) {
		if (strcmp(n->conf->tables[i].name, name) == 0)
			return &n->conf->tables[i];
		wordlist_add(n->arena, &known, n->conf->tables[i].name);
	}
	mistake_unknown(n->mistakes, pos, "table", slice_of(name), &known);
	return NULL;
}

static const struct conf_transport *find_transport(struct rules_names *n, const char *name,
						   struct conf_pos pos)
{
	struct wordlist known = {NULL, 0};

	for (size_t i = 0; i < n->conf->transport_count; i++) {
		if (strcmp(n->conf->transports[i].name, name) == 0)
			return &n->conf->transports[i];
		wordlist_add(n->arena, &known, n->conf->transports[i].name);
	}
	mistake_unknown(n->mistakes, pos, "transport", slice_of(name), &known);
	return NULL;
}

/* A list of addresses looks up an address exactly: a network in it would never be found. */
static void check_networks(struct rules_names *n, const struct cond *test)
{
	const struct conf_table *t = test->table;
	struct conf_cidr net;

	for (size_t i = 0; t->kind == TABLE_INLINE && i < t->entry_count; i++)
		if (slice_index(slice_of(t->entries[i].key), '/') != SLICE_NONE &&
		    net_cidr(slice_of(t->entries[i].key), &net) != NET_BAD) {
			mistake_add(n->mistakes, test->pos,
				    "write `client in (192.0.2.0/24, ...)`, or a table of kind cidr",
				    "table %s holds networks, but is looked up by whole address",
				    t->name);
			return;
		}
}

static void resolve_table(struct rules_names *n, struct cond *test)
{
	bool is_client = fact_info(test->fact)->type == FACT_TYPE_IP;

	test->table = find_table(n, test->table_name, test->pos, is_client);
	if (test->table == NULL)
		return;
	if (test->table->kind == TABLE_CIDR && !is_client)
		mistake_add(n->mistakes, test->pos, "only the client can be in a table of networks",
			    "table %s is of kind cidr", test->table_name);
	if (is_client)
		check_networks(n, test);
}

static void resolve_test(struct cond *test, bool inverted, void *arg)
{
	struct rules_names *n = arg;

	(void)inverted;
	if (test->kind == COND_IN_TABLE)
		resolve_table(n, test);
	if (test->kind == COND_IN_NETS && test->table_name != NULL) {
		test->nets = n->conf->trusted;
		test->net_count = n->conf->trusted_count;
	}
	if (test->kind != COND_TAG)
		return;
	for (size_t i = 0; i < n->tags.count; i++)
		if (strcmp(n->tags.words[i], test->text) == 0)
			return;
	mistake_unknown(n->mistakes, test->pos, "tag", slice_of(test->text), &n->tags);
}

/* ---- fields of the header ---- */

struct headers {
	struct rules_names *names;
	const char *seen[RULES_HEADERS_MAX];
	size_t count;
};

static void note_header(struct cond *test, bool inverted, void *arg)
{
	struct headers *h = arg;

	(void)inverted;
	if (test->kind != COND_HEADER)
		return;
	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->seen[i], test->text) == 0)
			return;
	if (h->count < RULES_HEADERS_MAX)
		h->seen[h->count++] = test->text;
	else
		mistake_add(h->names->mistakes, test->pos, "ask for one field that whoever marks mail sets", "routes ask about more than %u different fields",
			    RULES_HEADERS_MAX);
}

static void check_headers(struct rules_names *names, const struct rule_list *list)
{
	struct headers h = {.names = names};

	for (size_t i = 0; list != NULL && i < list->count; i++)
		cond_each(list->rules[i].when, false, note_header, &h);
}

/* ---- rules ---- */

static void check_fits(struct rules_names *n, const struct rule *r)
{
	bool is_smtp = r->transport->kind == TRANSPORT_SMTP;

	if (r->verb == VERB_DELIVER && is_smtp)
		mistake_add(n->mistakes, r->pos, "write relay, or name a maildir or lmtp transport",
			    "%s is an smtp transport", r->name);
	if (r->verb == VERB_RELAY && !is_smtp)
		mistake_add(n->mistakes, r->pos, "write deliver, or name an smtp transport",
			    "%s is no smtp transport", r->name);
}

/* As which user is for the administrator to say, at a transport; what the transport does with it is its own. */
static void resolve_programs(struct rules_names *n, struct rule *r)
{
	r->transport = find_transport(n, r->programs, r->pos);
	if (r->transport == NULL)
		return;
	if (r->transport->kind != TRANSPORT_PIPE || conf_transport_is_system(r->transport))
		mistake_add(n->mistakes, r->pos, "name a transport such as: transport system-programs { pipe  user nobody }",
			    "%s cannot run programs: it is no pipe, or does not say as which user", r->programs);
}

static void resolve_rule(struct rules_names *n, struct rule *r)
{
	if (r->verb == VERB_ALIAS || r->verb == VERB_LOOKUP) {
		r->table = find_table(n, r->name, r->pos, false);
		if (r->table != NULL && r->table->kind == TABLE_CIDR)
			mistake_add(n->mistakes, r->pos, "expected a table of addresses",
				    "table %s is of kind cidr", r->name);
	}
	if (r->programs != NULL)
		resolve_programs(n, r);
	if (r->verb == VERB_DELIVER || r->verb == VERB_RELAY) {
		r->transport = find_transport(n, r->name, r->pos);
		if (r->transport != NULL)
			check_fits(n, r);
	}
	cond_each(r->when, false, resolve_test, n);
}

void rules_resolve(struct rules_names *names, struct rule_list *list)
{
	for (size_t i = 0; list != NULL && i < list->count; i++)
		resolve_rule(names, &list->rules[i]);
	check_headers(names, list);
}
