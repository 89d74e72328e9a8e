"""Mail that our own users write: its header is completed, and says of them what the operator wants; mail of others is left as it is."""

import re

import pytest

FIELDS = ("Date", "Message-ID", "Bcc")


def header(message):
    return message.split(b"\n\n", 1)[0].decode()


def count(message, name):
    return len(re.findall(rf"(?mi)^{name}[ \t]*:", header(message)))


def submitted(suite, body, way):
    c = suite.login()
    c.envelope("alice@example.test", "bob@example.test")
    if way == "data":
        assert c.data(body).startswith("250")
    else:
        octets = body.replace("\n", "\r\n").encode()
        half = len(octets) // 2
        for i, chunk in enumerate((octets[:half], octets[half:])):
            c.send(f"BDAT {len(chunk)}{' LAST' if i else ''}\r\n".encode() + chunk)
            assert c.reply().startswith("250")
    (message,) = suite.wait_messages("bob@example.test")
    return message


@pytest.mark.parametrize("way", ["data", "bdat"])
@pytest.mark.parametrize("size", [10, 300000], ids=["small", "large"])
def test_what_is_missing_is_added_and_bcc_goes(running, way, size):
    text = "word " * 12 + "\n"
    body = "From: alice@example.test\nBcc: carol@example.test,\n\tdave@example.test\nTo: bob@example.test\n\n" + text * (size // len(text) + 1)
    message = submitted(running, body, way)
    assert [count(message, f) for f in FIELDS] == [1, 1, 0]
    assert "carol" not in header(message) and "dave" not in header(message)
    assert re.search(r"(?m)^Message-ID: <[0-9]+\.[0-9a-z]{13}\.1@mx\.example\.test>$", header(message))
    assert message.split(b"\n\n", 1)[1].decode() == body.split("\n\n", 1)[1]


def test_what_is_there_stays(running):
    message = submitted(running, "date: yesterday\nMESSAGE-ID: <mine@here>\nFrom: alice@example.test\n\nx\n", "data")
    assert "date: yesterday\nMESSAGE-ID: <mine@here>" in header(message)
    assert [count(message, f) for f in FIELDS] == [1, 1, 0]


def test_a_header_alone(running):
    message = submitted(running, "From: alice@example.test\nBcc: x@example.test\n", "data")
    assert [count(message, f) for f in FIELDS] == [1, 1, 0]


def test_mail_of_others_is_left_alone(running):
    c = running.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "bob@example.test", "Bcc: x@example.test\nSubject: s\n\nx\n")
    (message,) = running.wait_messages("bob@example.test")
    assert [count(message, f) for f in FIELDS] == [0, 0, 1]


def test_a_header_too_long_to_be_completed(running):
    c = running.login()
    c.envelope("alice@example.test", "bob@example.test")
    assert c.data("From: alice@example.test\nTo: " + ",\n ".join(["bob@example.test"] * 4000) + "\n\nx\n").startswith("552")
    c.message("alice@example.test", "bob@example.test", "From: alice@example.test\nTo: " + ",\n ".join(["bob@example.test"] * 2500) + "\n\nx\n")
    (message,) = running.wait_messages("bob@example.test")
    assert message.count(b"bob@example.test") >= 2500


@pytest.mark.parametrize("withhold", ["yes", "no"])
def test_the_client_in_received(suite, withhold):
    suite.listeners = suite.listeners.replace("tls implicit", f"withhold-client {withhold}  tls implicit")
    suite.start()
    message = submitted(suite, "From: alice@example.test\n\nx\n", "data")
    shown = "127.0.0.1" in header(message) or "client.example" in header(message)
    assert shown == (withhold == "no")
    assert ("(client withheld)" in header(message)) == (withhold == "yes")
