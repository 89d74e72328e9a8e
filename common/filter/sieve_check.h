#ifndef POSTERN_FILTER_SIEVE_CHECK_H
#define POSTERN_FILTER_SIEVE_CHECK_H

#include "filter/sieve_words.h"

/* One check of a script: what is wrong is told, and looked for on. */
struct sieve_checker {
	struct sieve_tree *tree;
	struct mistakes *mistakes;
	uint32_t extensions; /* required: 1 << enum sieve_extension */
	void *names; /* struct slice, of the variables, as first written */
	size_t patterns;
	bool no_memory;
};

bool sieve_requires(const struct sieve_checker *c, enum sieve_extension extension);
/* The index of the variable of that name (case does not count), made when it is new; false: told. */
bool sieve_variable(struct sieve_checker *c, struct conf_pos pos, struct slice name, size_t *index_out);
bool sieve_is_variable_name(struct slice name);

/* What encoded characters (RFC 5228 §2.4.2.4) and variables (RFC 5229 §3) make of a text. */
void sieve_read_pieces(struct sieve_checker *c, struct sieve_string *s);

/* The text, if it holds no variables. */
static inline bool sieve_is_constant(const struct sieve_string *s)
{
	return s->pieces == NULL;
}

/* Of the words that have more to be checked than what they take. */
void sieve_check_keys(struct sieve_checker *c, struct sieve_node *node); /* match type, comparator and keys */
void sieve_check_header(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_exists(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_address(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_envelope(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_size(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_body(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_date(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_currentdate(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_set(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_flags(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_hasflag(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_fileinto(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_redirect(struct sieve_checker *c, struct sieve_node *node);
void sieve_check_vacation(struct sieve_checker *c, struct sieve_node *node);

#endif
