"""The newcomer's path: one command, a first mail by the printed commands, Ctrl-C, and the same again at once."""

import contextlib
import os
import pty
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from harness import ROOT, TOP, alive, descendants, free_ports, wait_until

BUILD_SECONDS = 400  # where nothing is built yet
EX_USAGE = 64

pytestmark = pytest.mark.seconds(600)


class Terminal:
    """A command on a terminal of its own, where Ctrl-C is a key."""

    def __init__(self, command):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], [os.fspath(word) for word in command])

    def read(self):
        """What came in the next half second; False at the end."""
        if not select.select([self.fd], [], [], 0.5)[0]:
            return True
        try:
            more = os.read(self.fd, 65536)
        except OSError:
            return False
        self.text += more.decode(errors="replace").replace("\r\n", "\n")
        return more != b""

    def wait_line(self, pattern, seconds):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text, re.M):
            assert self.read(), f"ended before {pattern!r}:\n{self.text[-3000:]}"
            assert time.monotonic() < deadline, f"no {pattern!r} in {seconds} s:\n{self.text[-3000:]}"

    def press(self, key):
        os.write(self.fd, key)

    def end(self, seconds=60):
        """The exit status."""
        deadline = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < deadline, f"still there after {seconds} s:\n{self.text[-3000:]}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self):
        for pid in [self.pid, *descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.close(self.fd)


class Quickstart:
    def __init__(self, top, state, user=None):
        self.top, self.state, self.user = top, state, user
        self.ports = free_ports(3)
        self.terminals = []

    def as_user(self, command):
        if self.user is None:
            return command
        home = pwd.getpwnam(self.user)
        return ["setpriv", "--reuid", str(home.pw_uid), "--regid", str(home.pw_gid), "--clear-groups", *command]

    def start(self, seconds):
        began = time.monotonic()
        self.terminal = Terminal(self.as_user([self.top / "scripts" / "quickstart", "--no-install", "--state", self.state,
                                               "--ports", ",".join(map(str, self.ports))]))
        self.terminals.append(self.terminal)
        self.terminal.wait_line(r"^ready$", seconds)
        return time.monotonic() - began

    def printed(self, name):
        return re.search(rf"^  {name} +(.+)$", self.terminal.text, re.M).group(1)

    def commands(self):
        return re.findall(r"^    (\S.*)$", self.terminal.text, re.M)

    def mails(self):
        listed = subprocess.run(self.as_user(["ls", self.printed("Maildir")]), capture_output=True, text=True)
        return listed.stdout.split()

    def send_first_mails(self):
        before = len(self.mails())
        sent = [c for c in self.commands() if c.startswith("printf")]
        assert len(sent) == 2
        for command in sent:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}: {done.stderr}\n{self.terminal.text[-3000:]}"
        wait_until(lambda: len(self.mails()) == before + len(sent), what="the first mails")
        shown = subprocess.run(self.as_user(["bash", "-c", self.commands()[-1]]), capture_output=True, text=True, check=True)
        assert len(shown.stdout.split()) == before + len(sent)

    def stop(self):
        family = descendants(self.terminal.pid)
        assert len(family) > 10
        self.terminal.press(b"\x03")
        assert self.terminal.end() == 0, self.terminal.text[-3000:]
        wait_until(lambda: not any(alive(p) for p in family), what="the end of all it made")


@pytest.fixture
def quickstart(tmp_path):
    made = []

    def make(*words, **options):
        made.append(Quickstart(*words, **options))
        return made[-1]
    yield make
    for one in made:
        for terminal in one.terminals:
            terminal.kill()


@pytest.fixture
def anothers_home():
    """A home of mode 0700 with a clone in it."""
    home = tempfile.mkdtemp(prefix="postern-home-", dir="/var/tmp")
    clone = os.path.join(home, "a clone")
    shutil.copytree(TOP, clone, ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    for folder, _, files in os.walk(home):
        for path in [folder, *(os.path.join(folder, f) for f in files)]:
            shutil.chown(path, "nobody")
    yield home, clone
    shutil.rmtree(home, ignore_errors=True)


def run(q):
    q.start(BUILD_SECONDS)
    password = q.printed("password")
    q.send_first_mails()
    q.stop()
    assert q.start(seconds=60) < 20  # nothing is built or made anew
    assert q.printed("password") == password
    assert len(q.mails()) == 2
    q.send_first_mails()
    q.stop()


def test_as_the_caller(quickstart, tmp_path):
    run(quickstart(TOP, tmp_path / "a state"))


@pytest.mark.root
def test_as_another_user_in_a_closed_home(quickstart, anothers_home):
    home, clone = anothers_home
    run(quickstart(type(TOP)(clone), os.path.join(home, "state"), user="nobody"))


def test_a_lost_password_is_made_anew(quickstart, tmp_path):
    q = quickstart(TOP, tmp_path / "state")
    q.start(BUILD_SECONDS)
    password = q.printed("password")
    q.stop()
    (tmp_path / "state" / "password").unlink()
    q.start(seconds=60)
    assert q.printed("password") != password
    q.send_first_mails()
    q.stop()


def refused(*words):
    return subprocess.run([TOP / "scripts" / "quickstart", "--no-install", *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", [
    ["--port", "1"], ["--ports"], ["--ports", "1,2"], ["--ports", "2525,2525,2465"], ["--ports", "0,1,2"], ["--ports", "1,2,65536"],
    ["--ports", "a,b,c"], ["--state"], ["--state", ""], ["--state", "/tmp/{domain}"], ["--state", '/tmp/"'], ["more"]])
def test_what_is_no_option_is_told(words):
    done = refused(*words)
    assert done.returncode == EX_USAGE
    assert "usage: scripts/quickstart" in done.stderr


def test_a_port_in_use_is_named_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refused("--ports", ",".join(map(str, [*free_ports(2), port])))
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr and "--ports" in done.stderr
