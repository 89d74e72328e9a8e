"""Published vectors: addresses as MAIL and RCPT; strange, broken and old messages arrive with their bytes unchanged."""

import json
import re

import pytest

from harness import SUITES, row

needs_suites = pytest.mark.skipif(not (SUITES / "addresses").is_dir(), reason="skipped: not here")


def first_reply(running, path, command):
    """What the whole line is answered, on a connection of its own, for some have line ends in the middle."""
    c = running.smtp()
    c.ehlo()
    if command == b"RCPT TO:":
        c.expect(250, "MAIL FROM:<a@example.test>")
    c.send(command + b"<" + path + b">\r\nQUIT\r\n")
    got = c.reply()
    c.close()
    return got


@needs_suites
@pytest.mark.parametrize("command", [b"MAIL FROM:", b"RCPT TO:"])
def test_addresses(suite, command):
    suite.settings += "trusted 127.0.0.0/8\nconnections_per_host 1000\n"
    suite.start()
    wrong = []
    vectors = json.loads((SUITES / "addresses" / "rfc5321_verdicts.json").read_text())
    for v in vectors:
        path = bytes.fromhex(v["hex"])
        if command == b"MAIL FROM:" and path == b"":
            continue  # the null sender
        got = first_reply(suite, path, command)
        if (got[:3] == "250") != (v["envelope"] == "accept") or got[0] == "4":
            wrong.append((path, v["envelope"], v["diagnosis"], got))
    assert len(vectors) > 150 and not wrong, wrong
    row("SUITE", f"addresses-{command[:4].decode()}", True)


def messages():
    return sorted((SUITES / "mime").iterdir()) if (SUITES / "mime").is_dir() else []


def lines_of(path):
    """Its lines, as a mail program would read them; None where one holds what no line may hold."""
    lines = path.read_bytes().replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
    return None if any(b"\r" in l or b"\0" in l for l in lines) else lines


def send_lines(c, lines, recipients):
    c.expect(250, "MAIL FROM:<you@elsewhere.test> BODY=8BITMIME")
    for r in recipients:
        c.expect(250, f"RCPT TO:<{r}>")
    c.expect(354, "DATA")
    c.send(b"".join((b"." + l if l.startswith(b".") else l) + b"\r\n" for l in lines) + b".\r\n")
    return c.reply()


@needs_suites
def test_messages(suite, next_hop):
    hop = next_hop()
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.internet = f'smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off'
    suite.start()
    sent = {}
    c = suite.smtp()
    c.ehlo()
    for path in messages():
        lines = lines_of(path)
        if lines is None:
            continue
        got = send_lines(c, lines, ["alice@example.test", "you@elsewhere.test"])
        assert got.startswith("250"), (path.name, got)
        sent[got.split()[-1]] = (path.name, lines)
    assert len(sent) > 60
    hop.wait(len(sent), 60)
    kept = suite.wait_messages("alice@example.test", len(sent), 60)
    for text in kept:
        check(sent, text, b"\n", rb"(?:Return-Path|Delivered-To|Received): ")
    for _, _, text in hop.messages:
        check(sent, text + b"\r\n", b"\r\n", rb"Received: ")
    row("SUITE", "mime-bytes", len(kept) == len(hop.messages) == len(sent))


def check(sent, text, end, ours):
    """Before the message stand our own fields, and behind them nothing but its own bytes."""
    ident = re.search(rb"^\tid ([0-9a-z]+)", text, re.M)[1].decode()
    name, lines = sent[ident]
    body = b"".join(l + end for l in lines)
    assert text.endswith(body), name
    fields = re.sub(rb"\r?\n[ \t]", b" ", text.removesuffix(body)).splitlines()
    assert fields and all(re.match(ours, f) for f in fields), (name, fields)
