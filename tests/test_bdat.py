"""BDAT and binary mail: any octets, cut in any way, into a Maildir, to LMTP, to a next host; and what was tried against others' BDAT."""

import base64
import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess

import pytest

from harness import PASSWORD, NextHop, Smtp, alive, free_ports, proc, row, wait_until
from test_smuggling import as_bytes, open_session, payloads

HEAD = b"Subject: octets\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
OCTETS = b"\r\n.\r\n\n.\n\r.\r\0\xff\xfe bare\nand\r, no end\r\r\n\n\r"
CHUNKING = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000", "CHUNKING", "BINARYMIME")
MESSAGE = ("alice@example.test", "you@elsewhere.test")


def begin(c, sender="you@elsewhere.test", recipients=("alice@example.test",), words=""):
    c.expect(250, f"MAIL FROM:<{sender}>{words}")
    for r in recipients:
        c.expect(250, f"RCPT TO:<{r}>")


def send_binary(c, body, sender="you@elsewhere.test", recipients=("alice@example.test",)):
    begin(c, sender, recipients, " BODY=BINARYMIME")
    return c.chunk(body, last=True)


def to_hop(suite, hop, words=""):
    suite.internet = f'smtp "127.0.0.1:{hop.port}"  allow-local yes  tls off  {words}'
    return suite.start()


def lines_of(hop, verb):
    return [line for s in hop.sessions for line, _ in s if line.startswith(verb)]


def pieces(data, sizes):
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at:at + size]
        at += size


# ---- text ----

@pytest.mark.parametrize("listener", ["mx", "submission", "submissions"])
def test_text_in_chunks_cut_in_any_way(running, listener):
    """Chunks of 0 to 9 octets, in segments (and TLS records) of 1 to 7: the body is what was meant, dots and all."""
    body = b"Subject: chunks\r\n\r\n.\r\n..\r\nQUIT\r\n.\r\nBDAT 5 LAST\r\nlast line, without its end"
    chance = random.Random(7)
    c = open_session(running, listener)
    c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent, count = b"", 0
    for chunk in pieces(body, iter(lambda: chance.randrange(10), None)):
        sent += b"BDAT %d\r\n" % len(chunk) + chunk
        count += 1
    begin(c, "alice@example.test" if listener != "mx" else "you@elsewhere.test")
    for segment in pieces(sent + b"BDAT 0 LAST\r\nNOOP\r\n", iter(lambda: chance.randrange(1, 8), None)):
        c.send(segment)
    for _ in range(count):
        assert c.reply().startswith("250 2.0.0 chunk")
    assert c.reply().startswith("250 2.0.0 accepted") and c.reply().startswith("250 2.0.0 ok")
    (text,) = running.wait_messages("alice@example.test")
    row("N19", f"bdat-{listener}", text.endswith(b"\n" + body.replace(b"\r\n", b"\n") + b"\n"))


def test_a_large_text_in_one_chunk_and_in_many(running):
    body = b"Subject: large\r\n\r\n" + b"".join(b"%07d the same line again\r\n" % i for i in range(12000))
    c = running.smtp()
    c.ehlo()
    begin(c)
    assert c.chunk(body, last=True).startswith("250 2.0.0 accepted")
    begin(c)
    for chunk in pieces(body, iter(lambda: 9973, None)):
        assert c.chunk(chunk).startswith("250 2.0.0 chunk")
    assert c.chunk(b"", last=True).startswith("250 2.0.0 accepted")
    for text in running.wait_messages("alice@example.test", 2):
        assert text.endswith(body.replace(b"\r\n", b"\n"))


def test_a_real_client(running, tmp_path):
    """Dovecot sends by BDAT to a host that offers it: as an LMTP proxy it hands a mail on to us."""
    dovecot = shutil.which("dovecot") or "/usr/sbin/dovecot"
    if os.geteuid() != 0 or not pathlib.Path(dovecot).exists():
        pytest.skip("Dovecot runs as root here")
    (port,) = free_ports(1)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        os.chmod(parent, os.stat(parent).st_mode & 0o7777 | 0o055)
    (tmp_path / "conf").write_text(f"""
base_dir = {tmp_path}/run
state_dir = {tmp_path}/state
log_path = {tmp_path}/log
protocols = lmtp
ssl = no
listen = 127.0.0.1
lmtp_proxy = yes
default_login_user = dovenull
default_internal_user = dovecot
passdb {{
  driver = static
  args = nopassword=y proxy=y protocol=smtp host=127.0.0.1 port={running.mx}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={tmp_path}/mail
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
  }}
}}
""")
    process = subprocess.Popen([dovecot, "-F", "-c", tmp_path / "conf"])
    try:
        wait_until(lambda: answers(port), what="Dovecot")
        c = Smtp(port)
        c.expect(250, "LHLO client.example")
        c.envelope("you@elsewhere.test", "alice@example.test", "bob@example.test")
        got = c.data("Subject: by proxy\n\n.dot\n..dots\nend\n")
        assert got.startswith("250"), got
        for name in ("alice", "bob"):
            (text,) = running.wait_messages(f"{name}@example.test")
            assert text.endswith(b"Subject: by proxy\n\n.dot\n..dots\nend\n")
    finally:
        process.terminate()
        process.wait(20)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except OSError:
        return False


# ---- what goes wrong ----

def test_a_refused_chunk_is_taken_off_the_stream(running):
    """Octets behind a BDAT that is refused are never commands; a bound says how many are taken."""
    bad = b"\r\nQUIT\r\nMAIL FROM:<evil@elsewhere.test>\r\n"
    c = running.smtp()
    row("N14", "bdat-greeted", c.chunk(bad).startswith("503") and c.command("NOOP").startswith("250"))
    c.ehlo()
    row("N14", "bdat-ready", c.chunk(bad, last=True).startswith("503") and c.command("NOOP").startswith("250"))
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    row("N14", "bdat-mail", c.chunk(bad, last=True).startswith("503") and c.command("NOOP").startswith("250"))
    begin(c)
    assert c.chunk(b"a\r\n").startswith("250")
    row("Z08", "data-behind-bdat", c.command("DATA").startswith("503"))
    c.expect(250, "RSET")
    assert c.chunk(b"rest of it\r\n", last=True).startswith("503")
    begin(c)
    got = c.chunk(b"Subject: x\r\n\r\na\nb\r\n", last=True)
    row("Z04", "bare-line-feed", got.startswith("550 5.6.11"))
    row("F08", "bdat", c.command("RCPT TO:<alice@example.test>").startswith("503") and c.command("DATA").startswith("503"))
    c.message("you@elsewhere.test", "alice@example.test")
    running.wait_messages("alice@example.test")


@pytest.mark.parametrize("size", ["18446744073709551616", "-1", "+5", "0x10", "1 LAST LAST", "", "99999999999"])
def test_a_size_that_is_none_ends_the_session(running, size):
    c = running.smtp()
    c.ehlo()
    begin(c)
    c.send(f"BDAT {size}\r\nQUIT\r\n")
    got = c.reply()
    row("Z08", f"bdat-{size.replace(' ', '-') or 'nothing'}", got.startswith("552" if size == "99999999999" else "501") and c.closed())


def test_a_million_tiny_chunks(running):
    """E05: the memory of the process is flat, and the session ends by the bound on commands."""
    (pid, *_) = running.pids("smtpd")
    before = max(rss(p) for p in running.pids("smtpd"))
    c = running.smtp()
    c.ehlo()
    begin(c)
    c.send(b"BDAT 14\r\nSubject: x\r\n\r\n")
    assert c.reply().startswith("250")
    replies, ended = 0, None
    for _ in range(1000):
        try:
            c.send(b"BDAT 1\r\nx" * 100)
            for _ in range(100):
                ended = c.reply()
                replies += 1
        except ConnectionError:
            break
    assert ended.startswith("421 4.7.0 too many commands") and 9000 < replies < 10000, (ended, replies)
    after = max(rss(p) for p in running.pids("smtpd"))
    row("E05", "bdat-tiny-chunks", alive(pid) and after < before + 8 << 20)
    d = running.smtp()
    d.ehlo()
    begin(d)
    assert d.chunk(b".\r\n").startswith("250") and d.chunk(b".\r\n", last=True).startswith("250")
    (text,) = running.wait_messages("alice@example.test")
    row("E05", "bdat-dots", text.endswith(b"\n.\n.\n"))


def rss(pid):
    return int((proc(pid, "statm") or "0 0").split()[1]) * 4096


@pytest.mark.parametrize("where", ["command", "data", "bdat", "refused-bdat"])
def test_tls_is_never_popped(running, where):
    """E06: close_notify in the middle, then plain text: the connection ends, and there is no message."""
    raw = socket.create_connection(("127.0.0.1", running.submissions), timeout=20)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="mx.example.test")

    def step(what, *args):
        while True:
            try:
                done = what(*args)
                raw.sendall(outgoing.read())
                return done
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                got = raw.recv(65536)
                assert got, "closed"
                incoming.write(got)

    def say(text, code):
        step(tls.write, text + b"\r\n")
        got = b""
        while not any(line[3:4] == b" " for line in got.split(b"\r\n")[:-1]):
            got += step(tls.read, 65536)
        assert got.startswith(code), got

    step(tls.do_handshake)
    step(tls.read, 65536)
    say(b"EHLO client.example", b"250")
    say(b"AUTH PLAIN " + base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()), b"235")
    if where != "refused-bdat":
        say(b"MAIL FROM:<alice@example.test>", b"250")
        say(b"RCPT TO:<bob@example.test>", b"250")
    if where == "data":
        say(b"DATA", b"354")
        step(tls.write, b"Subject: x\r\n\r\nhalf")
    elif where != "command":
        step(tls.write, b"BDAT 20 LAST\r\nSubject: x\r\n")
    try:
        tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    raw.sendall(outgoing.read())
    said = b""
    try:
        raw.sendall({"command": b"DATA\r\n", "data": b" and half\r\n.\r\n"}.get(where, b"\r\nplain.\r\nQUIT\r\n"))
        while more := raw.recv(65536):
            said += more
    except ConnectionError:
        pass
    incoming.write(said)
    try:
        said = tls.read(65536)
    except ssl.SSLError:
        said = b""
    wait_until(lambda: "session-close" in running.log(), what="the session's end")
    row("E06", where, said == b"" and running.queue() == [] and not running.messages("bob@example.test") and
        " accepted id=" not in running.log())


def test_lost_in_the_middle_is_no_message(running):
    """Chunks that were taken are nothing without the last: a connection lost between two, or in one."""
    for end in (b"", b"BDAT 100000 LAST\r\nhalf of i"):
        c = running.smtp()
        c.ehlo()
        begin(c)
        assert c.chunk(b"Subject: lost\r\n\r\n" + b"0123456789abcdef\r\n" * 10000).startswith("250")
        c.send(end)
        c.close()
    wait_until(lambda: running.log().count("session-close") == 2, what="the sessions' end")
    c = running.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test")
    (text,) = running.wait_messages("alice@example.test")
    assert b"lost" not in text and running.queue() == []
    wait_until(lambda: not list((running.folder / "spool" / "draft").iterdir()), what="no draft")


def test_a_slow_chunk_has_its_time(suite):
    suite.settings += "data_timeout 1s\n"
    suite.start()
    for prepare in (lambda c: begin(c), lambda c: None):
        c = suite.smtp()
        c.ehlo()
        prepare(c)
        c.send(b"BDAT 100\r\nhalf")
        row("R01", "bdat", c.reply().startswith("421 4.4.2") and c.closed())


# ---- smuggling ----

@pytest.mark.parametrize("listener", ["mx", "submission", "submissions"])
def test_no_sequence_splits_a_message(suite, next_hop, listener):
    """Every published look-alike inside a chunk, as text and as a binary body, through to a host by DATA and by BDAT."""
    plain, chunks = next_hop(), next_hop(keywords=CHUNKING)
    suite.internet = f'smtp "127.0.0.1:{plain.port}"  allow-local yes  tls off'
    suite.routes = '\trelay chunks if recipient.domain == "chunks.test"\n' + suite.routes
    suite.transports = f'transport chunks {{ smtp "127.0.0.1:{chunks.port}"  allow-local yes  tls off }}\n'
    suite.settings += "trusted 127.0.0.0/8\nmessages_max 10000\n"
    suite.start()
    smuggled = (b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<victim@elsewhere.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsecond\r\n.\r\n")
    c = open_session(suite, listener)
    sent, good = 0, True
    for param in payloads():
        if param.values[0] is None:
            pytest.skip("skipped: not here")
        body = HEAD + b"first" + as_bytes(param.values[0]) + smuggled
        begin(c, "alice@example.test", ["you@elsewhere.test"])
        got = c.chunk(body, last=True)
        text = got.startswith("250")
        binary = send_binary(c, body, "alice@example.test", ["you@chunks.test"]).startswith("250")
        after = c.command("NOOP")
        sent += 1
        good = (text or got.startswith(("550", "500"))) and binary and after.startswith("250")
        row("Z01", f"bdat-{listener}-{param.id}", good)
    chunks.wait(sent)
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    for hop in (plain, chunks):
        row("Z03", f"bdat-{listener}-{'text' if hop is plain else 'binary'}",
            all(r in (["you@elsewhere.test"], ["you@chunks.test"]) and data.count(b"Subject: octets") == 1 and
                b"Subject: smuggled" in data for _, r, data in hop.messages))
    assert len(chunks.messages) == sent and len(plain.messages) <= sent
    assert not lines_of(plain, "BDAT") and not lines_of(chunks, "DATA")


# ---- binary mail ----

@pytest.mark.parametrize("listener", ["mx", "submission", "submissions"])
def test_octets_into_a_maildir(running, listener):
    """The header with LF as of any mail, the body octet for octet; small, and larger than one piece."""
    c = open_session(running, listener)
    large = random.Random(1).randbytes(300000)
    for body in (OCTETS, large):
        assert send_binary(c, HEAD + body, "alice@example.test", ["bob@example.test"]).startswith("250")
    got = running.wait_messages("bob@example.test", 2)
    head = HEAD.replace(b"\r\n", b"\n")
    row("A2", f"binarymime-maildir-{listener}", sorted(len(g) for g in got)[0] < 2000 and
        all(any(g.endswith(b"\n" + head + body) for g in got) for body in (OCTETS, large)))
    assert all(b"\r\n" not in g.split(b"\n\n")[0] for g in got)


def test_binary_only_by_bdat(running):
    c = running.smtp()
    c.ehlo()
    begin(c, words=" BODY=BINARYMIME")
    row("A2", "binarymime-data", c.command("DATA").startswith("503"))
    assert c.chunk(HEAD + OCTETS, last=True).startswith("250")
    c.expect(250, "HELO client.example")
    c.expect(555, "MAIL FROM:<you@elsewhere.test> BODY=BINARYMIME")


def test_octets_to_a_next_host(suite, next_hop):
    hop = next_hop(keywords=CHUNKING)
    to_hop(suite, hop)
    c = suite.login()
    large = HEAD + random.Random(2).randbytes(300000)
    for body in (HEAD + OCTETS, large):
        assert send_binary(c, body, *MESSAGE[:1], [MESSAGE[1]]).startswith("250")
    hop.wait(2)
    row("A2", "binarymime-next-host", all(any(data.endswith(b"\r\n" + body) for _, _, data in hop.messages)
                                          for body in (HEAD + OCTETS, large)))
    assert all(" BODY=BINARYMIME" in line for line in lines_of(hop, "MAIL")) and not lines_of(hop, "DATA")
    c.message(*MESSAGE, "Subject: text\n\n.dot\n")  # which needs no BDAT, and goes as it goes everywhere
    hop.wait(3)
    assert len(lines_of(hop, "DATA")) == 1


@pytest.mark.parametrize("keywords", [("PIPELINING", "8BITMIME"), ("8BITMIME", "CHUNKING"), ("8BITMIME", "BINARYMIME")])
def test_octets_to_a_host_that_cannot_take_them(suite, next_hop, keywords):
    """Z04: never by DATA, never changed: back to the sender."""
    hop = next_hop(keywords=keywords)
    to_hop(suite, hop)
    c = suite.login()
    assert send_binary(c, HEAD + OCTETS, *MESSAGE[:1], [MESSAGE[1]]).startswith("250")
    (text,) = suite.wait_messages("alice@example.test")
    row("Z04", "-".join(keywords), b"Status: 5.6.3" in text and not hop.messages and not lines_of(hop, "MAIL"))
    assert b"Subject: octets" in text and b"\0" not in text


def test_the_mark_lies_in_the_file(suite, next_hop):
    """A binary mail that waits is one after a restart, and after its host has learnt to take it."""
    hop = next_hop(keywords=CHUNKING, script={"MAIL": "451 4.3.0 later"})
    suite.last_route = "\trelay internet\n"
    to_hop(suite, hop)
    c = suite.login()
    ident = send_binary(c, HEAD + OCTETS, *MESSAGE[:1], [MESSAGE[1]]).split()[-1]
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    suite.stop()
    suite.launch()
    hop.script.clear()
    suite.postern("queue", "retry", ident)
    ((_, _, data),) = hop.wait()
    assert data.endswith(b"\r\n" + HEAD + OCTETS)


def test_octets_by_lmtp(suite):
    """A verdict for each recipient after the last octet."""
    hop = NextHop(lmtp=True, keywords=CHUNKING, script={"end b@example.test": "552 5.2.2 full"})
    suite.routes = "\tdeliver boxes if recipient.domain in our_domains\n"
    suite.transports = f'transport boxes {{ lmtp "127.0.0.1:{hop.port}"  allow-local yes }}\n'
    suite.start()
    c = suite.login()
    assert send_binary(c, HEAD + OCTETS, "alice@example.test", [f"{n}@example.test" for n in "abc"]).startswith("250")
    (sender, recipients, data), (_, to, report) = hop.wait(2)
    assert recipients == [f"{n}@example.test" for n in "abc"] and data.endswith(b"\r\n" + HEAD + OCTETS)
    assert to == ["alice@example.test"] and b"rfc822;b@example.test" in report and b"a@example.test>" not in report
    hop.close()


# ---- what the next host says of sizes ----

def test_a_host_with_a_smaller_size(suite, next_hop):
    """RFC 1870: not a byte of it is sent, and the sender is told why."""
    hop = next_hop(keywords=("PIPELINING", "8BITMIME", "SIZE 5000"))
    to_hop(suite, hop)
    c = suite.login()
    c.message(*MESSAGE, "Subject: large\n\n" + "x\n" * 4000)
    (text,) = suite.wait_messages("alice@example.test")
    row("A2", "size-of-next-host", b"Status: 5.3.4" in text and not lines_of(hop, "MAIL"))
    c.message(*MESSAGE)
    hop.wait()
    (line,) = lines_of(hop, "MAIL")
    assert int(line.split("SIZE=")[1].split()[0]) < 5000


def test_a_host_with_limits(suite, next_hop):
    """RFC 9422: as many transactions and connections as it takes, each recipient once."""
    hop = next_hop(keywords=("PIPELINING", "8BITMIME", "LIMITS RCPTMAX=2 MAILMAX=2"))
    to_hop(suite, hop)
    c = suite.login()
    names = [f"n{i}@elsewhere.test" for i in range(7)]
    c.message("alice@example.test", names)
    hop.wait(4)
    wait_until(lambda: suite.queue() == [], what="an empty queue")
    assert sorted(r for _, to, _ in hop.messages for r in to) == names
    row("A2", "limits-of-next-host", all(len(to) <= 2 for _, to, _ in hop.messages) and
        all(sum(line.startswith("MAIL") for line, _ in s) <= 2 for s in hop.sessions))
