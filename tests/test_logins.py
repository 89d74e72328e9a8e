"""Logins: at a smarthost by what it offers; of our users by flat file and database."""

import base64
import hashlib
import hmac
import shutil
import subprocess

import pytest

import harness
from harness import PASSWORD, Conversation, make_certificate, row, wait_until

USER, SECRET = "isp-user", 'isp "secret" ä'


class LoginConversation(Conversation):
    """Takes the one mechanism that hop.mechanism names."""

    def on_ehlo(self, line):
        offered = f"AUTH {self.hop.mechanism}" if self.secure else "STARTTLS"
        self.send(f"250-hop.example\r\n250-PIPELINING\r\n250 {offered}")

    def ask(self, text):
        self.send("334 " + base64.b64encode(text.encode()).decode())
        return base64.b64decode(self.line()).decode()

    def on_auth(self, line):
        words = line.split(" ")
        if words[1].upper() != self.hop.mechanism:
            self.send("504 5.5.4 not that")
            return
        self.logged_in = getattr(self, "by_" + self.hop.mechanism.lower().replace("-", "_"))(words[2:])
        self.send("235 2.7.0 ok" if self.logged_in else "535 5.7.8 wrong")

    def by_plain(self, first):
        said = base64.b64decode(first[0]).decode() if first else self.ask("")
        return said == f"\0{USER}\0{SECRET}"

    def by_login(self, first):
        user = base64.b64decode(first[0]).decode() if first else self.ask("Username:")
        return (user, self.ask("Password:")) == (USER, SECRET)

    def by_cram_md5(self, first):
        challenge = "<17.4@hop.example>"
        return self.ask(challenge) == USER + " " + hmac.new(SECRET.encode(), challenge.encode(), hashlib.md5).hexdigest()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_at_a_smarthost(suite, next_hop, tmp_path, monkeypatch, mechanism):
    monkeypatch.setattr(harness, "Conversation", LoginConversation)
    certified = make_certificate(tmp_path, ("localhost",), "hop")
    hop = next_hop(tls=certified, login=(USER, SECRET))
    hop.mechanism = mechanism
    path = suite.folder / "credentials"
    path.write_text(f"isp: {USER} {SECRET}\n")
    path.chmod(0o640)
    if suite.as_root:
        shutil.chown(path, "root", "postern")
    suite.settings += f'credentials "{path}"\n'
    suite.internet = f'smtp "localhost:{hop.port}"  allow-local yes  tls verified  tls-ca "{certified[0]}"  login isp'
    suite.start()
    c = suite.login()
    c.message("alice@example.test", "you@elsewhere.test")
    hop.wait()
    row("A07", f"client-{mechanism}", SECRET not in suite.log() and
        all(secure for s in hop.sessions for line, secure in s if line.startswith("AUTH")))


@pytest.mark.parametrize("mechanism", ["NTLM", "EXTERNAL", "X-NEW"])
def test_a_mechanism_that_is_not_ours_defers(suite, next_hop, tmp_path, monkeypatch, mechanism):
    monkeypatch.setattr(harness, "Conversation", LoginConversation)
    certified = make_certificate(tmp_path, ("localhost",), "hop")
    hop = next_hop(tls=certified, login=(USER, SECRET))
    hop.mechanism = mechanism
    path = suite.folder / "credentials"
    path.write_text(f"isp: {USER} {SECRET}\n")
    path.chmod(0o640)
    if suite.as_root:
        shutil.chown(path, "root", "postern")
    suite.settings += f'credentials "{path}"\n'
    suite.internet = f'smtp "localhost:{hop.port}"  allow-local yes  tls verified  tls-ca "{certified[0]}"  login isp'
    suite.start()
    c = suite.login()
    c.message("alice@example.test", "you@elsewhere.test")
    wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    row("E12", f"client-{mechanism}", not hop.messages and not [l for s in hop.sessions for l, _ in s if l.startswith(("AUTH", "MAIL"))])


def hashed(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True,
                          check=True).stdout.strip()


def test_of_our_users_in_a_flat_file(suite):
    path = suite.folder / "users" / "flat"
    path.write_text(f"# logins\ncarol@example.test:{hashed('of carol')}\nbroken@example.test:\nlocked@example.test:!\n")
    path.chmod(0o640)
    if suite.as_root:
        shutil.chown(path, "root", "postern")
    plain = suite.conf
    suite.conf = lambda: plain().replace("auth { ", f'auth {{ file "{path}"  ')
    suite.start()
    suite.login("carol@example.test", "of carol").close()
    suite.login("alice@example.test", PASSWORD).close()
    for user, password in (("carol@example.test", "of alice"), ("broken@example.test", ""), ("locked@example.test", "!"),
                           ("locked@example.test", ""), ("nobody@example.test", "x")):
        c = suite.smtp(suite.submissions, tls=True)
        c.ehlo()
        c.auth_plain(user, password, 535) if password else c.command(
            "AUTH PLAIN " + base64.b64encode(f"\0{user}\0".encode()).decode()).startswith("5") or pytest.fail(user)
        c.close()
    row("S19", "flat-file", bool(suite.pids("authd")))


def test_a_users_database_that_is_gone_is_454(suite):
    suite.start()
    database = suite.folder / "users" / "users.db"
    database.rename(database.with_suffix(".away"))
    c = suite.smtp(suite.submissions, tls=True)
    c.ehlo()
    got = c.command("AUTH PLAIN " + base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()).decode())
    row("A4", "users-database-gone", got.startswith("454"))
    database.with_suffix(".away").rename(database)

    def works():
        c = suite.smtp(suite.submissions, tls=True)
        c.ehlo()
        return c.command("AUTH PLAIN " + base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()).decode()).startswith("235")
    wait_until(works, 20, "a login")
