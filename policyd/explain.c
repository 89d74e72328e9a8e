#include "explain.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "mailbox_user.h"
#include "mail/directive.h"
#include "mail/header_names.h"
#include "rules/cond.h"
#include "rules/run.h"

#include <stdio.h>

#define BECAUSE_MAX 4000u
#define ROW_MAX 16384u

/* ---- the question ---- */

static bool refuse(struct buf *why, const char *what, struct slice value)
{
	buf_addf(why, "%s: \"%.*s\"", what, SLICE_ARG(slice_sub(value, 0, 300)));
	return false;
}

static bool read_recipient(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	struct buf whole = buf_make(512);
	enum mail_verdict verdict;

	buf_add_slice(&whole, value);
	if (value.len > 0 && slice_index(value, '@') == SLICE_NONE && conf->set.qualify_domain[0] != '\0')
		buf_addf(&whole, "@%s", conf->set.qualify_domain);
	verdict = mail_address_parse(buf_slice(&whole), MAIL_ALLOW_UTF8 | MAIL_ALLOW_POSTMASTER, &q->recipient);
	buf_free(&whole);
	q->facts.value[FACT_RECIPIENT].text = mail_address_text(&q->recipient);
	return verdict == MAIL_OK || refuse(why, mail_verdict_text(verdict), value);
}

static bool read_sender(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	struct slice text = slice_eq(value, slice_of("<>")) ? slice_empty() : value;
	enum mail_verdict verdict = mail_address_parse(text, MAIL_ALLOW_UTF8 | MAIL_ALLOW_NULL, &q->sender);

	(void)conf;
	q->sender_said = true;
	q->facts.value[FACT_SENDER].text = mail_address_text(&q->sender);
	return verdict == MAIL_OK || refuse(why, mail_verdict_text(verdict), value);
}

static bool read_login(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	(void)conf;
	if (!slice_copy(value, q->login, sizeof(q->login)))
		return refuse(why, "a login has at most 255 bytes", value);
	q->facts.value[FACT_LOGIN].text = slice_of(q->login);
	return true;
}

static bool read_client(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	(void)conf;
	if (!shape_has(SHAPE_BARE_ADDRESS, value) || !slice_copy(value, q->client, sizeof(q->client)))
		return refuse(why, "a client is an IP address", value);
	q->facts.value[FACT_CLIENT].text = slice_of(q->client);
	return true;
}

/* One for every address of this host is found by each of them. */
static const struct conf_listener *find_by_address(struct explain_question *q, const struct conf *conf, struct slice name)
{
	size_t colon = slice_rindex(name, ':');
	struct slice address = slice_sub(name, 0, colon);
	uint64_t port = 0;

	if (colon == SLICE_NONE || !slice_u64(slice_from(name, colon + 1), UINT16_MAX, &port))
		return NULL;
	if (address.len > 2 && address.at[0] == '[' && address.at[address.len - 1] == ']')
		address = slice_sub(address, 1, address.len - 2);
	if (!shape_has(SHAPE_BARE_ADDRESS, address) || !slice_copy(address, q->local, sizeof(q->local)))
		return NULL;
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].port == port && conf->listeners[i].address[0] == '\0')
			return &conf->listeners[i];
	return NULL;
}

static const struct conf_listener *find_listener(const struct conf *conf, struct slice name)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (slice_eq(slice_of(conf->listeners[i].called), name) || slice_eq(slice_of(conf->listeners[i].name), name))
			return &conf->listeners[i];
	return NULL;
}

static const struct conf_listener *first_listener(const struct conf *conf, enum conf_listener_role role)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].role == role)
			return &conf->listeners[i];
	return NULL;
}

static void set_listener(struct explain_question *q, const struct conf *conf, const struct conf_listener *l, enum conf_listener_role role)
{
	facts_set_listener(&q->facts, conf, l == NULL ? role : l->role, slice_of(l == NULL ? "" : l->called),
			   slice_of(l == NULL ? "" : l->hostname));
	if (l != NULL && l->address[0] != '\0')
		(void)slice_copy(slice_of(l->address), q->local, sizeof(q->local));
	q->facts.value[FACT_LISTENER_ADDRESS].text = slice_of(q->local);
	q->facts.value[FACT_LISTENER_PORT].number = l == NULL ? 0 : l->port;
	/* To every address, or there is no such listener: which one is not said. */
	q->facts.no_listener = role != LISTENER_LOCAL && q->local[0] == '\0';
}

static bool read_listener(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	static const char *const roles[] = {[LISTENER_MX] = "mx", [LISTENER_SUBMISSION] = "submission", [LISTENER_LOCAL] = "local"};
	const struct conf_listener *l = find_listener(conf, value);

	if (l == NULL)
		l = find_by_address(q, conf, value);
	if (l != NULL) {
		set_listener(q, conf, l, l->role);
		return true;
	}
	for (unsigned role = 0; role < ARRAY_LEN(roles); role++)
		if (slice_eq(value, slice_of(roles[role]))) {
			set_listener(q, conf, first_listener(conf, (enum conf_listener_role)role), (enum conf_listener_role)role);
			return true;
		}
	return refuse(why, "no such listener; say mx, submission, local, its name or its ADDRESS:PORT", value);
}

static bool read_header(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	struct header_names names = header_names_make();
	bool ok;

	(void)conf;
	header_names_add_all(&names, slice_of(q->header), slice_empty());
	header_names_add(&names, value);
	ok = slice_index(value, ':') == SLICE_NONE && header_names_have(buf_slice(&names.text), value) == HEADER_HAS &&
	     slice_copy(header_names_text(&names), q->header, sizeof(q->header));
	header_names_free(&names);
	return ok || refuse(why, "no name of a field, or too many of them", value);
}

static bool read_size(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why)
{
	(void)conf;
	return slice_u64(value, INT64_MAX, &q->facts.value[FACT_SIZE].number) || refuse(why, "a size is a number of bytes", value);
}

static const struct {
	const char *key;
	bool (*read)(struct explain_question *q, const struct conf *conf, struct slice value, struct buf *why);
} fields[] = {{"address", read_recipient}, {"from", read_sender},	  {"as", read_login},
	      {"client", read_client},	   {"listener", read_listener}, {"size", read_size},
	      {"header", read_header}};

static bool read_field(struct explain_question *q, const struct conf *conf, const struct rec_control_field *f, struct buf *why)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (slice_eq(f->key, slice_of(fields[i].key)))
			return fields[i].read(q, conf, f->value, why);
	return refuse(why, "not asked here", f->key);
}

/* Somebody who logged in did so at submission; all else is said, or a stranger at the MX. */
static void assume(struct explain_question *q, const struct conf *conf)
{
	enum conf_listener_role role = q->login[0] != '\0' ? LISTENER_SUBMISSION : LISTENER_MX;

	if (facts_text(&q->facts, FACT_LISTENER_ROLE).len == 0)
		set_listener(q, conf, first_listener(conf, role), role);
	q->may_relay = q->login[0] != '\0' || slice_eq(facts_text(&q->facts, FACT_LISTENER_ROLE), slice_of("local")) ||
		       (q->client[0] != '\0' && conf_is_trusted(conf, slice_of(q->client)));
}

bool explain_read(const struct conf *conf, struct slice records, struct explain_question *out, struct buf *why)
{
	struct rec_control_field f;

	memset(out, 0, sizeof(*out));
	out->facts = facts_make();
	memcpy(out->header, ":", sizeof(":"));
	while (rec_control_field_next(&records, &f))
		if (!read_field(out, conf, &f, why))
			return false;
	if (records.len > 0 || out->recipient.text[0] == '\0')
		return refuse(why, "no address to ask about", slice_empty());
	assume(out, conf);
	out->facts.header_names = slice_of(out->header);
	return true;
}

/* ---- rows ---- */

static void add(struct buf *row, const char *key, struct slice value)
{
	(void)rec_control_field_add(row, &(struct rec_control_field){slice_of(key), value});
}

static void add_text(struct buf *row, const char *key, const char *value)
{
	add(row, key, slice_of(value));
}

static void add_number(struct buf *row, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_text(row, key, text);
}

static void add_rule(struct buf *row, const struct rule *rule)
{
	char where[513];

	rule_where_text(rule, where, sizeof(where));
	add_text(row, "rule", where);
}

/* As much of it as a row takes. */
static void add_long(struct buf *row, const char *key, struct slice value)
{
	struct buf text = buf_make(EXPLAIN_VALUE_MAX + 16);

	buf_add_slice(&text, slice_sub(value, 0, EXPLAIN_VALUE_MAX));
	buf_add_text(&text, value.len > EXPLAIN_VALUE_MAX ? " ..." : "");
	add(row, key, buf_slice(&text));
	buf_free(&text);
}

/* Of a directive; its words and parts stand with a NUL between. */
static void add_argument(struct buf *row, struct slice argument)
{
	struct buf text = buf_make(DIRECTIVE_ARGUMENT_MAX);

	for (size_t i = 0; i < argument.len; i++)
		if (argument.at[i] != '\0' || i + 1 < argument.len)
			buf_add_char(&text, argument.at[i] == '\0' ? ' ' : argument.at[i]);
	add_long(row, "argument", buf_slice(&text));
	buf_free(&text);
}

/* Whether the next row stands on this page: others are counted, and not made. */
static bool is_on_page(const struct explain *e)
{
	return !e->full && e->seen >= e->skip;
}

/* A row counts also where it was on an earlier page.  Rows are smaller than a page, so that each page has one at least. */
static void end_row(struct explain *e, struct buf *row)
{
	size_t before = e->rows.len, number = e->seen;
	bool on_page = is_on_page(e);

	e->seen++;
	if (!on_page)
		return;
	if (buf_ok(row) && rec_control_row_add(&e->rows, &(struct rec_control_row){buf_slice(row)}))
		return;
	buf_undo(&e->rows, before);
	e->full = true;
	e->next = number;
}

static const char *answer_word(enum answer answer)
{
	static const char *const words[] = {
		[ANSWER_NO] = "no", [ANSWER_YES] = "yes", [ANSWER_UNKNOWN] = "unknown", [ANSWER_PENDING] = "pending"};

	return words[answer];
}

/* A table that was looked at a moment ago has said it then. */
static const char *unknown_word(const struct explain *e)
{
	return e->detail.why[0] != '\0' ? e->detail.why : "it cannot be asked now, see the log";
}

/* Of a test that asked a table: where it stood, or what is wrong with the table. */
static void add_detail(const struct explain *e, const struct route_note *n, struct buf *test)
{
	bool found = n->answer != ANSWER_UNKNOWN && e->detail.where[0] != '\0';

	if (n->test->kind != COND_IN_TABLE || n->answer == ANSWER_PENDING)
		return;
	if (found && (n->answer == ANSWER_YES) != n->test->negated)
		buf_addf(test, " at %s", e->detail.where);
	if (n->answer == ANSWER_UNKNOWN)
		buf_addf(test, ": %s", unknown_word(e));
}

static void keep_test(struct explain *e, const struct route_note *n)
{
	struct buf test = buf_make(BECAUSE_MAX);

	cond_print(n->test, &test);
	buf_addf(&test, ": %s", answer_word(n->answer));
	if (n->value != NULL) {
		buf_add_text(&test, " (");
		fact_print(fact_info(n->test->fact)->type, n->value, &test);
		buf_add_text(&test, ")");
	}
	add_detail(e, n, &test);
	/* What does not fit any more is left out; the rule's answer is there. */
	if (buf_ok(&test) && e->because.len + test.len + 2 <= BECAUSE_MAX) {
		buf_add_text(&e->because, e->because.len > 0 ? "; " : "");
		buf_add_slice(&e->because, buf_slice(&test));
	}
	buf_free(&test);
}

static void row_address(struct explain *e, const struct route_note *n, struct buf *row)
{
	char by[513];

	(void)e;
	rule_where_text(n->rule, by, sizeof(by));
	if (n->parent == SIZE_MAX)
		add_text(row, "parent", "");
	else
		add_number(row, "parent", n->parent);
	add(row, "address", n->address);
	add(row, "by", n->text.len > 0 ? n->text : slice_of(by));
}

static void row_rule(struct explain *e, const struct route_note *n, struct buf *row)
{
	struct buf line = buf_make(EXPLAIN_VALUE_MAX * 2);

	rule_print(n->rule, &line);
	add_rule(row, n->rule);
	add_long(row, "statement", buf_slice(&line));
	add_text(row, "matches", answer_word(n->answer));
	add(row, "because", buf_slice(&e->because));
	buf_clear(&e->because);
	buf_free(&line);
}

static void row_lookup(struct explain *e, const struct route_note *n, struct buf *row)
{
	add_rule(row, n->rule);
	add_text(row, "table", n->rule->table->name);
	add_text(row, "found", answer_word(n->answer));
	add_text(row, "where", n->answer == ANSWER_YES ? e->detail.where : "");
	add_text(row, "why", n->answer == ANSWER_UNKNOWN ? unknown_word(e) : "");
	add_long(row, "value", n->text);
}

static void row_owner(struct explain *e, const struct route_note *n, struct buf *row)
{
	(void)e;
	add_rule(row, n->rule);
	add(row, "sender", n->text);
}

static void row_rewrite(struct explain *e, const struct route_note *n, struct buf *row)
{
	(void)e;
	add_rule(row, n->rule);
	add(row, "address", n->address);
}

static void add_user_by_table(struct explain *e, const struct rec_route_target *t, const struct conf_transport *transport, struct buf *row)
{
	const char *table = transport->user_by;
	char why[MAILBOX_USER_WHY_MAX];
	struct buf by = buf_make(512);
	struct mailbox_user user;
	enum answer answer = mailbox_user_find(e->conf, transport, t->recipient, e->lookups, &user, why), exists = ANSWER_YES;

	if (answer == ANSWER_YES && user.by_table)
		exists = e->lookups->account(e->lookups->arg, slice_of(user.name));
	e->pending = e->pending || answer == ANSWER_PENDING || exists == ANSWER_PENDING;
	if (answer != ANSWER_YES)
		buf_addf(&by, "table %s: %s; its mail waits", table, why);
	else if (exists == ANSWER_NO)
		buf_addf(&by, "table %s, and mail is delivered as no such system user; its mail waits", table);
	else
		buf_addf(&by, user.by_table ? "table %s" : "not in table %s", table);
	add_text(row, "user", answer == ANSWER_YES ? user.name : "nobody");
	add(row, "user-by", buf_slice(&by));
	buf_free(&by);
}

/* As who it is done: the owner of virtual mailboxes, else the recipient's own system user; nobody on another host. */
static void add_user(struct explain *e, const struct rec_route_target *t, struct buf *row)
{
	const struct conf_transport *transport = conf_transport_find(e->conf, t->transport);

	if (transport == NULL || !conf_transport_is_local(transport))
		add(row, "user", slice_empty());
	else if (transport->user_by != NULL)
		add_user_by_table(e, t, transport, row);
	else
		add(row, "user", transport->user != NULL ? slice_of(transport->user) : t->nexthop);
}

static void row_target(struct explain *e, const struct route_note *n, struct buf *row)
{
	const struct rec_route_target *t = n->target;

	add(row, "rule", t->rule);
	add(row, "recipient", t->recipient);
	add(row, "transport", t->transport);
	add(row, "nexthop", t->nexthop);
	add_user(e, t, row);
	add_text(row, "directive", directive_name(t->directive));
	add_argument(row, t->argument);
	add_text(row, "held", t->hold ? "yes" : "no");
	add_text(row, "queue-only", t->queue_only ? "yes" : "no");
	add_text(row, "leaves", t->leaves ? "yes" : "no");
}

static void row_end(struct explain *e, const struct route_note *n, struct buf *row)
{
	(void)e;
	add_rule(row, n->rule);
	if (n->code != 0)
		add_number(row, "code", n->code);
	add_long(row, "text", n->text);
}

static const struct {
	const char *kind;
	void (*fill)(struct explain *e, const struct route_note *n, struct buf *row);
} kinds[] = {
	[NOTE_ADDRESS] = {"address", row_address}, [NOTE_RULE] = {"rule", row_rule},	   [NOTE_LOOKUP] = {"lookup", row_lookup},
	[NOTE_OWNER] = {"owner", row_owner},
	[NOTE_REWRITE] = {"rewrite", row_rewrite}, [NOTE_TARGET] = {"target", row_target}, [NOTE_REFUSED] = {"refused", row_end},
	[NOTE_DEFERRED] = {"deferred", row_end},   [NOTE_PENDING] = {"pending", row_end},  [NOTE_DISCARDED] = {"discarded", row_end},
};

static void show(struct explain *e, const struct route_note *n)
{
	struct buf row = buf_make(ROW_MAX);

	add_text(&row, "kind", kinds[n->kind].kind);
	add_number(&row, "number", n->item);
	kinds[n->kind].fill(e, n, &row);
	end_row(e, &row);
	buf_free(&row);
}

/* Each page runs the whole route: what a long list leads to costs its walk, and not its rows as well. */
static void on_note(void *arg, const struct route_note *n)
{
	struct explain *e = arg;

	if (n->item >= EXPLAIN_ITEMS_MAX)
		e->hidden += n->kind == NOTE_ADDRESS;
	else if (n->kind == NOTE_TEST && is_on_page(e))
		keep_test(e, n);
	else if (n->kind != NOTE_TEST && is_on_page(e))
		show(e, n);
	else if (n->kind != NOTE_TEST)
		e->seen++;
	e->detail = (struct tables_detail){"", ""};
}

/* ---- the end of all ---- */

static const char *relay_word(const struct route_result *r, bool may_relay)
{
	if (!r->leaves)
		return "not needed";
	return may_relay ? "allowed" : "refused";
}

static void add_result(struct explain *e, const struct route_result *r, bool may_relay)
{
	static const char *const words[] = {[ROUTE_TARGETS] = "accepted", [ROUTE_REFUSED] = "refused", [ROUTE_DEFERRED] = "deferred"};
	bool guarded = r->outcome == ROUTE_TARGETS && r->leaves && !may_relay;
	const struct outcome_info *info = outcome_info(guarded ? OC_NO_RELAY : r->oc);
	bool own = r->outcome == ROUTE_REFUSED;
	struct buf row = buf_make(ROW_MAX);

	add_text(&row, "kind", "result");
	add_text(&row, "outcome", guarded ? "refused" : words[r->outcome]);
	add_number(&row, "code", own ? r->code : info->smtp);
	add_text(&row, "dsn", own ? r->dsn : info->dsn);
	add_text(&row, "text", own ? r->text : r->outcome == ROUTE_DEFERRED ? r->cause : info->text);
	add_text(&row, "rule", r->rule);
	add_number(&row, "targets", r->count);
	add_text(&row, "relay", relay_word(r, may_relay));
	add_number(&row, "not-shown", e->hidden);
	end_row(e, &row);
	buf_free(&row);
}

struct explain explain_begin(const struct conf *conf, struct tables *tables, size_t skip)
{
	return (struct explain){
		.conf = conf, .tables = tables, .skip = skip, .rows = buf_make(EXPLAIN_PAGE_MAX), .because = buf_make(BECAUSE_MAX)};
}

enum route_outcome explain_run(struct explain *e, const struct explain_question *q, const struct lookups *lookups)
{
	const struct route_trace trace = {on_note, e};
	const struct route_question question = {.conf = e->conf, .facts = &q->facts, .lookups = lookups, .trace = &trace, .any_sender = !q->sender_said};
	struct route_result r;
	enum route_outcome outcome;

	if (e->tables != NULL)
		tables_tell(e->tables, &e->detail);
	e->lookups = lookups;
	route_run(&question, &r);
	if (e->tables != NULL)
		tables_tell(e->tables, NULL);
	outcome = e->pending ? ROUTE_PENDING : r.outcome;
	if (outcome != ROUTE_PENDING)
		add_result(e, &r, q->may_relay);
	route_result_free(&r);
	return outcome;
}

void explain_free(struct explain *e)
{
	buf_free(&e->rows);
	buf_free(&e->because);
}
