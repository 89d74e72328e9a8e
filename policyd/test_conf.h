#ifndef POSTERN_POLICYD_TEST_CONF_H
#define POSTERN_POLICYD_TEST_CONF_H

#include "conf/bundle.h"
#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>

/* For tests: the configuration that a text says, or the end. */
static inline struct conf *conf_of_text(const char *text)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf_mistakes mistakes = {buf_make(1 << 16), 0};
	struct conf *conf = NULL;

	if (bundle_add(&bundle, slice_of("t.conf"), slice_of(text)))
		conf = conf_compile(buf_slice(&bundle), &mistakes);
	if (conf == NULL) {
		fprintf(stderr, "%s\n", buf_text(&mistakes.text));
		abort();
	}
	buf_free(&bundle);
	buf_free(&mistakes.text);
	return conf;
}

#endif
