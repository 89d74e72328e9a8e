"""The configurations of etc/examples, run as they stand there, but for ports, paths and peers."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import BIN, PASSWORD, Smtp, make_certificate, wait_until
from test_home import home, person  # noqa: F401
from test_lmtp import DOVECOT

EXAMPLES = pathlib.Path(__file__).parent.parent / "etc" / "examples"


class Example:
    """A suite with such a configuration."""

    def __init__(self, suite, name):
        self.suite, self.text = suite, (EXAMPLES / f"{name}.conf").read_text()
        self.etc = suite.folder / "etc"
        self.etc.mkdir()
        self.put("/etc/letsencrypt/live/{hostname}/fullchain.pem", suite.certificate)
        self.put("/etc/letsencrypt/live/{hostname}/privkey.pem", suite.key)
        self.put("/etc/postern", self.etc)
        self.put("/var/lib/postern", suite.folder / "users")
        for port, ours in (("25", suite.mx), ("587", suite.submission), ("465", suite.submissions)):
            self.text = re.sub(rf"^listen [0-9.]*:{port} ", f"listen 127.0.0.1:{ours} ", self.text, flags=re.M)
        self.text = (f"spool {suite.folder}/spool\nruntime {suite.folder}/run\nresolver {suite.resolver}\ndnssec off\n" + self.text)

    def put(self, what, instead):
        """Something of this machine in place of what the example names, which must be there if anything is to be tested."""
        self.text = self.text.replace(str(what), str(instead))
        return self

    def must_put(self, what, instead):
        assert what in self.text, what
        return self.put(what, instead)

    def file(self, name, text, mode=0o644, group=None):
        path = self.etc / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if group is not None and self.suite.as_root:
            shutil.chown(path, "root", group)
        return path

    def start(self, users=()):
        self.suite.conf = lambda: self.text
        return self.suite.start(users)


@pytest.fixture
def example(suite):
    return lambda name: Example(suite, name)


def sendmail(suite, *words, text, **options):
    environment = {**os.environ, "POSTERN_RUNTIME": str(suite.folder / "run")}
    return subprocess.run([BIN / "sendmail", *words], input=text, capture_output=True, text=True, timeout=60, env=environment, **options)


def test_every_example_is_tested():
    listed = re.findall(r"^\| `(.+)\.conf` ", (EXAMPLES / "README.md").read_text(), re.M)
    assert sorted(listed) == sorted(p.stem for p in EXAMPLES.glob("*.conf"))
    own = pathlib.Path(__file__).read_text()
    assert all(f'example("{name}")' in own for name in listed)


def test_smarthost(example, next_hop, tmp_path):
    certified = make_certificate(tmp_path, ("localhost",), "hop")
    hop = next_hop(tls=certified, login=("my_username", "secret"))
    e = example("smarthost")
    e.must_put('smtp "smtp.isp.example:587"', f'smtp "localhost:{hop.port}"  tls-ca {certified[0]}  allow-local yes')
    e.file("credentials", "isp: my_username secret\n", 0o640, "postern-authd")
    suite = e.start()
    c = suite.smtp()
    c.ehlo()
    c.message("me@example.org", "friend@elsewhere.test")
    ((sender, recipients, _),) = hop.wait()
    assert (sender, recipients) == ("me@example.org", ["friend@elsewhere.test"])


@pytest.mark.root
def test_dial_up(example, next_hop, tmp_path, home, person):  # noqa: F811
    certified = make_certificate(tmp_path, ("localhost",), "hop")
    hop = next_hop(tls=certified, login=("my_username", "secret"))
    e = example("dial-up")
    e.must_put('smtp "smtp.isp.example:587"', f'smtp "localhost:{hop.port}"  tls-ca {certified[0]}  allow-local yes')
    e.put("me@desk.home.example", f"{person.pw_name}@desk.home.example")
    e.file("credentials", "isp: my_username secret\n", 0o640, "postern-authd")
    e.file("local-domains", "home.example\n")
    suite = e.start()
    c = suite.smtp()
    c.ehlo()
    c.message("me@home.example", "friend@elsewhere.test")
    c.message("me@home.example", f"{person.pw_name}@home.example", "Subject: at home\n\nx\n")
    got = home / "Maildir" / "new"
    wait_until(lambda: got.is_dir() and len(list(got.iterdir())) == 1, 20, "mail at home")
    assert not hop.sessions
    (kept,) = suite.queue()
    assert "flush" in kept["last"]
    suite.postern("queue", "flush")
    ((sender, recipients, _),) = hop.wait()
    assert (sender, recipients) == ("me@home.example", ["friend@elsewhere.test"])


@pytest.mark.root
def test_virtual_domains(example, home, person):  # noqa: F811
    e = example("virtual-domains")
    alice = f"{person.pw_name}@mx1.example.org"
    e.put("alice@mx1.example.org", alice)
    (e.etc / "virtual").mkdir()
    e.file("virtual/example.org", f"alice: {alice}\nsales: alice, sales-copy\nsales-copy: {alice}\n")
    e.file("virtual/example.net", f"info: alice@example.org\n*: {alice}\n")
    (e.etc / "senders").mkdir()
    e.file("senders/example.org", "alice\npostmaster\n")
    suite = e.start(("alice@example.org",))
    got = home / "Maildir" / "new"

    def wait(count):
        wait_until(lambda: got.is_dir() and len(list(got.iterdir())) == count, 20, f"{count} messages at home\n{suite.log()[-2000:]}")

    c = suite.smtp()
    c.ehlo()
    for n, address in enumerate(["alice@example.org", "sales@example.org", "info@example.net", "anything@example.net"], 1):
        c.message("you@elsewhere.test", address, f"Subject: {n}\n\nx\n")
        wait(n)
    bounce = suite.smtp()
    bounce.ehlo()
    bounce.expect(250, "MAIL FROM:<>")
    assert bounce.command("RCPT TO:<sales@example.org>") == "550 5.7.1 this address never sends mail"
    for address in ("Alice@example.org", "info@example.net"):  # one that sends; one of a domain that does not say who does
        bounce.expect(250, f"RCPT TO:<{address}>")
    bounce.close()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    c.expect(550, "RCPT TO:<nobody@example.org>")
    c.expect(550, "RCPT TO:<x@new.example>")
    e.file("virtual/new.example", f"x: {alice}\n")  # a domain is added by its file

    def is_taken():
        return c.command("RCPT TO:<x@new.example>").startswith("250")
    wait_until(is_taken, 20, "the new domain")
    c = Smtp(suite.submissions, tls=True)
    c.ehlo()
    c.auth_plain("alice@example.org", PASSWORD)
    c.message("sales@example.org", "info@example.net", "From: sales@example.org\nSubject: 5\n\nx\n")
    wait(5)


FILTER = """# Exim filter
if $h_X-Spam-Status: contains "Yes" or
   "${if def:h_X-Spam-Flag {def}{undef}}" is "def" then
   save Maildir/.Junk/
elif $h_to: contains "debian-news@lists.debian.org" then
   save Maildir/.Lists.debian-news/
elif $message_body: contains "foobar" then
   save Maildir/.Foobar/
endif
if not delivered then
   save Maildir/
endif
"""


@pytest.mark.root
def test_user_filters(example, home, person):  # noqa: F811
    e = example("user-filters")
    e.put("alice@example.org", f"{person.pw_name}@example.org")
    suite = e.start()

    def own(name, text):
        (home / name).write_text(text)
        (home / name).chmod(0o600)
        os.chown(home / name, person.pw_uid, person.pw_gid)

    def arrives(folder, *fields, body="x", count=1):
        c = suite.smtp()
        c.ehlo()
        c.message("you@elsewhere.test", f"{person.pw_name}@example.org", "\n".join(fields) + f"\n\n{body}\n")
        new = home / "Maildir" / folder / "new"
        wait_until(lambda: new.is_dir() and len(list(new.iterdir())) == count, 20, f"{count} in {folder or 'the inbox'}\n{suite.log()[-2000:]}")

    own(".forward", FILTER)
    arrives(".Junk", "X-Spam-Status: Yes, score=9")
    arrives(".Junk", "X-Spam-Flag: maybe", count=2)
    arrives(".Lists.debian-news", "To: debian-news@lists.debian.org")
    arrives(".Foobar", "Subject: s", body="some foobar here")
    arrives("", "Subject: plain")
    (home / ".forward").unlink()
    own(".sieve", 'require ["fileinto", "mailbox"];\nif header :contains "subject" "urgent" { fileinto :create "Urgent"; }\n')
    arrives(".Urgent", "Subject: very urgent")
    arrives("", "Subject: not so", count=2)


def test_hidden_machine_name(example, next_hop, tmp_path):
    certified = make_certificate(tmp_path, ("localhost",), "hop")
    hop = next_hop(tls=certified)
    e = example("hidden-machine-name")
    e.must_put('smtp "mail.example.org:25"', f'smtp "localhost:{hop.port}"  allow-local yes')
    suite = e.start()
    done = sendmail(suite, "-oi", "-f", "root@host7.example.org", "friend@elsewhere.test",
                    text="From: root (Cron Daemon)\nTo: friend@elsewhere.test, other@host7.example.org\nSubject: host7.example.org\n\nroot@host7.example.org\n")
    assert done.returncode == 0, done.stderr
    ((sender, _, data),) = hop.wait()
    text = data.decode()
    assert sender == "root@example.org"
    assert "From: root@example.org (Cron Daemon)\r\n" in text and "To: friend@elsewhere.test, other@example.org\r\n" in text
    assert "Subject: host7.example.org\r\n" in text and "\r\nroot@host7.example.org" in text


def test_outgoing_only(example, next_hop):
    hop = next_hop()
    e = example("outgoing-only")
    e.must_put("smtp mx", f'smtp "localhost:{hop.port}"  allow-local yes')
    suite = e.start()
    done = sendmail(suite, "-f", "admin@example.org", "friend@elsewhere.test", text="Subject: s\n\nx\n")
    assert done.returncode == 0, done.stderr
    ((sender, _, _),) = hop.wait()
    assert sender == "admin@example.org"
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
    pids = {str(p) for p in suite.children()}
    assert not [line for line in listening.splitlines() if set(re.findall(r"pid=(\d+)", line)) & pids]


@pytest.mark.root
def test_dovecot(example, tmp_path):
    if not pathlib.Path(DOVECOT).exists():
        pytest.skip("Dovecot is not here")
    folder = tmp_path / "dovecot"
    for name in ("run", "state", "mail"):
        (folder / name).mkdir(parents=True)
    tmp_path.chmod(0o755)
    shutil.chown(folder / "mail", "mail", "mail")
    (folder / "users").write_text("alice@example.org:{PLAIN}secret\n")
    (folder / "conf").write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
listen = 127.0.0.1
first_valid_uid = 8
mail_location = maildir:{folder}/mail/%u
default_login_user = dovenull
default_internal_user = dovecot
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
""")
    process = subprocess.Popen([DOVECOT, "-F", "-c", folder / "conf"])
    try:
        wait_until(lambda: all((folder / "run" / name).exists() for name in ("lmtp", "auth-client")), what="Dovecot")
        e = example("dovecot")
        e.must_put("/run/dovecot", f"{folder}/run")
        e.file("users", "alice@example.org\n")
        suite = e.start()
        c = suite.smtp()
        c.ehlo()
        c.message("you@elsewhere.test", "alice@example.org", "Subject: in\n\nx\n")
        c.expect(250, "MAIL FROM:<you@elsewhere.test>")
        c.expect(550, "RCPT TO:<nobody@example.org>")
        c = Smtp(suite.submissions, tls=True)
        c.ehlo()
        c.auth_plain("alice@example.org", "secret")
        c.message("alice@example.org", "alice@example.org", "Subject: self\n\nx\n")
        new = folder / "mail" / "alice@example.org" / "new"
        wait_until(lambda: new.is_dir() and len(list(new.iterdir())) == 2, 30, "two messages at Dovecot")
    finally:
        process.terminate()
        process.wait(20)


