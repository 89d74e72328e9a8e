#include "rules/build.h"

#include "mail/dsn.h"
#include "rules/cond.h"
#include "rules/template.h"
#include "rules/verb.h"

/* Reading one rule: its verb by the table in verb.c, `if` and a condition, then the checks that need
 * nothing but the rule. */

static const char *replies_expected(unsigned classes)
{
	static const char *const expected[] = {"", "a code from 400 to 459", "a code from 500 to 559",
					       "a code from 400 to 459 or 500 to 559"};

	return expected[classes & 3];
}

/* RFC 5321 §4.2.1: the second digit is at most 5. */
static bool is_code(struct slice s, unsigned classes, uint64_t *code)
{
	if (s.len != 3 || !slice_u64(s, 559, code) || *code % 100 > 59)
		return false;
	return (*code / 100 == 4 && (classes & REPLY_4XX)) ||
	       (*code / 100 == 5 && (classes & REPLY_5XX));
}

static bool read_dsn(struct parser *p, struct rule *r)
{
	struct token t;

	r->dsn[0] = (char)('0' + r->code / 100);
	if (!parser_at(p, TOKEN_WORD))
		return true;
	if (!dsn_is_status(p->now.text, r->code / 100u)) {
		parser_expected(p, "an enhanced status code of the same class such as 5.7.1, or the "
				   "text in quotes");
		return false;
	}
	return take_word(p, "", &t) && slice_copy(t.text, r->dsn, sizeof(r->dsn));
}

static bool read_code(struct parser *p, const struct verb *v, struct rule *r)
{
	struct token t;
	uint64_t code;

	if (!parser_at(p, TOKEN_WORD))
		return true;
	if (!is_code(p->now.text, v->classes, &code)) {
		parser_expected(p, replies_expected(v->classes));
		return false;
	}
	r->code = (uint16_t)code;
	return take_word(p, "", &t) && read_dsn(p, r);
}

static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static bool read_text(struct parser *p, struct rule *r, unsigned place, const char *expected)
{
	struct template *text;
	struct token t;

	if (!take_string(p, expected, &t))
		return false;
	text = template_parse(p, &t, place);
	r->text = text;
	if (text == NULL)
		return false;
	if (t.text.len > 0 && t.text.len <= VERB_TEXT_MAX && is_printable(text->source))
		return true;
	mistake_add(p->mistakes, t.pos, "expected 1 to 500 characters of printable ASCII",
		    "a text that cannot be sent");
	return false;
}

bool verb_read_nothing(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	(void)p;
	(void)v;
	(void)place;
	(void)r;
	return true;
}

bool verb_read_reply(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	r->code = v->code;
	slice_copy(slice_of(v->dsn), r->dsn, sizeof(r->dsn));
	if (place != RULES_ROUTE && parser_accept_word(p, "after") && !take_time(p, &r->delay_ms))
		return false;
	return read_code(p, v, r) && read_text(p, r, place, "the text of the reply in quotes");
}

bool verb_read_time(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	(void)v;
	(void)place;
	return take_time(p, &r->delay_ms);
}

bool verb_read_text(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	(void)v;
	return read_text(p, r, place, "a text in quotes");
}

/* RFC 5322 §2.2: printable ASCII but the colon, then a colon. */
static size_t field_name_bytes(struct slice line)
{
	size_t colon = slice_index(line, ':');

	for (size_t i = 0; colon != SLICE_NONE && i < colon; i++)
		if (line.at[i] <= ' ' || line.at[i] > '~' || line.at[i] == '{')
			return 0;
	return colon == SLICE_NONE ? 0 : colon;
}

bool verb_read_header(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	struct conf_pos pos = p->now.pos;
	size_t name;

	(void)v;
	if (!read_text(p, r, place, "a header field in quotes: \"X-Name: value\""))
		return false;
	name = field_name_bytes(slice_of(r->text->source));
	if (name > 0 && name <= 76)
		return true;
	mistake_add(p->mistakes, pos, "expected \"Name: value\"", "this is no header field");
	return false;
}

/* `tag connection NAME` for the session, `tag NAME` or `tag message NAME` for the transaction. */
bool verb_read_tag(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	const char *scope = "message", *name;
	struct buf full = buf_make(128);
	bool ok;

	(void)v;
	if (parser_accept_word(p, "connection"))
		scope = "connection";
	else if (parser_accept_word(p, "message"))
		scope = "message";
	else if (place == STAGE_CONNECT || place == STAGE_HELO)
		return take_keyword(p, "connection");
	if (!take_name(p, "the name of a tag", &name))
		return false;
	buf_addf(&full, "%s.%s", scope, name);
	r->name = arena_text(p->arena, buf_slice(&full));
	ok = buf_ok(&full) && r->name != NULL;
	buf_free(&full);
	return ok;
}

static bool read_reference(struct parser *p, const char *what, struct rule *r)
{
	r->pos = p->now.pos; /* so that whoever resolves it points at the name */
	return take_name(p, what, &r->name);
}

bool verb_read_table(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	(void)v;
	(void)place;
	if (!read_reference(p, "the name of a table", r))
		return false;
	return !parser_accept_word(p, "programs") || take_name(p, "the name of a transport", &r->programs);
}

bool verb_read_transport(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	(void)place;
	if (!read_reference(p, "the name of a transport", r))
		return false;
	if (v->verb != VERB_RELAY || !parser_accept_word(p, "as"))
		return true;
	r->relay_domain = true;
	return take_keyword(p, "relay-domain");
}

bool verb_read_rewrite(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	struct conf_pos pos = p->now.pos;

	(void)v;
	if (!read_text(p, r, place, place == RULES_REWRITE ? "the new address in quotes: \"{address.local}@example.org\""
							   : "the new address in quotes: \"{recipient.local}@example.org\""))
		return false;
	if (slice_index(slice_of(r->text->source), '@') != SLICE_NONE || !template_is_literal(r->text))
		return true;
	mistake_add(p->mistakes, pos, place == RULES_REWRITE ? "expected an address such as \"{address.local}@example.org\""
							     : "expected an address such as \"{recipient.local}@example.org\"",
		    "this is no address");
	return false;
}

/* `headers` is all but the envelope, `all` is all. */
static uint32_t fields_of(struct slice word)
{
	uint32_t all = (1u << REWRITE_FIELDS) - 1;

	if (slice_eq(word, slice_of("all")))
		return all;
	if (slice_eq(word, slice_of("headers")))
		return all & ~(1u << REWRITE_ENVELOPE_FROM);
	for (unsigned f = 0; f < REWRITE_FIELDS; f++)
		if (slice_eq(word, slice_of(rewrite_field_name((enum rewrite_field)f))))
			return 1u << f;
	return 0;
}

static bool read_field(struct parser *p, struct rule *r)
{
	struct wordlist allowed = {NULL, 0};
	struct token t;
	uint32_t fields;

	if (!take_word(p, "envelope-from, from, sender, reply-to, to, cc, bcc, resent, headers or all", &t))
		return false;
	fields = fields_of(t.text);
	r->fields |= fields;
	if (fields != 0)
		return true;
	for (unsigned f = 0; f < REWRITE_FIELDS; f++)
		wordlist_add(p->arena, &allowed, rewrite_field_name((enum rewrite_field)f));
	wordlist_add(p->arena, &allowed, "headers");
	wordlist_add(p->arena, &allowed, "all");
	mistake_unknown(p->mistakes, t.pos, "field", t.text, &allowed);
	return false;
}

static bool read_fields(struct parser *p, struct rule *r)
{
	if (!take_keyword(p, "in"))
		return false;
	do {
		if (!read_field(p, r))
			return false;
	} while (parser_accept(p, TOKEN_COMMA));
	return true;
}

bool verb_read_address(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	return verb_read_rewrite(p, v, place, r) && read_fields(p, r);
}

bool verb_read_lookup(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	return verb_read_table(p, v, place, r) && read_fields(p, r);
}

/* ---- checks of one rule ---- */

struct assume_check {
	struct parser *p;
	const struct rule *rule;
};

#define VERB(v) (1u << (v))
/* Nothing is lost when these are left out. */
#define HARMLESS (VERB(VERB_DELAY) | VERB(VERB_ADD_HEADER) | VERB(VERB_TAG) | VERB(VERB_LOG))
#define REFUSING (VERB(VERB_REJECT) | VERB(VERB_DEFER) | VERB(VERB_DROP))

/* Who is found in it is refused; when it cannot be read, nobody is.  Never of the recipient: that
 * decides what is ours. */
static bool is_block_list(const struct cond *c, bool inverted)
{
	bool recipient = c->fact >= FACT_RECIPIENT && c->fact <= FACT_RECIPIENT_IS_USER;

	return c->kind == COND_IN_TABLE && !c->negated && !inverted && !recipient;
}

static void check_assume(struct cond *test, bool inverted, void *arg)
{
	struct assume_check *check = arg;
	unsigned verb = VERB(check->rule->verb);
	bool block_list = check->rule->code != 0 && (verb & REFUSING) && is_block_list(test, inverted);

	if (test->assume_no && !(verb & HARMLESS) && !block_list)
		mistake_add(check->p->mistakes, test->pos,
			    "allowed with delay, add-header, tag and log, and to refuse who stands in "
			    "a block list",
			    "`assume no` is not allowed here");
}

static bool read_condition(struct parser *p, unsigned place, struct rule *r)
{
	struct assume_check check = {p, r};

	if (!parser_accept_word(p, "if"))
		return true;
	r->when = cond_parse(p, place);
	cond_each(r->when, false, check_assume, &check);
	return r->when != NULL;
}

static void check_relay(struct parser *p, const struct rule *r)
{
	if (r->relay_domain && !cond_needs_recipient(r->when))
		mistake_add(
			p->mistakes, r->pos,
			"add a condition such as: if recipient.domain in backup_domains",
			"a relay-domain rule that does not say which domains would be an open relay");
}

static void unknown_verb(struct parser *p, unsigned place)
{
	struct wordlist allowed = {NULL, 0};

	for (size_t i = 0; i < verb_count(); i++)
		if (verb_at(i)->places & RULES_IN(place))
			wordlist_add(p->arena, &allowed, verb_at(i)->name);
	if (parser_at(p, TOKEN_WORD))
		mistake_unknown(p->mistakes, p->now.pos, "verb", p->now.text, &allowed);
	else
		parser_expected(p, "a rule: VERB ... [if CONDITION]");
	parser_skip_statement(p);
}

static bool read_rule(struct parser *p, const struct verb *v, unsigned place, struct rule *r)
{
	r->verb = v->verb;
	r->pos = p->now.pos;
	parser_next(p);
	if (!v->read(p, v, place, r) || !read_condition(p, place, r))
		return false;
	if (!parser_at_statement_end(p)) {
		parser_expected(p, r->when == NULL ? "if, or the end of the rule"
						   : "and, or, or the end of the rule");
		return false;
	}
	check_relay(p, r);
	return true;
}

/* Told once a list: one missing `if` is one mistake. */
static void check_reached(struct parser *p, const struct rule_list *list, struct conf_pos pos,
			  bool *told)
{
	const struct rule *last = list->count == 0 ? NULL : &list->rules[list->count - 1];
	struct buf hint = buf_make(256);

	if (last == NULL || *told || last->when != NULL || !verb_of(last->verb, list->place)->final)
		return;
	*told = true;
	buf_addf(&hint, "the rule in line %u always ends the evaluation", last->pos.line);
	mistake_add(p->mistakes, pos, buf_text(&hint), "this rule is never reached");
	buf_free(&hint);
}

/* Its mistake was told, nothing more is to be said of it; but a tag stays known to the rules that ask
 * for it. */
static void drop_rule(struct rule_list *list, struct rule *r)
{
	if (r->verb == VERB_TAG && r->name != NULL)
		return;
	memset(r, 0, sizeof(*r));
	list->count--;
}

void rules_parse(struct parser *p, struct rule_list *list)
{
	bool told = false;

	for (parser_skip_lines(p); !parser_at(p, TOKEN_CLOSE) && !parser_at(p, TOKEN_END);
	     parser_skip_lines(p)) {
		const struct verb *v =
			parser_at(p, TOKEN_WORD) ? verb_find(p->now.text, list->place) : NULL;
		void *rules = list->rules;
		struct rule *r;

		if (v == NULL) {
			unknown_verb(p, list->place);
			continue;
		}
		check_reached(p, list, p->now.pos, &told);
		r = arena_push(p->arena, &rules, &list->count, sizeof(*r));
		list->rules = rules;
		if (r == NULL)
			return;
		if (!read_rule(p, v, list->place, r)) {
			drop_rule(list, r);
			parser_skip_statement(p);
		}
	}
}
