"""Addresses that are written otherwise on their way out: where a rule says so, and nowhere else."""

import email
import email.policy

import pytest

from harness import row

RULES = '''table outside {
	"jsmith@example.test": "john.smith@example.test"
	"@old.test": "@new.test"
}
table broken sqlite FOLDER/users/none.db "select 1 where 1 = ?"
rewrite {
	address "{address.local}@example.test" in all if address.domain == "mx.example.test"
	lookup outside in envelope-from, from, to if listener.role == local or authenticated
	lookup broken in cc if sender == "broken@example.test"
	address "{address} and x@y.test" in reply-to if address == "odd@x.test"
}
'''
HEADER = ('From: "jsmith@mx.example.test" <jsmith@mx.example.test>\nSender: jsmith@mx.example.test\nTo: bob@example.test, Old\n\t<o@old.test> (c@old.test)\n'
          "Cc: jsmith@mx.example.test, x@else.test\nReply-To: list: a@mx.example.test, b@old.test;\nX-Other: jsmith@mx.example.test\n"
          "Subject: jsmith@mx.example.test\nDate: x\nMessage-ID: <1@mx.example.test>\n")


@pytest.fixture
def rewriting(suite):
    suite.tables += RULES.replace("FOLDER", str(suite.folder))
    suite.listeners = suite.listeners.replace("tls implicit", "senders any  tls implicit")
    return suite


@pytest.mark.parametrize("size", [1, 200000], ids=["small", "large"])
def test_a_login(rewriting, size):
    rewriting.start()
    c = rewriting.login()
    c.message("jsmith@mx.example.test", "bob@example.test", HEADER + "\n" + "jsmith@mx.example.test\n" * (size // 20 + 1))
    (message,) = rewriting.wait_messages("bob@example.test")
    text = message.decode()
    for line in ('From: "jsmith@mx.example.test" <john.smith@example.test>\n', "Sender: jsmith@example.test\n",
                 "To: bob@example.test, Old\n\t<o@new.test> (c@old.test)\n", "Cc: jsmith@example.test, x@else.test\n",
                 "Reply-To: list: a@example.test, b@old.test;\n", "X-Other: jsmith@mx.example.test\n", "Subject: jsmith@mx.example.test\n",
                 "Message-ID: <1@mx.example.test>\n"):
        assert line in text, text[:2000]
    assert text.endswith("\njsmith@mx.example.test\n") and text.count("\njsmith@mx.example.test") == size // 20 + 1
    assert email.message_from_bytes(message, policy=email.policy.default)["Return-Path"] in (None, "<john.smith@example.test>")
    assert "sender=john.smith@example.test" in rewriting.log()


def test_strangers_are_left_alone(rewriting):
    rewriting.start()
    c = rewriting.smtp()
    c.ehlo()
    c.message("jsmith@mx.example.test", "bob@example.test", HEADER + "\nx\n")
    (message,) = rewriting.wait_messages("bob@example.test")
    assert HEADER in message.decode()


def test_a_trusted_network(rewriting):
    rewriting.settings += "trusted 127.0.0.0/8\n"
    rewriting.start()
    c = rewriting.smtp()
    c.ehlo()
    c.message("jsmith@mx.example.test", "bob@example.test", HEADER + "\nx\n")
    (message,) = rewriting.wait_messages("bob@example.test")
    assert 'From: "jsmith@mx.example.test" <jsmith@example.test>\n' in message.decode()  # the lookup is for logins


def test_what_cannot_be_decided_is_temporary(rewriting):
    rewriting.start()
    c = rewriting.login()
    for sender, header in [("broken@example.test", "Cc: a@b.test\n"), ("a@example.test", "Reply-To: odd@x.test\n")]:
        c.envelope(sender, "bob@example.test")
        assert c.data(f"From: {sender}\n{header}\nx\n").startswith("451")
    c.message("a@example.test", "bob@example.test", "From: a@example.test\nReply-To: even@x.test\n\nx\n")


def test_what_a_header_holds_is_never_evaluated(rewriting):
    rewriting.start()
    c = rewriting.login()
    odd = '"{sender}"@mx.example.test, "{{address}}$(id)`id`${run{id}}"@mx.example.test'
    c.message("a@example.test", "bob@example.test", f"From: a@example.test\nTo: {odd}\n\nx\n")
    (message,) = rewriting.wait_messages("bob@example.test")
    want = odd.replace("@mx.example", "@example").replace('"{sender}"', "{sender}")  # canonical: no quotes where none are needed
    row("E09", "rewrite", f"To: {want}\n" in message.decode())
