#ifndef POSTERN_CONF_PARSE_H
#define POSTERN_CONF_PARSE_H

#include "conf/lex.h"

/*
 * One token ahead, and the arguments of statements.  Each take_... consumes what it names and is true,
 * or tells a mistake at the token that stands there instead, leaves it, and is false; `into` is then
 * untouched.
 */
struct parser {
	struct lex lex;
	struct token now;
	struct token last; /* the one before `now` */
	struct arena *arena;
	struct mistakes *mistakes;
};

void parser_start(struct parser *p, const char *file, struct slice text, struct arena *arena,
		  struct mistakes *mistakes);
void parser_next(struct parser *p);

bool parser_at(const struct parser *p, enum token_kind kind);
bool parser_at_word(const struct parser *p, const char *word); /* case counts */
bool parser_at_statement_end(const struct parser *p); /* end of line, `}` or end of text */
/* Consumes it when it stands there. */
bool parser_accept(struct parser *p, enum token_kind kind);
bool parser_accept_word(struct parser *p, const char *word);
void parser_skip_lines(struct parser *p);
/* To the end of the statement, over blocks it opens; the `}` of the block around it stays. */
void parser_skip_statement(struct parser *p);

/* `X` stands where `expected` should: "a duration such as 15m". */
void parser_expected(struct parser *p, const char *expected);

bool take_word(struct parser *p, const char *expected, struct token *out); /* unquoted */
bool take_text(struct parser *p, const char *expected, struct token *out); /* a word or a string */
bool take_string(struct parser *p, const char *expected, struct token *out); /* in quotes only */
bool take_name(struct parser *p, const char *what, const char **into); /* a-z 0-9 - _ . , at most 63 */
bool take_path(struct parser *p, const char **into); /* absolute */
bool take_time(struct parser *p, uint64_t *ms_into);
bool take_size(struct parser *p, uint64_t *bytes_into);
bool take_number(struct parser *p, uint64_t min, uint64_t max, uint64_t *into);
bool take_yes_no(struct parser *p, bool *into);
/* One of `words` (ends with NULL); its index. */
bool take_choice(struct parser *p, const char *what, const char *const *words, unsigned *into);
bool take_keyword(struct parser *p, const char *word);
bool take_open(struct parser *p, const char *of);

#endif
