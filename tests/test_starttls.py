"""STARTTLS and logins over a real connection: nothing pipelined before TLS survives it, no password in clear."""

import base64
import ssl
import subprocess
import time

import pytest

from harness import PASSWORD, row


def test_nothing_before_starttls_survives(running):
    for variant, extra in (("commands", b"EHLO x\r\nMAIL FROM:<evil@elsewhere.test>\r\n"), ("garbage", b"\x16\x03\x01junk"),
                           ("half", b"NOO")):
        c = running.smtp()
        c.ehlo()
        c.send(b"STARTTLS\r\n" + extra)
        said = b""
        try:
            while True:
                more = c.socket.recv(4096)
                if not more:
                    break
                said += more
        except OSError:
            pass
        row("T01", variant, not any(l.startswith(b"250") for l in said.split(b"\r\n")))


def test_state_is_forgotten_at_starttls(running):
    c = running.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command("STARTTLS")
    if got.startswith("220"):
        c.wrap()
        row("T03", "mail-before", c.command("RCPT TO:<alice@example.test>").startswith("503"))
    else:
        row("T03", "mail-before", got.startswith("503"))


@pytest.mark.parametrize("piece", ["whole", "bytes"])
def test_the_name_and_its_extensions_are_forgotten(running, piece):
    """What was EHLO before TLS is nothing after it: no name, no keyword; what is HELO then has no parameters."""
    c = running.smtp()

    def say(text):
        for part in [text + "\r\n"] if piece == "whole" else [*text, "\r", "\n"]:
            c.send(part)
        return c.reply()[:3]
    before = [say("EHLO before.example"), say("MAIL FROM:<you@elsewhere.test> SMTPUTF8"), say("RSET"), say("STARTTLS")]
    c.wrap()
    after = [say("MAIL FROM:<you@elsewhere.test>"), say("RCPT TO:<alice@example.test>"), say("DATA"), say("HELO after.example"),
             say("MAIL FROM:<you@elsewhere.test> SMTPUTF8"), say("EHLO after.example")]
    row("T03", f"name-and-extensions-{piece}", before == ["250", "250", "250", "220"] and after == ["503", "503", "503", "250", "555", "250"])
    c.message("you@elsewhere.test", "alice@example.test")
    (text,) = running.wait_messages("alice@example.test")
    assert b"before.example" not in text and b"after.example" in text


def test_starttls_twice_and_over_implicit_tls(running):
    c = running.smtp()
    c.ehlo()
    c.starttls()
    assert "STARTTLS" not in c.ehlo()
    row("T04", "twice", c.command("STARTTLS")[:3] in ("503", "502", "500"))
    c = running.smtp(running.submissions, tls=True)
    assert "STARTTLS" not in c.ehlo()
    row("T04", "implicit", c.command("STARTTLS")[:3] in ("503", "502", "500"))
    c = running.smtp()
    c.ehlo()
    row("T04", "argument", c.command("STARTTLS now").startswith("501"))


def test_no_login_before_tls(running):
    c = running.smtp(running.submission)
    assert "AUTH" not in c.ehlo()
    secret = base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()).decode()
    row("T06", "plain", c.command(f"AUTH PLAIN {secret}").startswith("538"))
    assert secret not in running.log() and PASSWORD not in running.log()
    assert c.command("MAIL FROM:<alice@example.test>").startswith("530")


def test_login_is_needed_for_submission(running):
    c = running.smtp(running.submissions, tls=True)
    c.ehlo()
    assert c.command("MAIL FROM:<alice@example.test>").startswith("530")
    c.auth_plain("alice@example.test", "wrong", 535)
    c.auth_plain("nobody@example.test", PASSWORD, 535)
    c.auth_plain("alice@example.test", PASSWORD)
    c.message("alice@example.test", "bob@example.test")
    assert c.command("AUTH PLAIN AGEAYg==").startswith("503")


def test_auth_login_dialogue(running):
    c = running.smtp(running.submissions, tls=True)
    c.ehlo()
    assert c.expect(334, "AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert c.expect(334, base64.b64encode(b"alice@example.test").decode()) == "334 UGFzc3dvcmQ6"
    c.expect(235, base64.b64encode(PASSWORD.encode()).decode())


def test_aborted_logins_leave_no_state(running):
    c = running.smtp(running.submissions, tls=True)
    c.ehlo()
    for _ in range(2):
        c.expect(334, "AUTH LOGIN")
        c.expect(501, "*")
    row("F02", "abort", c.command("MAIL FROM:<alice@example.test>").startswith("530"))


def test_the_same_reply_for_unknown_user_and_wrong_password(running):
    replies = []
    for user in ("alice@example.test", "nobody@example.test"):
        c = running.smtp(running.submissions, tls=True)
        c.ehlo()
        replies.append(c.auth_plain(user, "wrong", 535))
    row("A02", "auth", replies[0] == replies[1])


def test_old_tls_is_refused(running):
    for version, ok in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{running.submissions}", version, "-cipher",
                               "DEFAULT@SECLEVEL=0", "-quiet"], input=b"QUIT\r\n", capture_output=True, timeout=90)
        row("T08", version, (b"220 " in done.stdout) == ok)


def test_wrong_alpn_is_refused(running):
    context = ssl.create_default_context(cafile=str(running.certificate))
    context.set_alpn_protocols(["http/1.1"])
    import socket
    with socket.create_connection(("localhost", running.submissions)) as raw:
        try:
            context.wrap_socket(raw, server_hostname="localhost")
            ok = False
        except ssl.SSLError:
            ok = True
    row("S06", "alpn", ok)


def test_http_ends_the_session(running):
    for line in ("GET / HTTP/1.1", "POST / HTTP/1.1", "Host: x"):
        c = running.smtp()
        c.send(line + "\r\nX: y\r\n\r\nEHLO x\r\n")
        got = c.reply()
        row("S06", line.split()[0], got.startswith(("421", "5")) and c.closed())


def test_truncated_tls_in_data_is_no_message(running):
    c = running.login()
    c.envelope("alice@example.test", "bob@example.test")
    c.expect(354, "DATA")
    c.send("Subject: cut\r\n\r\nno end")
    time.sleep(0.1)
    c.socket.close()
    c = running.login()
    c.message("alice@example.test", "bob@example.test", "Subject: whole\n\nx\n")
    texts = running.wait_messages("bob@example.test")
    row("T07", "fin-in-data", len(texts) == 1 and b"whole" in texts[0])


@pytest.mark.alone
@pytest.mark.parametrize("count", [300])
def test_half_handshakes_delay_nobody(suite, count):
    suite.settings += "connections_per_host 1000\nconnections_per_net 1000\n"
    suite.start()
    import socket
    stalled = [socket.create_connection(("127.0.0.1", suite.submissions)) for _ in range(count)]
    for s in stalled:
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
    began = time.monotonic()
    suite.login().message("alice@example.test", "bob@example.test")
    took = time.monotonic() - began
    for s in stalled:
        s.close()
    row("O05", "stalled-handshakes", took < 20)
