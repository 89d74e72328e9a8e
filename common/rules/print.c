#include "rules/build.h"
#include "rules/cond.h"
#include "rules/template.h"
#include "rules/verb.h"

#include "conf/net.h"
#include "conf/unit.h"

#include <inttypes.h>

/* The canonical form: read again, it gives the same rules and prints the same. */

void rules_print_text(struct buf *out, const char *text)
{
	buf_add_char(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *text);
	}
	buf_add_char(out, '"');
}

/* A child of and, or, not stands in parentheses when it is one of them itself. */
static void print_child(const struct cond *c, struct buf *out)
{
	bool parens = c->kind == COND_AND || c->kind == COND_OR || c->kind == COND_NOT;

	buf_add_text(out, parens ? "(" : "");
	cond_print(c, out);
	buf_add_text(out, parens ? ")" : "");
}

static void print_chain(const struct cond *c, const char *word, struct buf *out)
{
	for (size_t i = 0; i < c->child_count; i++) {
		if (i > 0)
			buf_addf(out, " %s ", word);
		print_child(c->children[i], out);
	}
}

static void print_number(const struct cond *c, struct buf *out)
{
	buf_addf(out, " %s ", cond_compare_text(c->compare));
	if (fact_info(c->fact)->type == FACT_TYPE_SIZE)
		unit_print_size(out, c->number);
	else
		buf_addf(out, "%" PRIu64, c->number);
}

static void print_equal(const struct cond *c, struct buf *out)
{
	buf_add_text(out, c->negated ? " != " : " == ");
	if (c->other != FACT_COUNT)
		buf_add_text(out, fact_info(c->other)->name);
	else if (fact_info(c->fact)->type == FACT_TYPE_WORD)
		buf_add_text(out, c->text);
	else
		rules_print_text(out, c->text);
}

static void print_in(const struct cond *c, struct buf *out)
{
	size_t count = c->kind == COND_IN_NETS ? c->net_count : c->text_count;

	buf_add_text(out, c->negated ? " not in " : " in ");
	if (c->table_name != NULL) {
		buf_add_text(out, c->table_name);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		buf_add_text(out, i == 0 ? "(" : ", ");
		if (c->kind == COND_IN_NETS)
			net_print(out, &c->nets[i]);
		else
			rules_print_text(out, c->texts[i]);
	}
	buf_add_char(out, ')');
}

static void print_test(const struct cond *c, struct buf *out)
{
	if (c->kind == COND_HEADER)
		buf_addf(out, "header \"%s\" present", c->text);
	else
		buf_add_text(out, c->kind == COND_TAG ? c->text : fact_info(c->fact)->name);
	switch (c->kind) {
	case COND_TEXT_EQUAL:
		print_equal(c, out);
		break;
	case COND_NUMBER:
		print_number(c, out);
		break;
	case COND_IN_TABLE:
	case COND_IN_NETS:
	case COND_IN_TEXTS:
		print_in(c, out);
		break;
	case COND_MATCHES:
		buf_add_text(out, c->negated ? " not matches " : " matches ");
		rules_print_text(out, c->text);
		break;
	case COND_SHAPE:
		buf_addf(out, " is %s%s", c->negated ? "not " : "", shape_name(c->shape));
		break;
	case COND_AND:
	case COND_OR:
	case COND_NOT:
	case COND_FACT:
	case COND_TAG:
	case COND_HEADER:
		break;
	}
	buf_add_text(out, c->assume_no ? " assume no" : "");
}

void cond_print(const struct cond *c, struct buf *out)
{
	switch (c->kind) {
	case COND_AND:
		print_chain(c, "and", out);
		return;
	case COND_OR:
		print_chain(c, "or", out);
		return;
	case COND_NOT:
		buf_add_text(out, "not ");
		print_child(c->children[0], out);
		return;
	case COND_FACT:
	case COND_TAG:
	case COND_HEADER:
	case COND_TEXT_EQUAL:
	case COND_NUMBER:
	case COND_IN_TABLE:
	case COND_IN_NETS:
	case COND_IN_TEXTS:
	case COND_MATCHES:
	case COND_SHAPE:
		print_test(c, out);
		return;
	}
}

static void print_delay(const struct rule *r, struct buf *out)
{
	if (r->delay_ms == 0 && r->verb != VERB_DELAY)
		return;
	buf_add_text(out, r->verb == VERB_DELAY ? " " : " after ");
	unit_print_time(out, r->delay_ms);
}

/* "connection.refused" is written `tag connection refused`. */
static void print_name(const struct rule *r, struct buf *out)
{
	const char *dot = r->verb == VERB_TAG ? strchr(r->name, '.') : NULL;

	if (dot != NULL)
		buf_addf(out, " %.*s %s", (int)(dot - r->name), r->name, dot + 1);
	else
		buf_addf(out, " %s", r->name);
}

void rule_print(const struct rule *r, struct buf *out)
{
	buf_add_text(out, rule_verb_name(r->verb));
	print_delay(r, out);
	if (r->code != 0)
		buf_addf(out, " %u %s", r->code, r->dsn);
	if (r->name != NULL)
		print_name(r, out);
	if (r->programs != NULL)
		buf_addf(out, " programs %s", r->programs);
	buf_add_text(out, r->relay_domain ? " as relay-domain" : "");
	if (r->text != NULL) {
		buf_add_char(out, ' ');
		rules_print_text(out, r->text->source);
	}
	for (unsigned f = 0, n = 0; f < REWRITE_FIELDS; f++)
		if ((r->fields >> f & 1) != 0)
			buf_addf(out, "%s %s", n++ == 0 ? " in" : ",", rewrite_field_name((enum rewrite_field)f));
	if (r->when != NULL) {
		buf_add_text(out, " if ");
		cond_print(r->when, out);
	}
}

void rules_print(const struct rule_list *list, struct buf *out)
{
	for (size_t i = 0; i < list->count; i++) {
		buf_add_char(out, '\t');
		rule_print(&list->rules[i], out);
		buf_add_char(out, '\n');
	}
}
