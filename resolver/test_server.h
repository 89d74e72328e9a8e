#ifndef POSTERN_TEST_SERVER_H
#define POSTERN_TEST_SERVER_H

#include "event/loop.h"
#include "setting.h"

/* Tests only.  A name server on loopback, in the test's loop: example.test has an MX and its hosts an address, fail.* fails,
 * silent.* is silent, all else does not exist.  It knows nothing of DNSSEC. */
struct test_server {
	int fd;
	struct watch *watch;
	char forwarder[SETTING_FORWARDER_BYTES]; /* the setting that leads to it */
	unsigned asked;
};

void test_server_open(struct test_server *s);
void test_server_start(struct test_server *s, struct loop *loop);
void test_server_stop(struct test_server *s); /* it can be started again */

#endif
