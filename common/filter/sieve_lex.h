#ifndef POSTERN_FILTER_SIEVE_LEX_H
#define POSTERN_FILTER_SIEVE_LEX_H

#include "conf/mistake.h"

/* A script's text to tokens (RFC 5228 §8.1). */
enum sieve_token_kind {
	SIEVE_TOKEN_END, /* of the text */
	SIEVE_TOKEN_WORD, /* identifier */
	SIEVE_TOKEN_TAG, /* :identifier; `text` is without the colon */
	SIEVE_TOKEN_NUMBER,
	SIEVE_TOKEN_STRING, /* "..." or text: ... . */
	SIEVE_TOKEN_MARK, /* ; , ( ) [ ] { or }: text.at[0] */
	SIEVE_TOKEN_BAD, /* told as a mistake already */
};

struct sieve_token {
	enum sieve_token_kind kind;
	struct slice text; /* of a string its content, lines with LF: in the arena */
	uint64_t number;
	struct conf_pos pos;
};

struct sieve_lex {
	const char *file;
	struct slice text;
	size_t at;
	size_t counted; /* up to where `line` and `column` were counted */
	uint32_t line, column;
	struct arena *arena;
	struct mistakes *mistakes;
};

struct sieve_lex sieve_lex_make(const char *file, struct slice text, struct arena *arena, struct mistakes *mistakes);
struct sieve_token sieve_lex_next(struct sieve_lex *l);

#endif
