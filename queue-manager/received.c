#include "received.h"

#include "base/clock.h"
#include "base/id.h"
#include "text.h"

#define HELO_MAX 255u
#define FOR_MAX 320u
#define TLS_MAX 500u

/* Who gave it to us: attested by the gate, never as the client says, but for the HELO name. */
static void add_from(struct buf *out, const struct spool_mail *mail)
{
	buf_add_text(out, "from ");
	text_add_atom(out, mail->helo.len > 0 ? mail->helo : slice_of("localhost"), HELO_MAX);
	if (mail->client.len == 0) {
		if (mail->uid_plus_1 != 0)
			buf_addf(out, " (uid %llu)", (unsigned long long)mail->uid_plus_1 - 1);
		return;
	}
	buf_add_text(out, slice_index(mail->client, ':') != SLICE_NONE ? " ([IPv6:" : " ([");
	text_add_atom(out, mail->client, HELO_MAX);
	buf_add_text(out, "])");
}

bool received_add(struct buf *out, const struct spool_mail *mail, struct slice hostname, struct slice for_whom, bool withholds_client)
{
	char id[ID_CHARS + 1], date[CLOCK_DATE_BYTES];

	id_text(mail->id, id);
	clock_rfc5322((int64_t)(mail->arrived_ms / 1000), date);
	buf_add_text(out, "Received: ");
	if (withholds_client) {
		buf_add_text(out, "from ");
		text_add_atom(out, hostname, HELO_MAX);
		buf_add_text(out, " (client withheld)");
	} else {
		add_from(out, mail);
	}
	buf_add_text(out, "\r\n\tby ");
	text_add_atom(out, hostname, HELO_MAX);
	buf_add_text(out, " with ");
	text_add_atom(out, mail->protocol.len > 0 ? mail->protocol : slice_of("SMTP"), 32);
	if (mail->tls.len > 0) {
		buf_add_text(out, "\r\n\t(");
		for (size_t i = 0; i < mail->tls.len && i < TLS_MAX; i++)
			buf_add_char(out, strchr("()\\", mail->tls.at[i]) != NULL ? '?' : mail->tls.at[i]);
		buf_add_text(out, ")");
	}
	buf_addf(out, "\r\n\tid %s", id);
	if (for_whom.len > 0 && for_whom.len <= FOR_MAX && !text_has_control(for_whom)) {
		buf_add_text(out, "\r\n\tfor <");
		buf_add_slice(out, for_whom);
		buf_add_text(out, ">");
	}
	buf_addf(out, ";\r\n\t%s\r\n", date);
	return buf_ok(out);
}
