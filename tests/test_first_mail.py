"""A first mail, as a newcomer sends it: by any client, into a Maildir."""

import email
import smtplib
import ssl
import subprocess

from harness import PASSWORD


def test_mx_to_maildir(running):
    c = running.smtp()
    assert c.greeting.startswith("220 mx.example.test")
    keywords = c.ehlo()
    for word in ("PIPELINING", "SIZE ", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "STARTTLS"):
        assert word in keywords
    assert "AUTH" not in keywords, "no login in clear"
    got = c.message("you@elsewhere.test", "alice@example.test", "Subject: first\n\nhello\n.dot\n")
    ident = got.split()[-1]
    c.expect(221, "QUIT")
    (text,) = running.wait_messages("alice@example.test")
    assert b"\r" not in text, "a Maildir has LF"
    assert text.startswith(b"Return-Path: <you@elsewhere.test>\n")
    assert b"\nDelivered-To: alice@example.test\n" in text
    assert text.endswith(b"Subject: first\n\nhello\n.dot\n")
    message = email.message_from_bytes(text)
    assert "from client.example" in message["Received"] and "127.0.0.1" in message["Received"]
    assert ident in message["Received"] and "by mx.example.test" in message["Received"]
    running.wait_log(rf"id={ident}\b")  # the queue id stands in the log


def test_submission_with_starttls_by_smtplib(running):
    context = ssl.create_default_context(cafile=str(running.certificate))
    with smtplib.SMTP("localhost", running.submission) as c:
        c.starttls(context=context)
        c.login("alice@example.test", PASSWORD)
        c.sendmail("alice@example.test", ["bob@example.test"], "Subject: s\r\n\r\nwith a login\r\n")
    (text,) = running.wait_messages("bob@example.test")
    assert b"with a login" in text and b"ESMTPSA" in text


def test_curl_over_implicit_tls(running, tmp_path):
    (tmp_path / "m").write_text("From: alice@example.test\r\nSubject: curl\r\n\r\nby curl\r\n")
    subprocess.run(["curl", "-sS", "--cacert", running.certificate, f"smtps://localhost:{running.submissions}",
                    "--user", f"alice@example.test:{PASSWORD}", "--mail-from", "alice@example.test",
                    "--mail-rcpt", "bob@example.test", "-T", tmp_path / "m"], check=True, timeout=90)
    assert b"by curl" in running.wait_messages("bob@example.test")[0]


def test_swaks(running):
    subprocess.run(["swaks", "--server", f"127.0.0.1:{running.submission}", "-tls", "--auth", "LOGIN",
                    "--auth-user", "alice@example.test", "--auth-password", PASSWORD, "--from", "alice@example.test",
                    "--to", "bob@example.test", "--body", "by swaks"], check=True, timeout=90, capture_output=True)
    assert b"by swaks" in running.wait_messages("bob@example.test")[0]


def test_msmtp(running):
    subprocess.run(["msmtp", "--host=localhost", f"--port={running.submissions}", "--tls=on", "--tls-starttls=off",
                    f"--tls-trust-file={running.certificate}", "--auth=plain", "--user=alice@example.test",
                    f"--passwordeval=echo '{PASSWORD}'", "--from=alice@example.test", "bob@example.test"],
                   input=b"Subject: m\n\nby msmtp\n", check=True, timeout=90, capture_output=True)
    assert b"by msmtp" in running.wait_messages("bob@example.test")[0]


def test_large_message_keeps_every_byte(running):
    body = "Subject: big\n\n" + "".join(f"{i:08d} {'x' * 60}\n" for i in range(40000))
    c = running.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test", body)
    (text,) = running.wait_messages("alice@example.test")
    assert text.endswith(body.encode())


def test_many_recipients_and_messages_in_one_session(running):
    c = running.smtp()
    c.ehlo()
    for i in range(20):
        c.message("you@elsewhere.test", ["alice@example.test", "bob@example.test"], f"Subject: {i}\n\n{i}\n")
    assert len(running.wait_messages("alice@example.test", 20)) == 20
    assert len(running.wait_messages("bob@example.test", 20)) == 20


def test_postmaster_always_exists(running):
    c = running.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "postmaster@example.test")
    c.message("you@elsewhere.test", "postmaster")
    assert len(running.wait_messages("alice@example.test", 2)) == 2


def test_unknown_recipients_and_relaying_are_refused_at_rcpt(running):
    c = running.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    assert c.command("RCPT TO:<nobody@example.test>").startswith("550 5.1.1")
    assert c.command("RCPT TO:<you@elsewhere.test>").startswith("550 5.7.1")
    assert c.command("DATA").startswith(("503", "554"))


def test_stop_is_clean(running):
    running.stop()
    assert running.process.returncode == 0
    assert not running.children()
