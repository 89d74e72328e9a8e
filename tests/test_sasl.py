"""SASL by real clients: each mechanism that is offered, what its dialogue may not do, and that it tells nobody who exists."""

import base64
import concurrent.futures
import contextlib
import hashlib
import hmac
import itertools
import math
import os
import random
import shutil
import sqlite3
import ssl
import statistics
import subprocess
import time

import pytest

from harness import PASSWORD, make_certificate, row, wait_until

ALICE = "alice@example.test"


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


@pytest.fixture
def offering(suite):
    """Starts a suite that offers these mechanisms."""
    def start(mechanisms, users=(ALICE, "bob@example.test")):
        plain = suite.conf
        suite.conf = lambda: plain().replace("auth { ", f"auth {{ mechanisms {mechanisms}  ", 1)
        return suite.start(users)
    return start


def session(suite, n=None):
    """In its greeting's state, from a host of its own where it has a number."""
    c = suite.smtp(suite.submissions, tls=True, source=n if n is None else f"127.0.{1 + n // 250}.{1 + n % 250}")
    c.offered = next((line for line in c.ehlo().split("\n") if line[4:].startswith("AUTH ")), "")[9:].split()
    return c


class Scram:
    """A client's side of SCRAM-SHA-256 (RFC 5802)."""

    def __init__(self, user, password, header="n,,", binding=b"", nonce="abcdefghijklmnop"):
        self.password, self.header, self.binding = password, header, binding
        self.bare = f"n={user},r={nonce}"

    def first(self):
        return self.header + self.bare

    def final(self, server_first):
        said = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(said["s"]), int(said["i"]))
        bare = f"c={b64(self.header.encode() + self.binding)},r={said['r']}"
        auth = f"{self.bare},{server_first},{bare}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), auth, "sha256")
        self.expected = "v=" + b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256"))
        return f"{bare},p={b64(bytes(a ^ b for a, b in zip(key, signature)))}"

    def run(self, c, mechanism="SCRAM-SHA-256"):
        """The last reply."""
        got = c.command(f"AUTH {mechanism} {b64(self.first())}")
        if not got.startswith("334 "):
            return got
        got = c.command(b64(self.final(base64.b64decode(got[4:]).decode())))
        if got.startswith("334 "):
            assert base64.b64decode(got[4:]).decode() == self.expected
            got = c.command("")
        return got


def test_offers(offering):
    suite = offering("plain scram-sha-256 cram-md5")
    c = session(suite)
    assert c.offered == ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CRAM-MD5"]
    for name in ("LOGIN", "NTLM", "EXTERNAL", "XOAUTH2", "SPA", "GSSAPI", "ANONYMOUS", "SCRAM-SHA-1", "X" * 300):
        assert c.command(f"AUTH {name} {b64('x')}").startswith("504 5.5.4"), name
    row("E12", "not-offered", c.command("AUTH cram-md5").startswith("334 "))
    assert c.command("*").startswith("501 5.7.0")
    clear = suite.smtp(suite.submission)
    row("T06", "no-mechanism-in-clear", "AUTH" not in clear.ehlo() and clear.command("AUTH SCRAM-SHA-256").startswith("538"))


def test_offers_by_network(offering, suite):
    suite.listeners = suite.listeners.replace("tls implicit  auth required", "tls implicit  auth required  auth-from 127.0.1.0/24")
    offering("plain scram-sha-256")
    inside, outside = session(suite, 3), session(suite)
    got = inside.command("AUTH PLAIN " + b64(f"\0{ALICE}\0{PASSWORD}"))
    assert got.startswith("235"), suite.log()[-3000:]
    assert outside.offered == []
    assert outside.command("AUTH PLAIN " + b64(f"\0{ALICE}\0{PASSWORD}")).startswith("502")
    outside.expect(530, f"MAIL FROM:<{ALICE}>")
    # said by an owned worker it is no better: authd looks at what the gate attested (authd/test_process.c)
    row("T06", "auth-from", len(inside.offered) == 3)


def test_offers_by_network_of_whom_xclient_names(offering, suite):
    suite.listeners = suite.listeners.replace("tls implicit  auth required",
                                              "tls implicit  auth required  auth-from 192.0.2.0/24  xclient 127.0.0.1")
    offering("plain")
    for client, offered in (("192.0.2.7", True), ("203.0.113.9", False)):
        c = session(suite)
        assert c.offered == []
        c.expect(220, f"XCLIENT ADDR={client}")
        assert ("AUTH PLAIN" in c.ehlo()) == offered, client
        got = c.command("AUTH PLAIN " + b64(f"\0{ALICE}\0{PASSWORD}"))
        row("T06", f"auth-from-xclient-{client}", got.startswith("235" if offered else "502"))


def test_scram(offering):
    suite = offering("scram-sha-256")
    c = session(suite)
    assert Scram(ALICE, "wrong").run(c).startswith("535 5.7.8")
    assert Scram(ALICE, PASSWORD).run(c).startswith("235 2.7.0")
    c.message(ALICE, "bob@example.test")
    c = session(suite)
    end_point = hashlib.sha256(c.socket.getpeercert(True)).digest()
    assert Scram(ALICE, PASSWORD, "y,,").run(c).startswith("535")  # we said that we can
    row("S17", "wrong-channel-binding",
        Scram(ALICE, PASSWORD, "p=tls-server-end-point,,", end_point[::-1]).run(c, "SCRAM-SHA-256-PLUS").startswith("535"))
    assert Scram(ALICE, PASSWORD, "p=tls-server-end-point,,", end_point).run(c, "SCRAM-SHA-256-PLUS").startswith("235")
    row("A09", "scram-log", suite.wait_log("mechanism=SCRAM-SHA-256-PLUS") and PASSWORD not in suite.log())


def test_no_refusal_comes_sooner_than_another(offering):
    """A01: whoever it was, by whichever mechanism, hears the same no sooner than the tenth of a second that hides the work (of which
    common/users/test_users.c measures that it is the same)."""
    suite = offering("plain login scram-sha-256 cram-md5", users=(ALICE, "locked@example.test"))
    users = (ALICE, "nobody@example.test", "alice@elsewhere.test", "locked@example.test", "", "%u")
    for n, user in enumerate(users):
        said = set()
        for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
            c = session(suite, 20 + 10 * n + len(mechanism))
            began = time.monotonic()
            if mechanism == "SCRAM-SHA-256":
                got = Scram(user or "x", "wrong").run(c)
            elif mechanism == "LOGIN":
                c.expect(334, "AUTH LOGIN")
                c.expect(334, b64(user or "x"))
                got = c.command(b64("wrong"))
            else:
                got = c.command("AUTH PLAIN " + b64(f"\0{user or 'x'}\0wrong"))
            row("A01", f"{mechanism.lower()}-{n}", time.monotonic() - began >= 0.095)
            said.add(got)
        row("A02", f"same-words-{n}", said == {"535 5.7.8 authentication failed"})


BURST, BURSTS, ROUNDS = 12, 5, 3  # logins at once; bursts of each kind in a round; a round that tells something is repeated
DOMAINS = {"exists": "example.test", "unknown": "example.test", "other-domain": "elsewhere.test", "locked": "example.test"}


def make_accounts(suite):
    """Many who exist, with hashes of the usual kind, and as many who are locked."""
    with contextlib.closing(sqlite3.connect(suite.folder / "users" / "users.db.secrets")) as db:
        (stored,), = db.execute("SELECT hash FROM secrets WHERE address = ?", (ALICE,))
        for n in range(BURST * BURSTS * ROUNDS):
            db.executemany("INSERT INTO secrets VALUES(?, ?)", ((f"exists-{n}@example.test", stored), (f"locked-{n}@example.test", "!")))
        db.commit()


def seconds_of_burst(clients, kind, numbers):
    """Until all of these have heard no."""
    began = time.monotonic()
    for c in clients:
        c.send("AUTH PLAIN " + b64(f"\0{kind}-{next(numbers)}@{DOMAINS[kind]}\0wrong") + "\r\n")
    said = {c.reply() for c in clients}
    took = time.monotonic() - began
    assert said == {"535 5.7.8 authentication failed"}, said
    return took


def seconds_of_round(suite, hosts, numbers):
    """Bursts of all kinds in any order, each client's host a new one after three logins."""
    took, clients = {kind: [] for kind in DOMAINS}, []
    for n, kind in enumerate(random.sample([*DOMAINS] * BURSTS, len(DOMAINS) * BURSTS)):
        if n % 3 == 0:
            for c in clients:
                c.close()
            clients = [session(suite, next(hosts)) for _ in range(BURST)]
        took[kind].append(seconds_of_burst(clients, kind, numbers[kind]))
    return took


def welch(a, b):
    """How many standard errors lie between the means of their logarithms (Welch's t): a load makes all slower by a factor."""
    a, b = [math.log(t) for t in a], [math.log(t) for t in b]
    error = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return abs(statistics.mean(a) - statistics.mean(b)) / max(error, 1e-3)


def tells(a, b):
    """Sure, and large enough to be heard over a network."""
    return welch(a, b) > 6 and abs(statistics.mean(a) / statistics.mean(b) - 1) > 0.1


def test_time_tells_nobody_who_exists(offering):
    """A01: many at once, so that those would be told before others who cost no hash.  Each attempt is at an account of its own.  A
    machine that is busy with something else may tell once, not three times of the same kind."""
    suite = offering("plain", users=(ALICE,))
    make_accounts(suite)
    suspects, hosts = set(DOMAINS) - {"exists"}, itertools.count(1)
    numbers = {kind: itertools.count() for kind in DOMAINS}
    for _ in range(ROUNDS):
        took = seconds_of_round(suite, hosts, numbers)
        print({kind: f"{statistics.mean(t) * 1000:.0f} ms, t {welch(t, took['exists']):.1f}" for kind, t in took.items()})
        suspects = {kind for kind in suspects if tells(took[kind], took["exists"])}
        if not suspects:
            break
    for kind in set(DOMAINS) - {"exists"}:
        row("A01", f"time-of-{kind}", kind not in suspects)


def test_scram_tells_nobody_who_exists(offering):
    suite = offering("plain scram-sha-256", users=(ALICE,))
    shown = {}
    for user in (ALICE, "nobody@example.test", "noone@example.test"):
        for _ in range(2):
            c = session(suite)
            first = base64.b64decode(c.command(f"AUTH SCRAM-SHA-256 {b64(Scram(user, 'x').first())}")[4:]).decode()
            shown.setdefault(user, set()).add(first.split(",", 1)[1])
            assert c.command(b64(Scram(user, "x").final(first))) == "535 5.7.8 authentication failed"
            c.close()
    steady = all(len(s) == 1 for s in shown.values())
    salts = {s for found in shown.values() for s in found}
    os.kill(suite.pids("authd")[0], 9)  # the next authd invents the same

    def same():
        c = session(suite)
        got = c.command(f"AUTH SCRAM-SHA-256 {b64(Scram('nobody@example.test', 'x').first())}")
        return got.startswith("334") and base64.b64decode(got[4:]).decode().split(",", 1)[1]
    row("A02", "scram-salts", steady and len(salts) == 3 and len({len(s) for s in salts}) == 1 and
        wait_until(same, 20, "an answer") in shown["nobody@example.test"])


def test_a_new_password_ends_the_old_one_everywhere(offering):
    suite = offering("plain scram-sha-256 cram-md5")
    suite.postern("user", "passwd", ALICE, "--password-stdin", input="another\n")
    c = session(suite)
    assert Scram(ALICE, PASSWORD).run(c).startswith("535")
    assert Scram(ALICE, "another").run(c).startswith("235")
    c = session(suite)
    challenge = base64.b64decode(c.command("AUTH CRAM-MD5")[4:])
    old = c.command(b64(ALICE + " " + hmac.new(PASSWORD.encode(), challenge, "md5").hexdigest()))
    challenge = base64.b64decode(c.command("AUTH CRAM-MD5")[4:])
    new = c.command(b64(ALICE + " " + hmac.new(b"another", challenge, "md5").hexdigest()))
    row("A11", "old-password", old.startswith("535") and new.startswith("235"))


def test_real_clients(offering):
    suite = offering("plain login scram-sha-256 cram-md5")
    to = "bob@example.test"
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        done = subprocess.run(["swaks", "--server", f"127.0.0.1:{suite.submission}", "--tls", "--auth", mechanism, "--auth-user", ALICE,
                               "--auth-password", PASSWORD, "--from", ALICE, "--to", to], capture_output=True, text=True)
        assert done.returncode == 0, f"swaks {mechanism}: {done.stdout}{done.stderr}"
    for mechanism in ("plain", "login", "cram-md5", "scram-sha-256"):
        done = subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={suite.submission}", "--tls=on", "--tls-certcheck=off",
                               f"--auth={mechanism}", f"--user={ALICE}", f"--passwordeval=echo '{PASSWORD}'", f"--from={ALICE}", to],
                              input="Subject: x\n\nx\n", capture_output=True, text=True)
        assert done.returncode == 0, f"msmtp {mechanism}: {done.stderr}"
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        done = subprocess.run(["curl", "-sSk", "--url", f"smtp://127.0.0.1:{suite.submission}", "--ssl-reqd", "--user",
                               f"{ALICE}:{PASSWORD}", "--login-options", f"AUTH={mechanism}", "--mail-from", ALICE, "--mail-rcpt", to,
                               "-T", "-"], input="Subject: x\r\n\r\nx\r\n", capture_output=True, text=True)
        assert done.returncode == 0, f"curl {mechanism}: {done.stderr}"


@pytest.mark.skipif(shutil.which("gsasl") is None, reason="needs gsasl")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_gsasl(offering, mechanism):
    suite = offering("plain login scram-sha-256 cram-md5")
    for password, code in ((PASSWORD, "235"), ("wrong", "535")):
        done = subprocess.run(["gsasl", "--smtp", f"--connect=127.0.0.1:{suite.submission}", "-m", mechanism, "-a", ALICE, "-z", "",
                               "-p", password, "--x509-ca-file=", "--verbose", *([] if mechanism.endswith("-PLUS") else ["--no-cb"])],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert f"\n{code} " in done.stdout + done.stderr, done.stdout + done.stderr


def test_dialogues_begin_with_nothing(offering):
    suite = offering("plain login scram-sha-256 cram-md5")
    ok = True
    for between in ("RSET", "NOOP", "EHLO client.example"):
        c = session(suite)
        for first, second in (("CRAM-MD5", "LOGIN"), ("LOGIN", "CRAM-MD5"), ("SCRAM-SHA-256", "PLAIN")):
            ok = ok and c.command(f"AUTH {first}").startswith("334") and c.command("*").startswith("501 5.7.0")
            c.expect(250, between)
            ok = ok and c.command(f"AUTH {second}").startswith("334") and c.command("*").startswith("501 5.7.0")
        # a response of another mechanism's dialogue is nothing here
        ok = ok and c.command("AUTH LOGIN " + b64(ALICE)).startswith("334") and c.command("*").startswith("501")
        ok = ok and c.command("AUTH PLAIN").startswith("334") and c.command(b64(PASSWORD)).startswith("501 5.5.2")
        ok = ok and Scram(ALICE, PASSWORD).run(c).startswith("235") and c.command("AUTH PLAIN").startswith("503")
    row("F02", "mechanisms", ok)


def test_initial_responses(offering):
    suite = offering("plain login scram-sha-256 cram-md5")
    c = session(suite)
    row("A07", "server-first", c.command(f"AUTH CRAM-MD5 {b64('x')}").startswith("501 5.5.2"))
    assert c.command("AUTH SCRAM-SHA-256 =").startswith("501 5.5.2")
    assert c.command("AUTH PLAIN =").startswith("501 5.5.2")
    assert c.command(f"AUTH scram-sha-256 {b64('n,,n=x,r=' + 'y' * 200)}").startswith("334")


def test_base64_of_every_length(offering):
    suite = offering("plain scram-sha-256 cram-md5")
    suite_errors = []
    c = session(suite)
    tried = 0
    for text in ["A" * n for n in [*range(1, 40), *range(1000, 1026)]] + ["A" * n + "=" * k + "A" for n in range(5) for k in (1, 2, 3)] + \
            ["AAAA AAAA", "AAA\tA", " ", "====", "AA=A", "A=AA", "=AAA", "AAA=AAAA", "AB==", "AAAA=", "AAAA\x00", "\xff"]:
        if tried % 15 == 0:
            c.close()
            c = session(suite)
        tried += 1
        got = c.command(f"AUTH PLAIN {text}".encode("latin-1").decode("latin-1"))
        if not got.startswith("5") and not (got.startswith("334") and text.strip() == ""):
            suite_errors.append((text, got))
        if got.startswith("334"):
            c.command("*")
    row("E04", "base64-lengths", not suite_errors)


def test_many_fields(offering):
    suite = offering("plain scram-sha-256 cram-md5")
    wrong = []
    for n in range(0, 301, 7):
        c = session(suite)
        for mechanism, message in (("PLAIN", "\0" * n), ("SCRAM-SHA-256", "\0" * n), ("SCRAM-SHA-256", "," * n), ("PLAIN", "a\0" * n)):
            got = c.command(f"AUTH {mechanism} {b64(message) or '='}")
            if not got.startswith("501 5.5.2"):
                wrong.append((mechanism, n, got))
        c.close()
    row("E13", "fields", not wrong)


# ---- EXTERNAL: client certificates ----

def issue(folder, ca, stem, names):
    """A certificate with those names ("email:alice@example.test,DNS:pc.example.test"), by that (certificate, key)."""
    certificate, key = folder / f"{stem}.pem", folder / f"{stem}-key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", f"/CN={stem}", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-CA", ca[0], "-CAkey", ca[1], "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def fingerprint(certificate):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate[0].read_text())).hexdigest()


@pytest.fixture
def certified(suite, tmp_path):
    """A suite at which certificates log in: `mine` by its fingerprint, `named` by its name, `nobodys` not."""
    ca = make_certificate(tmp_path, ("clients.example.test",), "ca")
    suite.mine = issue(tmp_path, ca, "mine", "DNS:pc.example.test,email:bob@example.test")
    suite.named = issue(tmp_path, ca, "named", "DNS:pc2.example.test,email:Bob@example.test")
    suite.nobodys = issue(tmp_path, ca, "nobodys", "DNS:pc3.example.test")
    other_ca = make_certificate(tmp_path, ("clients.example.test",), "other-ca")
    suite.forged = issue(tmp_path, other_ca, "forged", "email:bob@example.test")
    suite.client_ca = suite.folder / "clients.pem"
    shutil.copy(ca[0], suite.client_ca)
    suite.logins = suite.folder / "logins"
    suite.logins.write_text(f"# who they are\n{fingerprint(suite.mine)}: {ALICE}\nbob@example.test: bob@example.test\n")
    suite.logins.chmod(0o644)
    suite.listeners = suite.listeners.replace("auth required", f'auth required  client-certificate ask  client-ca "{suite.client_ca}"')
    plain = suite.conf
    suite.conf = lambda: plain().replace("auth { ", f'auth {{ external "{suite.logins}"  ', 1)
    return suite


def showing(suite, certificate, n=None):
    c = suite.smtp(suite.submissions, tls=True, certificate=certificate, source=n and f"127.0.0.{n}")
    c.offered = next(line for line in c.ehlo().split("\n") if line[4:].startswith("AUTH "))[9:].split()
    return c


def test_external_is_offered_to_the_verified_only(certified):
    suite = certified.start()
    assert showing(suite, suite.mine).offered == ["PLAIN", "LOGIN", "EXTERNAL"]
    ok = True
    for certificate in (None, suite.forged):
        c = showing(suite, certificate)
        ok = ok and c.offered == ["PLAIN", "LOGIN"] and c.command("AUTH EXTERNAL =").startswith("504 5.5.4")
    c = suite.smtp(suite.submission, certificate=suite.mine)
    ok = ok and "AUTH" not in c.ehlo() and c.command("AUTH EXTERNAL =").startswith("538")
    c.starttls()
    ok = ok and "EXTERNAL" in c.ehlo() and c.command("AUTH EXTERNAL =").startswith("235 2.7.0")
    row("T06", "external", ok)


def test_external(certified):
    suite = certified.start()
    c = showing(suite, suite.mine)
    assert c.command(f"AUTH EXTERNAL {b64('bob@example.test')}") == "535 5.7.8 authentication failed"
    assert c.command("AUTH EXTERNAL") == "334 " and c.command("*").startswith("501 5.7.0")
    assert c.command("AUTH EXTERNAL") == "334 " and c.command(b64(ALICE)).startswith("235 2.7.0")
    c.message(ALICE, "bob@example.test")
    suite.wait_messages("bob@example.test")
    suite.wait_log(rf"login-accepted .*login={ALICE} mechanism=EXTERNAL")
    assert showing(suite, suite.named, 2).command("AUTH EXTERNAL =").startswith("235 2.7.0")
    suite.wait_log(r"login-accepted .*login=bob@example.test mechanism=EXTERNAL")
    nobody = showing(suite, suite.nobodys, 3)
    row("A10", "external-of-nobody", nobody.command("AUTH EXTERNAL =") == "535 5.7.8 authentication failed" and
        nobody.command(f"AUTH EXTERNAL {b64(ALICE)}") == "535 5.7.8 authentication failed")
    # it logs in from the moment that the file knows it; what is broken in the file is no wrong login
    with suite.logins.open("a") as f:
        f.write(f"PC3.example.test: {ALICE}\n")
    tries = iter(range(10, 250))
    wait_until(lambda: showing(suite, suite.nobodys, next(tries)).command("AUTH EXTERNAL =").startswith("235"), 30, "the new line")
    suite.logins.write_text(f"{fingerprint(suite.mine)}:\n")
    wait_until(lambda: showing(suite, suite.mine, next(tries)).command("AUTH EXTERNAL =").startswith("454 4.7.0"), 30, "454")
    suite.wait_log(r"users-unreadable .*path=\S*logins")


def test_external_many_fields(certified):
    suite = certified.start()
    wrong = []
    c = showing(suite, suite.mine)
    for n in range(1, 301):
        if n % 8 == 0:
            c.close()
            c = showing(suite, suite.mine)
        got = c.command(f"AUTH EXTERNAL {b64((chr(0) * n, f'{ALICE}{chr(0)}' * n)[n % 2])}")
        if not got.startswith("501 5.5.2"):
            wrong.append((n, got))
    alive = showing(suite, suite.mine).command("AUTH EXTERNAL =").startswith("235")
    row("E13", "external", not wrong and alive)


def test_external_by_real_clients(certified):
    suite = certified.start()
    to, (chain, key) = "bob@example.test", suite.mine
    done = subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={suite.submission}", "--tls=on", "--tls-certcheck=off", "--auth=external",
                           f"--user={ALICE}", f"--tls-cert-file={chain}", f"--tls-key-file={key}", f"--from={ALICE}", to],
                          input="Subject: x\n\nx\n", capture_output=True, text=True)
    assert done.returncode == 0, f"msmtp: {done.stderr}"
    done = subprocess.run(["curl", "-sSk", "--url", f"smtp://127.0.0.1:{suite.submission}", "--ssl-reqd", "--cert", chain, "--key", key,
                           "--user", f"{ALICE}:", "--login-options", "AUTH=EXTERNAL", "--mail-from", ALICE, "--mail-rcpt", to, "-T", "-"],
                          input="Subject: x\r\n\r\nx\r\n", capture_output=True, text=True)
    assert done.returncode == 0, f"curl: {done.stderr}"
    wait_until(lambda: suite.log().count("mechanism=EXTERNAL") >= 2, what="both in the log")


def test_external_is_not_for_whom_a_proxy_names(certified):
    certified.listeners = certified.listeners.replace("tls implicit  auth required", "tls implicit  auth required  xclient 127.0.0.1")
    suite = certified.start()
    c = showing(suite, suite.mine)
    assert "EXTERNAL" in c.offered
    c.expect(220, "XCLIENT ADDR=192.0.2.7")
    row("T06", "external-xclient", "AUTH PLAIN LOGIN\n" in c.ehlo() + "\n" and c.command("AUTH EXTERNAL =").startswith("504"))


def test_others_log_in_while_some_misbehave(offering):
    suite = offering("plain login scram-sha-256 cram-md5", users=(ALICE,))

    def misbehave(n):
        c = session(suite, 100 + n)
        if n % 5 == 0:
            c.command("AUTH SCRAM-SHA-256 " + b64(Scram(ALICE, "x").first()))
        elif n % 5 == 1:
            c.command("AUTH LOGIN")
            c.command("\xff\xfe")
        elif n % 5 == 2:
            c.command("AUTH CRAM-MD5")
            c.command("!" * 200)
        elif n % 5 == 3:
            c.send("AUTH PLAIN\r\n")
        else:
            c.command("AUTH PLAIN " + "A" * 9000)
        c.close()
        return True

    def log_in(n):
        c = session(suite, n)
        done = Scram(ALICE, PASSWORD).run(c) if n % 2 else c.command("AUTH PLAIN " + b64(f"\0{ALICE}\0{PASSWORD}"))
        c.close()
        return done.startswith("235")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        bad = [pool.submit(misbehave, n) for n in range(50)]
        good = [pool.submit(log_in, n) for n in range(50)]
        row("S13", "others-unharmed", all(f.result() for f in bad + good))


def test_one_local_part_in_two_domains(offering):
    """S17: the same name elsewhere is somebody else, also just after the other logged in with that password."""
    suite = offering("plain scram-sha-256", users=(ALICE,))
    suite.add_user("alice@other.test", "another one")
    got = []
    for n, (user, password) in enumerate([(ALICE, PASSWORD), ("alice@other.test", PASSWORD), ("alice@other.test", "another one"), (ALICE, "another one"),
                                          ("alice", PASSWORD)]):
        for way in range(2):
            c = session(suite, 2 * n + way)
            got.append((Scram(user, password).run(c) if way else c.command("AUTH PLAIN " + b64(f"\0{user}\0{password}")))[:3])
    row("S17", "two-domains", got == ["235", "235", "535", "535", "235", "235"] + ["535"] * 4)
