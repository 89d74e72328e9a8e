#ifndef POSTERN_FILTER_SIEVE_TREE_H
#define POSTERN_FILTER_SIEVE_TREE_H

#include "conf/mistake.h"
#include "rules/pattern.h"

/*
 * A script as a tree (RFC 5228 §8.2): commands with arguments, tests and blocks.  sieve_parse makes it of the text alone; sieve_check
 * then binds each node to its row of the table of words, each argument to what it is for, and each text to its pieces.  Afterwards it
 * never changes.  All lies in one arena.
 */
#define SIEVE_NESTING_MAX 32u /* blocks in blocks, tests in tests: together */
#define SIEVE_NODES_MAX 10000u /* commands and tests */
#define SIEVE_ARGS_MAX 32u /* of one of these */
#define SIEVE_VARIABLES_MAX 256u
#define SIEVE_PATTERNS_MAX 400u /* of :regex; of at most 64 KiB each, which is PCRE2's own bound */

/* A piece of a text: what stands there, or what a variable holds. */
struct sieve_piece {
	enum { SIEVE_LITERAL, SIEVE_VARIABLE, SIEVE_MATCHED } kind;
	struct slice text;
	size_t index; /* of the variable, or of the match variable */
};

struct sieve_string {
	struct conf_pos pos;
	struct slice text; /* as written */
	const struct sieve_piece *pieces; /* NULL: `text` is all */
	size_t piece_count;
	struct pattern *pattern; /* of a key of :regex that holds no variables */
};

enum sieve_arg_kind { SIEVE_TAG, SIEVE_NUMBER, SIEVE_STRINGS };

struct sieve_arg {
	enum sieve_arg_kind kind;
	struct conf_pos pos;
	struct slice tag; /* without the colon */
	uint64_t number;
	struct sieve_string *strings;
	size_t count; /* of these */
	bool is_list; /* in brackets */
};

/* An argument with a tag, once it is known. */
struct sieve_bound {
	const struct sieve_tag_word *word;
	struct sieve_arg *value; /* NULL: it takes none */
	struct conf_pos pos;
};

#define SIEVE_TAKES_MAX 3u

struct sieve_node {
	struct conf_pos pos;
	struct slice name; /* as written */
	struct sieve_arg *args;
	size_t arg_count;
	struct sieve_node *tests;
	size_t test_count;
	bool test_list; /* in parentheses */
	struct sieve_node *block;
	size_t block_count;
	bool has_block;

	/* by sieve_check */
	const struct sieve_word *word;
	struct sieve_arg *takes[SIEVE_TAKES_MAX]; /* what has no tag, by its place; NULL: an optional one is not there */
	struct sieve_bound *tags;
	size_t tag_count;
	size_t variable; /* of `set`, and of the flags' commands: its index */
	bool has_variable;
	uint8_t match, comparator, relation; /* enum sieve_match, sieve_comparator, sieve_relation */
};

struct sieve_tree {
	struct arena *arena; /* owned */
	struct sieve_node *commands;
	size_t count;
	size_t variable_count;
	bool matches_kept; /* there are match variables */
	bool no_memory; /* it is not whole: nothing that was told of it need be so */
};

/* False: mistakes were told, or no memory (arena_failed); what could be read is in the tree. */
bool sieve_parse(struct sieve_tree *tree, const char *name, struct slice text, struct mistakes *mistakes);
bool sieve_check(struct sieve_tree *tree, struct mistakes *mistakes);

#endif
