"""TLS of listeners by real clients: certificates by name and their renewal, who is refused, what an end without close_notify is."""

import contextlib
import hashlib
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from harness import EC, PASSWORD, PATIENCE_SECONDS, RSA, free_ports, make_certificate, row, turn_clock, wait_until


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


def context(alpn=None, version=None, chain=None):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if alpn:
        c.set_alpn_protocols(alpn)
    if version:
        c.maximum_version = version
    if chain:
        c.load_cert_chain(*chain)
    return c


def shown(port, name=None):
    """The certificate a client sees that asks for this name."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as s, context().wrap_socket(s, server_hostname=name) as t:
        return t.getpeercert(binary_form=True)


def s_client(port, *words, said=b"QUIT\r\n"):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", *map(str, words)], input=said,
                          capture_output=True, timeout=60)


@pytest.fixture
def hosts(suite):
    """Three certificates beside the default: by configured name, by wildcard, and one for a listener of its own."""
    made = {stem: make_certificate(suite.folder, names, stem) for stem, names in
            (("net", ("mail.example.net", "www.example.net")), ("wild", ("*.example.com",)), ("own", ("own.example.test",)))}
    (suite.extra_port,) = free_ports(1)
    blocks = "".join(f'host {name} {{ certificate "{made[stem][0]}"  key "{made[stem][1]}" }}\n' for stem, name in
                     (("net", "mail.example.net"), ("wild", '"*.example.com"'), ("own", "own.example.test")))
    suite.tls_hosts = blocks
    suite.made = made
    return suite


# ---- certificates by name ----

def test_certificates_by_name(hosts):
    hosts.listeners += f"listen 127.0.0.1:{hosts.extra_port} {{ role mx  tls implicit  tls-host own.example.test  tls-unknown-host refuse }}\n"
    hosts.start()
    default, made = der(hosts.certificate), {k: der(v[0]) for k, v in hosts.made.items()}
    for name, wanted in ((None, default), ("mx.example.test", default), ("mail.example.net", made["net"]), ("WWW.example.net", made["net"]),
                         ("a.example.com", made["wild"]), ("a.b.example.com", default), ("example.com", default), ("unknown.test", default)):
        assert shown(hosts.submissions, name) == wanted, name
    assert shown(hosts.extra_port, "own.example.test") == made["own"]
    assert shown(hosts.extra_port) == made["own"], "its first is its default"
    for name in ("mail.example.net", "mx.example.test"):
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized"):
            shown(hosts.extra_port, name)
    row("S06", "strict-sni", True)
    hosts.wait_log(r"tls-open .*sni=a\.example\.com")


def test_strange_names_are_harmless(running):
    default = der(running.certificate)
    for variant, name in (("backslash", "a\\"), ("backslashes", "\\" * 255), ("quote", '"; x=1'), ("percent", "%n%s"), ("utf-8", "ä.test")):
        done = s_client(running.submissions, "-servername", name, "-showcerts")
        row("E02", variant, b"220 mx.example.test" in done.stdout or b"alert" in done.stderr)
    for line in re.findall(r"tls-open .*", running.log()):
        assert line.isascii() and line.isprintable()
    running.wait_log(r'tls-open .*sni="a\\\\"')
    assert shown(running.submissions, "mx.example.test") == default
    running.login().close()


# ---- two kinds of keys for one host ----

@pytest.fixture
def both(suite):
    """The default and a host with an ECDSA and an RSA key each; `shows` says which one a client saw."""
    suite.rsa = make_certificate(suite.folder, stem="rsa", kind=RSA)
    names = ("mail.example.net",)
    suite.net = {"EC": make_certificate(suite.folder, names, "net"), "RSA": make_certificate(suite.folder, names, "net-rsa", kind=RSA)}
    suite.tls_hosts = f'certificate "{suite.rsa[0]}"  key "{suite.rsa[1]}"\nhost mail.example.net {{ ' + "  ".join(
        f'certificate "{chain}"  key "{key}"' for chain, key in reversed(suite.net.values())) + " }\n"
    suite.settings = "log_level debug\n"
    return suite


def shows(suite, name, *words):
    """The certificate in DER that openssl is shown, which asks for this name."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{suite.submissions}", "-servername", name, *words],
                          input=b"QUIT\r\n", capture_output=True, timeout=60)
    found = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", done.stdout, re.S)
    return found and ssl.PEM_cert_to_DER_cert(found[0].decode())


ONLY_RSA = {"1.3": ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"), "1.2": ("-tls1_2", "-sigalgs", "RSA+SHA256"),
            "1.2-cipher": ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "1.2-pss": ("-tls1_2", "-sigalgs", "rsa_pss_rsae_sha384")}
ONLY_EC = {"1.3": ("-tls1_3", "-sigalgs", "ECDSA+SHA256"), "1.2": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "any": ()}


def test_a_client_sees_what_it_can_verify(both):
    both.start()
    for name, (ec, rsa) in {"mx.example.test": (both.certificate, both.rsa[0]), "mail.example.net": (both.net["EC"][0], both.net["RSA"][0])}.items():
        for kinds, wanted in ((ONLY_EC, ec), (ONLY_RSA, rsa)):
            for variant, words in kinds.items():
                assert shows(both, name, *words) == der(wanted), (name, variant)
    c = context(version=ssl.TLSVersion.TLSv1_2)
    c.set_ciphers("aRSA+ECDHE")
    with socket.create_connection(("127.0.0.1", both.submissions), PATIENCE_SECONDS) as s, c.wrap_socket(s) as t:
        assert t.getpeercert(binary_form=True) == der(both.rsa[0]) and t.recv(100).startswith(b"220 ")
    both.login().message("alice@example.test", "bob@example.test")
    assert "signature-refused" not in both.log()


def test_each_of_two_is_renewed_by_itself(both, tmp_path):
    both.start()
    # Another of the same kind is none to show beside the first.
    twin = make_certificate(tmp_path, stem="twin")
    for mine, others in zip(both.rsa, twin):
        shutil.copy(mine, f"{mine}.kept")
        shutil.copy(others, mine)
    settle(both)
    retry(both, 61)
    both.wait_log(r"files-refused .*has an ECDSA key, too; one of the two must have an RSA key")
    for mine in both.rsa:
        shutil.copy(f"{mine}.kept", mine)
    turn_clock(both, 3601)
    wait_until(lambda: both.log().rstrip().split("renewal-state")[-1].count("to=watching"), what="all as it was")
    for kind, (chain, key) in (("RSA", both.rsa), ("EC", (both.certificate, both.key))):
        old = {k: shows(both, "mx.example.test", *words["1.3"]) for k, words in (("RSA", ONLY_RSA), ("EC", ONLY_EC))}
        next_chain, next_key = make_certificate(tmp_path, stem="next", kind=RSA if kind == "RSA" else EC)
        shutil.copy(next_chain, chain)
        shutil.copy(next_key, key)
        settle(both)
        both.wait_log(rf"certificate-in-force .*host=mx\.example\.test .*key={'RSA' if kind == 'RSA' else 'ECDSA'} .*{re.escape(str(chain))}(.*\n)+.*files-taken-up")
        now = {k: shows(both, "mx.example.test", *words["1.3"]) for k, words in (("RSA", ONLY_RSA), ("EC", ONLY_EC))}
        assert now[kind] == der(chain) != old[kind], kind
        other = "EC" if kind == "RSA" else "RSA"
        assert now[other] == old[other], other


# ---- what is refused ----

def test_alpn(running):
    for variant, names, good in (("http", ["http/1.1"], False), ("h2", ["h2", "http/1.1"], False), ("ftp", ["ftp"], False),
                                 ("smtp", ["smtp"], True), ("smtp-last", ["http/1.1", "smtp"], True), ("none", None, True)):
        with socket.create_connection(("127.0.0.1", running.submissions), PATIENCE_SECONDS) as s:
            try:
                with context(alpn=names).wrap_socket(s) as t:
                    ok = good and t.selected_alpn_protocol() == ("smtp" if names else None)
            except ssl.SSLError as e:
                ok = not good and "NO_APPLICATION_PROTOCOL" in str(e).upper().replace(" ", "_")
        row("S06", f"alpn-{variant}", ok)


def test_no_renegotiation_no_compression_no_early_data(running):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{running.submissions}", "-tls1_2"], input=b"R\nQUIT\n",
                          capture_output=True, timeout=60)
    row("T08", "renegotiation", b"no renegotiation" in done.stderr or b"NO_RENEGOTIATION" in done.stderr.upper())
    row("T08", "compression", b"Compression: NONE" in done.stdout)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{running.submissions}", "-tls1_3"], input=b"QUIT\n",
                          capture_output=True, timeout=60)
    row("T08", "early-data", b"Early data was not sent" in done.stdout and b"Max Early Data: 0" in done.stdout or
        b"New Session Ticket" not in done.stdout)


def test_versions_and_ciphers_of_a_listener(suite):
    modern, usual = free_ports(2)
    suite.listeners += f"listen 127.0.0.1:{modern} {{ role mx  tls implicit  tls-ciphers modern }}\n" \
        f"listen 127.0.0.1:{usual} {{ role mx  tls implicit }}\n"
    suite.start()
    old = ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")
    for variant, port, words, good in (("modern-1.2", modern, ("-tls1_2",), False), ("modern-1.3", modern, ("-tls1_3",), True),
                                       ("mx-cbc", usual, old, True), ("submission-cbc", suite.submissions, old, False)):
        row("T08", variant, (b"220 " in s_client(port, *words).stdout) == good)


def test_a_hello_in_pieces_and_floods(running):
    """One byte a record, one byte a write; a flood of alerts, or of nothing; who stops anywhere delays nobody."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context().wrap_bio(incoming, outgoing, server_hostname="mx.example.test").do_handshake()
    hello = outgoing.read()
    body = hello[5:]
    bytewise = b"".join(b"\x16\x03\x01\x00\x01" + bytes([b]) for b in body)
    for variant, data in (("hello-by-record", bytewise), ("hello-whole", hello)):
        with socket.create_connection(("127.0.0.1", running.submissions), PATIENCE_SECONDS) as s:
            s.sendall(data)
            # Answered by a handshake, or refused by an alert.
            row("T09", variant, s.recv(1)[0] in (22, 21))
    with socket.create_connection(("127.0.0.1", running.submissions), PATIENCE_SECONDS) as s:
        for i in range(len(hello)):
            s.sendall(hello[i:i + 1])
        row("T09", "hello-by-byte", s.recv(1)[0] == 22)
    for variant, record in (("alerts", b"\x15\x03\x03\x00\x02\x01\x5a"), ("empty-records", b"\x16\x03\x01\x00\x00"),
                            ("heartbeat", b"\x18\x03\x03\x00\x03\x01\xff\xff")):
        with socket.create_connection(("127.0.0.1", running.submissions), PATIENCE_SECONDS) as s:
            try:
                for _ in range(1000):
                    s.sendall(record * 100)
                while s.recv(65536):
                    pass
                ended = True
            except TimeoutError:
                ended = False
            except OSError:
                ended = True
        row("T09", variant, ended)
    stalled = []
    for i in range(0, len(hello), 16):
        s = socket.create_connection(("127.0.0.1", running.submissions), PATIENCE_SECONDS)
        s.sendall(hello[:i])
        stalled.append(s)
    running.login().message("alice@example.test", "bob@example.test")
    for s in stalled:
        s.close()
    row("T09", "stalled-anywhere", True)


def hello_with(extensions):
    """A ClientHello of TLS 1.3 with these, its record's bound aside."""
    def sized(octets, length):
        return len(octets).to_bytes(length, "big") + octets
    body = (b"\x03\x03" + bytes(32) + sized(b"", 1) + sized(b"\x13\x01\x13\x02", 2) + sized(b"\0", 1) +
            sized(b"".join(number.to_bytes(2, "big") + sized(data, 2) for number, data in extensions), 2))
    return b"\x01" + sized(body, 3)


@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
def test_key_shares_beyond_measure(running, starttls):
    """Shares of 16 KiB and more, of groups that nobody has or that we have: an alert or a hello, and the end."""
    versions, groups, algorithms = (43, b"\x02\x03\x04"), (10, b"\x00\x04\x00\x1d\x6a\x6a"), (13, b"\x00\x02\x04\x03")
    for variant, group, size in (("unknown-group", 0x6a6a, 16000), ("known-group", 0x1d, 16000), ("several-records", 0x6a6a, 60000), ("empty", 0x1d, 0)):
        share = group.to_bytes(2, "big") + size.to_bytes(2, "big") + bytes(size)
        hello = hello_with([versions, groups, algorithms, (51, len(share).to_bytes(2, "big") + share)])
        with socket.create_connection(("127.0.0.1", running.mx if starttls else running.submissions), PATIENCE_SECONDS) as s:
            if starttls:
                s.recv(1000)
                for line in (b"EHLO x\r\n", b"STARTTLS\r\n"):
                    s.sendall(line)
                    s.recv(1000)
            with contextlib.suppress(OSError):
                for at in range(0, len(hello), 16000):
                    s.sendall(b"\x16\x03\x01" + len(hello[at:at + 16000]).to_bytes(2, "big") + hello[at:at + 16000])
            try:
                first = s.recv(1)
            except ConnectionError:
                first = b""
            row("T09", f"key-share-{variant}-{'starttls' if starttls else 'implicit'}", first in (b"", b"\x15", b"\x16"))
    running.login().message("alice@example.test", "bob@example.test")


# ---- an end that is none ----

def raw_and_tls(port, starttls):
    """A TLS client over buffers, so that clear text can follow close_notify on the same socket."""
    s = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    if starttls:
        s.recv(1000)
        for line in (b"EHLO x\r\n", b"STARTTLS\r\n"):
            s.sendall(line)
            s.recv(1000)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return s, context().wrap_bio(incoming, outgoing), incoming, outgoing


class OverBuffers:
    def __init__(self, port, starttls=True):
        self.socket, self.tls, self.incoming, self.outgoing = raw_and_tls(port, starttls)
        self.step(self.tls.do_handshake)

    def step(self, what):
        while True:
            try:
                done = what()
                self.socket.sendall(self.outgoing.read())
                return done
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                more = self.socket.recv(65536)
                assert more, "closed"
                self.incoming.write(more)

    def say(self, text, answers=True):
        self.step(lambda: self.tls.write(text.encode()))
        return self.step(lambda: self.tls.read(65536)).decode() if answers else ""

    def close_notify(self):
        with pytest.raises(ssl.SSLError):
            self.tls.unwrap()  # wants the other's, which need not come
        self.socket.sendall(self.outgoing.read())

    def rest(self):
        """Everything that comes until the end; b"" after it."""
        got = b""
        try:
            while True:
                more = self.socket.recv(65536)
                if not more:
                    return got
                got += more
        except OSError:
            return got


@pytest.mark.parametrize("phase", ["command", "half-command", "body", "bdat"])
@pytest.mark.parametrize("end", ["close-notify", "fin", "reset"])
def test_tls_is_never_popped(running, phase, end):
    c = OverBuffers(running.mx)
    assert c.say("EHLO x\r\n").startswith("250")
    assert c.say("MAIL FROM:<you@elsewhere.test>\r\n").startswith("250")
    if phase == "half-command":
        c.say("RCPT TO:<alice@exam", answers=False)
    else:
        assert c.say("RCPT TO:<alice@example.test>\r\n").startswith("250")
    if phase == "body":
        assert c.say("DATA\r\n").startswith("354")
        c.say("Subject: cut\r\n\r\nhalf", answers=False)
    if phase == "bdat":
        c.say("BDAT 100 LAST\r\nSubject: cut\r\n\r\nhalf", answers=False)
    if end == "close-notify":
        c.close_notify()
        try:
            # What would end the command or the message, and a new one, in clear.
            c.socket.sendall(b"ple.test>\r\n\r\n.\r\nMAIL FROM:<evil@elsewhere.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
            c.socket.sendall(b"Subject: in clear\r\n\r\nx\r\n.\r\n")
        except OSError:
            pass
        assert b"250" not in c.rest() and b"354" not in c.rest()
    elif end == "reset":
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.socket.close()
    wait_until(lambda: len(re.findall(r"smtpd\[\d+\] session-close", running.log())) == 1, what="the session's end")
    whole = running.smtp()
    whole.ehlo()
    whole.message("you@elsewhere.test", "alice@example.test", "Subject: whole\n\nx\n")
    texts = running.wait_messages("alice@example.test")
    ok = len(texts) == 1 and b"whole" in texts[0] and not running.messages("bob@example.test")
    wait_until(lambda: running.queue() == [], what="an empty queue")
    row({"command": "N13", "half-command": "N13", "body": "E06", "bdat": "E06"}[phase], f"{phase}-{end}", ok)
    if phase == "body" and end == "fin":
        row("T07", "fin-without-close-notify", ok)


# ---- sessions that are resumed ----

def resumes(first, second, version):
    c = context(version=version)
    with socket.create_connection(("127.0.0.1", first), PATIENCE_SECONDS) as s, c.wrap_socket(s) as t:
        t.recv(100)  # the banner: behind it the ticket of TLS 1.3
        t.sendall(b"NOOP\r\n")
        t.recv(100)
        session = t.session
    with socket.create_connection(("127.0.0.1", second), PATIENCE_SECONDS) as s, c.wrap_socket(s, session=session) as t:
        return t.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_are_of_one_listener_of_one_worker(suite, version):
    suite.settings = "smtpd_workers 1\n"
    a, b = free_ports(2)
    suite.listeners += f"listen 127.0.0.1:{a} {{ role mx  tls implicit }}\nlisten 127.0.0.1:{b} {{ role mx  tls implicit }}\n"
    suite.start()
    name = version.name.replace("_", ".")
    row("T08", f"ticket-{name}", resumes(a, a, version))
    for ident in ("T08", "F10"):
        row(ident, f"ticket-of-another-listener-{name}", not resumes(a, b, version) and not resumes(b, a, version))
    row("T08", f"no-ticket-with-isolation-{name}", not resumes(suite.submissions, suite.submissions, version))
    suite.kill("smtpd")
    suite.wait_log(r"child-ready role=smtpd(.*\n)+.*child-ready role=smtpd")


def test_the_relay_resumes(suite, next_hop, tmp_path):
    certified = make_certificate(tmp_path, ("localhost",), "hop")
    hop = next_hop(tls=certified)
    suite.settings = "relay_workers 1\n"
    suite.internet = f'smtp "localhost:{hop.port}"  allow-local yes  tls verified  tls-ca "{certified[0]}"  messages 1'
    suite.start()
    c = suite.login()
    for i in range(3):
        c.message("alice@example.test", "you@elsewhere.test", f"Subject: {i}\n\nx\n")
        hop.wait(i + 1)
        wait_until(lambda: suite.queue() == [], what="the end of the message")
    resumed = re.compile(r"relay\[0\] tls-open .*verified=yes resumed=1")
    wait_until(lambda: len(resumed.findall(suite.log())) == 2, what="two sessions that are resumed")


# ---- client certificates ----

def test_client_certificates_and_rules(suite, tmp_path):
    mine = make_certificate(tmp_path, ("partner.example",), "mine")
    other = make_certificate(tmp_path, ("partner.example",), "other")
    ask, require = free_ports(2)
    ca = suite.folder / "clients.pem"
    shutil.copy(mine[0], ca)
    for port, mode in ((ask, "ask"), (require, "require")):
        suite.listeners += f'listen 127.0.0.1:{port} {{ role mx  tls implicit  client-certificate {mode}  client-ca "{ca}" }}\n'
    suite.policy = 'policy mail { reject "partners only" if listener.port == %d and tls.client.name != "partner.example" }\n' % ask
    suite.start()

    def mail(port, chain):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as s, context(chain=chain).wrap_socket(s) as t:
            t.recv(1000)
            t.sendall(b"EHLO x\r\n")
            t.recv(1000)
            t.sendall(b"MAIL FROM:<a@partner.example>\r\n")
            got = t.recv(1000)
            if got.startswith(b"250"):
                for line in (b"RCPT TO:<alice@example.test>\r\n", b"DATA\r\n", b"Subject: x\r\n\r\nx\r\n.\r\n"):
                    t.sendall(line)
                    t.recv(1000)
            return got[:3]
    assert mail(ask, None) == b"550" and mail(ask, other) == b"550" and mail(ask, mine) == b"250"
    assert mail(require, mine) == b"250"
    for chain in (None, other):
        with pytest.raises((ssl.SSLError, OSError)):
            assert mail(require, chain) == b"250"
    texts = suite.wait_messages("alice@example.test", 2)
    received = re.sub(rb"\s+", b" ", texts[0])
    assert re.search(rb"with ESMTPS \(TLSv1\.3 TLS_AES_256_GCM_SHA384 256 bits, verified client partner\.example\)", received)
    fingerprint = hashlib.sha256(der(mine[0])).hexdigest()
    suite.wait_log(rf'client-certificate .*verified=yes fingerprint={fingerprint} subject="CN=partner\.example" names=partner\.example')
    suite.wait_log(r"client-certificate .*verified=no")


# ---- renewal ----

@pytest.fixture
def watched(suite):
    suite.settings = "log_level debug\n"
    return suite.start()


def tried(suite):
    return suite.log().count("renewal-state from=trying")


def settle(suite):
    """The master looks once a minute, once more when nothing has moved, and then tries; returns when it has."""
    tries = tried(suite)
    turn_clock(suite, 61)
    suite.wait_log(r"(?s)(?:renewal-state from=trying.*){%d}.*to=settling" % tries if tries else "to=settling")
    turn_clock(suite, 4)
    wait_until(lambda: tried(suite) > tries, what="a try")


def retry(suite, seconds):
    tries = tried(suite)
    turn_clock(suite, seconds)
    wait_until(lambda: tried(suite) > tries, what="another try")


def test_a_renewed_certificate_is_taken_up_by_itself(watched):
    running = watched
    old = shown(running.submissions)
    begun, half = running.login(), running.smtp(running.submission)
    half.ehlo()
    running.conf_path.write_text("this is being edited\n")  # nobody said reload
    certificate, key = make_certificate(running.folder, stem="next")
    # As certbot does: one link, then the other.
    certificate.rename(running.certificate)
    settle(running)
    assert shown(running.submissions) == old, "half of a pair"
    assert "files-refused" not in running.log()
    key.rename(running.key)
    settle(running)
    running.wait_log(r"certificate-in-force .*host=mx\.example\.test(.*\n)+.*files-taken-up")
    assert shown(running.submissions) == der(running.certificate) != old
    # Sessions that began before go on, also to a handshake, with what they began with.
    begun.message("alice@example.test", "bob@example.test")
    half.starttls()
    half.ehlo()
    assert half.socket.getpeercert(binary_form=True) == old


BAD = {
    "key": r"not the certificate's",
    "expired": r"has expired",
    "names": r"is not for",
    "garbage": r"no certificate in PEM form",
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_bad_renewal_leaves_the_old(watched, mistake, tmp_path):
    running = watched
    if mistake == "expired":
        turn_clock(running, 2 * 86400)  # what is made now, for a day, was good then
    old = shown(running.submissions)
    if mistake == "key":
        shutil.copy(make_certificate(tmp_path, stem="other")[0], running.certificate)
    elif mistake == "garbage":
        running.certificate.write_text("no certificate")
    else:
        names = ("elsewhere.test",) if mistake == "names" else ("mx.example.test", "localhost")
        certificate, key = make_certificate(tmp_path, names, "bad", days=1 if mistake == "expired" else 30)
        shutil.copy(certificate, running.certificate)
        shutil.copy(key, running.key)
    settle(running)
    assert "files-refused" not in running.log(), "it may be half of a pair"
    retry(running, 61)
    running.wait_log(r"files-refused .*" + BAD[mistake])
    for _ in range(2):
        retry(running, 3601)
    assert len(re.findall("files-refused", running.log())) == 1, "told once"
    assert shown(running.submissions) == old
    done = running.postern("reload", check=False)
    assert done.returncode != 0 and re.search(BAD[mistake], done.stderr)
    running.kill("keyd")
    running.wait_log(r"(?s)child-ended role=keyd.*child-ready role=keyd")
    wait_until(lambda: reaches(running, old), what="the old certificate by a new keyd")
    # Mended, it is taken up.
    certificate, key = make_certificate(tmp_path, stem="good")
    shutil.copy(certificate, running.certificate)
    shutil.copy(key, running.key)
    settle(running)
    running.wait_log("files-taken-up")
    assert shown(running.submissions) == der(certificate)


def reaches(suite, certificate):
    try:
        return shown(suite.submissions) == certificate
    except OSError:
        return False


def test_reload_says_what_is_new(running):
    make_certificate(running.folder)
    done = running.postern("reload")
    assert re.search(r"certificate of mx\.example\.test until \d{4}-\d\d-\d\d \(.*cert\.pem\)", done.stdout)
    assert "certificate of" not in running.postern("reload").stdout


def test_what_ends_soon_is_told(suite):
    make_certificate(suite.folder, days=2)
    suite.start()
    assert "certificate-ends-soon" not in suite.log(), "two days of two are left"
    # Told in the last quarter, which is twelve hours; whoever came just then would find it at its edge.
    turn_clock(suite, 86400 + 43200 + 3600)
    suite.wait_log(r"certificate-ends-soon .*host=mx\.example\.test .*hours=(10|11)$")
    turn_clock(suite, 86400)
    suite.wait_log(r"certificate-out-of-date")
    assert "certificate out-of-date" in suite.postern("status").stdout
    suite.kill("keyd")  # the next one has the same time, and says the same
    wait_until(lambda: len(re.findall("certificate-out-of-date", suite.log())) >= 2, what="a word of the next keyd")


# ---- logins ----

def test_names_of_logins_are_no_templates(running):
    for user in ("%u%d%{", "%{user}", "alice@example.test%s%n", "${alice}", "alice@%d"):
        c = running.smtp(running.submissions, tls=True)
        c.ehlo()
        c.auth_plain(user, PASSWORD, 535)
        c.close()
    row("S17", "templates", True)


def test_the_same_password_is_not_the_same_login(running):
    c = running.login("alice@example.test")
    c.close()
    running.add_user("carol@example.test", "another password")
    c = running.smtp(running.submissions, tls=True)
    c.ehlo()
    c.auth_plain("carol@example.test", PASSWORD, 535)
    c.auth_plain("carol@example.test", "another password")
    running.wait_log(r"logged-in .*carol@example\.test|login=carol@example\.test")
    row("S17", "cached-login", running.wait_log("login=alice@example.test"))
