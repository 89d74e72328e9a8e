"""To a smarthost, by verified TLS and a login; and what a next host may answer."""

import email
import time

import pytest

from harness import make_certificate, row, wait_until


def to_smarthost(suite, hop, words, credential=None):
    suite.internet = f'smtp "localhost:{hop.port}"  allow-local yes  {words}'
    if credential:
        path = suite.folder / "credentials"
        path.write_text(credential)
        path.chmod(0o640)
        if suite.as_root:
            import shutil
            shutil.chown(path, "root", "postern")
        suite.settings += f'credentials "{path}"\n'
    return suite.start()


@pytest.fixture
def certified(tmp_path):
    return make_certificate(tmp_path, ("localhost", "hop.example"), "hop")


def send(suite, recipients=("you@elsewhere.test",), body="Subject: out\n\nhello\n.dot\n"):
    c = suite.login()
    got = c.message("alice@example.test", list(recipients), body)
    c.close()
    return got.split()[-1]


def test_verified_tls_and_login(suite, next_hop, certified):
    hop = next_hop(tls=certified, login=("isp-user", "isp secret"))
    to_smarthost(suite, hop, f'tls verified  tls-ca "{certified[0]}"  login isp', "isp: isp-user isp secret\n")
    send(suite)
    ((sender, recipients, data),) = hop.wait()
    assert (sender, recipients) == ("alice@example.test", ["you@elsewhere.test"])
    assert data.endswith(b"Subject: out\r\n\r\nhello\r\n.dot")
    said = hop.sessions[-1]
    assert not [line for line, secure in said if line.startswith(("AUTH", "MAIL")) and not secure], "only over TLS"
    assert "isp secret" not in suite.log()
    wait_until(lambda: suite.queue() == [], what="an empty queue")


def test_unverified_certificate_defers_and_never_sends(suite, next_hop, certified, tmp_path):
    other = make_certificate(tmp_path, ("localhost",), "other")
    hop = next_hop(tls=certified, login=("isp-user", "isp secret"))
    to_smarthost(suite, hop, f'tls verified  tls-ca "{other[0]}"  login isp', "isp: isp-user isp secret\n")
    send(suite)
    (waiting,) = wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    row("T05", "verified-wrong-ca", not hop.messages and
        not [line for s in hop.sessions for line, _ in s if line.startswith(("MAIL", "AUTH"))])


def test_required_tls_not_offered_defers(suite, next_hop):
    hop = next_hop()
    to_smarthost(suite, hop, "tls required")
    send(suite)
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    row("T05", "required-not-offered", not [l for s in hop.sessions for l, _ in s if l.startswith("MAIL")])


def test_refused_login_defers_and_never_bounces(suite, next_hop, certified):
    hop = next_hop(tls=certified, login=("isp-user", "another"))
    to_smarthost(suite, hop, f'tls verified  tls-ca "{certified[0]}"  login isp', "isp: isp-user isp secret\n")
    send(suite)
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    assert not suite.messages("alice@example.test")
    assert not hop.messages


def test_refused_recipient_is_reported_with_the_remotes_words(suite, next_hop):
    hop = next_hop(script={"RCPT TO:<gone@elsewhere.test>": "550 5.1.1 they moved away"})
    to_smarthost(suite, hop, "tls off")
    send(suite, ("gone@elsewhere.test", "here@elsewhere.test"))
    hop.wait()
    assert hop.messages[0][1] == ["here@elsewhere.test"]
    (text,) = suite.wait_messages("alice@example.test")
    report = email.message_from_bytes(text)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert text.startswith(b"Return-Path: <>")
    status = report.get_payload()[1].as_string()
    assert "Final-Recipient: rfc822;gone@elsewhere.test" in status.replace("; ", ";") and "Action: failed" in status
    assert "Status: 5.1.1" in status and "they moved away" in status
    assert "here@elsewhere.test" not in status
    wait_until(lambda: suite.queue() == [], what="an empty queue")


def test_temporary_refusal_is_tried_again(suite, next_hop):
    answers = iter(["451 4.3.0 later", None, None, None, None])
    hop = next_hop(script={"MAIL": lambda line: next(answers, None)})
    to_smarthost(suite, hop, "tls off")
    ident = send(suite)
    (m,) = wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    assert m["id"] == ident and "later" in m["last"]
    suite.postern("queue", "retry", ident)
    hop.wait()


def test_connections_are_used_again(suite, next_hop):
    hop = next_hop()
    to_smarthost(suite, hop, "tls off  connections 2")
    c = suite.login()
    for i in range(20):
        c.message("alice@example.test", "you@elsewhere.test", f"Subject: {i}\n\n{i}\n")
    hop.wait(20)
    assert len(hop.sessions) < 15, len(hop.sessions)


def test_eight_bit_and_utf8_need_a_host_that_takes_them(suite, next_hop):
    hop = next_hop(keywords=("PIPELINING",))
    to_smarthost(suite, hop, "tls off")
    c = suite.login()
    c.expect(250, "MAIL FROM:<alice@example.test> BODY=8BITMIME")
    c.expect(250, "RCPT TO:<you@elsewhere.test>")
    assert c.data("Subject: bits\n\nä\n").startswith("250")
    c.expect(250, "MAIL FROM:<alice@example.test> SMTPUTF8")
    c.expect(250, "RCPT TO:<dø@elsewhere.test>")
    assert c.data("Subject: utf8\n\nx\n").startswith("250")
    texts = suite.wait_messages("alice@example.test", 2)
    assert any(b"5.6.3" in t for t in texts) and any(b"5.6.7" in t for t in texts)
    assert not hop.messages


def test_expired_message_is_returned(suite, next_hop):
    hop = next_hop(script={"MAIL": "451 4.3.0 never today"})
    suite.settings += "retry { every 1s until 2s }\n"
    to_smarthost(suite, hop, "tls off")
    began = time.monotonic()
    send(suite)
    (text,) = suite.wait_messages("alice@example.test", seconds=40)
    assert b"4.4.7" in text and b"never today" in text
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("reply", ["\r\n", "553-\n553", "5", "250-a\r\n550 b", "250 ok\0x", "2" * 70000, "250\rx"])
def test_hostile_replies_only_defer(suite, next_hop, reply):
    hop = next_hop(script={"MAIL": reply})
    suite.settings += "command_timeout 2s\n"
    to_smarthost(suite, hop, "tls off")
    send(suite)
    relays = suite.pids("relay")
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    (m,) = suite.queue()
    row("O02", f"mail-{reply[:8]!r}", "\n" not in m["last"] and suite.pids("relay") == relays)
