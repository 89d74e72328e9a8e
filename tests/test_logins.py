"""Logins: at a smarthost by what it offers; of our users by flat file and database."""

import base64
import contextlib
import hashlib
import hmac
import shutil
import sqlite3
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
    database = suite.folder / "users" / "users.db.secrets"
    database.rename(database.with_suffix(".away"))
    c = suite.smtp(suite.submissions, tls=True)
    c.ehlo()
    got = c.command("AUTH PLAIN " + base64.b64encode(f"\0alice@example.test\0{PASSWORD}".encode()).decode())
    row("A4", "users-database-gone", got.startswith("454"))
    database.with_suffix(".away").rename(database)
    wait_until(lambda: can_log_in(suite), 20, "a login")


def can_read(suite, user, name):
    """Whether a process with the uid and the groups of that user gets a byte of the file."""
    path = suite.folder / "users" / name
    return subprocess.run(["setpriv", "--reuid", user, "--regid", user, "--init-groups", "head", "-c", "1", path],
                          capture_output=True).returncode == 0


@pytest.mark.root
def test_only_authd_reads_hashes(suite):
    suite.start()
    suite.login().close()
    for folder in list(suite.folder.parents)[:3]:
        folder.chmod(0o755)
    others = [f"postern-{r}" for r in [*harness.ROLES, "lookup"] if r != "authd"]
    row("A07", "hashes-of-authd", can_read(suite, "postern-authd", "users.db.secrets") and
        can_read(suite, "postern-policyd", "users.db") and b"$y$" not in (suite.folder / "users" / "users.db").read_bytes() and
        not [u for u in others if can_read(suite, u, "users.db.secrets")])


def make_old_database(suite):
    """As it was before hashes had a file of their own."""
    path = suite.folder / "users" / "users.db"
    suite.write_conf()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE users(address TEXT PRIMARY KEY COLLATE NOCASE, hash TEXT NOT NULL, created INTEGER NOT NULL)")
        for name in ("alice", "bob"):
            db.execute("INSERT INTO users VALUES(?, ?, 1)", (f"{name}@example.test", hashed(PASSWORD)))
        db.commit()
    path.chmod(0o640)
    if suite.as_root:
        shutil.chown(path, "root", "postern")
    return path


def test_an_old_database_is_moved_while_logins_go_on(suite):
    path = make_old_database(suite)
    suite.start(users=())
    c = suite.login()
    c.message("alice@example.test", "bob@example.test")
    suite.wait_log("users-not-moved")
    said = suite.postern("user", "list")
    assert "2 users are now in" in said.stderr, said.stderr
    assert "users are now" not in suite.postern("user", "list").stderr
    wait_until(lambda: can_log_in(suite), 20, "a login from the new file")
    suite.wait_messages("bob@example.test")
    row("S19", "hashes-moved", b"$6$" not in path.read_bytes() and b"$6$" in path.with_name("users.db.secrets").read_bytes())


def can_log_in(suite, user="alice@example.test", password=PASSWORD):
    c = suite.smtp(suite.submissions, tls=True)
    c.ehlo()
    return c.command("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()).startswith("235")
