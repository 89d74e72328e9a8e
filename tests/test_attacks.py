"""Attacks on the mail path that need the whole suite: nobody falls, memory and disk stay bounded, and the next mail is taken."""

import contextlib
import pathlib
import re

import pytest

from harness import BUILD, row, wait_until

WAYS = ["clear", "tls"]


def connect(suite, way):
    c = suite.smtp(seconds=60)
    c.ehlo()
    if way == "tls":
        c.starttls()
        c.ehlo()
    return c


def resident(suite):
    """KiB of all processes but the master's, together."""
    total = 0
    for pid in suite.children():
        with contextlib.suppress(OSError, AttributeError):
            total += int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
    return total


def processes(suite):
    return {role: suite.pids(role) for role in ("gate", "smtpd", "queue", "policyd", "authd", "keyd", "log")}


def spooled(suite):
    return [p for p in (suite.folder / "spool").rglob("*") if p.is_file() and not p.name.startswith(("index", "mark"))]


# AddressSanitizer keeps what was freed, up to 256 MiB a process.
GROWTH_KIB = 1 << 20 if "asan" in BUILD.name else 64 << 10


@contextlib.contextmanager
def unharmed(suite):
    """All live on, in bounded memory, and mail flows."""
    before, kib = processes(suite), resident(suite)
    yield
    assert processes(suite) == before
    assert resident(suite) - kib < GROWTH_KIB, f"{resident(suite) - kib} KiB more"
    c = suite.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    c.close()


def endless(c, piece, pieces):
    """The reply, or None where the server had enough before the end."""
    with contextlib.suppress(OSError):
        for _ in range(pieces):
            c.send(piece)
        c.send("\r\n\r\nx\r\n.\r\n")
        return c.reply()
    return None


@pytest.mark.parametrize("way", WAYS)
def test_a_header_without_end(running, way):
    with unharmed(running):
        c = connect(running, way)
        c.envelope("you@elsewhere.test", "alice@example.test")
        c.expect(354, "DATA")
        c.send("Subject: x\r\n")
        got = endless(c, b" x\r\n" * 16384, 600)
        ok = got is None or got.startswith("552")
        if got is not None:
            c.expect(503, "RCPT TO:<alice@example.test>")
            c.message("you@elsewhere.test", "alice@example.test")
        c.close()
    row("N15", f"folds-{way}", ok)


@pytest.mark.parametrize("way", WAYS)
def test_a_header_line_without_end(suite, way):
    suite.policy = 'policy data { reject "no thanks" if sender == "you@elsewhere.test" }\n'
    suite.start()
    before = processes(suite)
    c = connect(suite, way)
    c.envelope("you@elsewhere.test", "alice@example.test")
    c.expect(354, "DATA")
    got = endless(c, b"Subject: " + b"%s%n" * 16384, 400)
    c.close()
    longest = max(len(line) for line in suite.log().splitlines())
    row("E07", f"log-line-{way}", (got is None or got[0] == "5") and longest < 16384 and processes(suite) == before)


@pytest.mark.parametrize("way", WAYS)
def test_a_message_that_is_broken_off_leaves_nothing(running, way):
    for size in (10, 60000, 300000, 3000000):
        for _ in range(5):
            c = connect(running, way)
            c.envelope("you@elsewhere.test", "alice@example.test")
            c.expect(354, "DATA")
            c.send("Subject: x\r\n\r\n" + ("y" * 74 + "\r\n") * (size // 76))
            c.close()
    wait_until(lambda: spooled(running) == [], what="an empty spool")
    with unharmed(running):
        pass
    row("R08", f"broken-off-{way}", True)
    row("O04", f"broken-off-{way}", True)


@pytest.mark.parametrize("way", WAYS)
def test_size_is_watched_while_it_comes(suite, way):
    suite.settings += "message_size_max 1M\n"
    suite.start()
    c = connect(suite, way)
    c.envelope("you@elsewhere.test", "alice@example.test")
    c.expect(354, "DATA")
    c.send("Subject: x\r\n\r\n")
    for _ in range(30):
        c.send(("y" * 74 + "\r\n") * 13797)
        assert sum(p.stat().st_size for p in spooled(suite) if p.exists()) <= 2 << 20
    c.send(".\r\n")
    got = c.reply()
    row("O04", f"size-{way}", got.startswith("552 5.3.4"))
    wait_until(lambda: spooled(suite) == [], what="an empty spool")


@pytest.mark.parametrize("way", WAYS)
def test_whole_sessions_byte_by_byte(running, way):
    """The same bytes, whole or one at a time over the wire, are answered alike and keep the same messages."""
    session = (b"NOOP\r\nMAIL FROM:<you@elsewhere.test>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<nobody@example.test>\r\nVRFY x\r\n"
               b"DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nRSET\r\nMAIL FROM:<you@elsewhere.test>\r\nRSET\r\nDATA\r\nWHAT\r\nQUIT\r\n")
    said = []
    for piece in (len(session), 1, 7):
        c = connect(running, way)
        for at in range(0, len(session), piece):
            c.send(session[at:at + piece])
        replies = []
        with contextlib.suppress(ConnectionError):
            while True:
                replies.append(re.sub(r"accepted as \w+", "accepted", c.reply()))
        c.close()
        said.append(replies)
    row("N19", f"wire-{way}", said[0] == said[1] == said[2] and len(said[0]) == 13 and len(running.wait_messages("alice@example.test", 3)) == 3)
