"""No end-of-data look-alike splits a message: every published sequence, at every listener, and through to a next host."""

import json

import pytest

from harness import PASSWORD, SUITES, row, wait_until

PAYLOADS = SUITES / "smuggling" / "payloads.json"


def payloads():
    if not PAYLOADS.exists():
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason="skipped: not here"))]
    found = json.loads(PAYLOADS.read_text())
    cases = found["payloads"] if isinstance(found, dict) and "payloads" in found else found
    items = cases.items() if isinstance(cases, dict) else enumerate(cases)
    return [pytest.param(p, id=str(k)) for k, p in items]


def as_bytes(payload):
    for key in ("hex", "sequence_hex", "payload_hex"):
        if isinstance(payload, dict) and key in payload:
            return bytes.fromhex(payload[key])
    text = payload if isinstance(payload, str) else next(v for v in payload.values() if isinstance(v, str))
    return text.encode("latin-1")


def open_session(suite, listener):
    if listener == "mx":
        c = suite.smtp()
        c.ehlo()
    elif listener == "submission":
        c = suite.smtp(suite.submission)
        c.ehlo()
        c.starttls()
        c.ehlo()
        c.auth_plain("alice@example.test", PASSWORD)
    else:
        c = suite.login()
    return c


@pytest.fixture
def behind(suite, next_hop):
    hop = next_hop()
    suite.internet = f'smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off'
    suite.settings += "trusted 127.0.0.0/8\n"
    suite.start()
    suite.hop = hop
    return suite


@pytest.mark.parametrize("way", ["whole", "bytes"])
def test_no_sequence_splits_a_message(behind, way):
    for param in payloads():
        payload = param.values[0]
        if payload is None:
            pytest.skip("skipped: not here")
        for listener in ("mx", "submission", "submissions"):
            one_payload(behind, listener, as_bytes(payload), param.id, way)


def one_payload(suite, listener, sequence, name, way):
    before = len(suite.hop.messages)
    c = open_session(suite, listener)
    c.envelope("alice@example.test", "you@elsewhere.test")
    c.expect(354, "DATA")
    data = (b"Subject: outer\r\n\r\nfirst" + sequence +
            b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<victim@elsewhere.test>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsecond\r\n.\r\n")
    if way == "whole":
        c.send(data)
    else:
        for i in range(0, len(data), 7):
            c.send(data[i:i + 7])
    got = c.reply()
    c.send("NOOP\r\n")
    after = c.reply()
    c.close()
    if got.startswith("250"):
        suite.hop.wait(before + 1)
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    new = suite.hop.messages[before:]
    split = len(new) > 1 or any("victim@elsewhere.test" in r for _, r, _ in new)
    row("Z01", f"{listener}-{way}-{name}", not split and after.startswith("250"))


@pytest.mark.parametrize("body", ["a\nb", "a\rb", "a\r\r\nb", "a\n.\r\nb", "nul\0byte"])
def test_bare_cr_lf_and_nul_are_refused_after_the_real_end(running, body):
    c = running.smtp()
    c.ehlo()
    c.envelope("you@elsewhere.test", "alice@example.test")
    c.expect(354, "DATA")
    c.send(f"Subject: x\r\n\r\n{body}\r\n.\r\n")
    got = c.reply()
    row("Z02", repr(body), got.startswith("550 5.6.11") or (("\0" in body) and got.startswith("5")))
    assert c.command("NOOP").startswith("250")
