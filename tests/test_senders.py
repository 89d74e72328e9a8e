"""Who may send as whom: a login, and a user of this host, write under their own addresses only."""

import os
import pwd
import subprocess

import pytest

from harness import BIN, PASSWORD, ROOT, turn_clock, wait_until

TABLES = 'table our_aliases { "sales@example.test": alice@example.test, bob@example.test }\n' \
    'table may_send_as { "support@example.test": alice@example.test, nobody, www-data; "@shop.test": bob@example.test }\n'


@pytest.fixture
def senders(suite):
    suite.settings += "delegations may_send_as\n"
    suite.tables += TABLES
    suite.routes = "\talias our_aliases\n" + suite.routes
    return suite


def text(*fields):
    return "".join(f"{f}\r\n" for f in fields) + "Subject: hello\r\n\r\nbody\r\n"


def mail(c, sender, body):
    """Replies to MAIL, and to the end of data where it comes to that."""
    c.command("RSET")
    said = c.command(f"MAIL FROM:<{sender}>")
    if not said.startswith("250"):
        return said
    c.expect(250, "RCPT TO:<bob@example.test>")
    c.expect(354, "DATA")
    return c.command(body + ".")


ALICE = [
    ("alice@example.test", ["From: alice@example.test"], 250),
    ("ALICE@Example.TEST", ["From: Alice <Alice@example.test>"], 250),
    ("", ["From: alice@example.test"], 250),
    ("sales@example.test", ["From: sales@example.test"], 250),
    ("support@example.test", ["From: support@example.test"], 250),
    ("alice@example.test", ["From: sales@example.test", "Sender: alice@example.test"], 250),
    ("alice@example.test", [], 250),
    ("bob@example.test", ["From: bob@example.test"], 553),
    ("x@shop.test", [], 553),
    ("alice@elsewhere.test", [], 553),
    ("nobody@example.test", [], 553),
    ("alice@example.test", ["From: bob@example.test"], 553),
    ("alice@example.test", ["From: alice@example.test, bob@example.test"], 553),
    ("alice@example.test", ['From: "alice@example.test" <bob@example.test>'], 553),
    ("alice@example.test", ["From: alice@example.test", "Sender: bob@example.test"], 553),
    ("alice@example.test", ["From: alice@example.test", "From: bob@example.test"], 553),
    ("alice@example.test", ["From: alice@example.test,", " bob@example.test"], 553),
    ("alice@example.test", ["From : bob@example.test"], 553),
    ("alice@example.test", ["From: alice@example.test (" + "x" * 3000 + "), bob@example.test"], 553),
    ("alice@example.test", ["From: alice@example.test" + ("\r\n " + " " * 75) * 30 + "\r\n <bob@example.test>"], 553),
    ("alice@example.test", ["From: alice@example.test", "Sender: alice@example.test" + ("\r\n " + " " * 75) * 30 + ",\r\n bob@example.test"], 553),
    ("alice@example.test", ["From: <@bob@example.test,alice@example.test>"], 553),
    ("alice@example.test", ["From: <@a.test,@b.test:alice@example.test>"], 250),
    ("alice@example.test", [" From: bob@example.test", "From: alice@example.test"], 553),
    ("alice@example.test", ['From: "x@example.test"'], 553),
    ("alice@example.test", ["From: nobody at all"], 553),
    ("alice@example.test", ["From: <alice@example.test"], 553),
]


def test_a_login(senders):
    senders.start()
    c = senders.login()
    wrong = [(sender, fields, said) for sender, fields, code in ALICE if not (said := mail(c, sender, text(*fields))).startswith(str(code))]
    assert not wrong


def test_another_login_and_a_listener_that_does_not_ask(senders):
    senders.listeners = senders.listeners.replace("role submission  tls implicit", "role submission  senders any  tls implicit")
    senders.start()
    assert mail(senders.login("bob@example.test"), "x@shop.test", text()).startswith("250")
    assert mail(senders.login("bob@example.test"), "pope@rome.test", text("From: pope@rome.test")).startswith("250")
    c = senders.smtp(senders.submission)
    c.ehlo()
    c.starttls()
    c.ehlo()
    c.auth_plain("bob@example.test", PASSWORD)
    assert mail(c, "pope@rome.test", text()).startswith("553")


def test_who_did_not_log_in_is_not_asked(senders):
    senders.start()
    c = senders.smtp()
    c.ehlo()
    assert mail(c, "alice@example.test", text("From: bob@example.test")).startswith("250")


def sendmail(suite, user, sender, body):
    environment = {**os.environ, "POSTERN_RUNTIME": str(suite.folder / "run")}
    return subprocess.run([BIN / "sendmail", "-f", sender, "bob@example.test"], input=body.replace("\r", ""), capture_output=True, text=True,
                          timeout=60, user=user, extra_groups=[], env=environment)


@pytest.mark.skipif(not ROOT, reason="only root can be several users")
def test_users_of_this_host(senders, tmp_path):
    tmp_path.chmod(0o755)
    senders.routes = '\tdeliver home if recipient.domain == "mx.example.test"\n' + senders.routes
    senders.transports += 'transport home { maildir "~/Maildir/" }\n'
    senders.start()
    nobody = pwd.getpwnam("nobody").pw_uid
    own = "nobody@mx.example.test"
    cases = [
        (nobody, own, text(f"From: {own}"), True),
        (nobody, "support@example.test", text("From: support@example.test"), True),
        (nobody, own, text("From: root (Cron Daemon)"), True),
        (nobody, "alice@example.test", text(), False),
        (nobody, "root@mx.example.test", text(), False),
        (nobody, own, text("From: alice@example.test"), False),
        (pwd.getpwnam("www-data").pw_uid, "www-data@mx.example.test", text(), True),  # mail is never delivered to it
        (pwd.getpwnam("www-data").pw_uid, "support@example.test", text("From: support@example.test"), True),
        (pwd.getpwnam("www-data").pw_uid, own, text(), False),
        (0, "alice@example.test", text("From: anybody@else.test"), True),
    ]
    for uid, sender, body, goes in cases:
        done = sendmail(senders, uid, sender, body)
        assert (done.returncode == 0) == goes, (uid, sender, body, done)
        assert goes or "not an address of yours" in done.stderr, done
    got = senders.wait_messages("bob@example.test", sum(goes for *_, goes in cases))
    cron = [m for m in got if b"Cron Daemon" in m]
    assert len(cron) == 1 and f"Sender: <{own}>".encode() in cron[0]


HAS_SENT = 'policy rcpt {\n\treject "this address never sent mail" if sender is null and recipient.domain == "example.test" and ' \
    'recipient.has-sent is not unknown and not recipient.has-sent\n}\n'


def bounce(suite, recipient):
    """The reply to its RCPT."""
    c = suite.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<>")
    said = c.command(f"RCPT TO:<{recipient}>")
    c.close()
    return said


def test_bounces_only_for_who_has_sent(suite):
    """recipient.has-sent: yes at once, no when as much is known, and unknown, which refuses nobody, whenever something is broken."""
    suite.settings += 'senders-kept 2d\n'
    policy, routes = suite.policy, suite.routes
    suite.policy = HAS_SENT
    suite.routes = '\tdiscard  if sender == "probe@x.test" and recipient.has-sent\n' + suite.routes
    suite.start()
    c = suite.smtp()
    c.ehlo()
    assert mail(c, "bob@example.test", text()).startswith("250")  # nobody vouches for that
    assert mail(suite.login(), "Alice@example.test", text()).startswith("250")
    c.message("probe@x.test", "alice@example.test", "Subject: x\n\nx\n")  # the queue asks for the route, and is asked
    suite.wait_log(" discarded .*sender=probe@x.test")
    young = [bounce(suite, a) for a in ("alice@example.test", "bob@example.test")]
    assert all(said.startswith("250") for said in young)

    turn_clock(suite, 2 * 86400 + 5)
    assert mail(suite.login(), "alice@example.test", text()).startswith("250")

    def refuses():
        assert bounce(suite, "ALICE@example.test").startswith("250")
        return bounce(suite, "bob@example.test") == "550 5.7.1 this address never sent mail"
    assert refuses()
    was = suite.pids("queue")
    suite.kill("queue")
    wait_until(lambda: suite.pids("queue") not in ([], was), what="another queue")
    turn_clock(suite, 61)  # what policyd keeps is old
    assert refuses()

    suite.stop()
    database = suite.folder / "spool" / "senders.db"
    owner = database.stat()
    database.write_bytes(b"this is no database, and never was one" * 100)
    os.chown(database, owner.st_uid, owner.st_gid)
    suite.launch()
    assert all(bounce(suite, a).startswith("250") for a in ("alice@example.test", "bob@example.test"))
    suite.wait_log(" senders-begun-anew .*why=")
    assert (suite.folder / "spool" / "senders.db.bad").exists()

    suite.policy, suite.routes = policy, routes
    suite.write_conf()
    suite.postern("reload")
    wait_until(lambda: not list(database.parent.glob("senders.db")), what="the end of a record that nobody asks for")
