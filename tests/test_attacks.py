"""Attacks on the mail path that need the whole suite: nobody falls, memory and disk stay bounded, and the next mail is taken."""

import base64
import contextlib
import os
import pathlib
import re
import signal
import socket
import ssl

import pytest

from harness import BUILD, PASSWORD, proc, row, wait_until

WAYS = ["clear", "tls"]


def connect(suite, way):
    c = suite.smtp(seconds=60)
    c.ehlo()
    if way == "tls":
        c.starttls()
        c.ehlo()
    return c


def resident(suite):
    """KiB of all processes but the master's, together; one that ends just now has none."""
    total = 0
    for pid in suite.children():
        held = re.search(r"RssAnon:\s+(\d+)", proc(pid, "status"))
        total += int(held[1]) if held else 0
    return total


def processes(suite):
    return {role: suite.pids(role) for role in ("gate", "smtpd", "queue", "policyd", "authd", "keyd", "log")}


def spooled(suite):
    return [p for p in (suite.folder / "spool").rglob("*") if p.is_file() and not p.name.startswith(("index", "mark"))]


def size(path):
    """Bytes of a file; 0: it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


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
        assert sum(size(p) for p in spooled(suite)) <= 2 << 20
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


# ---- gone while somebody is asked ----

LOGIN = "AUTH PLAIN " + base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()).decode()
SENT = "MAIL FROM:<you@elsewhere.test>\r\nRCPT TO:<alice@example.test>\r\n"
# Who is asked and does not answer, what was said before, and what asks.
ASKED = {"recipient": ("policyd", "MAIL FROM:<you@elsewhere.test>", "RCPT TO:<alice@example.test>\r\n"),
         "message": ("queue", SENT + "DATA", "Subject: x\r\n\r\nx\r\n.\r\n"), "chunk": ("queue", SENT + "NOOP", "BDAT 6 LAST\r\na: b\r\n"),
         "login": ("authd", "NOOP", LOGIN + "\r\n"), "handshake": ("keyd", "STARTTLS", "")}


def leave(c, how):
    """RSET and QUIT are said before the answer is there."""
    with contextlib.suppress(OSError):
        if how in ("rset", "quit"):
            c.send(how.upper() + "\r\n")
        elif how == "reset":
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how != "rset":
        c.close()
    return c


def ask(suite, way, what, how, said, asks):
    """One client that leaves while it is waited for."""
    if what == "login":
        c = suite.smtp(suite.submissions, tls=True, seconds=60)
        c.ehlo()
    elif what == "handshake" and way == "tls":
        c = suite.smtp(suite.submissions, greet=False, seconds=60)
    else:
        c = connect(suite, way)
    for line in said.split("\r\n") if not (what == "handshake" and way == "tls") else []:
        assert c.command(line)[0] in "23"
    yield
    if what == "handshake":
        ssl_hello(c)
    else:
        c.send(asks)
    yield leave(c, how)


def ssl_hello(c):
    """The first flight of a handshake; keyd is wanted for what comes next."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    c.socket.sendall(outgoing.read())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", list(ASKED))
def test_gone_while_somebody_is_asked(running, way, what):
    """RSET, QUIT, FIN or RST while policyd, authd, keyd or the queue has not answered yet: nobody falls, nothing stays behind."""
    role, said, asks = ASKED[what]
    with unharmed(running):
        clients = [ask(running, way, what, how, said, asks) for how in ("rset", "quit", "fin", "reset")]
        for c in clients:
            next(c)
        pids = running.pids(role)
        running.kill(role, signal.SIGSTOP)
        left = [next(c) for c in clients]
        wait_until(lambda: established(running) <= 1, what="the clients' end")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for c in left:
            c.close()
        wait_until(lambda: running.queue() == [] and spooled(running) == [], 40, "an empty spool")
    row("O04", f"gone-{what}-{way}", True)


def established(suite):
    """Connections that the client has not ended."""
    done = pathlib.Path("/proc/net/tcp").read_text()
    ports = {f"{p:04X}" for p in (suite.mx, suite.submissions, suite.submission)}
    return len([l for l in done.splitlines()[1:] if l.split()[2].split(":")[1] in ports and l.split()[3] == "01"])


# ---- slow clients ----

@pytest.mark.parametrize("way", WAYS)
def test_slow_anywhere(suite, way):
    """Some seconds' silence are allowed here: whoever says less, wherever it stands, is told so and ended; who does not read is, too."""
    suite.settings += "idle_timeout 6s\ndata_timeout 6s\nconnections_per_host 1000\n"
    suite.start()
    where = {"banner": [], "half-a-command": ["NOO"], "half-ehlo": ["EHLO"], "mail": ["MAIL FROM:<you@elsewhere.test>\r\n"],
             "data": [SENT, "DATA\r\n", "Subject: x\r\n"], "half-a-dot": [SENT, "DATA\r\n", "x\r\n."], "bdat": [SENT, "BDAT 100\r\nx"],
             "refused-bdat": ["BDAT 100\r\nx"]}
    with unharmed(suite):
        clients = {}
        for name, said in where.items():
            c = clients[name] = connect(suite, way)
            for text in said:
                c.send(text)
        for name, first in {"no-hello": b"", "half-a-hello": b"\x16\x03\x01\x02\x00\x01\x00"}.items():
            c = suite.smtp(suite.submissions, greet=False) if way == "tls" else suite.smtp()
            if way == "clear":
                c.ehlo()
                c.expect(220, "STARTTLS")
            c.send(first)
            clients[name] = c
        for name, c in clients.items():
            c.socket.settimeout(60)
            told = []
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while True:
                    told.append(c.line())
            row("R01", f"{name}-{way}", name in ("no-hello", "half-a-hello") or told[-1].startswith("421 4.4.2"))
            c.close()
