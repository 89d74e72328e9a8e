"""Delivery status notifications as they were asked for (RFC 3461): passed on to who does them, else told by us, once."""

import email
import email.policy
import re

import pytest

from harness import PASSWORD, free_ports, row, wait_until

DSN = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN")
PLAIN = ("PIPELINING", "8BITMIME")


@pytest.fixture
def suite(suite):
    suite.settings += "trusted 127.0.0.0/8\n"
    return suite


def to_hop(suite, hop, **words):
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.settings += "".join(f"{name} {value}\n" for name, value in words.items())


def to_lmtp(suite, hop):
    suite.transports += f'transport store {{ lmtp "localhost:{hop.port}"  allow-local yes }}\n'
    suite.routes = '\tdeliver store if recipient.domain == "store.test"\n' + suite.routes
    suite.tables = suite.tables.replace('"example.test"', '"example.test" "store.test"')


def send(suite, *recipients, mail="", sender="alice@example.test", body="Subject: told\n\nthe body of it\n"):
    """Recipients with their parameters: ("bob@example.test", "NOTIFY=NEVER")."""
    c = suite.smtp()
    c.ehlo()
    c.expect(250, f"MAIL FROM:<{sender}> {mail}".rstrip())
    for recipient, parameters in recipients:
        c.expect(250, f"RCPT TO:<{recipient}> {parameters}".rstrip())
    got = c.data(body)
    assert got.startswith("250"), got
    return got.split()[-1]


def wait_gone(suite):
    wait_until(lambda: suite.queue() == [], 30, "an empty queue")


def fields(part):
    return {name.lower(): str(value) for name, value in part.items()}


def read(text):
    """A report: (its message, the fields of the message, those of each recipient, its last part)."""
    message = email.message_from_bytes(text, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message["Return-Path"] == "<>" and message["Auto-Submitted"] == "auto-replied"
    _, status, original = message.get_payload()
    about, *recipients = status.get_payload()
    return message, fields(about), [fields(r) for r in recipients], original


def the_report(suite):
    """The only one, once nothing is left."""
    wait_gone(suite)
    (text,) = suite.wait_messages("alice@example.test")
    return read(text)


def no_report(suite):
    wait_gone(suite)
    assert suite.messages("alice@example.test") == [] and "report-made" not in suite.log()


def said(hop, verb):
    return [line for session in hop.sessions for line, _ in session if line.startswith(verb)]


# ---- into a Maildir ----

def test_success_in_a_maildir(running):
    send(running, ("bob@example.test", "NOTIFY=SUCCESS ORCPT=rfc822;Robert+2B@example.test"), mail="ENVID=QQ+20314 RET=FULL")
    assert len(running.wait_messages("bob@example.test")) == 1
    message, about, (recipient,), original = the_report(running)
    assert about["original-envelope-id"] == "QQ 314" and about["reporting-mta"] == "dns;mx.example.test"
    assert recipient["original-recipient"] == "rfc822;Robert+@example.test"
    assert recipient["final-recipient"] == "rfc822;bob@example.test"
    assert recipient["action"] == "delivered" and recipient["status"].startswith("2.")
    assert "last-attempt-date" in recipient
    row("A2", "dsn-success", original.get_content_type() == "text/rfc822-headers" and "Mail delivered" in message["Subject"])


@pytest.mark.parametrize("notify", ["", "NOTIFY=NEVER", "NOTIFY=FAILURE,DELAY"])
def test_success_that_was_not_asked_for(running, notify):
    send(running, ("bob@example.test", notify))
    running.wait_messages("bob@example.test")
    no_report(running)


def test_the_null_sender_is_told_nothing(running):
    c = running.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<>")
    c.expect(250, "RCPT TO:<bob@example.test> NOTIFY=SUCCESS,FAILURE")
    assert c.data("Subject: s\n\nx\n").startswith("250")
    running.wait_messages("bob@example.test")
    no_report(running)


# ---- to a host that does it, and to one that does not ----

def test_all_is_passed_on(suite, next_hop):
    hop = next_hop(keywords=DSN)
    to_hop(suite, hop)
    suite.start()
    send(suite, ("you@elsewhere.test", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+3Dy@elsewhere.test"), ("me@elsewhere.test", "NOTIFY=NEVER"),
         ("they@elsewhere.test", ""), mail="ENVID=a+20b RET=HDRS")
    hop.wait()
    no_report(suite)
    (mail,) = said(hop, "MAIL")
    assert " ENVID=a+20b" in mail and " RET=HDRS" in mail
    row("A2", "dsn-passed-on", said(hop, "RCPT") == [
        "RCPT TO:<you@elsewhere.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+3Dy@elsewhere.test",
        "RCPT TO:<me@elsewhere.test> NOTIFY=NEVER", "RCPT TO:<they@elsewhere.test>"])


def test_addresses_in_utf8(suite, next_hop):
    hop = next_hop(keywords=DSN)
    to_hop(suite, hop)
    suite.start()
    send(suite, ("you@elsewhere.test", "NOTIFY=FAILURE ORCPT=utf-8;jörg@elsewhere.test"), mail="SMTPUTF8")
    send(suite, ("you@elsewhere.test", r"ORCPT=utf-8;j\x{F6}rg\x{2B}@elsewhere.test"))
    hop.wait(2)
    assert said(hop, "RCPT") == [r"RCPT TO:<you@elsewhere.test> NOTIFY=FAILURE ORCPT=utf-8;j\x{F6}rg@elsewhere.test",
                                 r"RCPT TO:<you@elsewhere.test> ORCPT=utf-8;j\x{F6}rg\x{2B}@elsewhere.test"]


def test_a_host_without_dsn(suite, next_hop):
    hop = next_hop(keywords=PLAIN)
    to_hop(suite, hop)
    suite.start()
    send(suite, ("you@elsewhere.test", "NOTIFY=SUCCESS ORCPT=rfc822;you"), ("me@elsewhere.test", "NOTIFY=NEVER"),
         ("they@elsewhere.test", ""), mail="ENVID=q RET=HDRS")
    hop.wait()
    message, about, (recipient,), original = the_report(suite)
    assert "ENVID" not in "".join(said(hop, "MAIL")) and not re.search("NOTIFY|ORCPT", "".join(said(hop, "RCPT")))
    assert recipient["action"] == "relayed" and recipient["remote-mta"].startswith("dns;")
    row("A2", "dsn-relayed", recipient["original-recipient"] == "rfc822;you")


def test_who_is_told_of_a_failure(suite, next_hop):
    """One report for all; nothing of those who asked not to hear."""
    hop = next_hop(keywords=DSN, script={"RCPT": "550 5.1.1 no such user"})
    to_hop(suite, hop)
    suite.start()
    send(suite, ("usual@elsewhere.test", ""), ("failure@elsewhere.test", "NOTIFY=FAILURE"), ("never@elsewhere.test", "NOTIFY=NEVER"),
         ("success@elsewhere.test", "NOTIFY=SUCCESS"), ("delay@elsewhere.test", "NOTIFY=DELAY"), ("bob@example.test", "NOTIFY=SUCCESS"),
         mail="ENVID=q RET=FULL")
    message, about, recipients, original = the_report(suite)
    told = {r["final-recipient"]: r["action"] for r in recipients}
    assert told == {"rfc822;usual@elsewhere.test": "failed", "rfc822;failure@elsewhere.test": "failed",
                    "rfc822;bob@example.test": "delivered"}
    failed = recipients[0]
    assert failed["status"] == "5.1.1" and failed["diagnostic-code"] == "smtp;550 no such user" and "last-attempt-date" in failed
    assert original.get_content_type() == "message/rfc822" and b"the body of it" in original.as_bytes()
    unwanted = re.compile(r"report-not-wanted .*recipient=(?:never|success|delay)@")
    wait_until(lambda: len(unwanted.findall(suite.log())) == 3, what="a line for each that is not told")
    row("H06", "one-report-for-all", message["Subject"].startswith("Undelivered"))


@pytest.mark.parametrize("ret, size, whole", [("RET=HDRS", 10, False), ("", 10, False), ("RET=FULL", 10, True), ("RET=FULL", 4000, False)])
def test_what_goes_back(suite, next_hop, ret, size, whole):
    hop = next_hop(script={"RCPT": "550 5.1.1 no such user"})
    to_hop(suite, hop, return_full_max="2K")
    suite.start()
    send(suite, ("you@elsewhere.test", ""), mail=ret, body="Subject: back\n\n" + "ünï text\n" * (size // 10))
    *_, original = the_report(suite)
    if whole:
        inner = original.get_payload()[0]
        assert inner["Subject"] == "back" and "ünï text".encode() in original.as_bytes()
    else:
        assert original.get_content_type() == "text/rfc822-headers" and "Subject: back" in original.get_payload()
        assert "text" not in original.get_payload()


# ---- LMTP ----

def test_lmtp_without_dsn_is_a_final_delivery(suite, next_hop):
    hop = next_hop(lmtp=True, keywords=PLAIN)
    to_lmtp(suite, hop)
    suite.start()
    send(suite, ("you@store.test", "NOTIFY=SUCCESS"))
    _, _, (recipient,), _ = the_report(suite)
    assert recipient["action"] == "delivered"


def test_lmtp_with_dsn(suite, next_hop):
    hop = next_hop(lmtp=True, keywords=DSN)
    to_lmtp(suite, hop)
    suite.start()
    send(suite, ("you@store.test", "NOTIFY=SUCCESS"), mail="ENVID=q")
    hop.wait()
    no_report(suite)
    assert " ENVID=q" in said(hop, "MAIL")[0] and said(hop, "RCPT")[0].endswith(" NOTIFY=SUCCESS")


# ---- aliases ----

def with_aliases(suite, hop):
    to_hop(suite, hop)
    suite.tables += ("table aliases {\n\tall@example.test: bob@example.test, far@elsewhere.test\n"
                     "\tfriend@example.test: far@elsewhere.test\n}\n")
    suite.routes = "\talias aliases\n" + suite.routes
    suite.start()


def test_an_alias_of_several(suite, next_hop):
    hop = next_hop(keywords=DSN)
    with_aliases(suite, hop)
    send(suite, ("all@example.test", "NOTIFY=SUCCESS,FAILURE"))
    hop.wait()
    _, _, (recipient,), _ = the_report(suite)
    assert recipient["action"] == "expanded" and recipient["final-recipient"] == "rfc822;all@example.test"
    assert len(suite.messages("bob@example.test")) == 1
    row("A2", "dsn-expanded",
        said(hop, "RCPT") == ["RCPT TO:<far@elsewhere.test> NOTIFY=FAILURE ORCPT=rfc822;all@example.test"])


def test_an_alias_of_one(suite, next_hop):
    hop = next_hop(keywords=DSN)
    with_aliases(suite, hop)
    send(suite, ("friend@example.test", "NOTIFY=SUCCESS ORCPT=rfc822;him@example.test"), mail="ENVID=q")
    hop.wait()
    no_report(suite)
    assert said(hop, "RCPT") == ["RCPT TO:<far@elsewhere.test> NOTIFY=SUCCESS ORCPT=rfc822;him@example.test"]


def lists_with_owners(suite, hop):
    to_hop(suite, hop)
    suite.tables += ("table lists {\n\tall@example.test: crew, gone@elsewhere.test\n\towner-all@example.test: bob@example.test\n"
                     "\tcrew@example.test: far@elsewhere.test\n\towner-crew@example.test: carol@elsewhere.test\n}\n")
    suite.routes = "\talias lists\n" + suite.routes
    suite.start()


def test_what_a_list_cannot_deliver_goes_to_its_owner(suite, next_hop):
    """And not to who wrote to it: he hears that the list has it, where he asked; a list in it has an owner of its own."""
    hop = next_hop(keywords=DSN, script={"RCPT": lambda line: "550 5.1.1 no such user" if "gone" in line else None})
    lists_with_owners(suite, hop)
    send(suite, ("all@example.test", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;all@example.test"), mail="ENVID=q RET=FULL")
    _, about, (recipient,), _ = the_report(suite)
    row("A2", "dsn-list-reached", recipient["action"] == "delivered" and recipient["final-recipient"] == "rfc822;all@example.test"
        and about["original-envelope-id"] == "q")
    (text,) = suite.wait_messages("bob@example.test")
    message, about, (failed,), original = read(text)
    row("A2", "dsn-list-bounce-to-the-owner", "owner-all@example.test" in message["To"] and failed["action"] == "failed"
        and failed["final-recipient"] == "rfc822;gone@elsewhere.test" and "original-envelope-id" not in about)
    assert original.get_content_type() == "text/rfc822-headers"  # RET is not carried on
    row("A2", "dsn-list-senders", sorted(line.split(" ")[1] for line in said(hop, "MAIL"))
        == ["FROM:<owner-all@example.test>", "FROM:<owner-crew@example.test>"])
    assert "RCPT TO:<far@elsewhere.test>" in said(hop, "RCPT")  # nothing that was asked for
    shown = suite.postern("route", "all@example.test").stdout
    assert "sent on by its owner, to whom bounces go: owner-all@example.test" in shown
    assert "sent on by its owner, to whom bounces go: owner-crew@example.test" in shown


def test_a_list_with_an_owner_takes_the_null_sender(suite, next_hop):
    hop = next_hop(script={"RCPT": lambda line: "550 5.1.1 no such user" if "gone" in line else None})
    lists_with_owners(suite, hop)
    send(suite, ("all@example.test", ""), sender="")
    hop.wait()
    assert {line.split(" ")[1] for line in said(hop, "MAIL")} == {"FROM:<>"}
    wait_until(lambda: "undeliverable-report" in suite.log(), what="the end of it")
    assert suite.messages("bob@example.test") == []


# ---- kept ----

def test_kept_over_a_kill(suite, next_hop):
    """The longest values, deferred, everything killed, and passed on as they were."""
    hop = next_hop(keywords=DSN, script={"MAIL": "451 4.3.0 not yet"})
    to_hop(suite, hop)
    suite.start()
    envid, orcpt = "e+2B" + "x" * 96, "rfc822;" + "y+3Dz" * 98
    send(suite, ("you@elsewhere.test", f"NOTIFY=SUCCESS ORCPT={orcpt}"), mail=f"ENVID={envid} RET=FULL")
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    suite.kill_all()
    hop.script.clear()
    hop.sessions.clear()
    suite.launch()
    suite.postern("queue", "retry", "all")
    hop.wait()
    assert f" ENVID={envid}" in said(hop, "MAIL")[-1] and " RET=FULL" in said(hop, "MAIL")[-1]
    row("N21", "dsn-over-a-kill", said(hop, "RCPT")[-1] == f"RCPT TO:<you@elsewhere.test> NOTIFY=SUCCESS ORCPT={orcpt}")
    no_report(suite)


# ---- what is no value ----

@pytest.mark.parametrize("ident, command, parameter", [
    ("N16", "MAIL", "ENVID=x+0Aauth_sender+3Droot"), ("N16", "MAIL", "ENVID=x+0D"), ("N16", "MAIL", "ENVID=x+00"),
    ("N16", "MAIL", "ENVID=x+7F"), ("N21", "MAIL", "ENVID=" + "x" * 101), ("N17", "MAIL", "RET=\""), ("N17", "MAIL", "ENVID"),
    ("N16", "RCPT", "ORCPT=rfc822;x+0Ay"), ("N16", "RCPT", "ORCPT=rfc822;x+0D"), ("N16", "RCPT", "ORCPT=rfc822;x+00"),
    ("N21", "RCPT", "ORCPT=rfc822;" + "x" * 494), ("N17", "RCPT", "ORCPT=;"), ("N17", "RCPT", "NOTIFY=NEVER,DELAY"),
    ("N17", "RCPT", "NOTIFY=,"), ("N17", "RCPT", "ORCPT==")])
def test_bad_values_are_refused(running, ident, command, parameter):
    c = running.smtp()
    c.ehlo()
    if command == "RCPT":
        c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    path = "FROM:<you@elsewhere.test>" if command == "MAIL" else "TO:<bob@example.test>"
    row(ident, f"dsn-{parameter[:24]}", c.command(f"{command} {path} {parameter}").startswith("501 5.5.4"))
    c.expect(250, "RSET")
    c.message("you@elsewhere.test", "bob@example.test")


# ---- as others read it ----

def test_read_back_by_a_list_manager(suite, next_hop):
    """flufl.bounce, which Mailman reads bounces with: who failed, and nobody who did not."""
    bounce = pytest.importorskip("flufl.bounce")
    hop = next_hop(script={"RCPT": lambda line: "550 5.1.1 no such user" if "gone" in line else None})
    to_hop(suite, hop)
    suite.start()
    send(suite, ("gone@elsewhere.test", "NOTIFY=FAILURE"), ("you@elsewhere.test", "NOTIFY=SUCCESS"), mail="RET=FULL")
    wait_gone(suite)
    (text,) = suite.wait_messages("alice@example.test")
    temporary, permanent = bounce.all_failures(email.message_from_bytes(text))
    assert permanent == {b"gone@elsewhere.test"} and not temporary


PARAMETERS = ("MAIL FROM:<you@elsewhere.test> RET=HDRS", "MAIL FROM:<you@elsewhere.test> ENVID=1", "RCPT TO:<bob@example.test> NOTIFY=SUCCESS",
              "RCPT TO:<bob@example.test> ORCPT=rfc822;x@x.test")


def taken(suite, port=None):
    """Whether DSN is offered by EHLO, and which of its parameters are taken."""
    c = suite.smtp(port)
    offered = "250-DSN" in c.ehlo()
    codes = []
    for line in PARAMETERS:
        if line.startswith("RCPT"):
            c.command("MAIL FROM:<you@elsewhere.test>")
        codes.append(c.command(line)[:3])
        c.expect(250, "RSET")
    c.close()
    return offered, codes


def test_strangers_are_not_offered_it(suite):
    """Who may invent a sender has no reports of success sent to him; his own host tells its sender what it told us."""
    everybody, nobody = free_ports(2)
    suite.settings = suite.settings.replace("127.0.0.0/8", "127.0.0.9")
    suite.listeners += f"listen 127.0.0.1:{everybody} {{ role mx  dsn all }}\nlisten 127.0.0.1:{nobody} {{ role mx  dsn off }}\n"
    suite.start()
    row("dsn", "not-for-strangers", taken(suite) == (False, ["555"] * 4))
    row("dsn", "all", taken(suite, everybody) == (True, ["250"] * 4))
    row("dsn", "off", taken(suite, nobody) == (False, ["555"] * 4))
    trusted = suite.smtp(source="127.0.0.9")
    row("dsn", "for-trusted", "250-DSN" in trusted.ehlo())
    trusted.expect(250, "MAIL FROM:<you@elsewhere.test> RET=HDRS")
    c = suite.smtp(suite.submissions, tls=True)
    offered = "250-DSN" in c.ehlo()
    c.auth_plain("alice@example.test", PASSWORD)
    c.expect(250, "MAIL FROM:<alice@example.test> RET=HDRS")
    c.expect(250, "RCPT TO:<bob@example.test> NOTIFY=SUCCESS")
    row("dsn", "for-logins", offered)
