#include "conn_private.h"

#include "service/service.h"

/* When a connection has waited long enough, by what it is doing. */
#define HANDSHAKE_MS 60000u
#define FLUSH_MS 30000u
#define LINGER_MS 2000u

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t after(uint64_t start_ms, uint64_t ms)
{
	return start_ms + ms;
}

/* What the client is waited for. */
static uint64_t input_deadline(const struct conn *c)
{
	const struct conf_settings *set = &c->generation->conf->set;
	enum session_state state = c->session.state;

	if (c->out.len > 0)
		return after(c->active_ms, set->idle_timeout_ms); /* it does not read */
	if (state == SESSION_PAUSE)
		return c->pause_until_ms;
	if (!session_takes_input(&c->session))
		return CONN_NEVER; /* the question has a deadline of its own */
	return after(c->active_ms, session_receives(&c->session) ? set->data_timeout_ms : set->idle_timeout_ms);
}

uint64_t conn_session_deadline(const struct conn *c)
{
	return c->session.state == SESSION_COMMIT
		       ? CONN_NEVER
		       : after(c->began_ms, c->generation->conf->set.session_timeout_ms);
}

/* With chunks, also between them. */
uint64_t conn_message_deadline(const struct conn *c)
{
	enum session_state state = c->session.state;
	bool receiving = session_receives(&c->session) || state == SESSION_CHUNKED || state == SESSION_STORE;

	return receiving ? after(c->message_ms, c->generation->conf->set.message_timeout_ms)
			 : CONN_NEVER;
}

uint64_t conn_deadline(const struct conn *c)
{
	const struct conf_settings *set = &c->generation->conf->set;

	switch (c->phase) {
	case CONN_HANDSHAKE:
		return after(c->active_ms, earlier(HANDSHAKE_MS, set->idle_timeout_ms));
	case CONN_OPEN:
		return earlier(input_deadline(c),
			       earlier(conn_session_deadline(c), conn_message_deadline(c)));
	case CONN_FLUSHING:
		return after(c->active_ms, FLUSH_MS);
	case CONN_LINGERING:
		return after(c->active_ms, LINGER_MS);
	case CONN_GONE:
		break;
	}
	return CONN_NEVER;
}
