#ifndef POSTERN_FILTER_EXIM_H
#define POSTERN_FILTER_EXIM_H

#include "conf/arena.h"
#include "filter/filter.h"

/*
 * The tree that an Exim filter file becomes; inside common/filter/exim_*.c only.  Everything lies in the filter's arena.
 *
 * A text is a list of parts.  What the parts become when the filter runs is put side by side and never read again: neither for a `$`,
 * nor for a quote, nor for an option.
 */
#define EXIM_DEPTH_MAX 64u /* of conditions, commands and expansions in each other */
#define EXIM_DATA_MAX 16384u /* bytes of one data value, as written */
#define EXIM_COUNTERS 10u /* $n0 to $n9 */

enum exim_part_kind {
	EXIM_PLAIN, /* `text` */
	EXIM_VARIABLE, /* `which`: a row of the table in exim_variable.c */
	EXIM_COUNTER, /* $n0: `which` */
	EXIM_GROUP, /* $0 to $9: `which`; "" above that */
	EXIM_FIELD, /* $h_NAME: `text` is the name, `which` an enum exim_field_form */
	EXIM_IF, /* `test`, args: yes, no (the second may be missing) */
	EXIM_CALL, /* `which`: an enum exim_function, of `args` */
};

enum exim_field_form {
	EXIM_DECODED, /* $h_, $bh_: trimmed, unfolded, encoded words as UTF-8 */
	EXIM_RAW, /* $rh_: as it came */
};

enum exim_function {
	EXIM_LC, /* text */
	EXIM_UC,
	EXIM_LENGTH, /* number, text */
	EXIM_SUBSTR, /* start, text; or start, length, text */
	EXIM_STRLEN,
	EXIM_LOCAL_PART,
	EXIM_DOMAIN,
	EXIM_ADDRESS,
	EXIM_QUOTE,
	EXIM_RXQUOTE,
};

struct exim_text {
	struct exim_part *first;
	struct slice source; /* as written, quotes taken away: for people */
	uint32_t line;
	struct exim_text *next; /* of a list of arguments */
};

struct exim_part {
	enum exim_part_kind kind;
	int which;
	struct slice text;
	struct exim_test *test;
	struct exim_text *args;
	struct exim_part *next;
};

enum exim_test_kind {
	EXIM_AND, /* of `inner` and what is `next` to it */
	EXIM_OR,
	EXIM_COMPARE, /* a, b, `compare` */
	EXIM_NUMBERS, /* a, b, `order` */
	EXIM_ORDER, /* a, b as texts, `order` */
	EXIM_DEFINED, /* a: one part */
	EXIM_DELIVERED,
	EXIM_ERROR_MESSAGE,
	EXIM_FIRST_DELIVERY,
	EXIM_MANUALLY_THAWED,
	EXIM_PERSONAL, /* a: the aliases, a list */
	EXIM_FOR_ANY, /* a: a list of addresses; inner */
};

enum exim_compare { EXIM_IS, EXIM_BEGINS, EXIM_ENDS, EXIM_CONTAINS, EXIM_MATCHES };
enum exim_order { EXIM_LESS = 1 << 0, EXIM_EQUAL = 1 << 1, EXIM_GREATER = 1 << 2 }; /* or'ed */

struct exim_test {
	enum exim_test_kind kind;
	uint32_t line;
	bool negated;
	bool cased; /* the case of letters counts */
	enum exim_compare compare;
	unsigned order;
	struct exim_text *a, *b;
	struct exim_test *inner, *next;
};

enum exim_command_kind {
	EXIM_ADD,
	EXIM_DELIVER,
	EXIM_SAVE,
	EXIM_PIPE,
	EXIM_MAIL,
	EXIM_VACATION,
	EXIM_FINISH,
	EXIM_FAIL,
	EXIM_FREEZE,
	EXIM_DEFER,
	EXIM_HEADERS_ADD,
	EXIM_HEADERS_REMOVE,
	EXIM_HEADERS_CHARSET,
	EXIM_LOGFILE,
	EXIM_LOGWRITE,
	EXIM_TESTPRINT,
	EXIM_IF_COMMAND,
};

enum exim_mail_word {
	EXIM_TO,
	EXIM_CC,
	EXIM_BCC,
	EXIM_FROM,
	EXIM_REPLY_TO,
	EXIM_SUBJECT,
	EXIM_EXTRA_HEADERS,
	EXIM_TEXT,
	EXIM_FILE,
	EXIM_LOG,
	EXIM_ONCE,
	EXIM_ONCE_REPEAT, /* not a text: `seconds` */
	EXIM_MAIL_WORDS,
};

struct exim_mail {
	struct exim_text *words[EXIM_MAIL_WORDS]; /* NULL: not there */
	bool expand_file, return_message;
	uint64_t once_seconds; /* 0: once_repeat is not there */
};

struct exim_command {
	enum exim_command_kind kind;
	uint32_t line;
	bool seen, unseen, noerror;
	uint32_t mode; /* of SAVE; 0: none given */
	struct exim_text *a, *b; /* its arguments; of PIPE, a: its words */
	struct exim_mail *mail;
	struct exim_branch *branches; /* of IF */
	bool open; /* an IF that the file's end ended */
	struct exim_command *next;
};

struct exim_branch {
	struct exim_test *test; /* NULL: else */
	struct exim_command *commands;
	struct exim_branch *next;
};

struct exim_filter {
	struct arena *arena;
	struct exim_command *commands;
};

#endif
