"""What EHLO announces is kept, and nothing is announced that is not."""

import json

import pytest

from harness import row, wait_until

KEPT = {"PIPELINING", "SIZE", "8BITMIME", "BINARYMIME", "CHUNKING", "LIMITS", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "STARTTLS",
        "AUTH"}


# Strangers are not told of DSN: tests/test_dsn.py.
STRANGERS = KEPT - {"DSN"}


def words(reply):
    return {line[4:].split(" ")[0] for line in reply.split("\n")[1:]}


def test_nothing_else_is_announced(running):
    clear = running.smtp()
    assert words(clear.ehlo()) == STRANGERS - {"AUTH"}
    inside = running.smtp(running.submissions, tls=True)
    said = inside.ehlo()
    row("A2", "ehlo", words(said) == KEPT - {"STARTTLS"} and "AUTH PLAIN LOGIN" in said)


@pytest.mark.parametrize("line", ["MAIL FROM:<you@elsewhere.test> BY=120;R",
                                  "MAIL FROM:<you@elsewhere.test> BODY=BINARY", "MAIL FROM:<you@elsewhere.test> REQUIRETLS",
                                  "ETRN example.test", "EXPN staff", "TURN"])
def test_what_is_not_announced_is_refused(running, line):
    c = running.smtp()
    c.ehlo()
    assert c.command(line).startswith(("500", "501", "502", "503", "504", "555"))
    c.message("you@elsewhere.test", "alice@example.test")


def test_what_a_listener_hides(suite):
    """It is not offered, and refused; the octets of a chunk that is refused are no commands."""
    suite.listeners = suite.listeners.replace("role mx ", "role mx  hide chunking smtputf8 ", 1)
    suite.start()
    c = suite.smtp()
    assert words(c.ehlo()) == STRANGERS - {"AUTH", "CHUNKING", "BINARYMIME", "SMTPUTF8"}
    row("A2", "hidden-binarymime", c.command("MAIL FROM:<you@elsewhere.test> BODY=BINARYMIME").startswith("555"))
    row("A2", "hidden-smtputf8", c.command("MAIL FROM:<you@elsewhere.test> SMTPUTF8").startswith("555"))
    c.envelope("you@elsewhere.test", "alice@example.test")
    octets = "RSET\r\nNOOP\r\nQUIT\r\n"
    c.send(f"BDAT {len(octets)} LAST\r\n{octets}NOOP\r\n")
    row("A2", "hidden-chunking", c.reply().startswith("502 5.5.1") and c.reply().startswith("250"))
    c.message("you@elsewhere.test", "alice@example.test")
    (text,) = suite.wait_messages("alice@example.test")
    assert b"QUIT" not in text
    inside = suite.smtp(suite.submissions, tls=True)
    assert words(inside.ehlo()) == KEPT - {"STARTTLS"}, "of the others nothing is hidden"


def test_the_other_verbs(running):
    c = running.smtp()
    c.expect(250, "HELO client.example")
    assert c.command("VRFY alice").startswith("252") and c.command("HELP").startswith("214")
    c.expect(250, "NOOP with words")
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    c.expect(250, "RSET")
    c.expect(503, "RCPT TO:<alice@example.test>")
    c.message("you@elsewhere.test", "alice@example.test")
    assert b"with SMTP\n" in running.wait_messages("alice@example.test")[0], "HELO is SMTP, not ESMTP"
    c.expect(221, "QUIT")


def test_utf8_from_end_to_end(suite, next_hop):
    """An address in UTF-8 by SMTPUTF8, over the spool, to a host that takes it; the log and the lists stay ASCII."""
    hop = next_hop()
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.listeners = suite.listeners.replace("tls implicit", "senders any  tls implicit")
    suite.start()
    c = suite.login()
    c.expect(250, "MAIL FROM:<ålice@bücher.test> SMTPUTF8 BODY=8BITMIME")
    c.expect(250, "RCPT TO:<用户@例子.test>")
    assert c.data("Subject: ünï\n\nβ\n").startswith("250")
    ((sender, recipients, data),) = hop.wait()
    said = [line.encode(errors="surrogateescape").decode() for line, _ in hop.sessions[0]]
    assert any("SMTPUTF8" in line and "BODY=8BITMIME" in line and "ålice@" in line for line in said if line.startswith("MAIL"))
    assert any("用户@" in line for line in said if line.startswith("RCPT"))
    assert data.decode().endswith("Subject: ünï\r\n\r\nβ") and b"UTF8SMTP" in data
    assert suite.log().isascii()


def test_utf8_without_smtputf8_is_refused(running):
    c = running.smtp()
    c.ehlo()
    row("Z07", "mail", c.command("MAIL FROM:<ålice@example.test>").startswith(("553", "550", "501")))
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    row("Z07", "rcpt", c.command("RCPT TO:<用户@example.test>").startswith(("553", "550", "501")))


def test_utf8_into_a_maildir_by_its_own_domain(running):
    c = running.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<ü@elsewhere.test> SMTPUTF8")
    c.expect(250, "RCPT TO:<alice@example.test>")
    assert c.data("Subject: ü\n\nü\n").startswith("250")
    (text,) = running.wait_messages("alice@example.test")
    assert "Return-Path: <ü@elsewhere.test>".encode() in text


def test_eight_bits_without_being_told(suite, next_hop):
    """8-bit text from a client that did not say BODY=8BITMIME is not sent to a host that cannot take it."""
    hop = next_hop(keywords=("PIPELINING",))
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.start()
    c = suite.login()
    c.message("alice@example.test", "you@elsewhere.test", "Subject: x\n\nä\n")
    (text,) = suite.wait_messages("alice@example.test")
    assert b"5.6.3" in text and not hop.messages


@pytest.mark.parametrize("command", [["status"], ["queue", "list"], ["user", "list"]])
def test_json_where_something_is_listed(running, command):
    for place in (["--json", *command], [*command, "--json"]):
        rows = json.loads(running.postern(*place).stdout)
        assert isinstance(rows, list) and all(isinstance(r, dict) for r in rows)


def test_json_of_one_message(suite, next_hop):
    hop = next_hop(script={"MAIL": '451 4.3.0 \x1b[31m"odd\\'})
    suite.internet = f'smtp "localhost:{hop.port}"  tls off  allow-local yes'
    suite.start()
    c = suite.login()
    ident = c.message("alice@example.test", "you@elsewhere.test").split()[-1]
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    (shown,) = [r for r in json.loads(suite.postern("queue", "show", ident, "--json").stdout)][:1]
    assert isinstance(shown, dict)
    assert "\x1b" not in suite.postern("queue", "show", ident).stdout + suite.postern("queue", "list").stdout
