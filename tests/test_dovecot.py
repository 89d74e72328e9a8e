"""Logins by Dovecot's authentication service: a real one, with every mechanism it has; and what it may say, or not say, to us."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading

import pytest

from harness import row, turn_clock, wait_until
from test_sasl import ALICE, Scram, b64, session

DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"
SECRET = "secret of dovecot"
KEY = b"a key for tokens that is long enough for HS256"


def token(**claims):
    """A signed JWT (RFC 7519)."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims).encode())
    return head + "." + part(hmac.digest(KEY, head.encode(), "sha256"))


class Dovecot:
    def __init__(self, folder):
        self.folder, self.process = folder, None
        for parent in [folder, *folder.parents][:3]:
            os.chmod(parent, os.stat(parent).st_mode & 0o7777 | 0o055)
        for name in ("run", "state", "keys/default/HS256"):
            (folder / name).mkdir(parents=True)
        (folder / "keys/default/HS256/default").write_text(base64.b64encode(KEY).decode())
        (folder / "users").write_text(f"{ALICE}:{{PLAIN}}{SECRET}\nbob@example.test:{{PLAIN}}hunter2\n")
        (folder / "oauth2").write_text("introspection_mode = local\nusername_attribute = email\n"
                                       f"local_validation_key_dict = fs:posix:prefix={folder}/keys/\n")
        (folder / "conf").write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols =
ssl = no
auth_failure_delay = 0
auth_mechanisms = plain login cram-md5 scram-sha-256 xoauth2 oauthbearer
default_login_user = dovenull
default_internal_user = dovecot
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home=/nonexistent
}}
service auth {{
  unix_listener auth-client-test {{
    mode = 0666
  }}
}}
""")

    @property
    def path(self):
        return self.folder / "run" / "auth-client-test"

    def start(self):
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen([DOVECOT, "-F", "-c", self.folder / "conf"], stdout=out, stderr=out)
        wait_until(lambda: self.path.exists() and self.path.stat().st_mode & 0o7 == 0o6, what="Dovecot")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None
            self.path.unlink(missing_ok=True)


@pytest.fixture
def dovecot(tmp_path_factory):
    if os.geteuid() != 0 or not pathlib.Path(DOVECOT).exists():
        pytest.skip("Dovecot runs as root here")
    d = Dovecot(tmp_path_factory.mktemp("dovecot", numbered=True))
    yield d.start()
    d.stop()


def start_with(suite, path, mechanisms):
    plain = suite.conf
    suite.conf = lambda: plain().replace(f'auth {{ sqlite "{suite.folder}/users/users.db" }}',
                                         f'auth {{ dovecot "{path}"  mechanisms {mechanisms} }}')
    suite.routes = "\tdeliver mailboxes if recipient.domain in our_domains\n"
    suite.tables = 'table our_domains { "example.test" }\n'
    return suite.start(users=())


def test_every_mechanism(suite, dovecot):
    start_with(suite, dovecot.path, "plain login cram-md5 scram-sha-256 xoauth2 oauthbearer")
    c = session(suite)
    assert c.offered == ["PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"]
    c.auth_plain(ALICE, "wrong", 535)
    c.auth_plain("nobody@example.test", SECRET, 535)
    c.auth_plain("Alice@Example.test", SECRET)
    c.message(ALICE, "bob@example.test")
    c = session(suite)
    assert c.command("AUTH LOGIN " + b64(ALICE)).startswith("334")
    assert c.command(b64(SECRET)).startswith("235")
    c = session(suite)
    challenge = base64.b64decode(c.command("AUTH CRAM-MD5")[4:])
    assert c.command(b64(f"{ALICE} " + hmac.new(SECRET.encode(), challenge, "md5").hexdigest())).startswith("235")
    c = session(suite)
    assert Scram(ALICE, "wrong").run(c).startswith("535")
    assert Scram(ALICE, SECRET).run(c).startswith("235")
    row("A09", "dovecot-log", SECRET not in suite.log() and f"login={ALICE}" in suite.log())


def test_oauth(suite, dovecot):
    start_with(suite, dovecot.path, "xoauth2 oauthbearer")
    good, bad = token(email=ALICE, sub="1", exp=4102444800), token(email=ALICE, sub="1", exp=4102444800)[:-2] + "xx"
    for said, mechanism in ((f"user={ALICE}\1auth=Bearer %s\1\1", "XOAUTH2"), (f"n,a={ALICE},\1auth=Bearer %s\1\1", "OAUTHBEARER")):
        c = session(suite)
        got = c.command(f"AUTH {mechanism} {b64(said % bad)}")
        if got.startswith("334"):  # the reason, which the client acknowledges
            got = c.command("" if mechanism == "XOAUTH2" else b64("\1"))
        assert got.startswith("535"), (mechanism, got)
        got = c.command(f"AUTH {mechanism} {b64(said % good)}")
        assert got.startswith("235"), (mechanism, got, (dovecot.folder / "log").read_text()[-2000:])
        c = session(suite)
        assert c.command(f"AUTH {mechanism} {b64(said % (good + 'x' * 7000))}")[:3] in ("334", "535")
    row("A09", "token-log", good not in suite.log())


def test_what_it_does_not_offer_is_454(suite, dovecot):
    (dovecot.folder / "conf").write_text((dovecot.folder / "conf").read_text().replace("cram-md5 ", ""))
    dovecot.stop()
    dovecot.start()
    start_with(suite, dovecot.path, "plain cram-md5")
    c = session(suite)
    assert c.command("AUTH CRAM-MD5").startswith("454")
    suite.wait_log("dovecot-mechanism.*CRAM-MD5")
    c.auth_plain(ALICE, SECRET)


def test_away_and_back(suite, dovecot):
    dovecot.stop()
    start_with(suite, dovecot.path, "plain scram-sha-256")
    c = session(suite)
    c.auth_plain(ALICE, SECRET, 454)
    assert c.command("AUTH SCRAM-SHA-256 " + b64(Scram(ALICE, SECRET).first())).startswith("454")
    dovecot.start()

    def works():
        c = session(suite)
        return c.command("AUTH PLAIN " + b64(f"\0{ALICE}\0{SECRET}")).startswith("235")
    wait_until(works, 20, "a login")
    dovecot.stop()
    dovecot.start()
    row("A4", "dovecot-away", wait_until(works, 20, "a login") and "login-failed" not in suite.log())


class Liar:
    """Says what it is told to: `script` maps a request's first line to bytes, or is a function of it."""

    GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"

    def __init__(self, path, greeting=GREETING, script=lambda number, line: b""):
        self.greeting, self.script, self.asked = greeting, script, []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        path.chmod(0o666)
        self.server.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.server.accept()[0],), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError):
            connection.sendall(self.greeting)
            with connection.makefile("rb") as lines:
                for line in lines:
                    self.asked.append(line)
                    if line.startswith((b"AUTH", b"CONT")):
                        said = self.script(line.split(b"\t")[1].strip(), line)
                        if said is None:
                            connection.shutdown(socket.SHUT_RDWR)
                            return
                        connection.sendall(said)
                        if said.endswith(b"\nLAST\n"):
                            connection.shutdown(socket.SHUT_RDWR)
                            return

    def close(self):
        self.server.close()


@pytest.mark.parametrize("name,said,code", [
    ("ok", lambda n, line: b"OK\t" + n + b"\tuser=alice@example.test\n", "235"),
    ("fail", lambda n, line: b"FAIL\t" + n + b"\tuser=alice@example.test\n", "535"),
    ("disabled", lambda n, line: b"FAIL\t" + n + b"\tuser=alice@example.test\tuser_disabled\n", "535"),
    ("authz", lambda n, line: b"FAIL\t" + n + b"\tauthz\n", "535"),
    ("temp", lambda n, line: b"FAIL\t" + n + b"\tuser=alice@example.test\ttemp\n", "454"),
    ("code", lambda n, line: b"FAIL\t" + n + b"\tcode=temp_fail\treason=x\n", "454"),
    ("no-user", lambda n, line: b"OK\t" + n + b"\n", "454"),
    ("bad-user", lambda n, line: b"OK\t" + n + b"\tuser=a\rb\n", "454"),
    ("long-user", lambda n, line: b"OK\t" + n + b"\tuser=" + b"u" * 300 + b"\n", "454"),
    ("another", lambda n, line: b"OK\t" + str(int(n) + 1).encode() + b"\tuser=root\n" + b"FAIL\t" + n + b"\n", "535"),
    ("twice", lambda n, line: b"FAIL\t" + n + b"\nOK\t" + n + b"\tuser=root\n", "535"),
    ("zero", lambda n, line: b"OK\t0\tuser=root\nFAIL\t" + n + b"\n", "535"),
    ("nul", lambda n, line: b"OK\t" + n + b"\tuser=alice\0root\n", "454"),
    ("number", lambda n, line: b"OK\tx\tuser=root\n", "454"),
    ("endless", lambda n, line: b"OK\t" + n + b"\tuser=" + b"x" * 100000, "454"),
    ("garbage", lambda n, line: os.urandom(5000).replace(b"\n", b"x") * 5, "454"),
    ("base64", lambda n, line: b"CONT\t" + n + b"\t!!!\n", "454"),
    ("gone", lambda n, line: None, "454"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_it_may_say(suite, tmp_path, name, said, code):
    path = tmp_path / "liar"
    tmp_path.chmod(0o755)
    liar = Liar(path, script=said)
    start_with(suite, path, "plain cram-md5")
    c = session(suite)
    got = c.command("AUTH PLAIN " + b64(f"\0{ALICE}\0x"))
    request = next((line for line in liar.asked if line.startswith(b"AUTH")), None)
    assert request is not None, (got, liar.asked, suite.log()[-3000:])
    assert b"\tservice=smtp\t" in request and b"\tsecured\t" in request and b"\trip=127.0.0.1\t" in request
    row("S13", f"dovecot-{name}", got.startswith(code) and bool(suite.pids("authd")))
    liar.close()


@pytest.mark.parametrize("last", [b"", b"LAST\n"])
def test_a_dialogue_that_lost_its_dovecot_is_454(suite, tmp_path, last):
    path = tmp_path / "liar"
    tmp_path.chmod(0o755)
    liar = Liar(path, script=lambda n, line: b"CONT\t" + n + b"\tPGFAYj4=\n" + last if line.startswith(b"AUTH") else None)
    start_with(suite, path, "cram-md5")
    c = session(suite)
    assert c.command("AUTH CRAM-MD5") == "334 PGFAYj4="
    if last:
        suite.wait_log("dovecot-away")
    assert c.command(b64("x y")).startswith("454")
    assert c.command("AUTH CRAM-MD5") == "334 PGFAYj4="
    assert c.command("*").startswith("501")
    c.expect(250, "NOOP")
    if not last:
        wait_until(lambda: any(line.startswith(b"CANCEL") for line in liar.asked), what="CANCEL")
    liar.close()


def test_what_it_ends_while_a_client_thinks(suite, tmp_path):
    """Only that client's login is lost; nor does what we say of it garble `postern status`."""
    path = tmp_path / "liar"
    tmp_path.chmod(0o755)

    def script(n, line):
        return b"CONT\t" + n + b"\tPGFAYj4=\nFAIL\t" + n + b"\treason=timed out\n" if b"CRAM-MD5" in line else b"OK\t" + n + b"\tuser=bob\n"
    liar = Liar(path, script=script)
    start_with(suite, path, "plain cram-md5")
    c, other = session(suite), session(suite)
    assert c.command("AUTH CRAM-MD5") == "334 PGFAYj4="
    assert other.command("AUTH PLAIN " + b64("\0bob\0x")).startswith("235")
    assert c.command(b64("x y")).startswith("454")
    assert "dovecot-away" not in suite.log(), suite.log()[-2000:]
    (authd,) = [line for line in suite.postern("--json", "status").stdout.splitlines() if '"authd"' in line]
    assert '"dovecot": "ready"' in authd and '"dovecot_requests": 0' in authd, authd
    liar.close()


@pytest.mark.parametrize("name,greeting", [
    ("silence", b""), ("version", b"VERSION\t2\t0\nDONE\n"), ("garbage", b"\xff" * 40000), ("never-done", b"VERSION\t1\t1\nMECH\tPLAIN\n"),
    ("nothing", b"VERSION\t1\t1\nDONE\n"), ("unasked", b"VERSION\t1\t1\nMECH\tPLAIN\nOK\t1\tuser=root\nDONE\n"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_how_it_may_greet(suite, tmp_path, name, greeting):
    path = tmp_path / "liar"
    tmp_path.chmod(0o755)
    liar = Liar(path, greeting, lambda n, line: b"OK\t" + n + b"\tuser=root\n")
    start_with(suite, path, "plain")
    c = session(suite)
    row("S13", f"dovecot-greeting-{name}", c.command("AUTH PLAIN " + b64(f"\0{ALICE}\0x")).startswith("454"))
    assert suite.pids("authd")
    liar.close()


def test_many_who_begin_keep_nobody_out(suite, tmp_path):
    """All places are taken by one network whose clients never go on: it loses its oldest, and others log in."""
    path = tmp_path / "liar"
    tmp_path.chmod(0o755)

    def script(n, line):
        return b"CONT\t" + n + b"\tPGFAYj4=\n" if line.startswith(b"AUTH") and b"CRAM-MD5" in line else b"OK\t" + n + b"\tuser=bob\n"
    liar = Liar(path, script=script)
    suite.settings = "connections-per-host 1000\nconnections-per-net 1000\nsmtpd-workers 1\n"  # who asks first is asked for first
    suite.listeners = suite.listeners.replace("tls implicit", "tls implicit  isolation shared")
    start_with(suite, path, "plain cram-md5")
    crowd = [session(suite, n // 20) for n in range(530)]
    for some in (crowd[:512], crowd[512:]):  # room is made by those whose client thinks, which they do once they are asked
        for c in some:
            c.send("AUTH CRAM-MD5\r\n")
        assert {c.reply() for c in some} == {"334 PGFAYj4="}
    suite.wait_log("dovecot-crowded .*logins=512")
    (authd,) = [line for line in suite.postern("--json", "status").stdout.splitlines() if '"authd"' in line]
    assert '"dovecot_requests": 512' in authd, authd
    honest = session(suite, 600)
    assert honest.command("AUTH CRAM-MD5") == "334 PGFAYj4="
    row("A09", "dovecot-crowd-others-log-in", session(suite, 601).command("AUTH PLAIN " + b64("\0bob\0x")).startswith("235"))
    row("A09", "dovecot-crowd-loses-its-oldest", crowd[0].command(b64("x y")).startswith("454") and
        crowd[-1].command(b64("x y")).startswith("235") and honest.command(b64("x y")).startswith("235"))
    asked = len(liar.asked)
    turn_clock(suite, 61)
    wait_until(lambda: sum(line.startswith(b"CANCEL") for line in liar.asked[asked:]) > 500, what="the end of those who think")
    row("A09", "dovecot-thinking-is-bounded", crowd[-2].command(b64("x y")).startswith("454"))
    for c in crowd:
        c.socket.close()
    liar.close()


def test_who_makes_room_has_tried(suite, tmp_path):
    """A guess that lost its place while Dovecot was at it counts as one that failed.  Twenty are too many of one source, of which one is
    forgotten every twelve seconds: 24 of each are so also where all this takes most of a minute."""
    path = tmp_path / "liar"
    tmp_path.chmod(0o755)
    liar = Liar(path)  # it never answers
    suite.settings = "connections-per-host 1000\nconnections-per-net 1000\nsmtpd-workers 1\n"  # who asks first is asked for first
    suite.listeners = suite.listeners.replace("tls implicit", "tls implicit  isolation shared")
    start_with(suite, path, "plain")
    guess = "AUTH PLAIN " + b64("\0bob\0x") + "\r\n"
    crowd = [session(suite, n // 24) for n in range(512)]
    newcomers = [session(suite, 600 + n // 20) for n in range(40)]
    again = session(suite, 0)
    for c in crowd:
        c.send(guess)
    wait_until(lambda: sum(line.startswith(b"AUTH") for line in liar.asked) >= 512, what="a crowd at Dovecot's")
    for c in newcomers:
        c.send(guess)
    assert {c.reply()[:3] for c in crowd[:24]} == {"454"}, "the oldest make room"
    row("A09", "dovecot-crowd-is-charged", again.command(guess.strip()).startswith("454") and
        suite.wait_log('login-not-checked .*why="too many failures from this source"'))
    for c in [*crowd, *newcomers, again]:
        c.socket.close()
    liar.close()
