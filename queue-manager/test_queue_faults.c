/*
 * The real postern-queue, everybody else played: what may go wrong between processes.  Each test is a story.
 */
#include "test_play.h"

#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"

#include <signal.h>
#include <stdio.h>

static const char conf[] = "hostname mx.example.test\n"
			   "spool /var/spool/postern\n"
			   "spool_reserve 0\n"
			   "credentials \"/etc/postern/credentials\"\n"
			   "listen 127.0.0.1:2525 { role mx }\n"
			   "route { relay out }\n"
			   "transport home { maildir \"/var/mail/{domain}/{local}/\" user mail }\n"
			   "transport out { smtp \"smtp.example:587\" tls required login isp }\n"
			   "retry { every 15m until 2h  then every 6h until 4d }\n";
static const char body[] = "Subject: hello\r\n\r\nbody\r\n";
static const struct route_reply home = {.transport = "home", .nexthop = "/var/mail/x/bob"};
static const struct route_reply away = {.transport = "out", .nexthop = "smtp.example:587", .leaves = 1, .relay_domain = 1};
static const struct route_reply held = {.transport = "home", .nexthop = "/var/mail/x/bob", .hold = 1};

static struct job job, second; /* large */

static int start(void **state)
{
	struct play *p = play_new();

	*state = p;
	play_start(p, conf);
	play_session(p, 1, PART_SMTPD, "192.0.2.1");
	return 0;
}

static int stop(void **state)
{
	play_free(*state);
	return 0;
}

static uint64_t accept_one(struct play *p, const char *sender, const struct route_reply *route)
{
	play_draft(p, 1, 1, sender, "bob@x.test", body);
	play_route(p, "bob@x.test", false, route);
	return play_committed(p, OC_DONE, 0);
}

static void end_job(struct play *p, enum part agent, const struct job *j, enum outcome outcome)
{
	for (size_t i = 0; i < j->count; i++)
		play_verdict(p, agent, j, i, outcome, "words");
	play_job_end(p, agent, j);
}

/* Only an undeliverable report is dropped.  Other people's, held by a rule, wait for the operator like any mail. */
static void test_held_mail_without_a_sender_stays(void **state)
{
	struct play *p = *state;
	char name[ID_CHARS + 1];

	id_text(accept_one(p, "", &held), name);
	play_wait_list(p, " hold ");
	play_turn_clock(p, 30 * 86400);
	play_kill(p);
	play_start(p, conf);
	play_turn_clock(p, 30 * 86400);
	play_wait_list(p, " hold ");
	play_wait_files(p, "hold", 1);
	assert_int_equal(play_control(p, "queue.release", name), OC_DONE);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	end_job(p, PART_LOCAL, &job, OC_DONE);
	play_wait_list(p, "");
}

static void test_release_tries_what_has_failed_again(void **state)
{
	struct play *p = *state;
	char name[ID_CHARS + 1];

	id_text(accept_one(p, "", &home), name);
	play_job(p, PART_LOCAL, &job);
	end_job(p, PART_LOCAL, &job, OC_REMOTE_PERM);
	play_wait_list(p, " hold ");
	assert_int_equal(play_control(p, "queue.release", name), OC_DONE);
	play_route(p, "bob@x.test", true, &home);
	play_job(p, PART_LOCAL, &job);
	end_job(p, PART_LOCAL, &job, OC_DONE);
	play_wait_list(p, "");
	play_drain(p);
	play_wait_files(p, "hold", 0);
	play_wait_files(p, "cur", 0);
}

/* An agent that dies has its mail come back within seconds; a host that said "later" for the same message has not asked
 * for that. */
static void test_a_lost_agent_does_not_hurry_a_deferral(void **state)
{
	struct play *p = *state;
	char list[4096];

	play_draft(p, 1, 1, "a@x.test", "bob@x.test carl@y.test", body);
	play_route(p, "bob@x.test", false, &home);
	play_route(p, "carl@y.test", false, &away);
	(void)play_committed(p, OC_DONE, 0);
	play_job(p, PART_RELAY, &job);
	play_job(p, PART_LOCAL, &second);
	end_job(p, PART_RELAY, &job, OC_REMOTE_TEMP);
	play_link(p, PART_LOCAL);
	play_wait_list(p, " waiting ");
	play_turn_clock(p, 14 * 60);
	for (int i = 0; i < 5; i++) { /* time for it to be wrong */
		(void)accept_one(p, "a@x.test", &home);
		play_job(p, PART_LOCAL, &job);
		end_job(p, PART_LOCAL, &job, OC_DONE);
	}
	play_list(p, list, sizeof(list));
	assert_non_null(strstr(list, " waiting a@x.test bob@x.test"));
	assert_null(strstr(list, " active a@x.test bob@x.test and"));
	play_turn_clock(p, 2 * 60);
	play_route(p, "bob@x.test", true, &home);
}

/* One that ends has not tried: its mail comes back within seconds, and the destination has failed nobody. */
static void test_an_agent_that_ends_defers_nothing(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, "a@x.test", &home);
	for (int i = 0; i < 3; i++) {
		play_job(p, PART_LOCAL, &job);
		end_job(p, PART_LOCAL, &job, OC_SHUTTING_DOWN);
		play_wait_list(p, "421 4.3.2");
		play_turn_clock(p, 10);
		play_route(p, "bob@x.test", true, &home);
	}
	play_job(p, PART_LOCAL, &job);
	end_job(p, PART_LOCAL, &job, OC_DONE);
	play_wait_list(p, "");
}

static void test_an_agent_without_a_word_is_ended(void **state)
{
	struct play *p = *state;

	(void)accept_one(p, "a@x.test", &away);
	play_job(p, PART_RELAY, &job);
	play_turn_clock(p, 3600);
	play_wait_list(p, " active ");
	play_turn_clock(p, 2 * 3600);
	assert_int_equal(play_hear(p, PART_MASTER, IPC_PEER_BROKE_RULES)->body.PEER_BROKE_RULES.role, ROLE_RELAY);
	play_wait_list(p, " waiting ");
}

/* While the queue looks for a session's login it hears of other sessions, and of the end of this one. */
static void test_a_session_ends_while_its_login_is_looked_for(void **state)
{
	struct play *p = *state;
	const struct msg_SESSION_OPEN submission = {
		.session = 7, .worker = 1, .generation = 1, .role = LISTENER_SUBMISSION, .uid = UINT64_MAX, .client = slice_of("192.0.2.9")};
	struct msg_SESSION_OPEN other = submission;

	play_session(p, 6, PART_SMTPD, "192.0.2.1");
	play_tell(p, PART_GATE, IPC_SESSION_OPEN, &submission);
	play_draft(p, 6, 1, "a@x.test", "bob@x.test", body); /* a round trip: all that is known */
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
	other.session = 8;
	(void)kill(p->child, SIGSTOP);
	play_draft(p, 7, 1, "a@x.test", "bob@x.test", body);
	play_tell(p, PART_AUTHD, IPC_SESSION_LOGIN, &(struct msg_SESSION_LOGIN){8, slice_of("bob")});
	play_tell(p, PART_GATE, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){7});
	play_tell(p, PART_GATE, IPC_SESSION_OPEN, &other);
	(void)kill(p->child, SIGCONT);
	(void)play_committed(p, OC_UNAVAILABLE, 451);
	play_draft(p, 6, 2, "a@x.test", "bob@x.test", body); /* it lives, and the worker's link too */
	play_route(p, "bob@x.test", false, &home);
	(void)play_committed(p, OC_DONE, 0);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_held_mail_without_a_sender_stays),
		STORY(test_release_tries_what_has_failed_again),
		STORY(test_a_lost_agent_does_not_hurry_a_deferral),
		STORY(test_an_agent_that_ends_defers_nothing),
		STORY(test_an_agent_without_a_word_is_ended),
		STORY(test_a_session_ends_while_its_login_is_looked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
