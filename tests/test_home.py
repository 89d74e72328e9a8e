"""A Maildir in the home of a user of this system: written as that user, whatever lies there, and never as root."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal

import pytest

from harness import row, status_of, system_user, wait_until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def person():
    name = f"posternh{os.getpid()}"
    with system_user(name, "--create-home", "--home-dir", f"/home/{name}", "--user-group") as made:
        yield made


@pytest.fixture
def home(person):
    """Empty and private."""
    path = pathlib.Path(person.pw_dir)
    shutil.rmtree(path)
    path.mkdir(mode=0o700)
    os.chown(path, person.pw_uid, person.pw_gid)
    return path


@pytest.fixture
def at_home(suite, home, tmp_path):
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    suite.tables += "table ours { localhost }\n"
    suite.routes = "\tdeliver home if recipient.domain in ours\n" + suite.routes
    suite.transports = 'transport home { maildir "~/Maildir/" }\n'
    return suite.start()


def send(suite, address):
    c = suite.smtp()
    c.ehlo()
    got = c.message("you@elsewhere.test", address, "Subject: home\n\nto a home\n")
    c.close()
    return got.split()[-1]


def delivered(home):
    new = home / "Maildir" / "new"
    return list(new.iterdir()) if new.is_dir() else []


def deferral(suite):
    (m,) = wait_until(lambda: [m for m in suite.queue() if m["last"]], what="a deferral")
    return m["last"]


def test_written_as_the_user(at_home, home, person):
    send(at_home, f"{person.pw_name}@localhost")
    (path,) = wait_until(lambda: delivered(home), what="a message")
    text = path.read_text()
    assert text.startswith("Return-Path: <you@elsewhere.test>\n") and f"Delivered-To: {person.pw_name}@localhost\n" in text
    found = [path, *path.parents[:3][:2], home / "Maildir" / "tmp", home / "Maildir" / "cur"]
    row("A2", "home-owner", all((f.stat().st_uid, f.stat().st_gid) == (person.pw_uid, person.pw_gid) for f in found) and
        all(f.stat().st_mode & 0o077 == 0 for f in found))


def test_capital_letters_are_the_same_person(at_home, home, person):
    send(at_home, f"{person.pw_name.upper()}@localhost")
    wait_until(lambda: delivered(home), what="a message")


def test_nobody_is_refused_at_rcpt(at_home):
    c = at_home.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    assert c.command("RCPT TO:<no-such-person@localhost>").startswith("550 5.1.1")


@pytest.mark.parametrize("name", ["root", "daemon", "postern-queue"])
def test_never_as_root_or_a_daemon(at_home, name):
    """Refused at once, kept and told, or given to the postmaster: never written."""
    c = at_home.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command(f"RCPT TO:<{name}@localhost>")
    if got.startswith("250"):
        assert c.data("Subject: x\n\nx\n").startswith("250")
        wait_until(lambda: [m for m in at_home.queue() if m["last"]] or at_home.messages("alice@example.test"), what="what becomes of it")
    place = pathlib.Path(pwd.getpwnam(name).pw_dir) / "Maildir"
    row("F03", f"home-{name}", not place.exists())


@pytest.mark.parametrize("local", ["..", "../root", "a/../../etc", "/etc", "%2e%2e", "-rf", "~root"])
def test_a_name_leads_nowhere_else(at_home, local):
    c = at_home.smtp()
    c.ehlo()
    c.expect(250, "MAIL FROM:<you@elsewhere.test>")
    got = c.command(f'RCPT TO:<"{local}"@localhost>')
    row("F19", f"home-{local}", got.startswith(("550", "553", "501")))


@pytest.mark.parametrize("what", ["link", "file", "others", "fifo", "read-only", "missing"])
def test_an_odd_home_defers(at_home, home, person, what, tmp_path):
    """The message waits, says why, and comes when the home is mended."""
    trap = tmp_path / "trap"
    trap.mkdir(mode=0o777)
    trap.chmod(0o777)
    maildir = home / "Maildir"
    if what == "link":
        maildir.symlink_to(trap)
    elif what == "file":
        maildir.write_text("")
    elif what == "fifo":
        os.mkfifo(maildir)
    elif what == "others":
        maildir.mkdir()
    elif what == "missing":
        home.rename(tmp_path / "away")
    else:
        home.chmod(0o500)
    send(at_home, f"{person.pw_name}@localhost")
    said = deferral(at_home)
    for ident in ["F03", {"fifo": "L02", "read-only": "L04", "missing": "L04"}.get(what, "L01")]:
        row(ident, f"home-{what}", said and not list(trap.iterdir()) and not delivered(home))
    if what == "missing":
        shutil.move(tmp_path / "away", home)
    home.chmod(0o700)
    if maildir.is_symlink() or maildir.is_file() or what == "fifo":
        maildir.unlink()
    elif maildir.is_dir():
        maildir.rmdir()
    at_home.postern("queue", "retry", "all")
    wait_until(lambda: delivered(home), what="the message")


def test_a_home_that_hangs_holds_up_nobody_else(at_home, home, person):
    """L04: who writes into it stands still, as where its disk is away."""
    def worker():
        found = [p for p in at_home.children(at_home.pids("local")[0]) if status_of(p).get("Uid", "").split()[:1] == [str(person.pw_uid)]]
        return found and found[0]
    send(at_home, f"{person.pw_name}@localhost")
    pid = wait_until(worker, what="who writes into it")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        send(at_home, f"{person.pw_name}@localhost")
        send(at_home, "alice@example.test")
        row("L04", "home-hangs", len(at_home.wait_messages("alice@example.test")) == 1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not at_home.queue() and len(delivered(home)) >= 2, what="the others")


def test_aliases_between_people_and_away(at_home, home, person):
    """root's mail goes to a person, as in the sample configuration."""
    at_home.tables += f'table aliases {{ "root@localhost: {person.pw_name}@localhost" }}\n'
    at_home.routes = "\talias aliases\n" + at_home.routes
    at_home.write_conf()
    at_home.postern("reload")
    send(at_home, "root@localhost")
    wait_until(lambda: delivered(home), what="a message")
