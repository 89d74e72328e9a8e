/* A whole dialogue: the first byte names the mechanism, the rest are the client's messages, each behind its length in two bytes. */
#include "sasl/sasl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice take_message(struct slice *rest)
{
	size_t len = rest->len < 2 ? 0 : (size_t)(unsigned char)rest->at[0] << 8 | (unsigned char)rest->at[1];
	struct slice message = slice_sub(slice_from(*rest, 2), 0, len);

	*rest = slice_from(*rest, 2 + message.len);
	return message;
}

/* "\1" in a message stands for the nonce we made, which no input could know. */
static enum sasl_want respond(struct sasl *d, struct slice message)
{
	struct buf said = buf_make(4 * MECHANISM_MESSAGE_MAX);
	enum sasl_want want;

	for (size_t i = 0; i < message.len; i++) {
		if (message.at[i] == 1)
			buf_add_slice(&said, buf_slice(&d->scram.nonce));
		else
			buf_add_char(&said, message.at[i]);
	}
	want = sasl_respond(d, slice_sub(buf_slice(&said), 0, MECHANISM_MESSAGE_MAX));
	buf_free(&said);
	return want;
}

static const char *const verifiers[] = {
	"",
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sasl_channel channel = {"mx.example.test", "exporter", "end point", 32, 32};
	struct slice rest = slice_make((const char *)data, size);
	enum mechanism m = size == 0 ? MECHANISM_COUNT : (enum mechanism)((data[0] & 0x7f) % MECHANISM_COUNT);
	enum sasl_want want;
	struct sasl d;

	if (!sasl_speaks(m))
		return 0;
	rest = slice_from(rest, 1);
	want = sasl_begin(&d, m, &channel, (data[0] & 0x80) != 0, take_message(&rest));
	if (want == SASL_IDENTITY && sasl_identified(&d, slice_empty()) != SASL_REFUSED)
		abort(); /* a certificate of nobody */
	while (want == SASL_VERIFIER || (want == SASL_RESPONSE && rest.len > 0))
		want = want == SASL_VERIFIER ? sasl_verify(&d, slice_of(verifiers[sasl_wants_verifier(&d)]), slice_of("x"), slice_of("s"))
					     : respond(&d, take_message(&rest));
	if (want == SASL_ACCEPTED && m != MECHANISM_CRAM_MD5)
		abort(); /* nobody knows the password of those keys */
	if (want == SASL_PASSWORD && (d.login[0] == '\0' || d.password.len == 0 || d.password.len > SASL_PASSWORD_MAX))
		abort();
	sasl_clear(&d);
	return 0;
}
