#ifndef POSTERN_CONF_MISTAKE_H
#define POSTERN_CONF_MISTAKE_H

#include "conf/arena.h"
#include "conf/conf.h"

/*
 * Mistakes in a configuration, collected while it is read and checked, then rendered in the order of
 * the text:
 *
 *   postern.conf:3:1: unknown statement "liten"
 *     liten :25 { role mx }
 *     ^ expected a statement; did you mean "listen"?
 */
#define MISTAKES_SHOWN_MAX 100

struct mistakes;

/* Both are borrowed and must outlive it; NULL: no memory. */
struct mistakes *mistakes_new(struct arena *arena, struct slice bundle);
size_t mistakes_count(const struct mistakes *m);

/* `hint` says what was expected ("" when the message says it all); it stands beside the caret. */
void mistake_add(struct mistakes *m, struct conf_pos pos, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A list of words that are allowed somewhere, to name the nearest. */
struct wordlist {
	const char **words;
	size_t count;
};
bool wordlist_add(struct arena *arena, struct wordlist *list, const char *word);
/* What a person who wrote `word` probably meant: at most a third of its letters differ; NULL: nothing
 * near. */
const char *wordlist_nearest(const struct wordlist *list, struct slice word);
/* `unknown KIND "word"`; the hint lists what is allowed when that is little, and names the nearest. */
void mistake_unknown(struct mistakes *m, struct conf_pos pos, const char *kind, struct slice word,
		     const struct wordlist *allowed);

/* The first in the order of the text; the texts lie in the arena.  False: there is none, or nothing is known of it (no memory). */
bool mistakes_first(const struct mistakes *m, struct conf_pos *pos_out, const char **what_out, const char **hint_out);
void mistakes_render(const struct mistakes *m, struct conf_mistakes *out);

#endif
