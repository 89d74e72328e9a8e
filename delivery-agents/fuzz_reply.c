#include "client.h"
#include "client_auth.h"

#include "base/log.h"
#include "base/mem.h"

/* A hostile server through a whole session: the first byte picks the face, the rest is what it says.  Whatever that is, no
 * verdict is permanent without its 5xx, and what is kept is one printable line. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	auth_prepare();
	log_set_level(LEVEL_ERROR);
	return 0;
}

static void check_verdict(const struct client_verdict *v)
{
	for (const char *t = v->reply.text; *t != '\0'; t++)
		MUST(*t >= ' ' && *t <= '~');
	MUST(!v->decided || v->phase != NULL);
	if (v->decided && outcome_kind(v->outcome) == KIND_PERM && v->reply.code != 0)
		MUST(reply_class(&v->reply) == 5);
	if (v->decided && v->outcome == OC_DONE)
		MUST(reply_class(&v->reply) == 2);
}

static enum client_want serve(struct client *c, enum client_want want, struct client_mail *mail, unsigned *mails)
{
	static const struct slice body = {"Subject: x\r\n\r\n.dot\r\n", 20};

	switch (want) {
	case CLIENT_WANT_TLS:
		return client_tls_open(c);
	case CLIENT_WANT_CREDENTIAL:
		return client_credential(c, slice_of("user"), slice_of("secret"), "");
	case CLIENT_WANT_MAIL:
		return (*mails)++ < 3 ? client_mail(c, mail) : client_quit(c);
	case CLIENT_WANT_BODY:
		want = client_body(c, body);
		return want == CLIENT_WANT_BODY ? client_body_end(c) : want;
	case CLIENT_WANT_READ:
	case CLIENT_CLOSED:
		break;
	}
	return want;
}

static enum client_want serve_all(struct client *c, enum client_want want, struct client_mail *mail, unsigned *mails)
{
	while (want != CLIENT_WANT_READ && want != CLIENT_CLOSED) {
		enum client_want next = serve(c, want, mail, mails);

		if (want == CLIENT_WANT_MAIL && next == CLIENT_WANT_MAIL)
			return client_lost(c, OC_CONNECTION_LOST, "nothing to say");
		want = next;
		buf_clear(client_out(c));
	}
	return want;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_settings set;
	struct client_recipient to[2] = {{.address = slice_of("a@example.test")},
					 {.address = slice_of("b@example.test")}};
	struct client_mail mail = {.sender = slice_of("s@example.test"), .size = 20, .envid = slice_empty(), .recipients = to, .recipient_count = 2};
	struct slice rest = slice_make((const char *)data, size);
	unsigned mails = 0, flags = size > 0 ? data[0] : 0;
	struct client_config config = {(flags & 1) != 0,
				       (flags & 2) != 0,
				       (flags & 4) != 0,
				       (flags & 8) != 0,
				       (enum conf_tls_mode)(flags >> 4 & 3),
				       "client.example.test",
				       &set};
	struct client *c = client_new(&config);
	enum client_want want;

	if (c == NULL)
		return 0;
	mail.is_binary = (flags & 64) != 0;
	want = serve_all(c, client_start(c), &mail, &mails);
	rest = slice_from(rest, 1);
	while (rest.len > 0 && want != CLIENT_CLOSED) {
		size_t end = slice_index(rest, '\n');
		struct slice piece = slice_sub(rest, 0, end == SLICE_NONE ? SIZE_MAX : end + 1);

		want = serve_all(c, client_input(c, piece), &mail, &mails);
		rest = slice_from(rest, piece.len);
	}
	client_lost(c, OC_CONNECTION_LOST, "end");
	check_verdict(client_failure(c));
	check_verdict(&to[0].verdict);
	check_verdict(&to[1].verdict);
	client_free(&c);
	return 0;
}
