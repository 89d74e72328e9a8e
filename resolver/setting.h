#ifndef POSTERN_SETTING_H
#define POSTERN_SETTING_H

#include "base/slice.h"

/* Whom to ask: the setting `resolver`, and what the system's resolv.conf says where that is "auto".  Pure. */
#define SETTING_FORWARDERS_MAX 8u
#define SETTING_FORWARDER_BYTES 64 /* "2001:db8::1@5353" */

struct setting {
	bool recurse; /* from the root; else the forwarders are asked */
	size_t count;
	char forwarders[SETTING_FORWARDERS_MAX][SETTING_FORWARDER_BYTES];
};

/* text: "auto", "recurse" or "forward ADDRESS[@PORT]..."; resolv_conf: the file's text, empty where there is none.  "auto" that
 * finds no name server recurses.  False: neither of these. */
bool setting_read(struct slice text, struct slice resolv_conf, struct setting *out);

#endif
