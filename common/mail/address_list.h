#ifndef POSTERN_MAIL_ADDRESS_LIST_H
#define POSTERN_MAIL_ADDRESS_LIST_H

#include "base/slice.h"

/*
 * The addresses in a To, Cc or Bcc field, or in an argument of sendmail: RFC 5322 §3.4 with the obsolete forms of §4.4 (display
 * names, comments, groups, routes, empty members).  Pure; time and memory are linear in the text.
 *
 * It finds where addresses begin and end; whether one is fit for SMTP is the server's to say.  An address given to `fn` is
 * "local@domain" or a bare "local", of 1..ADDRESS_LIST_ONE_MAX bytes, without controls, without spaces outside quotes.
 */
#define ADDRESS_LIST_ONE_MAX 320
#define ADDRESS_LIST_NESTING_MAX 32

enum address_list_end {
	ADDRESS_LIST_DONE,
	ADDRESS_LIST_BAD, /* not an address list */
	ADDRESS_LIST_STOPPED, /* fn returned false */
};

typedef bool address_list_fn(struct slice address, void *arg);
/* `fn` may have been called for addresses before a bad one. */
enum address_list_end address_list_parse(struct slice text, address_list_fn *fn, void *arg);

/* The same, told where in `text` each stands: from its first octet to its last, without display name and angle brackets. */
typedef bool address_list_spot_fn(struct slice address, size_t at, size_t length, void *arg);
enum address_list_end address_list_spots(struct slice text, address_list_spot_fn *fn, void *arg);

#endif
