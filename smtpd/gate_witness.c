#include "gate_witness.h"

static const struct {
	enum role role;
	bool needed; /* nothing can be accepted while it lags */
} rows[GATE_WITNESSES] = {
	{ROLE_QUEUE, true},
	{ROLE_POLICYD, true},
	{ROLE_AUTHD, false},
	{ROLE_KEYD, false},
};

bool gate_witnesses_up(struct gate_witnesses *w, struct link *link)
{
	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (rows[i].role == link_peer(link)) {
			w->link[i] = link;
			w->seen[i] = true;
			return true;
		}
	return false;
}

void gate_witnesses_down(struct gate_witnesses *w, const struct link *link)
{
	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (w->link[i] == link)
			w->link[i] = NULL;
}

bool gate_witnesses_all_seen(const struct gate_witnesses *w)
{
	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (!w->seen[i])
			return false;
	return true;
}

bool gate_witnesses_lag(struct gate_witnesses *w)
{
	bool lags = false;

	for (size_t i = 0; i < GATE_WITNESSES; i++) {
		size_t behind = w->link[i] == NULL ? 0 : link_queued_bytes(w->link[i]);

		if (behind > GATE_LAG_DEAD_BYTES)
			link_break_deaf(w->link[i]);
		lags = lags || (rows[i].needed && behind > GATE_LAG_BYTES);
	}
	return lags;
}

void gate_witness_tell_open(struct link *witness, const struct msg_SESSION_OPEN *open)
{
	if (!link_tell(witness, IPC_SESSION_OPEN, open, -1))
		link_break_deaf(witness);
}

void gate_witnesses_tell_open(struct gate_witnesses *w, const struct msg_SESSION_OPEN *open)
{
	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (w->link[i] != NULL)
			gate_witness_tell_open(w->link[i], open);
}

void gate_witnesses_tell_closed(struct gate_witnesses *w, uint64_t session)
{
	const struct msg_SESSION_CLOSE closed = {session};

	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (w->link[i] != NULL && !link_tell(w->link[i], IPC_SESSION_CLOSE, &closed, -1))
			link_break_deaf(w->link[i]);
}

void gate_witnesses_flush(struct gate_witnesses *w)
{
	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (w->link[i] != NULL)
			(void)link_flush(w->link[i]);
}

static bool introduce(struct link *witness, struct link *parent, uint64_t worker, uint64_t generation)
{
	const struct msg_LINK_ATTACH to_witness = {ROLE_SMTPD, worker, generation};
	const struct msg_LINK_ATTACH to_worker = {link_peer(witness), worker, generation};
	int pair[2];

	if (!link_pair(pair))
		return false;
	if (!link_tell(witness, IPC_LINK_ATTACH, &to_witness, pair[0]))
		link_break_deaf(witness);
	return link_tell(parent, IPC_LINK_ATTACH, &to_worker, pair[1]);
}

bool gate_witnesses_introduce(struct gate_witnesses *w, struct link *parent, uint64_t worker, uint64_t generation)
{
	for (size_t i = 0; i < GATE_WITNESSES; i++)
		if (w->link[i] != NULL && !introduce(w->link[i], parent, worker, generation))
			return false;
	return true;
}
