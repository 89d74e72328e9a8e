#ifndef POSTERN_CONF_LEX_H
#define POSTERN_CONF_LEX_H

#include "conf/mistake.h"

/*
 * Text to tokens.  `#` at the start of a word begins a comment; a line's end and `;` end a statement;
 * in "strings" \" is a quote and \\ a backslash, any other backslash stands for itself.  A word is a
 * run of anything but blanks and { } ( ) , ; " # = < > ! and may hold {name} in its middle
 * (/var/mail/{domain}/{local}/).
 */
enum token_kind {
	TOKEN_END, /* of the text */
	TOKEN_LINE, /* newline or ; */
	TOKEN_WORD,
	TOKEN_STRING,
	TOKEN_OPERATOR, /* == != < <= > >= */
	TOKEN_OPEN, /* { */
	TOKEN_CLOSE, /* } */
	TOKEN_PAREN_OPEN,
	TOKEN_PAREN_CLOSE,
	TOKEN_COMMA,
	TOKEN_BAD, /* told as a mistake already */
};

struct token {
	enum token_kind kind;
	struct slice text; /* of a string: its content */
	struct conf_pos pos;
};

struct lex {
	const char *file;
	struct slice text;
	size_t at;
	size_t counted; /* up to where `column` was counted */
	uint32_t line, column;
	struct arena *arena;
	struct mistakes *mistakes; /* NULL: mistakes are not told */
};

struct lex lex_make(const char *file, struct slice text, struct arena *arena,
		    struct mistakes *mistakes);
struct token lex_next(struct lex *l);
/* After a table's key: an optional `:` and then the value, one string or the rest of the line up to a
 * comment, `;` or `}`. False: there is no `:`, neither here nor at the end of the key (has_colon). */
bool lex_value(struct lex *l, bool has_colon, struct token *value_out);

#endif
