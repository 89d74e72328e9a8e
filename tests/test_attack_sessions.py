"""Every attack that is a session (attack_sessions.py): in clear and TLS, whole and byte by byte, against one suite that lives on."""

import contextlib
import itertools
import re
import select
import socket
import ssl

import pytest

from attack_sessions import MAX_BYTEWISE, SESSIONS
from harness import wait_until
from test_attacks import spooled, unharmed

SILENCE = 20  # seconds: no reply comes any more
WAYS = [(tls, piece) for tls in ("clear", "tls") for piece in ("whole", "bytes")]


class Wire:
    """A client that sends what it is told in pieces of one size, each a segment (or a TLS record), and reads meanwhile."""

    def __init__(self, port, source):
        self.socket = socket.create_connection(("127.0.0.1", port), 60, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls, self.incoming, self.outgoing, self.over = None, ssl.MemoryBIO(), ssl.MemoryBIO(), False
        self.codes, self.rest = [], b""

    def hear(self, data):
        """The codes of whole replies."""
        if self.tls and data:
            self.incoming.write(data)
            data = b""
            with contextlib.suppress(ssl.SSLError):
                while more := self.tls.read(65536):
                    data += more
        *whole, self.rest = (self.rest + data).split(b"\n")
        self.codes += [line[:3].decode("latin-1") for line in whole if line[3:4] != b"-"]

    def receive(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        self.over = data == b""
        self.hear(data)

    def packets(self, data, piece):
        for at in range(0, len(data), piece):
            if self.tls:
                self.tls.write(data[at:at + piece])
                yield self.outgoing.read()
            else:
                yield data[at:at + piece]

    def say(self, data, piece=1 << 14):
        for packet in self.packets(data, piece):
            while packet and not self.over:
                readable, writable, _ = select.select([self.socket], [self.socket], [], 60)
                assert readable or writable, "neither reads nor writes"
                if readable:
                    self.receive()
                elif writable:
                    try:
                        packet = packet[self.socket.send(packet, socket.MSG_DONTWAIT):]
                    except BlockingIOError:
                        pass
                    except ConnectionError:
                        packet = b""
        return self

    def until(self, count):
        """Waits for so many replies or the end."""
        while len(self.codes) < count and not self.over:
            if not select.select([self.socket], [], [], SILENCE)[0]:
                break
            self.receive()
        return self

    def wrap(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="mx.example.test")
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                self.socket.sendall(self.outgoing.read())
                return self.hear(b"")
            self.socket.sendall(self.outgoing.read())
            data = self.socket.recv(1 << 16)
            assert data, "no handshake"
            self.incoming.write(data)


SOURCES = (f"127.{b}.{c}.1" for b in itertools.count(1) for c in range(1, 250))


def connect(suite, session, tls):
    """Behind the greeting, and where the session begins later also behind EHLO; its replies are forgotten."""
    if session.login:
        wire = Wire(suite.submissions if tls == "tls" else suite.submission, next(SOURCES))
        if tls == "tls":
            wire.wrap()
    else:
        wire = Wire(suite.mx, next(SOURCES))
        if tls == "tls":
            wire.until(1).say(b"EHLO c\r\n").until(2).say(b"STARTTLS\r\n").until(3)
            assert wire.codes == ["220", "250", "220"]
            wire.codes = ["220"]
            wire.wrap()
    wire.until(1)
    if not session.greeted:
        wire.say(b"EHLO c\r\n").until(2)
    assert wire.codes == ["220", "250"][:2 - session.greeted]
    wire.codes = []
    return wire


def fits(codes, expected):
    """`...` stands for any replies."""
    if "..." in expected:
        at = expected.index("...")
        behind = len(expected) - at - 1
        return len(codes) >= at + behind and fits(codes[:at], expected[:at]) and fits(codes[len(codes) - behind:], expected[at + 1:])
    return len(codes) == len(expected) and all(c in e.split("|") for c, e in zip(codes, expected))


def run(suite, session, tls, piece):
    """What was wrong, or None; and how many mails were taken."""
    expected = (session.clear if session.clear and tls == "clear" else session.codes).split()
    ending = expected.pop() if expected[-1] in ("closed", "gone") else "goes on"
    wire = connect(suite, session, tls)
    wire.say(session.said, len(session.said) if piece == "whole" and tls == "clear" else 1 << 14 if piece == "whole" else 1)
    wire.until(1 << 30 if ending == "closed" else len([e for e in expected if e != "..."]))
    if ending == "goes on":
        expected.append("250")
        wire.say(b"NOOP\r\n").until(len(expected))
    got, over = wire.codes, wire.over
    wire.socket.close()
    if fits(got, expected) and over == (ending == "closed"):
        return None
    return f"{' '.join(itertools.islice(got, 30))}{' closed' if over else ''}, not {' '.join(expected[:30])} {ending}"


@pytest.mark.seconds(600)
@pytest.mark.parametrize("tls, piece", WAYS, ids=["-".join(w) for w in WAYS])
def test_attacks_that_are_sessions(suite, tls, piece):
    suite.settings += "errors_max 1000\nauth_attempts_max 100\ncommands_max 220000\n" \
        "message_size_max 60K\nheader_max 40K\nline_max 32K\n"
    suite.policy = 'policy data {\n\treject "no" if sender == "refused@elsewhere.test"\n\tdefer "later" if sender == "deferred@elsewhere.test"\n}\n'
    suite.listeners = suite.listeners.replace("role mx  tls optional", "role mx  tls optional  dsn all")
    suite.start()
    wrong = []
    with unharmed(suite):
        for session in SESSIONS:
            if piece == "bytes" and len(session.said) > MAX_BYTEWISE:
                continue
            bad = run(suite, session, tls, piece)
            if bad:
                wrong.append(f"{session.rows} {session.variant}: {bad}")
            for ident in session.rows.split():
                print(f"ROW {ident} {session.variant}-{tls}-{piece} {'fail' if bad else 'pass'}")
    assert not wrong, "\n" + "\n".join(wrong)
    taken = len(re.findall(r"queue\[\d+\] accepted id=", suite.log()))
    kept = suite.wait_messages("alice@example.test", taken, 60)
    assert len(kept) == taken and not suite.messages("bob@example.test"), "a mail that nobody sent"
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    wait_until(lambda: spooled(suite) == [], what="an empty spool")
    assert not re.search(r"child-(ended|hangs)", suite.log())
