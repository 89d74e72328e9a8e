/* PROXY headers, and those who wait in the lobby: what is read, what is left for the session, who is counted. */
#include "gate_lobby.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define INET "\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x67\x00\x19" /* 192.0.2.1:4711 to 198.51.100.1:25 */
#define INET6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x67\x00\x19"
#define TEN "xxxxxxxxxx"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define BYTES(text) {(text), sizeof(text) - 1}

static const struct {
	const char *variant;
	struct slice header;
	enum proxy_step step;
	const char *client; /* with CLIENT */
} headers[] = {
	{"v1-tcp4", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n"), PROXY_CLIENT, "192.0.2.1"},
	{"v1-tcp6", BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n"), PROXY_CLIENT, "2001:db8::1"},
	{"v1-tcp6-mapped", BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), PROXY_CLIENT, "192.0.2.1"},
	{"v1-unknown", BYTES("PROXY UNKNOWN\r\n"), PROXY_NAMELESS, NULL},
	{"v1-unknown-with-more", BYTES("PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 2\r\n"), PROXY_NAMELESS, NULL},
	{"v1-port-too-large", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n"), PROXY_BAD, NULL},
	{"v1-port-negative", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 -1 25\r\n"), PROXY_BAD, NULL},
	{"v1-port-missing", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 25\r\n"), PROXY_BAD, NULL},
	{"v1-blank-behind", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 25 \r\n"), PROXY_BAD, NULL},
	{"v1-two-blanks-before-a-port", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1  25\r\n"), PROXY_BAD, NULL},
	{"v1-port-empty", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n"), PROXY_BAD, NULL},
	{"v1-port-with-zeroes", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 0001 25\r\n"), PROXY_BAD, NULL},
	{"v1-local-port-with-zeroes", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 025\r\n"), PROXY_BAD, NULL},
	{"v1-port-signed", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 +25\r\n"), PROXY_BAD, NULL},
	{"v1-more-behind", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 1 25 x\r\n"), PROXY_BAD, NULL},
	{"v1-two-blanks", BYTES("PROXY TCP4  192.0.2.1 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL},
	{"v1-wrong-family", BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), PROXY_BAD, NULL},
	{"v1-scoped", BYTES("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), PROXY_BAD, NULL},
	{"v1-octal", BYTES("PROXY TCP4 0300.0.2.1 127.0.0.1 1 2\r\n"), PROXY_BAD, NULL},
	{"v1-name", BYTES("PROXY TCP4 localhost localhost 1 2\r\n"), PROXY_BAD, NULL},
	{"v1-no-family", BYTES("PROXY \r\n"), PROXY_BAD, NULL},
	{"v1-lower-case", BYTES("PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n"), PROXY_BAD, NULL},
	{"v1-bare-lf", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\n"), PROXY_BAD, NULL},
	{"v1-bare-cr", BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\rE"), PROXY_BAD, NULL},
	{"v1-107-octets", BYTES("PROXY UNKNOWN " HUNDRED "x"), PROXY_BAD, NULL},
	{"v1-108-without-crlf", BYTES("PROXY TCP4 " HUNDRED), PROXY_BAD, NULL},
	{"v2-inet", BYTES(SIGNATURE "\x21\x11\x00\x0c" INET), PROXY_CLIENT, "192.0.2.1"},
	{"v2-inet6", BYTES(SIGNATURE "\x21\x21\x00\x24" INET6), PROXY_CLIENT, "2001:db8::1"},
	{"v2-tlvs", BYTES(SIGNATURE "\x21\x11\x00\x14" INET "\x01\x00\x02h2\x05\x00\x00"), PROXY_CLIENT, "192.0.2.1"},
	{"v2-tlv-overlaps", BYTES(SIGNATURE "\x21\x11\x00\x11" INET "\x01\x00\x03h2"), PROXY_BAD, NULL},
	{"v2-tlv-65535", BYTES(SIGNATURE "\x21\x11\x00\x0f" INET "\x01\xff\xff"), PROXY_BAD, NULL},
	{"v2-tlv-half-a-head", BYTES(SIGNATURE "\x21\x11\x00\x0e" INET "\x01\x00"), PROXY_BAD, NULL},
	{"v2-local", BYTES(SIGNATURE "\x20\x00\x00\x00"), PROXY_OWN, NULL},
	{"v2-local-with-addresses", BYTES(SIGNATURE "\x20\x11\x00\x0c" INET), PROXY_OWN, NULL},
	{"v2-unspec", BYTES(SIGNATURE "\x21\x00\x00\x00"), PROXY_NAMELESS, NULL},
	{"v2-unix", BYTES(SIGNATURE "\x21\x31\x00\xd8" HUNDRED HUNDRED TEN "xxxxxx"), PROXY_NAMELESS, NULL},
	{"v2-len-65535", BYTES(SIGNATURE "\x21\x11\xff\xff" INET), PROXY_BAD, NULL},
	{"v2-too-short", BYTES(SIGNATURE "\x21\x11\x00\x0b" INET), PROXY_BAD, NULL},
	{"v2-too-short-for-inet6", BYTES(SIGNATURE "\x21\x21\x00\x0c" INET), PROXY_BAD, NULL},
	{"v2-datagram", BYTES(SIGNATURE "\x21\x12\x00\x0c" INET), PROXY_BAD, NULL},
	{"v2-version-1", BYTES(SIGNATURE "\x11\x11\x00\x0c" INET), PROXY_BAD, NULL},
	{"v2-command-2", BYTES(SIGNATURE "\x22\x11\x00\x0c" INET), PROXY_BAD, NULL},
	{"v2-family-4", BYTES(SIGNATURE "\x21\x41\x00\x0c" INET), PROXY_BAD, NULL},
	{"smtp", BYTES("EHLO client.example\r\n"), PROXY_BAD, NULL},
	{"tls", BYTES("\x16\x03\x01\x02\x00\x01"), PROXY_BAD, NULL},
};

static bool is_read(size_t i, size_t len, struct proxy_header *h)
{
	struct slice all = headers[i].header;
	enum proxy_step step = proxy_parse(slice_sub(all, 0, len), h);
	char client[64] = "";

	/* Less than a whole may only be too little, or bad already. */
	if (len < all.len)
		return step == PROXY_MORE || (step == PROXY_BAD && headers[i].step == PROXY_BAD);
	if (step != headers[i].step || (step != PROXY_BAD && h->len != all.len))
		return false;
	return step != PROXY_CLIENT || (gate_address_text(&h->client, client) && strcmp(client, headers[i].client) == 0);
}

static void test_headers(void **state)
{
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		bool ok = true;

		for (size_t len = 0; len <= headers[i].header.len; len++)
			ok = ok && is_read(i, len, &h);
		printf("ROW E14 %s %s\n", headers[i].variant, ok ? "pass" : "fail");
		assert_true(ok);
	}
}

/* What the client sends behind the header is no part of it. */
static void test_more_behind(void **state)
{
	struct buf both = buf_make(1000);
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		if (headers[i].step == PROXY_BAD)
			continue;
		buf_clear(&both);
		buf_add_slice(&both, headers[i].header);
		buf_add_text(&both, "EHLO client.example\r\n");
		assert_int_equal(proxy_parse(buf_slice(&both), &h), headers[i].step);
		assert_int_equal(h.len, headers[i].header.len);
	}
	buf_free(&both);
}

/* Each byte of each header set to each value: an answer, and never a header longer than what there is. */
static void test_every_byte(void **state)
{
	char text[256];
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		for (size_t at = 0; at < headers[i].header.len && at < 60; at++)
			for (unsigned value = 0; value < 256; value++) {
				size_t len = headers[i].header.len;

				memcpy(text, headers[i].header.at, len);
				text[at] = (char)value;
				(void)proxy_parse(slice_make(text, len), &h);
				assert_true(h.len <= len);
			}
}

/* ---- the lobby ---- */

struct room {
	struct loop *loop;
	struct gate_sessions *sessions;
	struct lobby *lobby;
	int proxy; /* the other end of who entered last */
	unsigned left;
	struct gate_visit visit; /* of who left last */
	char bytes[128]; /* that were still there for the session */
	ssize_t byte_count;
};

static void on_leave(const char *listener, struct gate_visit *visit, int fd, void *arg)
{
	struct room *r = arg;

	assert_string_equal(listener, "127.0.0.1:25");
	r->left++;
	r->visit = *visit;
	r->byte_count = recv(fd, r->bytes, sizeof(r->bytes), MSG_DONTWAIT);
	close(fd);
}

static void on_served(uint64_t instance, uint64_t sessions, void *arg)
{
	(void)instance;
	(void)sessions;
	(void)arg;
}

static void on_ended(void *arg)
{
	(void)arg;
}

static int open_room(void **state)
{
	struct room *r = mem_new(1, sizeof(*r));

	r->loop = loop_new();
	r->sessions = gate_sessions_new(r->loop, &(struct gate_sessions_config){on_ended, NULL, NULL, on_served, 0});
	r->lobby = lobby_new(r->loop, r->sessions, on_leave, r);
	r->proxy = -1;
	*state = r;
	return 0;
}

static int close_room(void **state)
{
	struct room *r = *state;

	if (r->proxy >= 0)
		close(r->proxy);
	lobby_free(&r->lobby);
	gate_sessions_free(&r->sessions);
	loop_free(&r->loop);
	free(r);
	return 0;
}

static void turn(struct room *r)
{
	for (int i = 0; i < 4; i++)
		loop_turn(r->loop);
}

static enum gate_verdict enter_as(struct room *r, struct gate_visit visit, bool proxy, bool trusted, uint64_t pause_ms)
{
	const struct lobby_terms terms = {.listener = "127.0.0.1:25",
					  .limits = {.all = 3, .host = 2, .net = 9},
					  .proxy = proxy,
					  .proxy_is_trusted = trusted,
					  .speaks_clear = true,
					  .pause_ms = pause_ms};
	struct in6_addr address;
	enum gate_verdict verdict;
	int pair[2];

	assert_true(net_address(slice_of(visit.client), &address));
	visit.origin = gate_origin_of_address(&address);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	r->proxy = pair[1];
	verdict = lobby_enter(r->lobby, &visit, &terms, pair[0]);
	if (verdict != GATE_ADMIT)
		close(pair[0]);
	turn(r);
	return verdict;
}

static const struct gate_visit proxy_visit = {.generation = 1, .uid = GATE_NO_UID, .client = "10.0.0.1", .local = "10.0.0.2"};

static enum gate_verdict enter(struct room *r, bool proxy, bool trusted, uint64_t pause_ms)
{
	return enter_as(r, proxy_visit, proxy, trusted, pause_ms);
}

static void say(struct room *r, struct slice bytes)
{
	assert_int_equal(send(r->proxy, bytes.at, bytes.len, MSG_NOSIGNAL), bytes.len);
	turn(r);
}

static void leave_room(struct room *r)
{
	close(r->proxy);
	r->proxy = -1;
	turn(r);
	assert_int_equal(lobby_count(r->lobby), 0);
}

static const struct slice header_v1 = BYTES("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n");
static const struct slice header_v2 = BYTES(SIGNATURE "\x21\x11\x00\x0c" INET);

static void is_client(const struct room *r)
{
	assert_int_equal(r->left, 1);
	assert_string_equal(r->visit.client, "192.0.2.1");
	assert_string_equal(r->visit.proxy, "10.0.0.1");
	assert_string_equal(r->visit.local, "198.51.100.1");
	assert_int_equal(r->visit.client_port, 4711);
	assert_int_equal(r->visit.local_port, 25);
}

/* The header alone; the client's first bytes with it; and both a byte at a time: none of the client's is lost. */
static void test_no_byte_is_lost(void **state)
{
	struct slice const kinds[] = {header_v1, header_v2};
	struct room *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct buf both = buf_make(256);

		assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
		say(r, kinds[i]);
		is_client(r);
		assert_int_equal(r->byte_count, -1);
		assert_false(r->visit.early);
		leave_room(r);

		r->left = 0;
		buf_add_slice(&both, kinds[i]);
		buf_add_text(&both, "EHLO x\r\n");
		assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
		say(r, buf_slice(&both));
		is_client(r);
		assert_int_equal(r->byte_count, 8);
		assert_memory_equal(r->bytes, "EHLO x\r\n", 8);
		assert_true(r->visit.early);
		leave_room(r);

		r->left = 0;
		assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
		for (size_t at = 0; at < kinds[i].len; at++) {
			assert_int_equal(r->left, 0);
			say(r, slice_sub(kinds[i], at, 1));
		}
		is_client(r);
		leave_room(r);
		r->left = 0;
		buf_free(&both);
	}
	printf("ROW E14 no-byte-lost pass\n");
}

static void be_quiet(enum log_level level, const char *event, struct slice fields)
{
	(void)level;
	(void)event;
	(void)fields;
}

static void test_bad_is_closed(void **state)
{
	struct room *r = *state;

	log_set_sink(be_quiet);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		char byte;

		if (headers[i].step != PROXY_BAD)
			continue;
		assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
		say(r, headers[i].header);
		assert_int_equal(recv(r->proxy, &byte, 1, 0), 0);
		leave_room(r);
	}
	/* half a header, and gone; time */
	assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
	say(r, slice_sub(header_v2, 0, 20));
	leave_room(r);
	assert_int_equal(r->left, 0);
	log_set_sink(NULL);
}

/* A client that nobody names is served as the proxy, but not where that would let it relay. */
static void test_nameless(void **state)
{
	static const struct slice unknown = BYTES("PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n");
	static const struct slice local = BYTES(SIGNATURE "\x20\x00\x00\x00");
	struct room *r = *state;

	assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
	say(r, unknown);
	assert_int_equal(r->left, 1);
	assert_string_equal(r->visit.client, "10.0.0.1");
	assert_string_equal(r->visit.proxy, "");
	leave_room(r);
	log_set_sink(be_quiet);
	assert_int_equal(enter(r, true, true, 0), GATE_ADMIT);
	say(r, unknown);
	assert_int_equal(r->left, 1);
	leave_room(r);
	log_set_sink(NULL);
	assert_int_equal(enter(r, true, true, 0), GATE_ADMIT);
	say(r, local);
	assert_int_equal(r->left, 2);
	assert_string_equal(r->visit.client, "10.0.0.1");
	leave_room(r);
	printf("ROW E14 nameless-is-never-trusted pass\n");
}

/* Nor where the proxy may say XCLIENT: what stands behind the header is the client's. */
static void test_nameless_says_no_xclient(void **state)
{
	static const struct slice unknown = BYTES("PROXY UNKNOWN\r\n");
	struct gate_visit visit = proxy_visit;
	struct room *r = *state;

	visit.may_xclient = true;
	log_set_sink(be_quiet);
	assert_int_equal(enter_as(r, visit, true, false, 0), GATE_ADMIT);
	say(r, unknown);
	assert_int_equal(r->left, 0);
	leave_room(r);
	log_set_sink(NULL);
	printf("ROW E14 nameless-says-no-xclient pass\n");
}

static void test_pause(void **state)
{
	struct room *r = *state;

	assert_int_equal(enter(r, false, false, 3600000), GATE_ADMIT);
	assert_int_equal(r->left, 0);
	say(r, slice_make("H", 1));
	assert_int_equal(r->left, 1);
	assert_true(r->visit.early);
	assert_int_equal(r->byte_count, 1);
	leave_room(r);
	assert_int_equal(enter(r, false, false, 1), GATE_ADMIT);
	for (int i = 0; i < 1000 && r->left == 1; i++) {
		usleep(1000);
		turn(r);
	}
	assert_int_equal(r->left, 2);
	assert_false(r->visit.early);
	leave_room(r);
	/* behind a header, as the client it names */
	r->left = 0;
	assert_int_equal(enter(r, true, false, 3600000), GATE_ADMIT);
	say(r, header_v1);
	assert_int_equal(r->left, 0);
	say(r, slice_make("H", 1));
	is_client(r);
	leave_room(r);
}

/* Who waits is counted: as the client in the pause, in all while a header is read; and not at all once gone. */
static void test_counted(void **state)
{
	struct room *r = *state;
	int others[3];

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(enter(r, false, false, 3600000), GATE_ADMIT);
		others[i] = r->proxy;
	}
	assert_int_equal(enter(r, false, false, 3600000), GATE_TOO_MANY_OF_HOST);
	close(r->proxy);
	assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
	others[2] = r->proxy;
	assert_int_equal(enter(r, true, false, 0), GATE_TOO_MANY);
	close(r->proxy);
	r->proxy = -1;
	for (size_t i = 0; i < 3; i++)
		close(others[i]);
	log_set_sink(be_quiet);
	turn(r);
	log_set_sink(NULL);
	assert_int_equal(lobby_count(r->lobby), 0);
	assert_int_equal(enter(r, true, false, 0), GATE_ADMIT);
	lobby_clear(r->lobby);
	leave_room(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_more_behind),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test_setup_teardown(test_no_byte_is_lost, open_room, close_room),
		cmocka_unit_test_setup_teardown(test_bad_is_closed, open_room, close_room),
		cmocka_unit_test_setup_teardown(test_nameless_says_no_xclient, open_room, close_room),
		cmocka_unit_test_setup_teardown(test_nameless, open_room, close_room),
		cmocka_unit_test_setup_teardown(test_pause, open_room, close_room),
		cmocka_unit_test_setup_teardown(test_counted, open_room, close_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
