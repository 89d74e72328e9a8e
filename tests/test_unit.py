"""The suite inside the box of etc/postern.service: its capabilities, its filters, its mounts, and nobody's help with ownership."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import BIN, BUILD, PASSWORD, PATIENCE_SECONDS, TOP, Suite, alive, row, status_of, system_user, wait_until

UNIT = BUILD / "etc" / "postern.service"
BOX = BUILD / "unit" / "unit_filter"
CALLS = TOP / "tests" / "tools" / "system-service.calls"
KERNELS = {"this-kernel": [], "kernel-6.1": ["--kernel", "61"]}
SCORE_MAX = 2.7
# CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT
FOUR_CAPABILITIES = 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18

pytestmark = pytest.mark.root


class Notify:
    """What systemd would hear."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE_SECONDS)
        self.heard = []

    def wait(self, word):
        while word not in self.heard:
            self.heard += self.socket.recv(4096).decode().split("\n")
        del self.heard[:self.heard.index(word) + 1]


def tmpfiles():
    """The folders of etc/postern.tmpfiles: path -> (mode, user, group)."""
    rows = [line.split() for line in (TOP / "etc" / "postern.tmpfiles").read_text().splitlines() if line.startswith("d ")]
    return {path: (int(mode, 8), user, group) for _, path, mode, user, group, _ in rows}


def own_as_installed(suite):
    """The folders are whose tmpfiles.d(5) makes them, and nobody mends that later."""
    for path, place in (("/run/postern", "run"), ("/run/postern/empty", "run/empty"), ("/var/spool/postern", "spool"),
                        ("/var/lib/postern", "users"), ("/var/mail/virtual", "mail"), ("/var/log/postern", "logs")):
        mode, user, group = tmpfiles()[path]
        (suite.folder / place).mkdir(exist_ok=True)
        shutil.chown(suite.folder / place, user, group)
        (suite.folder / place).chmod(mode)


@pytest.fixture(scope="module")
def person():
    """A user of the system, with a home."""
    name = f"posternt{os.getpid()}"
    with system_user(name, "--create-home", "--home-dir", f"/home/{name}", "--user-group"):
        pathlib.Path(f"/home/{name}").chmod(0o700)
        yield name


@pytest.fixture(params=KERNELS)
def boxed(request, tmp_path, next_hop):
    """A suite that is ready, in the box; with a user's home and a next hop."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    folder = tmp_path / "postern"
    suite = Suite(folder, prefix=[BOX, UNIT, CALLS, folder], arguments=KERNELS[request.param],
                  environment={"NOTIFY_SOCKET": str(folder / "notify")})
    suite.variant = request.param
    suite.hop = next_hop()
    suite.internet = f'smtp "localhost:{suite.hop.port}"  tls off  allow-local yes'
    suite.routes = '\tdeliver home if recipient.domain == "localhost"\n' + suite.routes
    suite.transports = 'transport home { maildir "~/Maildir/" }\n'
    suite.settings = f"log {folder}/logs/postern.log\n"
    suite.notify = Notify(folder / "notify")
    own_as_installed(suite)
    suite.start()
    suite.notify.wait("READY=1")
    yield suite
    suite.stop()


def boxed_command(suite, *words):
    """As ExecReload runs it: in the same box."""
    return subprocess.run([*suite.prefix, BIN / "postern", "--config", suite.conf_path, *words], capture_output=True, text=True,
                          timeout=60)


def test_the_box_is_shut(boxed):
    """Whatever else is tested here means nothing if this is not so."""
    master = status_of(boxed.process.pid)
    bounding = {status_of(pid)["CapBnd"].strip() for pid in [boxed.process.pid, *boxed.children()] if alive(pid)}
    filters = int(master["Seccomp_filters"])
    view = pathlib.Path(f"/proc/{boxed.process.pid}/mountinfo").read_text()
    read_only = [l for l in view.splitlines() if l.split()[4] == "/" and l.split()[5].startswith("ro")]
    row("A2", f"unit-box-{boxed.variant}", bounding == {f"{FOUR_CAPABILITIES:016x}"} and master["NoNewPrivs"].strip() == "1" and
        filters >= 6 and bool(read_only))


def test_a_day_in_the_box(boxed, person):
    c = boxed.smtp()
    c.ehlo()
    c.message("you@elsewhere.test", "alice@example.test", "Subject: in\n\nby MX\n")
    assert b"by MX" in boxed.wait_messages("alice@example.test")[0]
    row("A2", f"unit-mx-{boxed.variant}", True)

    c.message("you@elsewhere.test", f"{person}@localhost", "Subject: home\n\nto a home\n")
    new = pathlib.Path(f"/home/{person}/Maildir/new")
    (path,) = wait_until(lambda: new.is_dir() and list(new.iterdir()), what="a message in the home")
    assert b"to a home" in path.read_bytes()
    row("A2", f"unit-home-{boxed.variant}", path.stat().st_uid == pwd.getpwnam(person).pw_uid)
    shutil.rmtree(new.parent)

    c = boxed.login(password=PASSWORD)
    c.message("alice@example.test", "you@elsewhere.test", "Subject: out\n\nby login\n")
    ((sender, recipients, data),) = boxed.hop.wait()
    row("A2", f"unit-relay-{boxed.variant}", (sender, recipients) == ("alice@example.test", ["you@elsewhere.test"]) and
        b"by login" in data)
    wait_until(lambda: boxed.queue() == [], what="an empty queue")
    events = (boxed.folder / "logs" / "postern.log").read_text()
    assert "accepted" in events and not re.search(r"error \S+ (bug|fatal|cage-failed|child-ended)", events), events


def test_reload(boxed):
    boxed.write_conf(boxed.conf() + "message_size_max 2M\n")
    done = boxed_command(boxed, "reload")
    assert done.returncode == 0, done.stderr
    boxed.notify.wait("RELOADING=1")
    boxed.notify.wait("READY=1")
    new = "SIZE 2097152" in boxed.smtp().ehlo()
    boxed.write_conf(boxed.conf() + "nonsense here\n")
    refused = boxed_command(boxed, "reload")
    boxed.notify.wait("RELOADING=1")
    boxed.notify.wait("READY=1")
    row("A2", f"unit-reload-{boxed.variant}", new and refused.returncode != 0 and "nonsense" in refused.stderr and
        "SIZE 2097152" in boxed.smtp().ehlo())


@pytest.mark.parametrize("role", ["smtpd", "queue", "policyd", "local", "authd", "keyd", "gate"])
def test_a_killed_process_is_back(boxed, role):
    before = boxed.pids(role)
    boxed.kill(role)
    after = wait_until(lambda: [p for p in boxed.pids(role) if p not in before], what=f"a new {role}")
    assert after

    def mail():
        try:
            c = boxed.login()
            return c.message("alice@example.test", "bob@example.test", "Subject: again\n\nagain\n")
        except (AssertionError, OSError):
            return None
    wait_until(mail, what="mail by login after it")
    row("A2", f"unit-restart-{role}-{boxed.variant}", b"again" in boxed.wait_messages("bob@example.test")[0])


def test_stop(boxed):
    children = boxed.children()
    boxed.process.send_signal(signal.SIGTERM)
    boxed.notify.wait("STOPPING=1")
    boxed.stop()
    row("A2", f"unit-stop-{boxed.variant}", boxed.process.returncode == 0 and not boxed.children() and bool(children))


def test_the_runtime_folder_may_be_new(boxed):
    """RuntimeDirectory= is gone after a stop and made empty at the next start."""
    boxed.stop()
    shutil.rmtree(boxed.folder / "run")
    (boxed.folder / "run").mkdir(mode=0o755)
    boxed.launch()
    boxed.smtp().ehlo()


def test_a_filter_that_is_too_narrow_is_said(boxed):
    """The box is really in force: without chroot(2) nothing starts, and the reason is told."""
    boxed.stop()
    unit = boxed.folder / "narrow.service"
    unit.write_text(UNIT.read_text().replace(" chroot seccomp ", " seccomp "))
    command = [BOX, unit, *boxed.prefix[2:], BIN / "postern-master", "-F", "-c", boxed.conf_path, "--libexec", BIN]
    heard = boxed.folder / "narrow.log"
    with heard.open("wb") as log:
        master = subprocess.Popen(command, stderr=log)
    try:
        wait_until(lambda: re.search("chroot.*Operation not permitted|Operation not permitted.*chroot", heard.read_text()), what="the reason")
        assert "ready" not in heard.read_text().split()
    finally:
        master.kill()
        master.wait()


def test_state_folder_is_not_taken_from_its_group():
    """StateDirectory= would give /var/lib/postern and all in it to root:root at each start, and the logins would be unreadable."""
    words = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    owned = {f"/run/{w}" for w in words.get("RuntimeDirectory", "").split()} | \
        {f"/var/lib/{w}" for w in words.get("StateDirectory", "").split()}
    for path in owned & set(tmpfiles()):
        assert tmpfiles()[path][1:] == ("root", "root"), f"{path}: the unit and tmpfiles.d disagree"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_likes_it(tmp_path):
    copy = tmp_path / "postern.service"
    text = re.sub(r"^(ExecStart|ExecReload)=\S+", r"\1=/bin/true", UNIT.read_text(), flags=re.M)
    copy.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", copy], capture_output=True, text=True, timeout=60).stdout
    score = float(re.search(r"exposure level for \S+ (\d+\.\d+)", said).group(1))
    print(f"systemd-analyze security: {score}")
    row("A2", "unit-score", score <= SCORE_MAX)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_list_of_calls_is_systemds():
    """Where systemd is newer than the list it may allow more, never less."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, timeout=60).stdout
    sets, name = {}, None
    for line in said.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())

    def expand(of):
        return {c for word in sets[of] for c in (expand(word) if word.startswith("@") else {word})}
    kept = {l for l in CALLS.read_text().splitlines() if not l.startswith("#")}
    assert kept <= expand("@system-service") | expand("@default")
