#include "filter/sieve_words.h"

#include "base/mem.h"
#include "filter/sieve_check.h"
#include "filter/sieve_run.h"

#define BIT(tag) (UINT64_C(1) << SIEVE_TAG_##tag)
#define MATCH (BIT(IS) | BIT(CONTAINS) | BIT(MATCHES) | BIT(REGEX) | BIT(COUNT) | BIT(VALUE) | BIT(COMPARATOR))
#define PART (BIT(ALL) | BIT(LOCALPART) | BIT(DOMAIN) | BIT(USER) | BIT(DETAIL))
#define WHICH (BIT(INDEX) | BIT(LAST))
#define CHANGES (BIT(LOWER) | BIT(UPPER) | BIT(LOWERFIRST) | BIT(UPPERFIRST) | BIT(QUOTEWILDCARD) | BIT(QUOTEREGEX) | BIT(LENGTH))

static const char *const extensions[SIEVE_EXTENSION_COUNT] = {
	[SIEVE_BASE] = "",
	[SIEVE_FILEINTO] = "fileinto",
	[SIEVE_REJECT] = "reject",
	[SIEVE_EREJECT] = "ereject",
	[SIEVE_ENVELOPE] = "envelope",
	[SIEVE_ENCODED_CHARACTER] = "encoded-character",
	[SIEVE_COMPARATOR_OCTET] = "comparator-i;octet",
	[SIEVE_COMPARATOR_CASEMAP] = "comparator-i;ascii-casemap",
	[SIEVE_COMPARATOR_NUMERIC] = "comparator-i;ascii-numeric",
	[SIEVE_COPY] = "copy",
	[SIEVE_SUBADDRESS] = "subaddress",
	[SIEVE_VARIABLES] = "variables",
	[SIEVE_RELATIONAL] = "relational",
	[SIEVE_REGEX] = "regex",
	[SIEVE_BODY] = "body",
	[SIEVE_DATE] = "date",
	[SIEVE_INDEX] = "index",
	[SIEVE_VACATION] = "vacation",
	[SIEVE_VACATION_SECONDS] = "vacation-seconds",
	[SIEVE_IMAP4FLAGS] = "imap4flags",
	[SIEVE_MAILBOX] = "mailbox",
	[SIEVE_ENVIRONMENT] = "environment",
};

static const char *const comparators[SIEVE_COMPARATOR_COUNT] = {
	[SIEVE_CASEMAP] = "i;ascii-casemap",
	[SIEVE_OCTET] = "i;octet",
	[SIEVE_NUMERIC] = "i;ascii-numeric",
};

static const char *const relations[SIEVE_RELATION_COUNT] = {"gt", "ge", "lt", "le", "eq", "ne"};

#define NOTHING SIEVE_TAKES_NOTHING
#define NUMBER SIEVE_TAKES_NUMBER
#define STRING SIEVE_TAKES_STRING
#define STRINGS SIEVE_TAKES_STRINGS

static const struct sieve_tag_word tags[SIEVE_TAGS] = {
	[SIEVE_TAG_IS] = {"is", SIEVE_TAG_IS, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_CONTAINS] = {"contains", SIEVE_TAG_IS, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_MATCHES] = {"matches", SIEVE_TAG_IS, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_REGEX] = {"regex", SIEVE_TAG_IS, SIEVE_REGEX, NOTHING},
	[SIEVE_TAG_COUNT] = {"count", SIEVE_TAG_IS, SIEVE_RELATIONAL, STRING},
	[SIEVE_TAG_VALUE] = {"value", SIEVE_TAG_IS, SIEVE_RELATIONAL, STRING},
	[SIEVE_TAG_COMPARATOR] = {"comparator", SIEVE_TAG_COMPARATOR, SIEVE_BASE, STRING},
	[SIEVE_TAG_ALL] = {"all", SIEVE_TAG_ALL, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_LOCALPART] = {"localpart", SIEVE_TAG_ALL, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_DOMAIN] = {"domain", SIEVE_TAG_ALL, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_USER] = {"user", SIEVE_TAG_ALL, SIEVE_SUBADDRESS, NOTHING},
	[SIEVE_TAG_DETAIL] = {"detail", SIEVE_TAG_ALL, SIEVE_SUBADDRESS, NOTHING},
	[SIEVE_TAG_OVER] = {"over", SIEVE_TAG_OVER, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_UNDER] = {"under", SIEVE_TAG_OVER, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_RAW] = {"raw", SIEVE_TAG_RAW, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_CONTENT] = {"content", SIEVE_TAG_RAW, SIEVE_BASE, STRINGS},
	[SIEVE_TAG_TEXT] = {"text", SIEVE_TAG_RAW, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_INDEX] = {"index", SIEVE_TAG_INDEX, SIEVE_INDEX, NUMBER},
	[SIEVE_TAG_LAST] = {"last", SIEVE_TAG_LAST, SIEVE_INDEX, NOTHING},
	[SIEVE_TAG_ZONE] = {"zone", SIEVE_TAG_ZONE, SIEVE_BASE, STRING},
	[SIEVE_TAG_ORIGINALZONE] = {"originalzone", SIEVE_TAG_ZONE, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_COPY] = {"copy", SIEVE_TAG_COPY, SIEVE_COPY, NOTHING},
	[SIEVE_TAG_CREATE] = {"create", SIEVE_TAG_CREATE, SIEVE_MAILBOX, NOTHING},
	[SIEVE_TAG_FLAGS] = {"flags", SIEVE_TAG_FLAGS, SIEVE_IMAP4FLAGS, STRINGS},
	[SIEVE_TAG_LOWER] = {"lower", SIEVE_TAG_LOWER, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_UPPER] = {"upper", SIEVE_TAG_LOWER, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_LOWERFIRST] = {"lowerfirst", SIEVE_TAG_LOWERFIRST, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_UPPERFIRST] = {"upperfirst", SIEVE_TAG_LOWERFIRST, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_QUOTEWILDCARD] = {"quotewildcard", SIEVE_TAG_QUOTEWILDCARD, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_QUOTEREGEX] = {"quoteregex", SIEVE_TAG_QUOTEWILDCARD, SIEVE_REGEX, NOTHING},
	[SIEVE_TAG_LENGTH] = {"length", SIEVE_TAG_LENGTH, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_DAYS] = {"days", SIEVE_TAG_DAYS, SIEVE_BASE, NUMBER},
	[SIEVE_TAG_SECONDS] = {"seconds", SIEVE_TAG_DAYS, SIEVE_VACATION_SECONDS, NUMBER},
	[SIEVE_TAG_SUBJECT] = {"subject", SIEVE_TAG_SUBJECT, SIEVE_BASE, STRING},
	[SIEVE_TAG_FROM] = {"from", SIEVE_TAG_FROM, SIEVE_BASE, STRING},
	[SIEVE_TAG_ADDRESSES] = {"addresses", SIEVE_TAG_ADDRESSES, SIEVE_BASE, STRINGS},
	[SIEVE_TAG_MIME] = {"mime", SIEVE_TAG_MIME, SIEVE_BASE, NOTHING},
	[SIEVE_TAG_HANDLE] = {"handle", SIEVE_TAG_HANDLE, SIEVE_BASE, STRING},
};

#define COMMAND(extension, otherwise) SIEVE_COMMAND, extension, otherwise
#define TEST(extension) SIEVE_TEST, extension, SIEVE_BASE
#define GOES_ON SIEVE_NO_TEST, SIEVE_GOES_ON

static const struct sieve_word words[] = {
	{"require", COMMAND(0, 0), {STRINGS}, false, 0, GOES_ON, "require [\"fileinto\", ...];", NULL, NULL, NULL},
	{"if", COMMAND(0, 0), {NOTHING}, false, 0, SIEVE_ONE_TEST, SIEVE_IF, "if TEST { ... }", NULL, NULL, NULL},
	{"elsif", COMMAND(0, 0), {NOTHING}, false, 0, SIEVE_ONE_TEST, SIEVE_ELSIF, "elsif TEST { ... }", NULL, NULL, NULL},
	{"else", COMMAND(0, 0), {NOTHING}, false, 0, SIEVE_NO_TEST, SIEVE_ELSE, "else { ... }", NULL, NULL, NULL},
	{"stop", COMMAND(0, 0), {NOTHING}, false, 0, SIEVE_NO_TEST, SIEVE_STOP, "stop;", NULL, NULL, NULL},
	{"keep", COMMAND(0, 0), {NOTHING}, false, BIT(FLAGS), GOES_ON, "keep;", sieve_check_flags, sieve_act_keep, NULL},
	{"discard", COMMAND(0, 0), {NOTHING}, false, 0, GOES_ON, "discard;", NULL, sieve_act_discard, NULL},
	{"redirect", COMMAND(0, 0), {STRING}, false, BIT(COPY), GOES_ON, "redirect \"user@example.org\";", sieve_check_redirect,
	 sieve_act_redirect, NULL},
	{"fileinto", COMMAND(SIEVE_FILEINTO, 0), {STRING}, false, BIT(COPY) | BIT(CREATE) | BIT(FLAGS), GOES_ON, "fileinto \"Folder\";",
	 sieve_check_fileinto, sieve_act_fileinto, NULL},
	{"reject", COMMAND(SIEVE_REJECT, 0), {STRING}, false, 0, GOES_ON, "reject \"why\";", NULL, sieve_act_reject, NULL},
	{"ereject", COMMAND(SIEVE_EREJECT, 0), {STRING}, false, 0, GOES_ON, "ereject \"why\";", NULL, sieve_act_reject, NULL},
	{"vacation", COMMAND(SIEVE_VACATION, SIEVE_VACATION_SECONDS), {STRING}, false,
	 BIT(DAYS) | BIT(SECONDS) | BIT(SUBJECT) | BIT(FROM) | BIT(ADDRESSES) | BIT(MIME) | BIT(HANDLE), GOES_ON,
	 "vacation :days 7 \"I am away.\";", sieve_check_vacation, sieve_act_vacation, NULL},
	{"set", COMMAND(SIEVE_VARIABLES, 0), {STRING, STRING}, false, CHANGES, GOES_ON, "set \"name\" \"value\";", sieve_check_set,
	 sieve_act_set, NULL},
	{"setflag", COMMAND(SIEVE_IMAP4FLAGS, 0), {STRING, STRINGS}, true, 0, GOES_ON, "setflag \"\\\\Seen\";", sieve_check_flags,
	 sieve_act_setflag, NULL},
	{"addflag", COMMAND(SIEVE_IMAP4FLAGS, 0), {STRING, STRINGS}, true, 0, GOES_ON, "addflag \"\\\\Seen\";", sieve_check_flags,
	 sieve_act_addflag, NULL},
	{"removeflag", COMMAND(SIEVE_IMAP4FLAGS, 0), {STRING, STRINGS}, true, 0, GOES_ON, "removeflag \"\\\\Seen\";", sieve_check_flags,
	 sieve_act_removeflag, NULL},

	{"true", TEST(0), {NOTHING}, false, 0, GOES_ON, "true", NULL, NULL, sieve_test_true},
	{"false", TEST(0), {NOTHING}, false, 0, GOES_ON, "false", NULL, NULL, sieve_test_false},
	{"not", TEST(0), {NOTHING}, false, 0, SIEVE_ONE_TEST, 0, "not TEST", NULL, NULL, sieve_test_not},
	{"allof", TEST(0), {NOTHING}, false, 0, SIEVE_TEST_LIST, 0, "allof (TEST, TEST)", NULL, NULL, sieve_test_allof},
	{"anyof", TEST(0), {NOTHING}, false, 0, SIEVE_TEST_LIST, 0, "anyof (TEST, TEST)", NULL, NULL, sieve_test_anyof},
	{"exists", TEST(0), {STRINGS}, false, 0, GOES_ON, "exists \"Subject\"", sieve_check_exists, NULL, sieve_test_exists},
	{"size", TEST(0), {NUMBER}, false, BIT(OVER) | BIT(UNDER), GOES_ON, "size :over 100K", sieve_check_size, NULL, sieve_test_size},
	{"header", TEST(0), {STRINGS, STRINGS}, false, MATCH | WHICH, GOES_ON, "header :contains \"Subject\" \"word\"", sieve_check_header,
	 NULL, sieve_test_header},
	{"address", TEST(0), {STRINGS, STRINGS}, false, MATCH | PART | WHICH, GOES_ON, "address :is \"From\" \"user@example.org\"",
	 sieve_check_address, NULL, sieve_test_address},
	{"envelope", TEST(SIEVE_ENVELOPE), {STRINGS, STRINGS}, false, MATCH | PART, GOES_ON, "envelope :is \"from\" \"user@example.org\"",
	 sieve_check_envelope, NULL, sieve_test_envelope},
	{"body", TEST(SIEVE_BODY), {STRINGS}, false, MATCH | BIT(RAW) | BIT(CONTENT) | BIT(TEXT), GOES_ON, "body :contains \"word\"",
	 sieve_check_body, NULL, sieve_test_body},
	{"date", TEST(SIEVE_DATE), {STRING, STRING, STRINGS}, false, MATCH | WHICH | BIT(ZONE) | BIT(ORIGINALZONE), GOES_ON,
	 "date \"Date\" \"weekday\" \"0\"", sieve_check_date, NULL, sieve_test_date},
	{"currentdate", TEST(SIEVE_DATE), {STRING, STRINGS}, false, MATCH | BIT(ZONE), GOES_ON, "currentdate \"weekday\" \"0\"",
	 sieve_check_currentdate, NULL, sieve_test_currentdate},
	{"string", TEST(SIEVE_VARIABLES), {STRINGS, STRINGS}, false, MATCH, GOES_ON, "string :is \"${name}\" \"value\"", sieve_check_keys,
	 NULL, sieve_test_string},
	{"hasflag", TEST(SIEVE_IMAP4FLAGS), {STRINGS, STRINGS}, true, MATCH, GOES_ON, "hasflag \"\\\\Seen\"", sieve_check_hasflag, NULL,
	 sieve_test_hasflag},
	{"mailboxexists", TEST(SIEVE_MAILBOX), {STRINGS}, false, 0, GOES_ON, "mailboxexists \"Folder\"", NULL, NULL,
	 sieve_test_mailboxexists},
	{"environment", TEST(SIEVE_ENVIRONMENT), {STRING, STRINGS}, false, MATCH, GOES_ON, "environment \"host\" \"name\"", sieve_check_keys,
	 NULL, sieve_test_environment},
};

const char *sieve_extension_name(enum sieve_extension extension)
{
	return extensions[extension];
}

const char *sieve_comparator_name(enum sieve_comparator comparator)
{
	return comparators[comparator];
}

const char *sieve_relation_name(enum sieve_relation relation)
{
	return relations[relation];
}

const struct sieve_tag_word *sieve_tag_word(enum sieve_tag tag)
{
	return &tags[tag];
}

enum sieve_tag sieve_tag_of(const struct sieve_tag_word *word)
{
	return (enum sieve_tag)(word - tags);
}

enum sieve_tag sieve_tag_find(struct slice name)
{
	for (size_t i = 0; i < SIEVE_TAGS; i++)
		if (slice_eq_nocase(name, slice_of(tags[i].name)))
			return (enum sieve_tag)i;
	return SIEVE_TAGS;
}

const struct sieve_word *sieve_word_find(enum sieve_kind kind, struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].kind == kind && slice_eq_nocase(name, slice_of(words[i].name)))
			return &words[i];
	return NULL;
}

const struct sieve_word *sieve_word_at(size_t i)
{
	return i < ARRAY_LEN(words) ? &words[i] : NULL;
}

const struct sieve_bound *sieve_bound(const struct sieve_node *node, enum sieve_tag tag)
{
	for (size_t i = 0; i < node->tag_count; i++)
		if (sieve_tag_of(node->tags[i].word) == tag)
			return &node->tags[i];
	return NULL;
}
