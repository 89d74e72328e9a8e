#include "base/mem.h"
#include "filter/sieve_check.h"
#include "filter/sieve_run.h"
#include "mail/address.h"

/* ---- what more than one word has ---- */

/* The text of an argument that must not depend on the message; NULL: told. */
static const struct slice *constant(struct sieve_checker *c, const struct sieve_string *s, const char *what)
{
	if (sieve_is_constant(s))
		return &s->text;
	mistake_add(c->mistakes, s->pos, "write it out", "%s must not hold variables", what);
	return NULL;
}

/* One of `names`; its index.  False: told. */
static bool choice(struct sieve_checker *c, const struct sieve_string *s, const char *what, const char *(*name)(size_t i), size_t *out)
{
	const struct slice *text = constant(c, s, what);
	struct wordlist all = {NULL, 0};

	if (text == NULL)
		return false;
	for (*out = 0; name(*out) != NULL; ++*out)
		if (slice_eq_nocase(*text, slice_of(name(*out))))
			return true;
	for (size_t i = 0; name(i) != NULL && mistakes_count(c->mistakes) <= MISTAKES_SHOWN_MAX; i++)
		wordlist_add(c->tree->arena, &all, name(i));
	mistake_unknown(c->mistakes, s->pos, what, *text, &all);
	return false;
}

static const char *comparator_name(size_t i)
{
	return i < SIEVE_COMPARATOR_COUNT ? sieve_comparator_name((enum sieve_comparator)i) : NULL;
}

static const char *relation_name(size_t i)
{
	return i < SIEVE_RELATION_COUNT ? sieve_relation_name((enum sieve_relation)i) : NULL;
}

static void check_comparator(struct sieve_checker *c, struct sieve_node *node)
{
	const struct sieve_arg *arg = sieve_tag_value(node, SIEVE_TAG_COMPARATOR);
	size_t which = SIEVE_CASEMAP;

	if (arg == NULL || !choice(c, &arg->strings[0], "comparator", comparator_name, &which))
		return;
	node->comparator = (uint8_t)which;
	if (which == SIEVE_NUMERIC && !sieve_requires(c, SIEVE_COMPARATOR_NUMERIC))
		mistake_add(c->mistakes, arg->pos, "put require \"comparator-i;ascii-numeric\"; at the top of the script",
			    "`i;ascii-numeric` belongs to an extension that is not required");
	if (which == SIEVE_NUMERIC && (node->match == SIEVE_CONTAINS || node->match == SIEVE_MATCHES || node->match == SIEVE_MATCHES_REGEX))
		mistake_add(c->mistakes, arg->pos, "expected :is, :value or :count", "`i;ascii-numeric` has no parts of numbers");
	if (which != SIEVE_NUMERIC && node->match == SIEVE_COUNT)
		mistake_add(c->mistakes, arg->pos, "expected i;ascii-numeric", "`:count` compares numbers");
}

static void check_match(struct sieve_checker *c, struct sieve_node *node)
{
	size_t relation;

	node->match = SIEVE_IS;
	for (size_t i = 0; i < node->tag_count; i++) {
		const struct sieve_tag_word *word = node->tags[i].word;

		if (word->group != SIEVE_TAG_IS)
			continue;
		node->match = (uint8_t)(sieve_tag_of(word) - SIEVE_TAG_IS);
		if (node->tags[i].value != NULL && choice(c, &node->tags[i].value->strings[0], "relation", relation_name, &relation))
			node->relation = (uint8_t)relation;
	}
	check_comparator(c, node);
}

static void check_pattern(struct sieve_checker *c, const struct sieve_node *node, struct sieve_string *s)
{
	char why[PATTERN_WHY_MAX];
	size_t offset = 0;

	if (c->patterns++ >= SIEVE_PATTERNS_MAX) {
		mistake_add(c->mistakes, s->pos, "", "more than %u patterns", SIEVE_PATTERNS_MAX);
		return;
	}
	s->pattern = pattern_new(c->tree->arena, s->text, sieve_pattern_options(node), why, &offset);
	if (s->pattern == NULL && why[0] == '\0')
		c->no_memory = true;
	else if (s->pattern == NULL)
		mistake_add(c->mistakes, s->pos, "", "a bad pattern, at its character %zu: %s", offset + 1, why);
}

void sieve_check_keys(struct sieve_checker *c, struct sieve_node *node)
{
	struct sieve_arg *keys = sieve_keys(node);
	const struct sieve_arg *index = sieve_tag_value(node, SIEVE_TAG_INDEX);

	check_match(c, node);
	for (size_t i = 0; keys != NULL && node->match == SIEVE_MATCHES_REGEX && i < keys->count; i++)
		if (sieve_is_constant(&keys->strings[i]) && mistakes_count(c->mistakes) <= MISTAKES_SHOWN_MAX)
			check_pattern(c, node, &keys->strings[i]);
	if (sieve_has_tag(node, SIEVE_TAG_LAST) && index == NULL)
		mistake_add(c->mistakes, node->pos, "", "`:last` needs `:index`");
	if (index != NULL && index->number == 0)
		mistake_add(c->mistakes, node->pos, "the first one has the index 1", "`:index 0`");
}

static void check_address(struct sieve_checker *c, const struct sieve_string *s)
{
	struct mail_address address;
	enum mail_verdict verdict = MAIL_OK;

	if (sieve_is_constant(s))
		verdict = mail_address_parse(slice_trim(s->text), MAIL_ALLOW_UTF8, &address);
	if (verdict != MAIL_OK)
		mistake_add(c->mistakes, s->pos, "expected an address such as user@example.org", "%s", mail_verdict_text(verdict));
}

/* ---- header fields ---- */

static bool is_field_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.at[i] <= ' ' || (unsigned char)name.at[i] >= 0x7f || name.at[i] == ':')
			return false;
	return name.len > 0;
}

static void check_names(struct sieve_checker *c, const struct sieve_arg *names)
{
	for (size_t i = 0; i < names->count; i++)
		if (sieve_is_constant(&names->strings[i]) && !is_field_name(names->strings[i].text))
			mistake_add(c->mistakes, names->strings[i].pos, "expected a name such as Subject, without a colon",
				    "not the name of a header field");
}

void sieve_check_exists(struct sieve_checker *c, struct sieve_node *node)
{
	check_names(c, node->takes[0]);
}

void sieve_check_header(struct sieve_checker *c, struct sieve_node *node)
{
	check_names(c, node->takes[0]);
	sieve_check_keys(c, node);
}

static bool has_addresses(struct slice name)
{
	static const char *const names[] = {
		"from",		"to",		 "cc",		     "bcc",	       "sender",	 "reply-to",
		"resent-from",	"resent-to",	 "resent-cc",	     "resent-bcc",     "resent-sender",	 "resent-reply-to",
		"delivered-to", "envelope-to",	 "original-recipient", "return-path",  "return-receipt-to", "errors-to",
		"apparently-to", "mail-followup-to", "mail-reply-to", "disposition-notification-to", "original-from", "original-sender",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_nocase(name, slice_of(names[i])))
			return true;
	return slice_starts_nocase(name, slice_of("x-"));
}

void sieve_check_address(struct sieve_checker *c, struct sieve_node *node)
{
	const struct sieve_arg *names = node->takes[0];

	check_names(c, names);
	for (size_t i = 0; i < names->count; i++)
		if (sieve_is_constant(&names->strings[i]) && is_field_name(names->strings[i].text) && !has_addresses(names->strings[i].text))
			mistake_add(c->mistakes, names->strings[i].pos, "for other fields: header", "`%.*s` is no field with addresses",
				    (int)(names->strings[i].text.len < 64 ? names->strings[i].text.len : 64), names->strings[i].text.at);
	sieve_check_keys(c, node);
}

static const char *envelope_part(size_t i)
{
	static const char *const parts[] = {"from", "to", NULL};

	return parts[i];
}

void sieve_check_envelope(struct sieve_checker *c, struct sieve_node *node)
{
	size_t which;

	for (size_t i = 0; i < node->takes[0]->count; i++)
		if (sieve_is_constant(&node->takes[0]->strings[i]))
			choice(c, &node->takes[0]->strings[i], "part of the envelope", envelope_part, &which);
	sieve_check_keys(c, node);
}

/* ---- other tests ---- */

void sieve_check_size(struct sieve_checker *c, struct sieve_node *node)
{
	if (node->tag_count == 0)
		mistake_add(c->mistakes, node->pos, "for example: size :over 100K", "`size` needs :over or :under");
}

void sieve_check_body(struct sieve_checker *c, struct sieve_node *node)
{
	if (sieve_has_tag(node, SIEVE_TAG_COUNT))
		mistake_add(c->mistakes, node->pos, "", "`body` has nothing to count");
	sieve_check_keys(c, node);
}

static void check_date_part(struct sieve_checker *c, const struct sieve_arg *part)
{
	size_t which;

	choice(c, &part->strings[0], "part of a date", sieve_date_part_name, &which);
}

static void check_zone(struct sieve_checker *c, const struct sieve_node *node)
{
	const struct sieve_arg *zone = sieve_tag_value(node, SIEVE_TAG_ZONE);
	int minutes;

	if (zone != NULL && sieve_is_constant(&zone->strings[0]) && !sieve_zone(zone->strings[0].text, &minutes))
		mistake_add(c->mistakes, zone->pos, "expected one such as \"+0100\"", "not a time zone");
}

void sieve_check_date(struct sieve_checker *c, struct sieve_node *node)
{
	check_names(c, node->takes[0]);
	check_date_part(c, node->takes[1]);
	check_zone(c, node);
	sieve_check_keys(c, node);
}

void sieve_check_currentdate(struct sieve_checker *c, struct sieve_node *node)
{
	check_date_part(c, node->takes[0]);
	check_zone(c, node);
	sieve_check_keys(c, node);
}

/* ---- actions ---- */

/* A variable that is written to. */
static void check_variable(struct sieve_checker *c, struct sieve_node *node, const struct sieve_string *s)
{
	const struct slice *name = constant(c, s, "the name of a variable");

	if (name == NULL)
		return;
	node->has_variable = true;
	if (!sieve_is_variable_name(*name))
		mistake_add(c->mistakes, s->pos, "expected letters, figures and _", "not the name of a variable");
	else
		sieve_variable(c, s->pos, *name, &node->variable);
}

void sieve_check_set(struct sieve_checker *c, struct sieve_node *node)
{
	check_variable(c, node, &node->takes[0]->strings[0]);
}

static void check_flag_list(struct sieve_checker *c, const struct sieve_arg *flags)
{
	for (size_t i = 0; flags != NULL && i < flags->count; i++) {
		struct slice rest = flags->strings[i].text, flag;

		while (sieve_is_constant(&flags->strings[i]) && slice_word(&rest, &flag))
			if (!sieve_is_flag(flag))
				mistake_add(c->mistakes, flags->strings[i].pos,
					    "expected \\Seen, \\Answered, \\Flagged, \\Deleted, \\Draft or a word of one's own", "not a flag");
	}
}

static void check_flag_variable(struct sieve_checker *c, struct sieve_node *node)
{
	if (node->takes[0] != NULL && !sieve_requires(c, SIEVE_VARIABLES))
		mistake_add(c->mistakes, node->takes[0]->pos, "put require \"variables\"; at the top of the script",
			    "the name of a variable belongs to an extension that is not required");
}

/* keep, setflag, addflag, removeflag */
void sieve_check_flags(struct sieve_checker *c, struct sieve_node *node)
{
	check_flag_list(c, sieve_tag_value(node, SIEVE_TAG_FLAGS));
	check_flag_list(c, node->takes[1]);
	check_flag_variable(c, node);
	if (node->takes[0] != NULL)
		check_variable(c, node, &node->takes[0]->strings[0]);
}

/* Its variables are looked up by name when it runs: there may be many. */
void sieve_check_hasflag(struct sieve_checker *c, struct sieve_node *node)
{
	size_t index;

	check_flag_variable(c, node);
	for (size_t i = 0; node->takes[0] != NULL && i < node->takes[0]->count; i++) {
		struct sieve_string *s = &node->takes[0]->strings[i];
		struct sieve_piece *piece = arena_take(c->tree->arena, sizeof(*piece));

		if (constant(c, s, "the name of a variable") == NULL || piece == NULL || !sieve_variable(c, s->pos, s->text, &index))
			continue;
		*piece = (struct sieve_piece){SIEVE_VARIABLE, s->text, index};
		s->pieces = piece; /* it stands for what it holds */
		s->piece_count = 1;
	}
	sieve_check_keys(c, node);
}

void sieve_check_fileinto(struct sieve_checker *c, struct sieve_node *node)
{
	const struct sieve_string *name = &node->takes[0]->strings[0];

	if (sieve_is_constant(name) && !sieve_is_folder(name->text))
		mistake_add(c->mistakes, name->pos, "expected a name such as \"Lists/exim\"", "not the name of a folder");
	check_flag_list(c, sieve_tag_value(node, SIEVE_TAG_FLAGS));
}

void sieve_check_redirect(struct sieve_checker *c, struct sieve_node *node)
{
	check_address(c, &node->takes[0]->strings[0]);
}

void sieve_check_vacation(struct sieve_checker *c, struct sieve_node *node)
{
	const struct sieve_arg *addresses = sieve_tag_value(node, SIEVE_TAG_ADDRESSES), *from = sieve_tag_value(node, SIEVE_TAG_FROM);
	struct view_addresses list;
	bool good = true;

	for (size_t i = 0; addresses != NULL && i < addresses->count; i++)
		check_address(c, &addresses->strings[i]);
	if (from != NULL && sieve_is_constant(&from->strings[0]) &&
	    !sieve_read_from(c->tree->arena, from->strings[0].text, &list, &good))
		c->no_memory = true;
	if (!good)
		mistake_add(c->mistakes, from->pos, "expected one such as \"Ada <ada@example.org>\"", "not an address");
	if (sieve_has_tag(node, SIEVE_TAG_MIME) && sieve_is_constant(&node->takes[0]->strings[0]) &&
	    !sieve_is_mime(node->takes[0]->strings[0].text))
		mistake_add(c->mistakes, node->takes[0]->pos, "expected \"Content-Type: ...\", more such fields, an empty line and the text",
			    "not a MIME part");
}
