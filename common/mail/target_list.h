#ifndef POSTERN_MAIL_TARGET_LIST_H
#define POSTERN_MAIL_TARGET_LIST_H

#include "base/slice.h"

/*
 * The list that stands in a .forward file, in the value of an alias, and in the files that these include: items between commas and
 * line ends.  Pure: nothing is opened, nothing is looked up; time is linear in the text, memory constant.
 *
 *	alice@example.org, bob, Carol <carol@example.org>
 *	\dave			the mailbox of dave, without asking dave's own forward file
 *	/var/mail/archive	an mbox file; with `/` at its end a Maildir
 *	|/usr/bin/sort --in "a b"	a program and its arguments: words, with quotes; no shell ever reads them
 *	"|/usr/bin/sort, -x"	an item in quotes: holds commas; \" is a quote and \\ a backslash in it
 *	:include:/etc/list	the items of that file
 *	:fail: no such person	:defer: moving, try later	:blackhole:	thrown away; so is /dev/null
 *	# a comment, at the start of an item or behind a blank
 */
enum target_kind {
	TARGET_ADDRESS, /* canonical (mail/address.h): "local@domain", or "local" of a domain that the reader knows */
	TARGET_LOCAL_USER, /* \user: the same */
	TARGET_PROGRAM, /* absolute path and arguments, a NUL behind each */
	TARGET_FILE, /* absolute path */
	TARGET_INCLUDE, /* absolute path */
	TARGET_FAIL, /* a text for the sender, may be empty; to the end of the line */
	TARGET_DEFER, /* the same */
	TARGET_BLACKHOLE, /* "" */
};

#define TARGET_TEXT_MAX 4096u /* of one item */
#define TARGET_WHY_MAX 160u

struct target {
	enum target_kind kind;
	uint32_t line; /* from 1 */
	struct slice text; /* borrowed, until the function that is told of it returns; no control characters but those NULs */
};

struct target_mistake {
	uint32_t line, column; /* from 1; characters */
	char why[TARGET_WHY_MAX]; /* what is wrong, in words for people; nothing of the text but printable characters */
};

enum target_end {
	TARGET_DONE,
	TARGET_BAD, /* see the mistake; `fn` may have been called for items before it */
	TARGET_STOPPED, /* `fn` returned false */
};

typedef bool target_fn(const struct target *target, void *arg);
enum target_end target_list_parse(struct slice text, target_fn *fn, void *arg, struct target_mistake *mistake);

/*
 * A command line to words, a NUL behind each: "..." (in it \" and \\) and '...' keep blanks, and may stand in the middle of a word;
 * everything else is text.  What only a shell would understand (a word that is `|`, `&&`, `>`, ...) is refused, for it would be an
 * argument here, and so are more words than a directive carries (mail/directive.h).  The words need at most as many bytes as the text, and one.  SLICE_NONE with `why`: not well formed, else
 * how many bytes of `out` are used.
 */
/* Such a word, as it stands there: without quotes. */
bool target_word_is_shells(struct slice word);
size_t target_words(struct slice text, char *out, size_t size, char why[TARGET_WHY_MAX]);

#endif
